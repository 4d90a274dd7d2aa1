import TQModel

/// Dead letters that were put back lately: a read that was under way must not put one back twice.
struct RedriveMemory: Sendable {
    /// One that was put back.
    struct Redrive: Sendable {
        /// The token of the burial.
        var token: LeaseToken
        /// How many were put back until then, this one included.
        var number: UInt64
    }

    private struct Entry: Sendable {
        var sequence: TaskSequence
        var number: UInt64
        var monotonicMilliseconds: UInt64
    }

    private var latest: [TaskSequence: Redrive] = [:]
    /// In the order in which they were put back, those before `first` forgotten.
    private var entries: [Entry] = []
    private var first = 0
    /// Dead letters put back since the start.
    private(set) var count: UInt64 = 0

    /// The last time that a task was put back; `nil` when that is long ago.
    subscript(sequence: TaskSequence) -> Redrive? { latest[sequence] }

    mutating func note(_ sequence: TaskSequence, _ token: LeaseToken, atMilliseconds now: UInt64) {
        count += 1
        latest[sequence] = Redrive(token: token, number: count)
        entries.append(Entry(sequence: sequence, number: count, monotonicMilliseconds: now))
    }

    /// Forgets those that were put back at a time or earlier: a few steps for each, however many are remembered.
    mutating func forget(throughMilliseconds then: UInt64) {
        while first < entries.count, entries[first].monotonicMilliseconds <= then {
            // It may have been put back again since.
            if latest[entries[first].sequence]?.number == entries[first].number {
                latest[entries[first].sequence] = nil
            }
            first += 1
        }
        guard first * 2 > entries.count else { return }
        entries.removeFirst(first)
        first = 0
        // A million of them leave no memory behind.
        if entries.isEmpty { (entries, latest) = ([], [:]) }
    }
}
