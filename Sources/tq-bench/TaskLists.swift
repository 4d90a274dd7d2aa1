import CommandLineSupport
import Histogram
import NIOPosix
import TQClient
import TQModel

/// How long pages of a list take among many tasks: the ends of the list, and filters that few of the tasks pass.
struct TaskLists {
    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    /// Pending tasks; a tenth as many are dead letters, and as many are completed.
    let tasks: Int

    private static let page = 100
    private static let repetitions = 300
    private static let millisecondsMax = 5.0
    private static let submitRate = 5_000
    private static let rareType: Name = "rare"
    private static let rareTag: TaskTag = "kind:rare"
    private static let cancelled: Name = "cancelled"

    /// What was measured of one kind of page.
    struct Row {
        var page: String
        /// Tasks that were found, requests that it took to find them, and places that the broker looked at.
        var found = 0
        var requests = 0
        var scanned: UInt64 = 0
        /// Of all requests of a page together, in microseconds.
        var latency = Histogram<UInt32>.latency
        /// The longest of the single requests, in microseconds.
        var longestRequest: UInt64 = 0
        /// Whether it has to be fast.
        var hasTarget = true

        func milliseconds(_ percentile: Double) -> Double { Double(latency.valueAtPercentile(percentile)) / 1000 }
    }

    static func print(_ rows: [Row], _ format: OutputFormat) {
        let columns = [
            Column<Row>("PAGE", "page") { $0.page },
            Column<Row>("FOUND", "found") { UInt64($0.found) },
            Column<Row>("REQUESTS", "requests") { UInt64($0.requests) },
            Column<Row>("SCANNED", "scanned") { $0.scanned },
            milliseconds("P50 MS", "p50_ms") { $0.milliseconds(50) },
            milliseconds("P99 MS", "p99_ms") { $0.milliseconds(99) },
            milliseconds("MAX MS", "max_ms") { $0.milliseconds(100) },
            milliseconds("LONGEST REQUEST MS", "longest_request_ms") { Double($0.longestRequest) / 1000 },
            Column<Row>("P99 < 5 MS", "target") { row in
                row.hasTarget ? row.milliseconds(99) < millisecondsMax ? "met" : "MISSED" : ""
            },
        ]
        Listing(columns).print(rows, format: format)
    }

    private static func milliseconds(
        _ title: String,
        _ name: String,
        _ value: @escaping @Sendable (Row) -> Double
    ) -> Column<Row> {
        let rounded = { @Sendable (row: Row) in JSONValue.number((value(row) * 100).rounded() / 100) }
        return Column(title, name, .right, json: rounded, text: { rounded($0).text })
    }

    func measure() async throws -> [Row] {
        let stock = try await Stock(broker)
        try await store(stock)
        let client = stock.client
        var rows = [try await measurePing(client)]
        for (name, query) in try await ends(client) + filters { rows.append(try await measure(name, query, client)) }
        rows += try await besideOthers(client)
        await client.close()
        return rows
    }

    // MARK: What is listed

    /// A queue of tasks of one fate, and one of a hundred tasks among them.
    private enum Fate: String, CaseIterable {
        case dead, done, pending

        var queue: Name { Name(rawValue) }
        var rareQueue: Name { Name(rawValue + "-rare") }
        var rareTag: TaskTag { TaskTag("of:\(rawValue)") }
    }

    /// Stores the tasks; for each fate a hundred are in the rare queue, and a hundred others of the rare type and with a tag.
    private func store(_ stock: Stock) async throws {
        let ended = tasks / 10
        try await submit(ended, .dead, stock)
        try await stock.bury(ended, in: [Fate.dead.queue, Fate.dead.rareQueue], "dead letters made")
        try await submit(ended, .done, stock)
        let ids = try await stock.submit(Self.page, "tasks to cancel") { _ in
            TaskSpec(queue: Self.cancelled, type: "bench")
        }
        for entry in try await stock.client.cancel(ids) { _ = try entry.get() }
        try await stock.complete(ended, in: [Fate.done.queue, Fate.done.rareQueue], "tasks completed")
        try await submit(tasks, .pending, stock)
    }

    private func submit(_ count: Int, _ fate: Fate, _ stock: Stock) async throws {
        let payload = Bytes(repeating: 0x61, count: 256)
        let stride = count / Self.page
        guard stride > 1 else { throw CommandFailure(.usage, "--scenario lists needs 2,000 tasks or more.") }
        try await stock.submit(count, "tasks \(fate.rawValue)") { index in
            TaskSpec(
                queue: index % stride == 0 ? fate.rareQueue : fate.queue,
                type: index % stride == 1 ? Self.rareType : "bench",
                payload: payload,
                tags: index % stride == 1 ? [fate.rareTag, Self.rareTag] : []
            )
        }
    }

    // MARK: Pages

    private var filters: [(String, TaskQuery)] {
        let live: Set<TaskState> = [.scheduled, .blocked, .pending, .inProgress, .failed]
        return [
            ("state dead letter", query(TaskFilter(states: [.deadLetter]))),
            ("state completed", query(TaskFilter(states: [.completed]))),
            ("state cancelled, among completed", query(TaskFilter(states: [.cancelled]))),
            ("queue, dead letters", query(TaskFilter(states: [.deadLetter], queue: Fate.dead.rareQueue))),
            ("type, dead letters", query(TaskFilter(states: [.deadLetter], type: "rare"))),
            ("queue, completed", query(TaskFilter(states: [.completed], queue: Fate.done.rareQueue))),
            ("type, completed", query(TaskFilter(states: [.completed], type: "rare"))),
            ("queue, pending", query(TaskFilter(states: [.pending], queue: Fate.pending.rareQueue))),
            ("type, pending", query(TaskFilter(states: [.pending], type: "rare"))),
            ("type by prefix, pending", query(TaskFilter(states: [.pending], type: "ra*"))),
            ("queue, not ended", query(TaskFilter(states: live, queue: Fate.pending.rareQueue))),
            ("queue of dead letters, any state", query(TaskFilter(queue: Fate.dead.rareQueue))),
            ("queue of completed, any state", query(TaskFilter(queue: Fate.done.rareQueue))),
            ("tag, pending", query(TaskFilter(tag: Fate.pending.rareTag))),
            ("tag, completed", query(TaskFilter(tag: Fate.done.rareTag))),
            ("tag, dead letters", query(TaskFilter(states: [.deadLetter], tag: Fate.dead.rareTag))),
            ("tag of a third dead letters, dead letters", query(TaskFilter(states: [.deadLetter], tag: Self.rareTag))),
        ]
    }

    private func ends(_ client: TQClient) async throws -> [(String, TaskQuery)] {
        [
            ("first", query(TaskFilter())),
            ("last, newest first", query(TaskFilter(), isNewestFirst: true)),
            ("last, by cursor", try await lastPage(query(TaskFilter()), client)),
            ("last pending, by cursor", try await lastPage(query(TaskFilter(states: [.pending])), client)),
        ]
    }

    private func query(_ filter: TaskFilter, isNewestFirst: Bool = false) -> TaskQuery {
        TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: UInt32(Self.page))
    }

    /// Turns pages until the last one: large ones, and then small ones from the last large one on.
    private func lastPage(_ query: TaskQuery, _ client: TQClient) async throws -> TaskQuery {
        var query = query
        for count in [Limits.taskPageMax, UInt32(Self.page)] {
            query.count = count
            while true {
                let page = try await client.tasks(query)
                guard !page.next.isEmpty else { break }
                // A page behind the last task is none.
                let next = TaskQuery(filter: query.filter, cursor: page.next, count: count)
                guard try await !client.tasks(next).tasks.isEmpty else { break }
                query = next
            }
        }
        return query
    }

    // MARK: Measuring

    private func measurePing(_ client: TQClient) async throws -> Row {
        var row = Row(page: "(a ping, to compare)", requests: 1, hasTarget: false)
        for _ in 0..<Self.repetitions {
            let began = ContinuousClock.now
            try await client.ping()
            row.latency.record(Self.microseconds(since: began))
        }
        row.longestRequest = row.latency.max
        return row
    }

    private func measure(_ name: String, _ query: TaskQuery, _ client: TQClient) async throws -> Row {
        var row = Row(page: name)
        // The first ones find nothing in caches.
        for turn in -10..<Self.repetitions {
            let began = ContinuousClock.now
            let longest = try await fillPage(query, client, &row)
            guard turn >= 0 else { continue }
            row.latency.record(Self.microseconds(since: began))
            row.longestRequest = max(row.longestRequest, longest)
        }
        return row
    }

    /// Asks until the page is full or the list ends, and says how many microseconds the longest request took.
    private func fillPage(_ query: TaskQuery, _ client: TQClient, _ row: inout Row) async throws -> UInt64 {
        var query = query
        var longest: UInt64 = 0
        (row.found, row.requests, row.scanned) = (0, 0, 0)
        while true {
            let began = ContinuousClock.now
            let page = try await client.tasks(query)
            longest = max(longest, Self.microseconds(since: began))
            row.found += page.tasks.count
            row.requests += 1
            row.scanned += page.scanned
            guard row.found < Self.page, !page.next.isEmpty else { return longest }
            query.cursor = page.next
            query.count = UInt32(Self.page - row.found)
        }
    }

    /// What the filter that looks at the most tasks costs those who submit meanwhile.
    private func besideOthers(_ client: TQClient) async throws -> [Row] {
        let submits = SteadySubmits(broker: broker, group: group, queue: "others", rate: Self.submitRate)
        let rate = "submits at \(Self.submitRate)/s"
        var alone = Row(page: "(\(rate))", requests: 1, hasTarget: false)
        alone.latency = try await submits.latency(of: Self.submitRate * 5, rate)
        var beside = Row(page: "(\(rate) beside \"queue, pending\" without a pause)", requests: 1, hasTarget: false)
        beside.latency = try await submits.latency("\(rate) beside a list") {
            let query = query(TaskFilter(states: [.pending], queue: Fate.pending.rareQueue))
            let end = ContinuousClock.now + .seconds(5)
            var row = Row(page: "")
            while ContinuousClock.now < end { _ = try await fillPage(query, client, &row) }
        }
        return [alone, beside].map { row in
            var row = row
            row.longestRequest = row.latency.max
            return row
        }
    }

    private static func microseconds(since began: ContinuousClock.Instant) -> UInt64 {
        UInt64(min(60_000_000, max(1, (ContinuousClock.now - began) / .microseconds(1))))
    }
}
