import NIOCore
import NIOPosix
public import TQModel

/// A client for scripts: every call blocks its thread until the answer is there.
///
/// Refuses to run on an event loop or inside a Swift task, whose threads must never block; use ``TQClient`` there.
public final class BlockingClient: Sendable {
    /// The same connection for asynchronous code.
    public let client: TQClient

    /// Connects to the first of `host:port[,host:port]` that answers.
    public init(to addresses: String, options: ClientOptions = .init()) throws(TQError) {
        self.client = try wait(on: options) { () async throws(TQError) in
            try await TQClient.connect(to: addresses, options: options)
        }
    }

    /// Closes the connection.
    public func close() throws(TQError) {
        try wait(on: client.options) { () async throws(TQError) in await self.client.close() }
    }

    /// Runs any calls of the asynchronous client and waits for them.
    public func run<Value: Sendable>(
        _ body: @escaping @Sendable (TQClient) async throws(TQError) -> Value
    ) throws(TQError) -> Value {
        try wait(on: client.options) { () async throws(TQError) in try await body(self.client) }
    }

    /// Stores a task; it is on the broker's disk when this returns.
    @discardableResult
    public func submit(_ task: TaskSpec) throws(TQError) -> TaskID {
        try run { (client) async throws(TQError) in try await client.submit(task) }
    }

    /// Stores tasks in one frame; one entry per task, in their order.
    public func submit(_ tasks: [TaskSpec]) throws(TQError) -> [Result<Submission, TQError>] {
        try run { (client) async throws(TQError) in try await client.submit(tasks) }
    }

    /// Where a task is in its life.
    public func status(_ id: TaskID) throws(TQError) -> TaskStatus {
        try run { (client) async throws(TQError) in try await client.status(id) }
    }

    /// How a task ended, waiting for its end that long.
    public func waitForResult(_ id: TaskID, within limit: Duration) throws(TQError) -> TaskResult {
        try run { (client) async throws(TQError) in try await client.waitForResult(id, within: limit) }
    }

    /// Stops a task that waits, or lets its worker stop it.
    @discardableResult
    public func cancel(_ id: TaskID) throws(TQError) -> Cancellation {
        try run { (client) async throws(TQError) in try await client.cancel(id) }
    }
}

/// Blocks the thread until `body` has run.
private func wait<Value: Sendable>(
    on options: ClientOptions,
    _ body: @escaping @Sendable () async throws(TQError) -> Value
) throws(TQError) -> Value {
    let isInsideTask = withUnsafeCurrentTask { $0 != nil }
    guard MultiThreadedEventLoopGroup.currentEventLoop == nil, !isInsideTask else {
        throw TQError(
            .invalidArgument,
            "BlockingClient would block an event loop or a Swift task here; use TQClient with await."
        )
    }
    let promise = options.eventLoopGroup.any().makePromise(of: Result<Value, TQError>.self)
    promise.completeWithTask {
        do throws(TQError) { return .success(try await body()) } catch { return .failure(error) }
    }
    do { return try promise.futureResult.wait().get() } catch {
        throw error as? TQError ?? TQError(.internalError, "\(error)")
    }
}
