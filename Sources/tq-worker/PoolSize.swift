/// How many workers a pool is to have: as many as the backlog asks for, between two bounds.
///
/// More are wanted at once. Fewer are wanted when the backlog has asked for fewer all through a cool-down, and then as many
/// as it has asked for at most meanwhile: a backlog that comes and goes does not stop workers and start them again.
struct PoolSize {
    typealias Instant = ContinuousClock.Instant

    let bounds: ClosedRange<Int>
    /// How many tasks ask for one worker, from 1 on.
    let tasksPerWorker: Int
    let coolDown: Duration
    /// How many workers are wanted now.
    private(set) var wanted: Int
    /// Since when the backlog asks for fewer, and the most that it asked for since then.
    private var lull: (since: Instant, most: Int)?

    init(bounds: ClosedRange<Int>, tasksPerWorker: Int, coolDown: Duration) {
        self.bounds = bounds
        self.tasksPerWorker = tasksPerWorker
        self.coolDown = coolDown
        self.wanted = bounds.lowerBound
    }

    /// Takes notice of the backlog.
    ///
    /// - Parameter tasks: Those that can start now and those that run; `nil` when nobody knows. Time of which nothing is
    ///   known is no part of a cool-down.
    mutating func observe(_ tasks: UInt64?, at now: Instant) {
        guard let tasks else { return lull = nil }
        let asked = workers(for: tasks)
        guard asked < wanted else { return (wanted, lull) = (asked, nil) }
        let since = lull?.since ?? now
        let most = max(asked, lull?.most ?? asked)
        (wanted, lull) = now - since < coolDown ? (wanted, (since, most)) : (most, nil)
    }

    /// How many workers so many tasks ask for, within the bounds.
    func workers(for tasks: UInt64) -> Int {
        let (full, rest) = tasks.quotientAndRemainder(dividingBy: UInt64(tasksPerWorker))
        return min(max(Int(clamping: full + (rest > 0 ? 1 : 0)), bounds.lowerBound), bounds.upperBound)
    }
}
