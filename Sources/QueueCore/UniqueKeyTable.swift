public import TQModel

/// A unique key as a task holds it: a hash for the key in its queue, and the states in which it is held.
public struct UniqueHold: Hashable, Sendable {
    /// Stands for the key in its namespace and queue.
    public var hash: KeyHash
    /// When the key is held.
    public var scope: Scope

    /// Creates a hold.
    public init(hash: KeyHash, scope: Scope) {
        self.hash = hash
        self.scope = scope
    }

    /// The states in which a task holds its key; one that is held for a window is an idempotency key in the tables.
    public enum Scope: UInt8, Sendable, CaseIterable {
        /// While the task waits.
        case waiting = 1
        /// While it waits or runs.
        case active = 2
        /// Until it is completed or cancelled.
        case unfinished = 3
    }

    /// Whether a task in that state holds the key.
    public func isHeld(in state: TaskState) -> Bool {
        switch scope {
        case .waiting: state.isWaiting
        case .active: state.isWaiting || state == .inProgress
        case .unfinished: !state.isFinal
        }
    }
}

/// Which tasks hold which unique keys: a function of the tasks' rows and states, and of the dead letters.
///
/// Mostly one task holds a key; that there are more takes two scopes, or a task that waits again (`UniqueKey.Scope`).
struct UniqueKeyTable: Sendable {
    /// A task, with what its id needs.
    struct Holder: Equatable, Comparable, Sendable {
        var sequence: TaskSequence
        var createdMilliseconds: UInt64

        static func < (left: Self, right: Self) -> Bool { left.sequence < right.sequence }
    }

    private var first: [KeyHash: Holder] = [:]
    /// Ascending, and without the first.
    private var others: [KeyHash: [Holder]] = [:]

    /// Keys that are held.
    var count: Int { first.count }

    /// The task that holds a key, another one than that; of several, the one that was submitted first.
    func holder(of hash: KeyHash, otherThan sequence: TaskSequence? = nil) -> Holder? {
        guard let holder = first[hash] else { return nil }
        return holder.sequence == sequence ? others[hash]?.first : holder
    }

    /// Notes that a task holds a key; it may be known.
    mutating func insert(_ hash: KeyHash, _ new: Holder) {
        guard let holder = first[hash] else {
            first[hash] = new
            return
        }
        guard holder != new, others[hash]?.contains(new) != true else { return }
        first[hash] = min(holder, new)
        others[hash, default: []].append(max(holder, new))
        others[hash]?.sort()
    }

    /// Notes that a task holds a key no more.
    mutating func remove(_ hash: KeyHash, _ sequence: TaskSequence) {
        if first[hash]?.sequence == sequence {
            first[hash] = others[hash]?.removeFirst()
        } else {
            others[hash]?.removeAll { $0.sequence == sequence }
        }
        if others[hash]?.isEmpty == true { others[hash] = nil }
    }

    /// Every hold in a fixed order, for comparisons.
    var sorted: [(hash: KeyHash, holder: Holder)] {
        (first.map { (hash: $0.key, holder: $0.value) }
            + others.flatMap { entry in entry.value.map { (hash: entry.key, holder: $0) } })
            .sorted { $0.hash == $1.hash ? $0.holder < $1.holder : $0.hash < $1.hash }
    }
}

/// The unique key of a dead letter that holds it: stored apart, because a start does not read dead letters.
public struct DeadHold: Hashable, Sendable {
    /// The key.
    public var hash: KeyHash
    /// The dead letter.
    public var sequence: TaskSequence
    /// When that task was submitted, in milliseconds since 1970.
    public var createdMilliseconds: UInt64

    /// Creates a row.
    public init(hash: KeyHash, sequence: TaskSequence, createdMilliseconds: UInt64) {
        self.hash = hash
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
    }

    /// What a dead letter holds; `nil` for nothing.
    public init?(_ row: DeadLetterRow) {
        guard let hold = row.task.options?.uniqueKey, hold.isHeld(in: .deadLetter) else { return nil }
        self.init(
            hash: hold.hash,
            sequence: row.task.sequence,
            createdMilliseconds: row.task.createdMilliseconds & 0xffff_ffff_ffff
        )
    }
}
