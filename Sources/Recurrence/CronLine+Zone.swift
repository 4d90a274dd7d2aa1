extension CronLine {
    /// Changes of the clock that are smaller are made up for, in seconds: three hours, as in Debian's cron.
    ///
    /// A zone that jumps further corrects its calendar, like Pacific/Apia, which left out a whole day in 2011.
    static let shiftEnd = 3 * 3600

    /// The first instant that is not before another at which this line runs in a zone.
    ///
    /// Within a period without a change of the clock, local time and instants are the same but for an offset. At its
    /// begin a line of fixed times follows Debian's cron, which runs such jobs when local clocks *first* reach or pass
    /// their minute: what a jump skipped runs at once, all of it as one tick because it is one instant; what a step back
    /// repeats does not run again. A line with wildcards runs in each matching minute that local clocks show.
    ///
    /// - Parameter second: Since 1970.
    /// - Returns: Seconds since 1970; `nil` when there is none before the year 10000.
    func next(from second: Int, in zone: ZoneRules) -> Int? {
        var second = second
        var matches = Matches(line: self)
        while second <= Int(InstantText.millisecondsMax / 1000) {
            let period = zone.period(at: second)
            if let instant = next(from: second, in: period, &matches) { return instant }
            guard period.end > second else { return nil }
            second = period.end
        }
        return nil
    }

    private func next(from second: Int, in period: ZoneRules.Period, _ matches: inout Matches) -> Int? {
        var local = second + period.offset
        if isFixedTime, abs(period.shift) < Self.shiftEnd, period.shift != 0 {
            let localBefore = period.start + period.offset - period.shift
            if period.shift < 0 {
                local = max(local, localBefore)
            } else if second == period.start, let skipped = matches.next(from: localBefore), skipped < local {
                return second
            }
        }
        guard let minute = matches.next(from: local), minute - period.offset < period.end else { return nil }
        return minute - period.offset
    }
}

/// The matches of a line, the latest kept: one that is years away stays the next one in many periods.
private struct Matches {
    let line: CronLine
    /// Local seconds of which only the last begins a matching minute.
    private var known: ClosedRange<Int>?

    init(line: CronLine) { self.line = line }

    mutating func next(from local: Int) -> Int? {
        if let known, known.contains(local) { return known.upperBound }
        let minute = line.next(from: local)
        known = minute.map { local...$0 }
        return minute
    }
}
