/// When a scheduled or failed task may start.
///
/// A run-at is an instant of the wall clock. What lasts so long (a delay, a backoff) ends at an instant of store time, which
/// no setting of a clock moves and which stands still while the broker does.
public struct StartTime: Hashable, Sendable {
    /// As it is stored: bit 63 stands for store time, the others are milliseconds since 1970; 0 is none.
    public let rawValue: UInt64

    private static let storeBit = UInt64(1) << 63

    /// Takes a stored value.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// At once.
    public static let none = StartTime(rawValue: 0)

    static func at(wallMilliseconds: UInt64) -> Self { Self(rawValue: min(wallMilliseconds, storeBit - 1)) }

    static func at(storeMilliseconds: UInt64) -> Self {
        Self(rawValue: min(storeMilliseconds, storeBit - 1) | storeBit)
    }

    /// Whether the instant is one of store time.
    public var isStoreTime: Bool { rawValue & Self.storeBit != 0 }

    /// Milliseconds since 1970, of whichever clock it is.
    public var milliseconds: UInt64 { rawValue & ~Self.storeBit }

    /// About when that is on the wall clock; 0 for none.
    ///
    /// - Parameters:
    ///   - wall: What the wall clock says.
    ///   - store: What the store's clock says at the same moment.
    func wallMilliseconds(wall: UInt64, store: UInt64) -> UInt64 {
        isStoreTime ? wall + milliseconds - min(store, milliseconds) : milliseconds
    }
}
