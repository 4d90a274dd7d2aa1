import TQModel

/// Tasks that wait for an instant of the wall clock: scheduled ones and failed ones in their backoff.
///
/// Entries of tasks that were cancelled or moved meanwhile stay until their instant; whoever takes one checks it.
struct StartTimes: Sendable {
    struct Entry: Hashable, Comparable, Sendable {
        var wallMilliseconds: UInt64
        var sequence: TaskSequence

        static func < (left: Self, right: Self) -> Bool {
            left.wallMilliseconds == right.wallMilliseconds
                ? left.sequence < right.sequence : left.wallMilliseconds < right.wallMilliseconds
        }
    }

    private var heap = BinaryHeap<Entry>()

    var count: Int { heap.count }

    mutating func push(_ entry: Entry) { heap.push(entry) }

    /// The earliest entry at or before that time, removed.
    mutating func takeDue(wallMilliseconds: UInt64) -> Entry? {
        guard let first = heap.first, first.wallMilliseconds <= wallMilliseconds else { return nil }
        return heap.removeFirst()
    }

    /// Drops every stale entry.
    mutating func sweep(where holds: (Entry) -> Bool) {
        var fresh = BinaryHeap<Entry>()
        heap.forEach { if holds($0) { fresh.push($0) } }
        heap = fresh
    }
}
