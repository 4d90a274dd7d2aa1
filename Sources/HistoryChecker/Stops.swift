import TQModel

/// The ends of the broker so far.
struct Stops {
    private var stops: [(position: Int, monotonicMilliseconds: UInt64)] = []
    /// Where the power was cut for the last time; -1 for never.
    private(set) var lastPowerCut = -1

    mutating func record(_ stop: Event.Stop, at position: Int, _ time: Now) {
        stops.append((position, time.monotonicMilliseconds))
        if stop == .powerCut { lastPowerCut = position }
    }

    /// When a lease that is to lapse then lapses at the earliest, as every restart gives it its full duration again.
    func extend(lapse: UInt64, by duration: UInt64, from position: Int) -> UInt64 {
        guard let last = stops.last, last.position > position else { return lapse }
        var extended = lapse
        for stop in stops[firstIndex(after: position)...] {
            guard stop.monotonicMilliseconds < extended else { break }
            extended = max(extended, stop.monotonicMilliseconds.later(by: duration))
        }
        return extended
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
