import HistoryChecker
import TQModel
import Testing
struct DebugTests {
    @Test func debug() {
        var seen: Set<String> = []
        for seed in UInt64(0)..<3000 {
            let rehearsal = Rehearsal(seed: seed, steps: 1_000)
            guard let first = rehearsal.checker.violations.first, let id = first.task else { continue }
            let kind = String(first.sentence.prefix(30).filter { $0.isLetter })
            guard seen.insert(kind).inserted else { continue }
            print("SEED", seed, first)
            var numbers: Set<OperationNumber> = []
            for (index, event) in rehearsal.events.enumerated() {
                var bytes: [UInt8] = []
                event.appendLine(to: &bytes)
                let line = String(decoding: bytes, as: UTF8.self)
                var isMine = line.contains(id.description)
                if case .returned(let n, _) = event.kind, numbers.contains(n) { isMine = true }
                if case .invoked(let n, _) = event.kind, isMine { numbers.insert(n) }
                if case .stopped = event.kind { isMine = true }
                if case .returned(let n, _) = event.kind, isMine {
                    for (i2, e2) in rehearsal.events.enumerated() { if case .invoked(n, let c) = e2.kind { print("   ", i2, e2.time.monotonicMilliseconds, e2.client, c) } }
                }
                if isMine || first.events.contains(index) { print(index, line, terminator: "") }
            }
        }
    }
}
