import TQModel
import Testing

@testable import QueueCore

@Suite("Random commands")
struct RandomCommandsTests {
    private static let runs = 150
    private static let commands = 400

    @Test("Live, replayed and recovered indexes agree, no task is lost, no token comes back")
    func randomRuns() throws {
        for seed in 0..<UInt64(Self.runs) {
            var run = RandomRun(seed: seed)
            try run.play(commands: Self.commands)
        }
        var run = RandomRun(seed: .random(in: .min ... .max))
        try run.play(commands: Self.commands)
    }
}
