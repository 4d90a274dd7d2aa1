/// A broker-wide number given to a task when it is submitted; tasks of one priority run in its order.
///
/// Sequences start at 1, grow by one per task and are never reused; 0 stands for "no task".
public struct TaskSequence: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Behind every sequence that a task can have.
    public static let last = Self(.max)

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "\(rawValue)" }
}
