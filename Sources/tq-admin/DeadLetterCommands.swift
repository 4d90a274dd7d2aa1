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

struct Redrive: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Put dead letters back as pending.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The ids of dead letters.")
    var ids: [TaskIDArgument] = []
    @Flag(help: "All dead letters, or all of --queue.")
    var all = false
    @Option(name: [.short, .long], help: "With --all, only those of this queue.")
    var queue: String?

    func validate() throws {
        if all == !ids.isEmpty { throw ValidationError("Name dead letters, or give --all.") }
        if queue != nil, !all { throw ValidationError("--queue needs --all.") }
    }

    func run() async throws {
        try await connection.withClient { client in
            if all { return try await redriveAll(client) }
            try report(try await client.redrive(ids.map(\.id)), of: ids.map(\.id), as: "redriven")
        }
    }

    /// Takes page after page; a letter that stays is passed over, so that the end is reached in any case.
    private func redriveAll(_ client: TQClient) async throws {
        let progress = Progress("dead letters redriven")
        var done: UInt64 = 0
        var kept: [TQError] = []
        var query = DeadLetterQuery(queue: queue.map { Name($0) }, count: pageCountMax)
        while true {
            let ids = try await client.deadLetters(query).letters.map(\.status.id)
            guard let last = ids.last else { break }
            let errors = try await client.redrive(ids).compactMap { $0 }
            kept += errors
            done += UInt64(ids.count - errors.count)
            query.after = last
            progress.update(done)
        }
        progress.finish(done)
        writeToStandardOutput("redriven \(done)\n")
        if let error = kept.first { throw error }
    }
}
