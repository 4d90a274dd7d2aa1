import Synchronization
public import TQClient
public import TQModel

/// What a handler may know of the attempt that it runs.
///
/// The handler's Swift task is cancelled when somebody cancels the task, when the attempt's time is up, when its lease is lost,
/// or when the worker's grace ends: check `Task.isCancelled` in long loops, and pass cancellation on to what you await.
public struct TaskContext: Sendable {
    /// The task's id, the same for each of its attempts: a key that makes side effects repeatable.
    public let id: TaskID
    /// The queue that the task was submitted to.
    public let queue: Name
    /// The exact task type, for handlers that are registered for a prefix.
    public let type: Name
    /// What the payload is, such as `application/json`; `nil` when the submitter did not say.
    public let contentType: Name?
    /// How urgent the task is, for handlers that pass it on to follow-up tasks.
    public let priority: Priority
    /// Which attempt this is, counted from 1.
    public let attempt: UInt16
    /// Attempts after the first that the task may have.
    public let retriesMax: UInt16
    /// What an earlier attempt has saved for this one; empty for nothing.
    public let checkpoint: Bytes
    /// The tick of a recurring task that this one is for, in milliseconds since 1970; 0 for none.
    public let tickWallMilliseconds: UInt64
    /// The tasks that it waited for, in the order in which it named them; see ``result(ofDependency:)``.
    public let dependencies: [TaskID]
    /// When the attempt's time is up.
    public let deadline: ContinuousClock.Instant
    /// The worker's own connection, for follow-up tasks.
    public let client: TQClient

    let lease: LeaseHandle
    let handOver = HandOver()

    init(_ delivery: Delivery, deadline: ContinuousClock.Instant, client: TQClient) {
        self.id = delivery.lease.task
        self.queue = delivery.queue
        self.type = delivery.type
        self.contentType = delivery.content.type
        self.priority = delivery.priority
        self.attempt = delivery.attempt
        self.retriesMax = delivery.retriesMax
        self.checkpoint = delivery.checkpoint
        self.tickWallMilliseconds = delivery.tickWallMilliseconds
        self.dependencies = delivery.dependencies
        self.deadline = deadline
        self.client = client
        self.lease = delivery.lease
    }

    /// Whether the result is of no use any more.
    public var isCancelled: Bool { Task.isCancelled }

    /// Whether a failure now is the last one.
    public var isLastAttempt: Bool { attempt > retriesMax }

    /// Renews the lease at once; the worker renews it by itself in time, so this only asks whether it still holds.
    ///
    /// - Throws: `leaseLost` when the task runs elsewhere or will, `cancelRequested` when somebody cancelled it.
    public func renewLease() async throws(TQError) { try await renew(Renewal(lease: lease)) }

    private func renew(_ renewal: Renewal) async throws(TQError) {
        guard let outcome = try await client.renew([renewal]).first, let outcome else { return }
        throw outcome
    }
}

extension TaskContext {
    /// Says how far the work is, for whoever looks at the task; it renews the lease too.
    ///
    /// - Parameters:
    ///   - percent: 0 to 100.
    ///   - message: A sentence for people, at most ``TQModel/Limits/progressBytesMax`` bytes of UTF-8.
    /// - Throws: `leaseLost` when the task runs elsewhere or will; `invalidArgument` beyond those bounds.
    public func reportProgress(percent: UInt8, message: String = "") async throws(TQError) {
        let progress = TaskProgress(percent: percent, message: Bytes(Array(message.utf8)))
        try await renew(Renewal(lease: lease, progress: progress))
    }

    /// Saves where the next attempt may go on, should this one not end well: it finds it in ``checkpoint``.
    ///
    /// What was saved before is forgotten; it is on the broker's disk when this returns. It renews the lease too.
    /// - Parameter checkpoint: At most ``TQModel/Limits/checkpointBytesMax`` bytes; none forget what was saved.
    /// - Throws: `leaseLost` when the task runs elsewhere or will; `invalidArgument` for too many bytes.
    public func saveCheckpoint(_ checkpoint: Bytes) async throws(TQError) {
        try await renew(Renewal(lease: lease, checkpoint: checkpoint))
    }
}

extension TaskContext {
    /// How a task ended that this one waited for.
    ///
    /// - Throws: `taskNotFound` when its result is not kept any more: give it a retention that outlasts the wait; `timedOut` when
    ///   it runs again, or one of several that were waited for still does.
    public func result(ofDependency id: TaskID) async throws(TQError) -> TaskResult {
        try await client.waitForResult(id, within: .zero)
    }
}

extension TaskContext {
    /// Submits a task together with the result: the broker stores both, or, when it refuses one, neither.
    ///
    /// Nothing is sent before the handler returns, and nothing at all when it throws, so each attempt begins anew. A task
    /// that the broker refuses for good fails the attempt.
    public func submitOnCompletion(_ task: TaskSpec) { handOver.add(task) }

    /// Says what the result is, such as `text/csv`, for who asks for it; handlers of typed tasks need not.
    public func setResultType(_ type: Name) { handOver.set(resultType: type) }

    /// Cancels a task together with the result; one that has ended by then is left alone.
    public func cancelOnCompletion(_ id: TaskID) { handOver.add(id) }
}

/// What an attempt hands over when it succeeds.
final class HandOver: Sendable {
    private struct State {
        var resultType: Name?
        var followUps: [TaskSpec] = []
        var cancels: [TaskID] = []
    }
    private let state = Mutex(State())

    func set(resultType: Name) { state.withLock { $0.resultType = resultType } }

    func add(_ followUp: TaskSpec) { state.withLock { $0.followUps.append(followUp) } }

    func add(_ cancel: TaskID) { state.withLock { $0.cancels.append(cancel) } }

    func completion(of lease: LeaseHandle, _ result: Bytes) -> Completion {
        state.withLock { state in
            Completion(
                lease: lease,
                result: result,
                content: Content(type: state.resultType),
                followUps: state.followUps,
                cancels: state.cancels
            )
        }
    }
}

/// Thrown by a handler: trying again is useless, the task becomes a dead letter at once.
public struct PermanentFailure: Error, CustomStringConvertible {
    /// The reason: the error of the dead letter.
    public let description: String

    public init(_ reason: String) { self.description = reason }
    public init(_ error: any Error) { self.description = "\(error)" }
}

/// Thrown by a handler: the attempt failed, try again after that time instead of the task's own backoff.
public struct RetryLater: Error, CustomStringConvertible {
    /// How long the task waits before its next attempt, unless its retries are used up.
    public let after: Duration
    /// The reason: the error of the attempt.
    public let description: String
    /// Whether no other task of its limit key begins before that either.
    public let pausesKey: Bool

    public init(after: Duration, _ reason: String = "asked to be tried again later", pausesKey: Bool = false) {
        self.after = after
        self.description = reason
        self.pausesKey = pausesKey
    }
}
