public import TQModel

/// The key of a locator record.
public struct LocatorKey: Hashable, Comparable, Sendable {
    /// The task, or the first task of a segment.
    public var sequence: TaskSequence
    /// Whether the record covers a segment of consecutive sequences.
    public var isSegment: Bool

    /// Creates a key.
    public init(sequence: TaskSequence, isSegment: Bool) {
        self.sequence = sequence
        self.isSegment = isSegment
    }

    /// Orders by sequence, a single task before a segment.
    public static func < (left: Self, right: Self) -> Bool {
        left.sequence == right.sequence ? !left.isSegment && right.isSegment : left.sequence < right.sequence
    }
}

/// Where the outcomes of tasks are whose segment is gone.
public struct Locator: Hashable, Sendable {
    /// Which tasks the record is about.
    public var key: LocatorKey
    /// The location of each task from the key's sequence on; `nil` for one that was moved or buried.
    public var locations: [OutcomeLocation?]

    /// Creates a locator.
    public init(key: LocatorKey, locations: [OutcomeLocation?]) {
        self.key = key
        self.locations = locations
    }

    /// The last bucket that an entry points into: when it expires, so does the locator.
    public var bucket: ExpiryBucket? { locations.lazy.compactMap { $0?.bucket }.max() }
}
