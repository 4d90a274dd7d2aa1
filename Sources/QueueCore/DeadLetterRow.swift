public import TQModel

/// What the records of a dead letter are found by.
public struct DeadLetterKey: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// Its queue's number.
    public var queue: UInt32
    /// Its type's number.
    public var type: UInt32
    /// When it expires; 0 for never.
    public var bucket: ExpiryBucket

    /// Creates a key.
    public init(
        sequence: TaskSequence,
        queue: UInt32,
        type: UInt32,
        bucket: ExpiryBucket = ExpiryBucket(rawValue: 0)
    ) {
        self.sequence = sequence
        self.queue = queue
        self.type = type
        self.bucket = bucket
    }

    /// The key of a dead letter.
    public init(_ row: DeadLetterRow) {
        self.init(sequence: row.task.sequence, queue: row.task.queue, type: row.task.type, bucket: row.bucket)
    }
}

/// A dead letter: everything needed to show it and to put it back, payload included.
public struct DeadLetterRow: Hashable, Sendable {
    /// The task as it would be stored again, without a start time.
    public var task: TaskRow
    /// Why it was buried.
    public var reason: DeadLetterReason
    /// Attempts until then.
    public var attempts: UInt16
    /// Leases of it that lapsed or lost their worker.
    public var crashes: UInt16
    /// The token of the last lease; it tells this burial from an earlier one.
    public var token: LeaseToken
    /// When it was buried, in milliseconds since 1970.
    public var buriedWallMilliseconds: UInt64
    /// When it expires; 0 for never.
    public var bucket: ExpiryBucket
    /// The error of the last attempt, in the batch's texts.
    public var error: EffectBatch.Span
    /// The payload, in the batch's texts; empty when it was damaged.
    public var payload: EffectBatch.Span

    /// Bytes of the error and the payload.
    public var byteCount: UInt32 { error.count + payload.count }

    /// Creates a row.
    public init(
        task: TaskRow,
        reason: DeadLetterReason,
        attempts: UInt16,
        crashes: UInt16,
        token: LeaseToken,
        buriedWallMilliseconds: UInt64,
        bucket: ExpiryBucket = ExpiryBucket(rawValue: 0),
        error: EffectBatch.Span,
        payload: EffectBatch.Span
    ) {
        self.task = task
        self.reason = reason
        self.attempts = attempts
        self.crashes = crashes
        self.token = token
        self.buriedWallMilliseconds = buriedWallMilliseconds
        self.bucket = bucket
        self.error = error
        self.payload = payload
    }
}
