/// The bounds of what the broker takes; docs/wire-protocol.md states the same numbers.
public enum Limits {
    /// A frame's body in bytes, type byte included: 16 MiB.
    public static let frameBytesMax = 16 * 1024 * 1024
    /// A payload or a result in bytes: 10 MiB.
    public static let payloadBytesMax = 10 * 1024 * 1024
    /// The name of a queue, a task type or a worker in bytes of UTF-8.
    public static let nameBytesMax = 255
    /// An idempotency key in bytes.
    public static let idempotencyKeyBytesMax = 255
    /// A unique key in bytes.
    public static let uniqueKeyBytesMax = 255
    /// Tags of one task.
    public static let tagsMax = 8
    /// A tag in bytes of UTF-8.
    public static let tagBytesMax = 64
    /// Tasks that one depends on.
    public static let dependenciesMax = 60
    /// Tasks that wait for one.
    public static let dependentsMax = 1_000
    /// The error text kept of a failed attempt in bytes; the rest is cut at a character.
    public static let errorBytesMax = 4096
    /// Attempts that a task's history keeps; the next ones take the places of the first.
    public static let historyMax: UInt8 = 16
    /// The message of a report of progress in bytes.
    public static let progressBytesMax = 255
    /// The checkpoint of a task in bytes.
    public static let checkpointBytesMax = 4096
    /// Tasks in one submit, handles in one complete, fail, release or renew, and ids in one redrive.
    public static let batchCountMax = 10_000
    /// Queues named by one claim.
    public static let claimQueuesMax = 256
    /// Task types named by one claim.
    public static let claimTypesMax = 256
    /// Tasks in one claim, and the credit of a claim stream (`broker.max_batch_claim`'s default).
    public static let claimCountMax = 1000
    /// Payloads and errors in one claim reply, delivery or page of dead letters: 15 MiB, so that it fits into a frame.
    public static let replyPayloadBytesMax = 15 * 1024 * 1024
    /// Claims, streams and waits for results that one connection may have waiting at a time.
    public static let waitsMax = 10_000
    /// Names of queues, task types and workers kept by one broker.
    public static let namesMax = 1_000_000
    /// Different retry policies kept by one broker.
    public static let retryPoliciesMax = 10_000
    /// Content types kept by one broker: they say what bytes are, and no bytes of their own belong into one.
    public static let contentTypesMax = 1000
    /// Gates of keys and groups kept by one broker.
    public static let gatesMax = 100_000
    /// Recurring tasks kept by one broker.
    public static let recurringMax = 100_000
    /// The payload of a recurring task in bytes; it is kept in memory.
    public static let recurringPayloadBytesMax = 64 * 1024
    /// The shortest interval of a recurring task: one second.
    public static let recurringIntervalMillisecondsMin: UInt64 = 1000
    /// Missed ticks that a recurring task may make up for at once.
    public static let catchUpMax: UInt32 = 1000
    /// Ticks in one look into the future of a recurring task.
    public static let upcomingMax = 5
    /// Recurring tasks in one page.
    public static let recurringPageMax: UInt32 = 1000
    /// Tasks in one page of a list.
    public static let taskPageMax: UInt32 = 1000
    /// The error text that a list may be searched for in bytes.
    public static let errorSearchBytesMax = 255
    /// Bulk operations that go on at a time.
    public static let bulkRunningMax = 16
    /// Bulk operations that have ended and are still known, the newest.
    public static let bulkEndedMax = 100
    /// How long one claim or wait may park: one hour, in milliseconds.
    public static let waitMillisecondsMax: UInt64 = 3_600_000
    /// The longest lease, timeout, delay in a renewal or backoff: one year, in milliseconds.
    public static let durationMillisecondsMax: UInt64 = 366 * 86_400_000
    /// Retries that a task may ask for.
    public static let retriesMax: UInt16 = 10_000
    /// Crashes before a quarantine that a task may ask for.
    public static let crashesMax: UInt16 = 10_000
}
