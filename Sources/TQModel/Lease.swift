/// A number that fences one delivery: strictly increasing over the life of a store, restarts included.
///
/// The first 20 bits are the store's epoch, so tokens grow over restarts without being counted on disk.
public struct LeaseToken: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "\(rawValue)" }
}

/// What a worker shows to complete, fail, renew or release a task: the task's id and the lease's token.
///
/// Clients treat its 24 bytes as opaque.
public struct LeaseHandle: Hashable, Sendable {
    /// The task that is held.
    public let task: TaskID
    /// The number of this delivery; an older one is refused.
    public let token: LeaseToken

    public init(task: TaskID, token: LeaseToken) {
        self.task = task
        self.token = token
    }
}
