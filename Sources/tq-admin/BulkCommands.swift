import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct BulkNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bulk",
        abstract: "Change many tasks at once, in the background.",
        discussion: """
            An operation changes all tasks that a filter is for and that were submitted before it began. The broker goes on by \
            itself, over restarts too, and leaves room for the requests of others. \
            Example: tq-admin bulk move --to slow --queue mail --type 'newsletter.*' --dry-run
            """,
        subcommands: [
            BulkRedrive.self, BulkPurge.self, BulkCancel.self, BulkDelete.self, BulkMove.self, BulkPriority.self,
            ListBulk.self, ShowBulk.self, StopBulk.self,
        ]
    )
}

struct BulkRedrive: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redrive",
        abstract: "Put dead letters back as pending."
    )

    @OptionGroup var operation: BulkOptions

    func run() async throws { try await operation.run(.redrive) }
}

struct BulkPurge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge",
        abstract: "End dead letters for good: they are cancelled, and their payloads go."
    )

    @OptionGroup var operation: BulkOptions

    func run() async throws { try await operation.run(.purge) }
}

struct BulkCancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel",
        abstract: "Cancel tasks that have not ended; those that run are asked to stop."
    )

    @OptionGroup var operation: BulkOptions

    func run() async throws { try await operation.run(.cancel) }
}

struct BulkDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Forget tasks that were completed or cancelled, with their results, before their time."
    )

    @OptionGroup var operation: BulkOptions

    func run() async throws { try await operation.run(.delete) }
}

struct BulkMove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Let tasks that wait do so in another queue."
    )

    @OptionGroup var operation: BulkOptions
    @Option(help: ArgumentHelp("The queue that they wait in from then on.", valueName: "queue"))
    var to: String

    func run() async throws { try await operation.run(.move(to: Name(to))) }
}

struct BulkPriority: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "priority",
        abstract: "Make tasks that wait more urgent, or less."
    )

    @OptionGroup var operation: BulkOptions
    @Option(help: "The priority that they have from then on: low, normal, high, critical, or 0 to 255.")
    var set: PriorityArgument

    func run() async throws { try await operation.run(.setPriority(set.priority)) }
}

/// Which tasks an operation is for, and how it goes.
struct BulkOptions: ParsableArguments {
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var tasks: FilterOptions
    @Flag(help: "All tasks that can be changed so; without it a filter is needed.")
    var all = false
    @Option(help: ArgumentHelp("At most that many changes a second.", valueName: "count"))
    var rate: UInt32?
    @Flag(help: "Only say how many tasks there are.")
    var dryRun = false
    @Flag(help: "Do not wait for the end.")
    var detach = false

    func validate() throws {
        if !all, tasks.filter == TaskFilter() {
            throw ValidationError("Give a filter such as --queue, or --all.")
        }
        if rate == 0 { throw ValidationError("--rate 0 is not allowed: leave it out for no bound.") }
    }

    func run(_ change: BulkChange) async throws {
        try await connection.withClient { client in
            if dryRun { return try await preview(change.kind, client) }
            let started = try await client.startBulk(BulkSpec(change, filter: tasks.filter, perSecond: rate ?? 0))
            let ended = detach ? started : try await started.watched(client)
            Listings.bulk.print(ended, format: output.format)
            if ended.refused > 0, output.format == .table {
                writeToStandardError("\(ended.reasonOfRefusals)\n")
            }
        }
    }

    /// Tasks that a preview looks at, some seconds' worth.
    private static let previewScanMax: UInt64 = 10_000_000

    private func preview(_ kind: BulkChange.Kind, _ client: TQClient) async throws {
        var filter = tasks.filter
        filter.states = try kind.states(among: filter.states.isEmpty ? kind.states : filter.states)
        let progress = Progress("tasks found")
        let found = try await client.countTasks(matching: filter, scanMax: Self.previewScanMax) { progress.update($0) }
        Listings.counts.print(found, format: output.format)
    }
}

struct ListBulk: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show the operations that are under way, and the last \(Limits.bulkEndedMax) that have ended."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.bulk.print(try await client.bulkOperations(), format: output.format)
        }
    }
}

struct ShowBulk: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show how far an operation is."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The number of the operation.")
    var number: UInt32
    @Flag(help: "Wait for its end.")
    var wait = false

    func run() async throws {
        try await connection.withClient { client in
            let operation = try await client.bulkOperation(number)
            Listings.bulk.print(wait ? try await operation.watched(client) : operation, format: output.format)
        }
    }
}

struct StopBulk: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "End an operation before its time; what it has changed stays changed."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The number of the operation.")
    var number: UInt32

    func run() async throws {
        try await connection.withClient { client in
            Listings.bulk.print(try await client.stopBulk(number), format: output.format)
        }
    }
}

extension BulkStatus {
    /// Shows how far it is until its end; who stops watching leaves it alone.
    func watched(_ client: TQClient, as label: String? = nil) async throws -> BulkStatus {
        let progress = Progress(label ?? "tasks changed by operation \(number)")
        let ended = try await client.waitForBulk(number) { progress.update($0.changed) }
        progress.finish(ended.changed)
        return ended
    }

    /// What was not done, and why.
    var reasonOfRefusals: String { "\(refused) stayed as they are: \(String(decoding: problem, as: UTF8.self))" }
}
