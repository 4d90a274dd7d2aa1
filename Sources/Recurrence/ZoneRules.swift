/// How far the clocks of a time zone are before UTC, at every instant: the content of one file of the IANA database.
///
/// Seconds count from 1970 and have no leap seconds, as everywhere in tq.
public struct ZoneRules: Hashable, Sendable {
    /// Before the first transition.
    let firstOffset: Int
    /// Ascending; seconds within ``secondMax``.
    let transitions: [Transition]
    /// What holds after the last transition; `nil` when nothing changes any more.
    let footer: ZoneFooter?

    /// From this second on, clocks are that many seconds before UTC.
    struct Transition: Hashable, Sendable {
        let second: Int
        let offset: Int
    }

    /// A stretch of time in which the clocks are not changed.
    struct Period: Hashable, Sendable {
        /// Its first second.
        var start: Int
        /// The first second behind it.
        var end: Int
        /// Seconds that clocks are before UTC.
        var offset: Int
        /// How far clocks were put forward at the start; negative for back, 0 where the time before is not known.
        var shift: Int
    }

    /// How far from 1970 transitions may be, in seconds either way, so that no sum overflows.
    static let secondMax = 1 << 59
    /// No clock is further from UTC than that, in seconds: 26 hours.
    static let offsetMax = 26 * 3600

    /// Coordinated universal time, which needs no file.
    public static let utc = ZoneRules(firstOffset: 0, transitions: [], footer: nil)

    /// Seconds that local clocks are before UTC.
    ///
    /// - Parameter second: Since 1970; beyond 2^59 either way it is taken as that.
    public func offset(at second: Int) -> Int { period(at: second).offset }

    /// The instants at which local clocks show a time: none when it is skipped, two when it is repeated, else one.
    ///
    /// - Parameter local: Seconds of the local calendar and clock, counted from 1970-01-01 00:00 there.
    /// - Returns: Seconds since 1970, ascending.
    public func instants(atLocal local: Int) -> [Int] {
        let local = Self.clamped(local)
        var instants: [Int] = []
        var period = period(at: local - Self.offsetMax)
        while true {
            let instant = local - period.offset
            if instant >= period.start, instant < period.end { instants.append(instant) }
            guard period.end <= local + Self.offsetMax else { return instants }
            period = self.period(at: period.end)
        }
    }

    /// The period that holds a second.
    func period(at second: Int) -> Period {
        let second = Self.clamped(second)
        let position = transitions.partitioningIndex { $0.second > second }
        guard position > 0 else {
            let end = transitions.first?.second ?? .max
            let first = Period(start: .min, end: end, offset: firstOffset, shift: 0)
            return transitions.isEmpty ? footer?.period(at: second) ?? first : first
        }
        let latest = transitions[position - 1]
        let offsetBefore = position > 1 ? transitions[position - 2].offset : firstOffset
        guard position == transitions.count, let footer else {
            let end = position < transitions.count ? transitions[position].second : .max
            let shift = latest.offset - offsetBefore
            return Period(start: latest.second, end: end, offset: latest.offset, shift: shift)
        }
        var period = footer.period(at: second)
        // The last transition of the table is where the footer's time begins.
        if period.start <= latest.second {
            period.start = latest.second
            period.shift = period.offset - offsetBefore
        }
        return period
    }

    private static func clamped(_ second: Int) -> Int { min(max(second, -secondMax), secondMax) }
}

extension Array {
    /// The first position whose element, like all behind it, belongs to the second part.
    fileprivate func partitioningIndex(where isInSecondPart: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isInSecondPart(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
