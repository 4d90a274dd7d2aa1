public import TQModel

/// What a client asks of the broker; a batch is recorded as one call per item.
public enum Call: Hashable, Sendable {
    /// Stores one task.
    case submit(SubmitCall)
    /// Takes tasks from any of the queues. Unasked deliveries are recorded as claims, invoked when the credit was given.
    case claim(queues: [QueueNumber])
    /// Ends a task with success; the digest is that of its result.
    case complete(LeaseHandle, result: Digest)
    /// Ends an attempt with failure; a `nil` time takes the task's own backoff.
    case fail(LeaseHandle, isPermanent: Bool, retryAfterMilliseconds: UInt64?)
    /// Gives a task back without counting an attempt, to be claimed again after the delay.
    case release(LeaseHandle, delayMilliseconds: UInt64)
    /// A duration of 0 takes the one that the lease has.
    case renew(LeaseHandle, leaseMilliseconds: UInt32)
    /// Stops a task, through its worker when it runs.
    case cancel(TaskID)
    /// Puts a dead letter back as pending, perhaps with another payload.
    case redrive(TaskID, payload: Digest?)
    /// Ends a dead letter for good.
    case purge(TaskID)
    /// Lets the outcome of a task go before its time.
    case forget(TaskID)
    /// Lets a task that waits do so in that queue, with that rank.
    case arrange(TaskID, queue: QueueNumber, Rank)
    /// Asks for the state of a task.
    case status(TaskID)
    /// Asks how a task ended, perhaps waiting for its end.
    case result(TaskID)
}

/// A task as it is submitted, as far as the invariants speak of it.
public struct SubmitCall: Hashable, Sendable {
    /// The queue that the task waits in.
    public var queue: QueueNumber
    /// The idempotency key; `nil` for none.
    public var key: KeyNumber?
    /// How urgent it is; 0 comes first.
    public var rank: Rank
    /// Best made unlike every other payload of the history, so that a task with an unknown outcome can be recognised.
    public var payload: Digest
    /// Milliseconds since 1970 before which the task must not be delivered; 0 for none.
    public var notBeforeWallMilliseconds: UInt64
    /// Attempts after the first.
    public var retriesMax: UInt16
    /// As many as the task has at least; fewer than the most where its queue says how many, which may change.
    public var retriesMin: UInt16
    /// Crashes that quarantine the task; 0 for never.
    public var crashesMax: UInt16
    /// How long an attempt may last in all.
    public var timeoutMilliseconds: UInt32
    /// What becomes of it when it has not begun an attempt in time.
    public var lateness: Lateness
    /// Milliseconds since 1970 from which on it is late; 0 when that is a span.
    public var startByWallMilliseconds: UInt64
    /// The span from the submit after which it is late, on a clock that no setting moves; 0 when that is a time.
    public var startBySpanMilliseconds: UInt64
    /// The unique key; `nil` for none.
    public var unique: UniqueCall?
    /// Whether others may go before it that were submitted later: it has a key or a group.
    public var takesTurns: Bool
    /// Whether it waits for others, and ends without an attempt when they fail.
    public var hasDependencies: Bool

    /// What becomes of a task that did not start in time.
    public enum Lateness: String, Hashable, Sendable, CaseIterable {
        case none
        case cancelled
        case buried
    }

    public init(
        queue: QueueNumber,
        key: KeyNumber? = nil,
        rank: Rank = Priority.normal.rank,
        payload: Digest,
        notBeforeWallMilliseconds: UInt64 = 0,
        retriesMax: UInt16 = Defaults.retriesMax,
        retriesMin: UInt16? = nil,
        crashesMax: UInt16 = Defaults.crashesMax,
        timeoutMilliseconds: UInt32 = Defaults.timeoutMilliseconds,
        lateness: Lateness = .none,
        startByWallMilliseconds: UInt64 = 0,
        startBySpanMilliseconds: UInt64 = 0,
        unique: UniqueCall? = nil,
        takesTurns: Bool = false,
        hasDependencies: Bool = false
    ) {
        self.queue = queue
        self.key = key
        self.rank = rank
        self.payload = payload
        self.notBeforeWallMilliseconds = notBeforeWallMilliseconds
        self.retriesMax = retriesMax
        self.retriesMin = retriesMin ?? retriesMax
        self.crashesMax = crashesMax
        self.timeoutMilliseconds = timeoutMilliseconds
        self.lateness = lateness
        self.startByWallMilliseconds = startByWallMilliseconds
        self.startBySpanMilliseconds = startBySpanMilliseconds
        self.unique = unique
        self.takesTurns = takesTurns
        self.hasDependencies = hasDependencies
    }
}

/// The unique key of a submit; all submits of a history with one key must be alike, but for their payloads.
public struct UniqueCall: Hashable, Sendable {
    /// The recorder's number of the key; keys of different queues are different keys.
    public var key: KeyNumber
    /// How long a task holds it.
    public var scope: Scope
    /// Whether the submit takes the place of a task that holds it.
    public var replaces: Bool

    public init(key: KeyNumber, scope: Scope, replaces: Bool) {
        self.key = key
        self.scope = scope
        self.replaces = replaces
    }

    /// How long a task holds a unique key.
    public enum Scope: String, Hashable, Sendable, CaseIterable {
        case waiting
        case active
        case unfinished
        case window
    }
}
