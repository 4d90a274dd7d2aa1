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
    /// A task that changes its state meanwhile may come twice, or not at all; one that does not comes once.
    public func tasks(matching filter: TaskFilter, isNewestFirst: Bool = false) -> TaskList {
        let query = TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: Limits.taskPageMax)
        return TaskList(client: self, query: query)
    }
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

        fileprivate init(client: TQClient, query: TaskQuery) { (self.client, self.query) = (client, query) }

        /// The next task; `nil` behind the last one.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(TQError) -> TaskStatus? {
            while page.isEmpty {
                guard !isLast else { return nil }
                let next = try await client.tasks(query)
                page = next.tasks[...]
                query.cursor = next.next
                isLast = next.next.isEmpty
            }
            return page.removeFirst()
        }
    }
}
