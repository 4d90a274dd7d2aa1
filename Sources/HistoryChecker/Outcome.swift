public import TQModel

/// What a client learned of its call.
public enum Outcome: Hashable, Sendable {
    /// The task is stored under this id, or was before, under the same key.
    case submitted(TaskID, isDuplicate: Bool)
    /// The task under this id, which waited with the same unique key, has become the submitted one.
    case replaced(TaskID)
    /// In the order of the reply; empty when there was nothing to claim.
    case delivered([Delivered])
    /// The call took effect.
    case done
    /// A cancel found the task running: its worker is told, and no further attempt follows.
    case cancelRequested
    /// What a status or result call saw.
    case observed(Observation)
    /// The call changed nothing.
    case refused(TQError.Code)
    /// No answer, or one that leaves it open: it may have happened, for ever.
    case unknown
}

/// One task of a claim's reply.
public struct Delivered: Hashable, Sendable {
    /// The task and the token of this delivery.
    public var lease: LeaseHandle
    /// Counted from 1.
    public var attempt: UInt16
    /// How long the lease lasts from the delivery.
    public var leaseMilliseconds: UInt32
    /// What the worker was given.
    public var payload: Digest

    public init(lease: LeaseHandle, attempt: UInt16, leaseMilliseconds: UInt32, payload: Digest) {
        self.lease = lease
        self.attempt = attempt
        self.leaseMilliseconds = leaseMilliseconds
        self.payload = payload
    }
}

/// What a reply told of a task.
public struct Observation: Hashable, Sendable {
    /// Where the task is in its life.
    public var state: TaskState
    /// `nil` when the reply does not tell.
    public var attempts: UInt16?
    /// The result of a completed task; `nil` when the reply does not tell.
    public var result: Digest?

    public init(state: TaskState, attempts: UInt16? = nil, result: Digest? = nil) {
        self.state = state
        self.attempts = attempts
        self.result = result
    }
}

/// A task as it is in the store, a row of a dump.
public struct StoredTask: Hashable, Sendable {
    /// The task's id.
    public var id: TaskID
    /// The queue that it is stored in.
    public var queue: QueueNumber
    /// How urgent it is stored to be.
    public var rank: Rank
    /// Where it is in its life.
    public var state: TaskState
    /// Attempts begun.
    public var attempts: UInt16
    /// The token of the lease; `nil` unless the task is in progress.
    public var token: LeaseToken?
    /// `nil` when the store does not keep it any more.
    public var payload: Digest?
    /// `nil` unless the task is completed.
    public var result: Digest?

    public init(
        id: TaskID,
        queue: QueueNumber,
        rank: Rank,
        state: TaskState,
        attempts: UInt16,
        token: LeaseToken? = nil,
        payload: Digest? = nil,
        result: Digest? = nil
    ) {
        self.id = id
        self.queue = queue
        self.rank = rank
        self.state = state
        self.attempts = attempts
        self.token = token
        self.payload = payload
        self.result = result
    }
}
