import TQModel

/// The ends of the broker so far.
struct Stops {
    private var stops: [(position: Int, monotonicMilliseconds: UInt64)] = []
    /// Where the power was cut for the last time; -1 for never.
    private(set) var lastPowerCut = -1
    /// When the broker served again after the last one, on the monotonic clock.
    private(set) var servingMilliseconds: UInt64 = 0

    mutating func record(_ stop: Event.Stop, at position: Int, _ time: Now) {
        stops.append((position, time.monotonicMilliseconds))
        if stop == .powerCut { lastPowerCut = position }
    }

    mutating func recordServing(_ time: Now) { servingMilliseconds = time.monotonicMilliseconds }

    func isStopped(since position: Int) -> Bool { (stops.last?.position ?? -1) > position }

    /// When a lease lapses at the earliest whose clock was set there, to lapse then, and which every restart sets again.
    func lapse(_ lapse: UInt64, setAt position: Int, restarting duration: UInt64) -> UInt64 {
        guard isStopped(since: position) else { return lapse }
        var earliest = lapse
        for stop in stops[firstIndex(after: position)...] {
            guard stop.monotonicMilliseconds < earliest else { break }
            earliest = stop.monotonicMilliseconds.later(by: duration)
        }
        return earliest
    }

    /// When an attempt is over at the earliest that began there, and that has so much time at least after every restart.
    func timeout(_ timeout: UInt64, begunAt position: Int, restarting duration: UInt64) -> UInt64 {
        var earliest = timeout
        for stop in stops[firstIndex(after: position)...] {
            guard stop.monotonicMilliseconds < earliest else { break }
            earliest = max(earliest, stop.monotonicMilliseconds.later(by: duration))
        }
        return earliest
    }

    private func firstIndex(after position: Int) -> Int {
        var low = 0
        var high = stops.count
        while low < high {
            let middle = (low + high) / 2
            if stops[middle].position > position { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
