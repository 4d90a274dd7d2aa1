import TQModel

/// Tasks that wait for an instant: scheduled ones and failed ones in their backoff.
///
/// Entries of tasks that were cancelled or moved meanwhile stay until their instant; whoever takes one checks it.
struct StartTimes: Sendable {
    struct Entry: Hashable, Comparable, Sendable {
        var start: StartTime
        var sequence: TaskSequence

        static func < (left: Self, right: Self) -> Bool {
            left.start == right.start
                ? left.sequence < right.sequence : left.start.milliseconds < right.start.milliseconds
        }
    }

    /// One for each clock: the two do not run alike.
    private var onWall = BinaryHeap<Entry>()
    private var onStore = BinaryHeap<Entry>()

    var count: Int { onWall.count + onStore.count }

    mutating func push(_ entry: Entry) {
        if entry.start.isStoreTime { onStore.push(entry) } else { onWall.push(entry) }
    }

    /// The earliest entry whose instant has come on its clock, removed.
    mutating func takeDue(wall: UInt64, store: UInt64) -> Entry? {
        if let first = onStore.first, first.start.milliseconds <= store { return onStore.removeFirst() }
        if let first = onWall.first, first.start.milliseconds <= wall { return onWall.removeFirst() }
        return nil
    }

    /// Drops every stale entry, and those that are there twice.
    mutating func sweep(where holds: (Entry) -> Bool) {
        var fresh = StartTimes()
        var seen: Set<Entry> = []
        for heap in [onWall, onStore] {
            heap.forEach { if holds($0), seen.insert($0).inserted { fresh.push($0) } }
        }
        self = fresh
    }
}
