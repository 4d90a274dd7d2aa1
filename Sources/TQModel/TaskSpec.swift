/// A task as it is submitted.
public struct TaskSpec: Hashable, Sendable {
    /// The queue that the task waits in.
    public var queue: Name
    /// What kind of work it is; workers choose by it.
    public var type: Name
    /// What the worker gets; at most ``Limits/payloadBytesMax`` bytes.
    public var payload: Bytes
    /// What the payload is.
    public var content: Content
    /// How urgent it is.
    public var rank: Rank
    /// When the task may start at the earliest.
    public var start: Start
    /// When the task must have started at the latest; `nil` for never too late.
    public var startBy: StartBy?
    /// How long one lease lasts before it must be renewed; 0 takes ``Defaults/leaseMilliseconds``.
    public var leaseMilliseconds: UInt32
    /// How long one attempt may last in all; 0 takes ``Defaults/timeoutMilliseconds``.
    public var timeoutMilliseconds: UInt32
    /// Attempts after the first; `nil` takes the number of waits that a list of waits has, or ``Defaults/retriesMax``.
    public var retriesMax: UInt16?
    /// Crashes that quarantine the task, 0 for never; `nil` takes ``Defaults/crashesMax``.
    public var crashesMax: UInt16?
    /// How long a failed task waits before it is tried again; `nil` takes ``RetryPolicy/standard``.
    public var retryPolicy: RetryPolicy?
    /// How long the result is kept; 0 takes the broker's setting.
    public var retentionMilliseconds: UInt64
    /// How long it is kept once it is a dead letter, before it is over; 0 takes its queue's setting, or the broker's.
    public var deadLetterRetentionMilliseconds: UInt64
    /// Makes the submit repeatable, empty for none: a second one with the same key and content gets the first one's id.
    public var idempotencyKey: Bytes
    /// How long the key is remembered; 0 takes ``Defaults/idempotencyWindowMilliseconds``.
    public var idempotencyWindowMilliseconds: UInt64
    /// Keeps other tasks with the same key out; `nil` for none.
    public var uniqueKey: UniqueKey?
    /// Words that the task is found by, each once; at most ``Limits/tagsMax``.
    public var tags: [TaskTag]
    /// How it shares the workers with others.
    public var sharing: Sharing
    /// Other tasks that it waits for; `nil` for none.
    public var dependencies: Dependencies?

    public init(
        queue: Name = Name(Defaults.queue),
        type: Name,
        payload: Bytes = [],
        content: Content = .unspecified,
        rank: Rank = Priority.normal.rank,
        start: Start = .now,
        startBy: StartBy? = nil,
        leaseMilliseconds: UInt32 = 0,
        timeoutMilliseconds: UInt32 = 0,
        retriesMax: UInt16? = nil,
        crashesMax: UInt16? = nil,
        retryPolicy: RetryPolicy? = nil,
        retentionMilliseconds: UInt64 = 0,
        deadLetterRetentionMilliseconds: UInt64 = 0,
        idempotencyKey: Bytes = [],
        idempotencyWindowMilliseconds: UInt64 = 0,
        uniqueKey: UniqueKey? = nil,
        tags: [TaskTag] = [],
        sharing: Sharing = .none,
        dependencies: Dependencies? = nil
    ) {
        self.queue = queue
        self.type = type
        self.payload = payload
        self.content = content
        self.rank = rank
        self.start = start
        self.startBy = startBy
        self.leaseMilliseconds = leaseMilliseconds
        self.timeoutMilliseconds = timeoutMilliseconds
        self.retriesMax = retriesMax
        self.crashesMax = crashesMax
        self.retryPolicy = retryPolicy
        self.retentionMilliseconds = retentionMilliseconds
        self.deadLetterRetentionMilliseconds = deadLetterRetentionMilliseconds
        self.idempotencyKey = idempotencyKey
        self.idempotencyWindowMilliseconds = idempotencyWindowMilliseconds
        self.uniqueKey = uniqueKey
        self.tags = tags
        self.sharing = sharing
        self.dependencies = dependencies
    }

    /// By when each attempt of a task must have begun, and what becomes of the task when it has not.
    public struct StartBy: Hashable, Sendable {
        /// The instant from which on no attempt begins; not ``Start/now``.
        public var time: Start
        /// Whether a task that is too late becomes a dead letter instead of being cancelled.
        public var buriesLate: Bool

        public init(_ time: Start, buriesLate: Bool = false) {
            self.time = time
            self.buriesLate = buriesLate
        }
    }

    /// When a task may start.
    public enum Start: Hashable, Sendable {
        case now
        /// After that many milliseconds from the broker's receipt.
        case after(milliseconds: UInt64)
        /// At that many milliseconds since 1970.
        case at(wallMilliseconds: UInt64)
    }
}
