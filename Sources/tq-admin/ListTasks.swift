import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct ListTasks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show tasks, a page at a time.",
        discussion: """
            First those that have not ended and then dead letters, both in the order of their submits, and then those that have \
            ended, in the order in which they expire. Example: tq-admin task list --status deadLetter,failed --queue mail
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var tasks: FilterOptions
    @Option(help: "How many tasks a page has, up to \(Limits.taskPageMax).")
    var size: UInt32 = 50
    @Option(help: "Which page; those before it are passed over, which --after spares.")
    var page: UInt32 = 1
    @Option(help: ArgumentHelp("Go on where another page ended: what was printed below it.", valueName: "cursor"))
    var after: CursorArgument?
    @Flag(help: "Begin with the newest.")
    var newest = false
    @Flag(help: "Print all pages, one after the other.")
    var all = false

    func validate() throws {
        if page == 0 { throw ValidationError("--page 0 is not allowed: the first page is 1.") }
        if !(1...Limits.taskPageMax).contains(size) {
            throw ValidationError("--size \(size) is not allowed: a page has 1 to \(Limits.taskPageMax) tasks.")
        }
    }

    func run() async throws {
        try await connection.withClient { client in
            var query = TaskQuery(
                filter: tasks.filter,
                cursor: after?.bytes ?? [],
                isNewestFirst: newest,
                count: size
            )
            var damaged: UInt64 = 0
            var found = try await wholePage(client, &query, &damaged)
            for _ in 1..<page {
                guard !query.cursor.isEmpty else {
                    found = []
                    break
                }
                found = try await wholePage(client, &query, &damaged)
            }
            while all, !query.cursor.isEmpty { found += try await wholePage(client, &query, &damaged) }
            Listings.tasks.print(found, format: output.format)
            if !query.cursor.isEmpty {
                writeToStandardError("there are more: --after \(CursorArgument(bytes: query.cursor))\n")
            }
            if damaged > 0 { throw TQError.leavingOut(damaged: damaged) }
        }
    }

    /// Asks until the page is full: the broker looks at so many tasks for one request.
    private func wholePage(
        _ client: TQClient,
        _ query: inout TaskQuery,
        _ damaged: inout UInt64
    ) async throws -> [TaskStatus] {
        let progress = Progress("tasks looked at")
        var tasks: [TaskStatus] = []
        var scanned: UInt64 = 0
        query.count = size
        while true {
            let page = try await client.tasks(query)
            let isFirst = scanned == 0
            tasks += page.tasks
            scanned += page.scanned
            damaged += page.damaged
            query.cursor = page.next
            query.count = size - UInt32(tasks.count)
            if query.count == 0 || query.cursor.isEmpty {
                if !isFirst { progress.finish(scanned) }
                return tasks
            }
            progress.update(scanned)
        }
    }
}

/// Where a page of a list begins, as hexadecimal digits.
struct CursorArgument: ExpressibleByArgument, CustomStringConvertible {
    let bytes: Bytes

    init(bytes: Bytes) { self.bytes = bytes }

    init?(argument text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, digits.count.isMultiple(of: 2) else { return nil }
        bytes = Bytes(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }

    var description: String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
