/// How urgent a task is: 0 to 255, 255 first.
public struct Priority: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public init(_ rawValue: UInt8) { self.rawValue = rawValue }

    /// Priority 50, the default of the low tier.
    public static let low = Priority(50)
    /// Priority 150, the default of the normal tier and of every task.
    public static let normal = Priority(150)
    /// Priority 255, the default of the high tier.
    public static let high = Priority(255)

    /// The rank that this priority has inside the broker.
    @inlinable public var rank: Rank { Rank(rawValue: UInt32(255 - rawValue) << 24) }

    /// The tier that this priority belongs to.
    public var tier: Tier { Tier(self) }

    /// Reads a number from 0 to 255 or one of the names `low`, `normal`, `medium`, `high`, `critical`.
    public init?(_ text: some StringProtocol) {
        switch text.lowercased() {
        case "low": self = .low
        case "normal", "medium": self = .normal
        case "high", "critical": self = .high
        default:
            guard let number = UInt8(text) else { return nil }
            self.init(number)
        }
    }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "\(rawValue)" }
}

/// One of three bands of priorities, for metrics and displays.
public enum Tier: String, Sendable, CaseIterable {
    /// Priorities 0 to 99.
    case low
    /// Priorities 100 to 199.
    case normal
    /// Priorities 200 to 255.
    case high

    public init(_ priority: Priority) {
        switch priority.rawValue {
        case ..<100: self = .low
        case ..<200: self = .normal
        default: self = .high
        }
    }
}

/// The order of tasks inside the broker, 0 first.
///
/// A rank is finer than a priority, so that protocols with more priorities keep theirs.
public struct Rank: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The priority shown for this rank.
    public var priority: Priority { Priority(UInt8(truncatingIfNeeded: 255 - rawValue >> 24)) }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
