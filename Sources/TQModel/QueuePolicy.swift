/// What the tasks of a queue get where they say nothing themselves, and how long the queue keeps what is over.
///
/// It is looked up when it is used: a change reaches tasks that wait already.
public struct QueuePolicy: Hashable, Sendable {
    /// How long a failed task waits before it is tried again; `nil` takes ``RetryPolicy/standard``.
    public var retryPolicy: RetryPolicy?
    /// Attempts after the first; `nil` takes the number of waits that a list of waits has, or ``Defaults/retriesMax``.
    public var retriesMax: UInt16?
    /// Crashes that quarantine a task, 0 for never; `nil` takes ``Defaults/crashesMax``.
    public var crashesMax: UInt16?
    /// How long one lease lasts before it must be renewed; 0 takes the broker's setting.
    public var leaseMilliseconds: UInt32
    /// How long one attempt may last in all; 0 takes ``Defaults/timeoutMilliseconds``.
    public var timeoutMilliseconds: UInt32
    /// How long a result is kept, counted from the end of its task; 0 takes the broker's setting.
    public var retentionMilliseconds: UInt64
    /// How long a dead letter is kept, counted from its burial; 0 takes the broker's setting.
    public var deadLetterRetentionMilliseconds: UInt64
    /// Dead letters beyond which the oldest are over, by their submits; 0 for no bound.
    public var deadLettersMax: UInt32
    /// Bytes of payloads and errors beyond which the oldest dead letters are over; 0 for no bound.
    public var deadLetterBytesMax: UInt64
    /// Tasks that have ended beyond which those go that would expire first, with their results; 0 for no bound.
    public var outcomesMax: UInt32
    /// Bytes of results beyond which the same happens; 0 for no bound.
    public var resultBytesMax: UInt64
    /// How the priority of tasks rises while they wait; `nil` for not at all.
    public var aging: PriorityAging?
    /// Which groups wait for others whoever's turn it is; `nil` for none.
    public var noisy: NoisyRule?

    public init(
        retryPolicy: RetryPolicy? = nil,
        retriesMax: UInt16? = nil,
        crashesMax: UInt16? = nil,
        leaseMilliseconds: UInt32 = 0,
        timeoutMilliseconds: UInt32 = 0,
        retentionMilliseconds: UInt64 = 0,
        deadLetterRetentionMilliseconds: UInt64 = 0,
        deadLettersMax: UInt32 = 0,
        deadLetterBytesMax: UInt64 = 0,
        outcomesMax: UInt32 = 0,
        resultBytesMax: UInt64 = 0,
        aging: PriorityAging? = nil,
        noisy: NoisyRule? = nil
    ) {
        self.retryPolicy = retryPolicy
        self.retriesMax = retriesMax
        self.crashesMax = crashesMax
        self.leaseMilliseconds = leaseMilliseconds
        self.timeoutMilliseconds = timeoutMilliseconds
        self.retentionMilliseconds = retentionMilliseconds
        self.deadLetterRetentionMilliseconds = deadLetterRetentionMilliseconds
        self.deadLettersMax = deadLettersMax
        self.deadLetterBytesMax = deadLetterBytesMax
        self.outcomesMax = outcomesMax
        self.resultBytesMax = resultBytesMax
        self.aging = aging
        self.noisy = noisy
    }

    /// Whether it says nothing: a queue without a policy has this one.
    public var isEmpty: Bool { self == Self() }

    /// Attempts after the first of a task that names no number of them.
    public var effectiveRetriesMax: UInt16 { retriesMax ?? retryPolicy?.listedRetries ?? Defaults.retriesMax }
}

extension RetryPolicy {
    /// How many retries a list of waits stands for; `nil` for any other growth.
    public var listedRetries: UInt16? {
        if case .list(let waits) = growth { UInt16(clamping: waits.count) } else { nil }
    }
}
