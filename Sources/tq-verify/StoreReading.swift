import CommandLineSupport
import HistoryChecker
import TQClient
import TQModel

/// Reads every known task and all counters of a broker at rest, as events of a dump.
final class StoreReading {
    private let client: TQClient
    /// The results that were read; later readings take them as they were, but for the last one.
    private var results: [TaskID: Digest] = [:]

    /// Concurrent requests.
    private static let window = 32
    /// Leases lapse and waits end while tasks are read one by one; they have all done so after this long.
    private static let restPatience = Duration.seconds(30)

    init(_ client: TQClient) { self.client = client }

    /// The dump.
    ///
    /// - Parameters:
    ///   - ids: Every task that was acknowledged.
    ///   - everyResult: Whether results are read that were read before.
    ///   - mustEqualPrevious: Whether only stops and recoveries came since the reading before.
    func events(of ids: [TaskID], everyResult: Bool, mustEqualPrevious: Bool) async throws -> [Event.Kind] {
        var rows: [TaskID: StoredTask] = [:]
        let deadline = ContinuousClock.now + Self.restPatience
        var counted = try await counters()
        while true {
            let before = counted
            // What has ended stays as it is: only the others are read again.
            let open = ids.filter { !(rows[$0]?.state.isFinal ?? false) }
            for id in open { rows[id] = nil }
            for row in try await read(open) { rows[row.id] = row }
            counted = try await counters()
            if before == counted { break }
            guard ContinuousClock.now < deadline else {
                throw CommandFailure(.failed, "The broker is not at rest after \(Self.restPatience) without requests.")
            }
        }
        try await addResults(to: &rows, everyResult: everyResult)
        return [.dumpBegan(mustEqualPrevious: mustEqualPrevious)] + ids.compactMap { rows[$0] }.map { .dumped($0) }
            + counted.map { .counted(queue: $0.queue, $0.counts) } + [.dumpEnded]
    }

    /// How many tasks of all queues are in each state.
    func total() async throws(TQError) -> TaskCounts { try await client.statistics().counts }

    private struct Counter: Hashable {
        var queue: QueueNumber?
        var counts: TaskCounts
    }

    /// The counters of the broker and of each queue.
    private func counters() async throws(TQError) -> [Counter] {
        var counters = [Counter(queue: nil, counts: try await total())]
        for queue in try await client.queues() {
            counters.append(Counter(queue: try Self.number(of: queue.name), counts: queue.counts))
        }
        return counters
    }

    private func read(_ ids: [TaskID]) async throws -> [StoredTask] {
        try await concurrently(ids) { [client] id in
            do throws(TQError) {
                return try Self.row(try await client.status(id))
            } catch  where error.code == .taskNotFound {
                // The checker misses the row.
                return nil
            }
        }
    }

    private func addResults(to rows: inout [TaskID: StoredTask], everyResult: Bool) async throws {
        if everyResult { results = [:] }
        let missing = rows.values.filter { $0.state == .completed && results[$0.id] == nil }.map(\.id)
        let read = try await concurrently(missing) { [client] id in
            (id: id, result: try await client.waitForResult(id, within: .zero).result)
        }
        for (id, result) in read { results[id] = Digest(of: result) }
        for id in rows.keys where rows[id]?.state == .completed { rows[id]?.result = results[id] }
    }

    private static func row(_ status: TaskStatus) throws(TQError) -> StoredTask {
        StoredTask(
            id: status.id,
            queue: try number(of: status.queue),
            rank: status.priority.rank,
            state: status.state,
            attempts: status.attempts
        )
    }

    private static func number(of queue: Name) throws(TQError) -> QueueNumber {
        guard let index = Load.queues.firstIndex(of: queue) else {
            throw TQError(.queueNotFound, "The broker tells of queue '\(queue)', which nobody used.")
        }
        return QueueNumber(index + 1)
    }

    /// What `read` makes of the ids, with a few requests at once.
    private func concurrently<Row: Sendable>(
        _ ids: [TaskID],
        _ read: @escaping @Sendable (TaskID) async throws -> Row?
    ) async throws -> [Row] {
        try await withThrowingTaskGroup(of: [Row].self) { group in
            for lane in 0..<Self.window {
                group.addTask {
                    var rows: [Row] = []
                    for index in stride(from: lane, to: ids.count, by: Self.window) {
                        if let row = try await read(ids[index]) { rows.append(row) }
                    }
                    return rows
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }
}
