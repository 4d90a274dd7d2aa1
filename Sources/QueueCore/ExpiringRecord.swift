public import TQModel

/// A record that is of no use any more when a bucket of outcomes is gone.
public struct ExpiringRecord: Hashable, Sendable {
    /// The bucket.
    public var bucket: ExpiryBucket
    /// What the record is.
    public var kind: Kind

    /// Creates a row.
    public init(_ kind: Kind, bucket: ExpiryBucket) {
        self.kind = kind
        self.bucket = bucket
    }

    /// What expires with outcomes.
    public enum Kind: Hashable, Sendable {
        /// A locator that leads to outcomes of the bucket.
        case locator(LocatorKey)
        /// The history of a task whose outcome is in the bucket: the places before this one may be in use.
        case history(TaskSequence, placeCount: UInt8)
        /// The tags of a task whose outcome is in the bucket; who removes them has read them, and the record's key lacks them.
        case tags(TaskSequence, [TaskTag])
    }
}
