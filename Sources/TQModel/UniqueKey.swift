/// A key that only one task of a queue may hold at a time, and what a submit does that finds it held.
public struct UniqueKey: Hashable, Sendable {
    /// 1 to ``Limits/uniqueKeyBytesMax`` bytes; the keys of different queues are different keys.
    public var key: Bytes
    /// How long the task holds the key.
    public var scope: Scope
    /// What happens when another task holds it.
    public var onConflict: OnConflict

    /// Creates a key.
    public init(_ key: Bytes, scope: Scope = .active, onConflict: OnConflict = .existing) {
        self.key = key
        self.scope = scope
        self.onConflict = onConflict
    }

    /// How long a task holds its key.
    public enum Scope: Hashable, Sendable {
        /// While it waits: scheduled, blocked, pending or between two attempts. One that runs lets the next one wait, and
        /// when it has to wait again there are two.
        case waiting
        /// While it waits or runs. A dead letter does not hold its key, and cannot be put back while another task does.
        case active
        /// Until it is completed or cancelled, also as a dead letter.
        case unfinished
        /// From its submit on for so long, whatever becomes of it; rounded up as retentions are.
        case window(milliseconds: UInt64)
    }

    /// What a submit does whose key is held.
    public enum OnConflict: UInt8, Hashable, Sendable, CaseIterable {
        /// Nothing: the submitter gets the id of the task that is there.
        case existing = 1
        /// It is refused (`conflict`).
        case refuse = 2
        /// The task that is there, if it waits, keeps its id and becomes the submitted one; if not, this is refused.
        case replace = 3
    }
}
