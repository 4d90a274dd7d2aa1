/// The values a task or a broker has when nobody says otherwise; a test pins every one of them.
public enum Defaults {
    public static let queue = "default"
    public static let leaseMilliseconds: UInt32 = 30_000
    public static let timeoutMilliseconds: UInt32 = 300_000
    public static let retriesMax: UInt16 = 3
    /// Lapsed leases and lost workers after which a task is quarantined; 0 is never.
    public static let crashesMax: UInt16 = 3
    public static let backoffMillisecondsMin: UInt32 = 5_000
    public static let backoffMillisecondsMax: UInt32 = 3_600_000
    public static let retentionMilliseconds: UInt64 = 7 * 86_400_000
    /// How long an idempotency key that a user chose is remembered.
    public static let idempotencyWindowMilliseconds: UInt64 = 86_400_000
    /// How long a key that a client library made for its own resends is remembered.
    public static let automaticIdempotencyWindowMilliseconds: UInt64 = 120_000
    public static let queueDepthThreshold = 100_000
    public static let workerInactivityMilliseconds: UInt64 = 60_000
}
