import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

/// The most that one page of dead letters holds.
private let pageCountMax: UInt32 = 1000

struct ListDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show dead letters, the oldest first."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Option(name: [.short, .long], help: "Only those of this queue.")
    var queue: String?
    @Option(help: "At most that many.")
    var limit = 100

    func run() async throws {
        try await connection.withClient { client in
            var letters: [DeadLetter] = []
            var hasMore = true
            while hasMore, letters.count < limit {
                let count = min(pageCountMax, UInt32(clamping: limit - letters.count))
                let query = DeadLetterQuery(queue: queue.map { Name($0) }, after: letters.last?.status.id, count: count)
                let page = try await client.deadLetters(query)
                letters += page.letters
                hasMore = page.hasMore && !page.letters.isEmpty
            }
            Listings.deadLetters.print(letters, format: output.format)
            if hasMore, output.format == .table { writeToStandardError("there are more; see --limit\n") }
        }
    }
}

struct GroupDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "errors",
        abstract: "Show dead letters grouped by their last errors, the largest group first.",
        discussion: """
            Numbers and ids in errors are alike, and shown as #. To put a group back: tq-admin dead-letter redrive --error TEXT, \
            with a part of the text that has no #.
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var tasks: FilterOptions

    func validate() throws { try tasks.validateForDeadLetters() }

    func run() async throws {
        try await connection.withClient { client in
            let progress = Progress("dead letters read")
            var filter = tasks.filter
            filter.states = [.deadLetter]
            let groups = try await client.errorGroups(matching: filter) { progress.update($0) }
            progress.finish(groups.reduce(0) { $0 + $1.count })
            Listings.errorGroups.print(groups, format: output.format)
        }
    }
}

struct RedriveDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redrive",
        abstract: "Put dead letters back as pending.",
        discussion: """
            Names of dead letters, --all, or a filter say which; with --payload one of them gets another payload, and keeps its \
            id. Example: tq-admin dead-letter redrive --queue mail --error 'connection refused'
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var letters: DeadLetterChoice
    @Option(help: "What the worker gets instead of the payload that it has.")
    var payload: String?
    @Option(help: ArgumentHelp("A file with the payload; - for standard input.", valueName: "file"))
    var payloadFile: String?
    @OptionGroup var content: ContentOptions

    func validate() throws {
        guard payload != nil || payloadFile != nil else {
            guard content.content == .unspecified, !content.compress else {
                throw ValidationError("--content-type and --compress are about another payload: give --payload.")
            }
            return
        }
        if payload != nil, payloadFile != nil { throw ValidationError("Give --payload or --payload-file, not both.") }
        if letters.ids.count != 1 { throw ValidationError("Another payload is for one dead letter: name it.") }
    }

    func run() async throws {
        try await connection.withClient(compression: try content.compression()) { client in
            let edited = try payload.map { Bytes($0.utf8) } ?? payloadFile.map { Bytes(try readFile($0)) }
            if let edited, let id = letters.ids.first?.id {
                try await client.redrive(id, payload: edited, contentType: content.content.type)
                return writeToStandardOutput("redriven \(id)\n")
            }
            try await letters.change(client, verb: "redriven", .redrive) { (ids) throws(TQError) in
                try await client.redrive(ids)
            }
        }
    }
}

struct PurgeDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge",
        abstract: "End dead letters for good: they are cancelled, and their payloads go."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var letters: DeadLetterChoice

    func run() async throws {
        try await connection.withClient { client in
            try await letters.change(client, verb: "purged", .purge) { (ids) throws(TQError) in
                try await client.purge(ids)
            }
        }
    }
}

/// Which dead letters a command changes: those that are named, those that a filter is for, or all.
struct DeadLetterChoice: ParsableArguments {
    @Argument(help: "The ids of dead letters.")
    var ids: [TaskIDArgument] = []
    @Flag(help: "All dead letters.")
    var all = false
    @OptionGroup var tasks: FilterOptions

    func validate() throws {
        let isForMany = all || tasks.filter != TaskFilter()
        if isForMany == !ids.isEmpty {
            throw ValidationError("Name dead letters, or give a filter such as --queue, or --all.")
        }
        try tasks.validateForDeadLetters()
    }

    /// Changes those that are named by themselves, and all others by a bulk operation.
    func change(
        _ client: TQClient,
        verb: String,
        _ bulk: BulkChange,
        _ change: ([TaskID]) async throws(TQError) -> [TQError?]
    ) async throws {
        guard ids.isEmpty else { return try report(try await change(ids.map(\.id)), of: ids.map(\.id), as: verb) }
        let operation = try await client.startBulk(BulkSpec(bulk, filter: tasks.filter))
        let ended = try await operation.watched(client, as: "dead letters \(verb)")
        writeToStandardOutput("\(verb) \(ended.changed)\n")
        guard ended.refused > 0 else { return }
        throw CommandFailure(.refused, ended.reasonOfRefusals)
    }
}
