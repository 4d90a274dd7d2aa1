import ArgumentParser
import CommandLineSupport
import Dispatch
import Glibc
import TQClient
import TQModel

/// Loads the broker under test; started by the test, whose lines on standard input it obeys.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Loads a broker and records what it answers; the test starts this itself.",
        shouldDisplay: false
    )

    @Option var brokerAddr: String
    @Option var history: String
    // Not `seed`: the test's own option of that name would take it.
    @Option var loadSeed: UInt64

    func run() async throws {
        let addresses = try BrokerAddress.list(brokerAddr)
        let load = Load(addresses, recorder: try Recorder(history), seed: loadSeed)
        let work = Task { await load.run() }
        for await line in Self.lines {
            switch LoadOrder(rawValue: line) {
            case .pause: await load.gate.close()
            case .resume: load.gate.open()
            case .drain: load.drain()
            case nil: throw CommandFailure(.usage, "'\(line)' is no order.")
            }
            writeToStandardOutput(line + "\n")
        }
        // The test is over: what is under way does not matter any more.
        work.cancel()
    }

    private static var lines: AsyncStream<String> {
        AsyncStream { continuation in
            // Reading blocks, which the threads of tasks must not.
            DispatchQueue.global().async {
                while let line = readLine() { continuation.yield(line) }
                continuation.finish()
            }
        }
    }
}

/// What the test tells the load; each order is repeated when it is carried out.
enum LoadOrder: String {
    /// Makes no more requests; carried out when every one is answered.
    case pause
    case resume
    /// Ends tasks, but submits none.
    case drain
}
