public import TQModel

extension TQClient {
    /// A page of tasks: those that have not ended, then dead letters, then those that have ended.
    ///
    /// - Throws: `invalidArgument` when the page or the filter is over a limit, or the cursor is none of this broker's.
    public func tasks(_ query: TaskQuery = .init()) async throws(TQError) -> TaskPage {
        guard case .tasks(let page) = try await call(.tasks(query)) else { throw .unexpectedReply }
        return page
    }

    /// All tasks that a filter is for, asked for page by page while they are iterated over.
    ///
    /// A task that changes its state meanwhile may come twice, or not at all; one that does not comes once. When the broker's
    /// store is damaged, all tasks come that can be read, and then the error ``TQError/leavingOut(damaged:)``.
    public func tasks(matching filter: TaskFilter, isNewestFirst: Bool = false) -> TaskList {
        let query = TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: Limits.taskPageMax)
        return TaskList(client: self, query: query)
    }

    /// How many tasks a filter is for.
    ///
    /// Where it names queues and states alone that is known; else tasks are looked at one by one.
    ///
    /// - Parameters:
    ///   - scanMax: About how many to look at; then the count is only a lower bound.
    ///   - onProgress: Called now and then with how many were found.
    /// - Throws: ``TQError/leavingOut(damaged:)`` when the broker's store is damaged.
    public func countTasks(
        matching filter: TaskFilter,
        scanMax: UInt64 = .max,
        onProgress: (UInt64) -> Void = { _ in }
    ) async throws(TQError) -> TaskCount {
        var query = TaskQuery(filter: filter, count: Limits.taskPageMax, isCount: true)
        var (count, scanned) = (0 as UInt64, 0 as UInt64)
        repeat {
            let page = try await tasks(query)
            count += page.count
            scanned += page.scanned
            guard page.damaged == 0 else { throw .leavingOut(damaged: page.damaged) }
            query.cursor = page.next
            onProgress(count)
        } while !query.cursor.isEmpty && scanned < scanMax
        return TaskCount(count: count, isExact: query.cursor.isEmpty)
    }
}

/// How many tasks a filter is for.
public struct TaskCount: Hashable, Sendable {
    /// So many were found.
    public let count: UInt64
    /// Whether there are no more.
    public let isExact: Bool
}

/// The tasks that a filter is for.
public struct TaskList: AsyncSequence, Sendable {
    /// A task, without its history and its checkpoint.
    public typealias Element = TaskStatus
    /// What ends the walk.
    public typealias Failure = TQError

    let client: TQClient
    let query: TaskQuery

    /// Begins a walk over the tasks.
    public func makeAsyncIterator() -> Iterator { Iterator(client: client, query: query) }

    /// One walk over the tasks.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let client: TQClient
        fileprivate var query: TaskQuery
        private var page = TaskPage().tasks[...]
        private var isLast = false
        private var damaged: UInt64 = 0

        fileprivate init(client: TQClient, query: TaskQuery) { (self.client, self.query) = (client, query) }

        /// The next task; `nil` behind the last one.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(TQError) -> TaskStatus? {
            while page.isEmpty {
                guard !isLast else {
                    defer { damaged = 0 }
                    guard damaged == 0 else { throw .leavingOut(damaged: damaged) }
                    return nil
                }
                let next = try await client.tasks(query)
                page = next.tasks[...]
                query.cursor = next.next
                damaged += next.damaged
                isLast = next.next.isEmpty
            }
            return page.removeFirst()
        }
    }
}

extension TQError {
    /// Says that a list is not whole, because records of the broker's store cannot be read: ``TaskPage/damaged``.
    public static func leavingOut(damaged: UInt64) -> TQError {
        TQError(
            .storageCorrupt,
            "\(damaged) records of the broker's store, or runs of them, cannot be read, and their tasks are left out. "
                + "'tq-inspect verify' says which they are."
        )
    }
}
