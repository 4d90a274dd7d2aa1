/// The name of a commit group, and of the records written with it: 20 bits of epoch, 44 bits of counter.
///
/// The epoch grows each time somebody starts to serve a store, so a group id is used once ever: after an unknown
/// outcome the whole epoch is left behind. That is what makes RocksDB's SingleDelete correct for these records.
public struct GroupID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The epoch in the upper 20 bits, the counter in the lower 44.
    public let rawValue: UInt64

    /// Takes the number as it is stored.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// - Parameters:
    ///   - epoch: 1 to ``epochMax``.
    ///   - counter: From 1 in every epoch; 2^44 groups last 178 years at 3,000 a second.
    @inlinable public init(epoch: UInt32, counter: UInt64) { self.rawValue = UInt64(epoch) << 44 | counter }

    /// The last epoch: a store can be started 1,048,575 times.
    public static let epochMax: UInt32 = 1 << 20 - 1

    /// Who wrote the group, from 1.
    public var epoch: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 44) }
    /// The group's number in its epoch, from 1.
    public var counter: UInt64 { rawValue & (1 << 44 - 1) }

    /// Orders as the groups were written.
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Epoch and counter, as in `3.17`.
    public var description: String { "\(epoch).\(counter)" }
}

/// The key of a segment: the tasks of one group that are stored together.
///
/// Parts below ``firstMovedPart`` hold fresh tasks with consecutive sequences; the others hold tasks that were
/// moved or redriven and keep their old sequences.
public struct SegmentKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The group that wrote the segment.
    public let group: GroupID
    /// The segment's number in the group.
    public let part: UInt16

    /// Creates a key.
    public init(group: GroupID, part: UInt16) {
        self.group = group
        self.part = part
    }

    /// The first part of moved tasks; fresh ones have the parts from 0 below it.
    public static let firstMovedPart: UInt16 = 0x8000

    /// Whether the sequences are not consecutive.
    public var isMoved: Bool { part >= Self.firstMovedPart }

    /// Orders by group, then by part.
    public static func < (left: Self, right: Self) -> Bool {
        left.group == right.group ? left.part < right.part : left.group < right.group
    }

    /// Group and part, as in `3.17/0`.
    public var description: String { "\(group)/\(part)" }
}

/// Where the outcome of an ended task is stored.
public struct OutcomeLocation: Hashable, Comparable, Sendable {
    /// When the record expires; also the first part of its key.
    public let bucket: ExpiryBucket
    /// The group that wrote the record.
    public let group: GroupID
    /// Which of the group's records in the bucket it is, from 0.
    public let part: UInt16

    /// Creates a location.
    public init(bucket: ExpiryBucket, group: GroupID, part: UInt16) {
        self.bucket = bucket
        self.group = group
        self.part = part
    }

    /// Orders by bucket, then by group and part, as the records are stored.
    public static func < (left: Self, right: Self) -> Bool {
        (left.bucket, left.group, left.part) < (right.bucket, right.group, right.part)
    }
}

/// A second of store time at which records expire together.
///
/// A time to live is rounded up, so that few buckets are open at once: to a second below a minute, to a minute below an
/// hour, to ten minutes below a day, to an hour from there on.
public struct ExpiryBucket: RawRepresentable, Hashable, Comparable, Sendable {
    /// Seconds of store time at which the bucket ends, up to the year 2106; 0 is none.
    public let rawValue: UInt32

    /// Takes the number as it is stored.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The bucket of something that is kept for that long from that store time on.
    public init(storeMilliseconds: UInt64, keptMilliseconds: UInt64) {
        let step: UInt64 =
            switch keptMilliseconds {
            case ..<60_000: 1
            case ..<3_600_000: 60
            case ..<86_400_000: 600
            default: 3600
            }
        let (end, overflow) = storeMilliseconds.addingReportingOverflow(keptMilliseconds)
        let second = (overflow ? .max : end) / 1000 + 1
        self.rawValue = UInt32(clamping: (second + step - 1) / step * step)
    }

    /// Whether everything in the bucket is past its time.
    public func isExpired(storeMilliseconds: UInt64) -> Bool { UInt64(rawValue) * 1000 <= storeMilliseconds }

    /// Orders by time.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
