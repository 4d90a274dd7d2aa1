/// The values a task or a broker has when nobody says otherwise; a test pins every one of them.
public enum Defaults {
    /// The queue of a task that names none.
    public static let queue = "default"
    /// How long one lease lasts: 30 seconds.
    public static let leaseMilliseconds: UInt32 = 30_000
    /// How long one attempt may last in all: five minutes.
    public static let timeoutMilliseconds: UInt32 = 300_000
    /// How long after its timeout an attempt is taken back from a worker that has not ended it: one second.
    public static let timeoutGraceMilliseconds: UInt64 = 1_000
    /// Attempts after the first.
    public static let retriesMax: UInt16 = 3
    /// Lapsed leases and lost workers after which a task is quarantined; 0 is never.
    public static let crashesMax: UInt16 = 3
    /// The wait before the first retry: five seconds, doubled for each further one.
    public static let backoffMillisecondsMin: UInt32 = 5_000
    /// The longest wait before a retry: one hour.
    public static let backoffMillisecondsMax: UInt32 = 3_600_000
    /// How long a result is kept: seven days.
    public static let retentionMilliseconds: UInt64 = 7 * 86_400_000
    /// How long an idempotency key that a user chose is remembered.
    public static let idempotencyWindowMilliseconds: UInt64 = 86_400_000
    /// How long a key that a client library made for its own resends is remembered.
    public static let automaticIdempotencyWindowMilliseconds: UInt64 = 120_000
    /// A tick of a recurring task that is noticed within that time is not taken for missed: one minute.
    public static let tickGraceMilliseconds: UInt64 = 60_000
    /// Waiting tasks in one queue above which submits to it are refused.
    public static let queueDepthThreshold = 100_000
    /// The silence after which a worker is taken for dead: one minute.
    public static let workerInactivityMilliseconds: UInt64 = 60_000
}
