import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct Stats: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Count tasks by state, and what happened since the start."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.statistics.print(try await client.statistics(), format: output.format)
        }
    }
}

struct Compact: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take results whose time has come, and give their disk space back.",
        discussion: """
            The broker does so by itself, every persistence.compact_interval_secs, unless persistence.auto_compact is off. \
            The command returns when it is done; tasks go on meanwhile.
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.compaction.print(try await client.compact(), format: output.format)
        }
    }
}

struct ShowHealth: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Say whether the broker can do its work.",
        discussion: "Exit code 3 says that it answers but refuses some work, 4 that no broker answers."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Option(help: "How long to wait for a broker that is about to start.")
    var wait: DurationArgument?

    func run() async throws {
        let patience = wait.map { Duration.milliseconds($0.milliseconds) }
        try await connection.withClient(connectionPatience: patience) { client in
            let health = try await client.health()
            Listings.health.print(health, format: output.format)
            if health.status != .serving { throw ExitCode(ExitStatus.refused.rawValue) }
        }
    }
}

struct ListQueues: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Count the tasks of every queue.",
        aliases: ["stats"]
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.queues.print(try await client.queues(), format: output.format)
        }
    }
}

struct QuietWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quiet",
        abstract: "Give a worker no more tasks; what it runs goes on."
    )

    @OptionGroup var worker: OrderedWorker

    func run() async throws { try await worker.give(.quiet) }
}

struct ResumeWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Give a quiet worker tasks again."
    )

    @OptionGroup var worker: OrderedWorker

    func run() async throws { try await worker.give(.work) }
}

struct StopWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Let a worker finish what it runs, and end.",
        discussion: "It gets no more tasks at once, and hears that it is to end with its next heartbeat."
    )

    @OptionGroup var worker: OrderedWorker

    func run() async throws { try await worker.give(.stop) }
}

/// The worker that somebody wants something of.
struct OrderedWorker: ParsableArguments {
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Its name.")
    var name: String

    func give(_ order: WorkerOrder) async throws {
        try await connection.withClient { client in
            try await client.order(order, worker: Name(name))
            writeToStandardOutput("\(order.name) \(name)\n")
        }
    }
}

struct ListWorkers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Show the workers that are known.")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.workers.print(try await client.workers(), format: output.format)
        }
    }
}
