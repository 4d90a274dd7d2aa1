import CommandLineSupport
import FoundationEssentials
import Glibc

/// Lets the simulation of a planted copy look for one bug, from the first seed on.
struct Hunt: Sendable {
    let simulate: String
    let cycles: Int
    let patience: Duration

    /// What became of it.
    enum Outcome: Sendable {
        /// So many cycles broke no promise.
        case nothing
        case broken(Failure)
        /// The program ended by itself.
        case trap
        /// The program did not end.
        case hang
    }

    /// What `tq-simulate` says of a run in which a promise was broken.
    struct Failure: Decodable, Sendable {
        var seed: UInt64
        var runs: UInt64
        var steps: UInt64
        var invariant: String
        var sentence: String
    }

    /// - Parameter bug: The name of the bug that is on; `nil` for none.
    func run(_ bug: String?) async throws -> Outcome {
        let arguments =
            ["--seed", "1", "--cycles", "\(cycles)", "--output", "jsonl"] + (bug == nil ? [] : ["--jobs", "1"])
        var launch = ProcessLaunch([simulate] + arguments)
        var environment = processEnvironment()
        environment["TQ_PLANTED_BUG"] = bug
        environment["SWIFT_BACKTRACE"] = "enable=no"
        launch.environment = environment
        launch.errors = .nothing
        let (readEnd, writeEnd) = try makePipe()
        defer { close(readEnd) }
        launch.output = .descriptor(writeEnd)
        let process = try ChildProcess(launch)
        close(writeEnd)
        _ = fcntl(readEnd, F_SETFL, O_NONBLOCK)
        let deadline = ContinuousClock.now + patience
        var output = Data()
        while true {
            let isOver = process.isOver
            output += readAvailable(from: readEnd)
            if isOver { break }
            guard ContinuousClock.now < deadline else {
                process.signal(SIGKILL)
                process.wait()
                return .hang
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        if process.wait() == 0 { return .nothing }
        guard let failure = try? JSONDecoder().decode(Failure.self, from: output) else { return .trap }
        return .broken(failure)
    }

    /// What a descriptor has at the moment, without waiting.
    private func readAvailable(from descriptor: Int32) -> Data {
        var bytes = Data()
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = read(descriptor, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        return bytes
    }
}
