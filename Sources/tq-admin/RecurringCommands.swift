import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct RecurringNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recurring",
        abstract: "Submit tasks again and again: every so often, daily, weekly, by a cron line.",
        discussion: """
            A recurrence is a text: every:15m, daily:09:00 Europe/Berlin, weekly:MON,FRI 09:00 Europe/Berlin, \
            'cron:*/5 8-17 * * MON-FRI Europe/Berlin' or at:2026-12-24T18:00:00Z.
            """,
        subcommands: [
            PutRecurring.self, ListRecurring.self, PauseRecurring.self, ResumeRecurring.self, RunRecurring.self,
            RemoveRecurring.self, PreviewRecurring.self,
        ]
    )
}

struct PutRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put",
        abstract: "Keep a recurring task, in the place of the one with its name.",
        discussion: """
            Put again unchanged, as a deployment does, it loses no tick and gets none twice. Example: \
            tq-admin recurring put nightly 'daily:02:30 Europe/Berlin' report '{"kind": "sales"}'
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var work: WorkOptions
    @Argument(help: "Its name.")
    var name: String
    @Argument(help: "When it is due.")
    var recurrence: String
    @Argument(help: "What kind of work it is; workers choose by it.")
    var type: String
    @Argument(help: "What the worker gets each time.")
    var payload = ""
    @Option(help: "How many ticks are made up for that were missed: the last so many.")
    var catchUp: UInt32 = 1
    @Option(
        help: "What becomes of a tick while the task before it has not ended: allow, skip, or replace that one."
    )
    var overlap = OverlapArgument.allow

    func run() async throws {
        let spec = RecurringSpec(
            name: Name(name),
            recurrence: Bytes(recurrence.utf8),
            task: work.task(type: type, payload: Bytes(payload.utf8)),
            catchUpMax: catchUp,
            overlap: overlap.overlap
        )
        try await connection.withClient(compression: try work.content.compression()) { client in
            Listings.recurring.print(try await client.putRecurring(spec), format: output.format)
        }
    }
}

/// What becomes of a tick while the task of the one before has not ended.
enum OverlapArgument: String, ExpressibleByArgument, CaseIterable {
    case allow
    case skip
    case replace

    var overlap: RecurringSpec.Overlap {
        switch self {
        case .allow: .allow
        case .skip: .skip
        case .replace: .replace
        }
    }
}

struct ListRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show recurring tasks and when they are due next, by name."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            var tasks: [RecurringStatus] = []
            var hasMore = true
            while hasMore {
                let page = try await client.recurringTasks(after: tasks.last?.name, count: Limits.recurringPageMax)
                tasks += page.tasks
                hasMore = page.hasMore && !page.tasks.isEmpty
            }
            Listings.recurring.print(tasks, format: output.format)
        }
    }
}

struct PauseRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Stop a recurring task until it is resumed."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            Listings.recurring.print(try await client.pauseRecurring(Name(name)), format: output.format)
        }
    }
}

struct ResumeRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Let a paused recurring task go on; ticks in between are left out."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            Listings.recurring.print(try await client.resumeRecurring(Name(name)), format: output.format)
        }
    }
}

struct RunRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Submit the task of a recurring one now, besides its ticks; prints its id."
    )

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            writeToStandardOutput("\(try await client.runRecurring(Name(name)))\n")
        }
    }
}

struct RemoveRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Forget a recurring task; tasks that it has submitted stay."
    )

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            try await client.removeRecurring(Name(name))
            writeToStandardOutput("removed \(name)\n")
        }
    }
}

struct PreviewRecurring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Show when a recurrence would be due next; nothing is kept."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The recurrence.")
    var recurrence: String

    func run() async throws {
        try await connection.withClient { client in
            Listings.ticks.print(try await client.upcomingTicks(of: recurrence), format: output.format)
        }
    }
}
