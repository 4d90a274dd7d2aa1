import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show where a task is in its life.")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The id that submit printed.")
    var id: TaskIDArgument

    func run() async throws {
        try await connection.withClient { client in
            let status = try await client.status(id.id)
            Listings.status.print(status, format: output.format)
            guard output.format == .table, !status.history.isEmpty else { return }
            writeToStandardOutput("\n")
            Listings.history.print(status.history, format: .table)
        }
    }
}

struct Wait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Wait for the end of a task, and print its result.",
        discussion: "Exit code 10 says that the task became a dead letter, 11 that it was cancelled."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The id that submit printed.")
    var id: TaskIDArgument
    @Option(help: "How long to wait.")
    var timeout = DurationArgument(milliseconds: 86_400_000)
    @OptionGroup var dictionary: DictionaryOption

    func run() async throws {
        try await connection.withClient(dictionaries: try dictionary.read()) { client in
            let limit = Duration.milliseconds(timeout.milliseconds)
            try printResult(try await client.waitForResult(id.id, within: limit), format: output.format)
        }
    }
}

struct ShowResult: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "result",
        abstract: "Print the result of a task that has ended."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The id that submit printed.")
    var id: TaskIDArgument
    @OptionGroup var dictionary: DictionaryOption

    func run() async throws {
        try await connection.withClient(dictionaries: try dictionary.read()) { client in
            do throws(TQError) {
                let result = try await client.waitForResult(id.id, within: .zero)
                try printResult(result, format: output.format)
            } catch {
                guard error.code == .timedOut else { throw error }
                throw TQError(.timedOut, "Task \(id.id) has not ended yet; tq-admin wait waits for it.")
            }
        }
    }
}

/// Prints the bytes of the result, or an object about it.
///
/// - Throws: `taskFailed` and `taskCancelled`, so that a script sees from the exit code how the task ended.
private func printResult(_ result: TaskResult, format: OutputFormat) throws(TQError) {
    if format != .table {
        Listings.result.print(result, format: format)
    } else if result.state == .completed {
        writeToStandardOutput(Array(result.result))
    }
    switch result.state {
    case .completed: return
    case .cancelled:
        let reason =
            switch result.cancelReason {
            case .tooLate: "did not start in time, so it was cancelled"
            case .dependencyFailed: "was cancelled, because tasks failed on which it depended"
            default: "was cancelled"
            }
        throw TQError(.taskCancelled, "Task \(result.id) \(reason).")
    default: throw TQError(.taskFailed, "Task \(result.id) failed: \(String(decoding: result.error, as: UTF8.self))")
    }
}

struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop tasks.",
        discussion: """
            A task that waits is cancelled at once. Of one that runs the worker is told to stop it, which `tq-admin wait` waits \
            for: it is cancelled when the worker has stopped, or when its lease ends, and completed when it was done before.
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The ids that submit printed.")
    var ids: [TaskIDArgument]

    func run() async throws {
        try await connection.withClient { client in
            let entries = try await client.cancel(ids.map(\.id))
            try report(entries, of: ids.map(\.id)) { $0 == .cancelled ? "cancelled" : "cancel requested" }
        }
    }
}

/// Says for each task what became of the request.
///
/// - Throws: The first error, so that the exit code tells of it.
func report(_ outcomes: [TQError?], of ids: [TaskID], as verb: String) throws(TQError) {
    try report(outcomes.map { $0.map { .failure($0) } ?? .success(()) }, of: ids) { verb }
}

func report<Success>(
    _ outcomes: [Result<Success, TQError>],
    of ids: [TaskID],
    verb: (Success) -> String
) throws(TQError) {
    var first: TQError?
    for (id, outcome) in zip(ids, outcomes) {
        switch outcome {
        case .success(let success): writeToStandardOutput("\(verb(success)) \(id)\n")
        case .failure(let error):
            if first != nil { writeToStandardError("tq-admin: \(error)\n") }
            first = first ?? error
        }
    }
    if let first { throw first }
}
