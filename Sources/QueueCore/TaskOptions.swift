public import TQModel

/// What a task asks for beyond the defaults: the optional columns of the pending table.
///
/// Zero or `nil` means "not asked for". Some columns are filled by features to come; they are stored, recovered
/// and compared from the first format on, so that none of those features changes the format.
public struct TaskOptions: Hashable, Sendable {
    /// Before this the task must not start.
    public var start = StartTime.none
    /// How long one lease lasts, in milliseconds.
    public var leaseMilliseconds: UInt32 = 0
    /// How long one attempt may last in all, in milliseconds.
    public var timeoutMilliseconds: UInt32 = 0
    /// Attempts after the first.
    public var retriesMax: UInt16?
    /// Crashes that quarantine the task; 0 for never.
    public var crashesMax: UInt16?
    /// The number of the retry policy.
    public var retryPolicy: UInt32 = 0
    /// How long the outcome is kept, in milliseconds.
    public var retentionMilliseconds: UInt64 = 0
    /// How long the task is kept as a dead letter, in milliseconds.
    public var deadLetterRetentionMilliseconds: UInt64 = 0
    /// From then on no attempt begins.
    public var startBy = StartTime.none
    /// Whether the task becomes a dead letter then, instead of being cancelled.
    public var buriesLate = false
    /// How it shares the workers with others.
    public var sharing = Sharing.none
    /// The unique key that it holds.
    public var uniqueKey: UniqueHold?
    /// Tasks that must end before this one starts.
    public var dependencies: TaskDependencies?
    /// An interned batch.
    public var batch: UInt32 = 0
    /// The tick of a recurring task that it is for.
    public var tick: TaskTick?
    /// The id that the client gave, as 16 bytes.
    public var clientID: TaskID?
    /// How many tags it carries; they are stored beside it.
    public var tagCount: UInt8 = 0

    /// Creates options that ask for nothing.
    public init() {}

    /// Whether every option is at its default: such a task costs no column.
    public var isEmpty: Bool { self == Self() }
}
