/// What a zone does every year, without an end: the last line of its file, a `TZ` string as POSIX defines it and
/// RFC 9636 extends it.
///
/// `CET-1CEST,M3.5.0,M10.5.0/3`: a name and hours *behind* UTC, the same for summer, then when summer begins and ends.
struct ZoneFooter: Hashable, Sendable {
    /// Seconds that clocks are before UTC outside of summer.
    let standardOffset: Int
    /// `nil` when clocks are never changed.
    let summer: Summer?

    struct Summer: Hashable, Sendable {
        /// Seconds that clocks are before UTC.
        let offset: Int
        /// By the clocks before it: standard time.
        let start: Change
        /// By the clocks before it: summer time.
        let end: Change
    }

    /// A day of each year, and a time counted from its midnight.
    struct Change: Hashable, Sendable {
        let day: Day
        /// In seconds; within a week either way.
        let time: Int
    }

    enum Day: Hashable, Sendable {
        /// `J60`: 1 to 365; February 29 is never counted, so that 60 is always March 1.
        case withoutLeapDay(Int)
        /// `59`: 0 to 365, in a leap year with February 29.
        case ofYear(Int)
        /// `M3.5.0`: the n-th such day of the week in a month, where 5 is the last; 0 is Sunday.
        case ofWeek(month: Int, week: Int, weekday: Int)
    }
}

// MARK: Periods

extension ZoneFooter {
    /// The period that holds a second, in a calendar without a begin.
    func period(at second: Int) -> ZoneRules.Period {
        guard let summer else { return ZoneRules.Period(start: .min, end: .max, offset: standardOffset, shift: 0) }
        let year = CivilDate(daysSince1970: second.quotientAndRemainder(flooredBy: 86_400).quotient).year
        // A change may be a week outside of its year, so two years either way surely have one before and one behind.
        var changes: [ZoneRules.Transition] = []
        for year in (year - 2)...(year + 2) {
            let start = summer.start.localSecond(in: year) - standardOffset
            let end = summer.end.localSecond(in: year) - summer.offset
            changes.append(ZoneRules.Transition(second: start, offset: summer.offset))
            changes.append(ZoneRules.Transition(second: end, offset: standardOffset))
        }
        // Summer that ends when the next one begins has no end: of two changes at one second, summer's counts.
        changes.sort {
            ($0.second, $0.offset == summer.offset ? 1 : 0) < ($1.second, $1.offset == summer.offset ? 1 : 0)
        }
        var period = ZoneRules.Period(start: .min, end: .max, offset: standardOffset, shift: 0)
        for (change, next) in zip(changes, changes.dropFirst()) where change.second < next.second {
            let offsetBefore = period.start == .min ? change.offset : period.offset
            period = ZoneRules.Period(
                start: change.second,
                end: next.second,
                offset: change.offset,
                shift: change.offset - offsetBefore
            )
            if second < next.second { break }
        }
        return period
    }
}

extension ZoneFooter.Change {
    /// Counted from 1970-01-01 00:00 by local clocks.
    fileprivate func localSecond(in year: Int) -> Int { daysSince1970(in: year) * 86_400 + time }

    private func daysSince1970(in year: Int) -> Int {
        let firstOfYear = CivilDate(year: year, month: 1, day: 1).daysSince1970
        switch day {
        case .withoutLeapDay(let number): return firstOfYear + number - (CivilDate.isLeap(year) && number >= 60 ? 0 : 1)
        case .ofYear(let number): return firstOfYear + number
        case .ofWeek(let month, let week, let weekday):
            let first = CivilDate(year: year, month: month, day: 1).daysSince1970
            let wait = (weekday - CivilDate.weekday(daysSince1970: first) + 7) % 7
            let days = wait + (week - 1) * 7
            return first + (days < CivilDate.dayCount(ofMonth: month, in: year) ? days : days - 7)
        }
    }
}

// MARK: Reading

extension ZoneFooter {
    /// Reads a `TZ` string; `nil` for anything else, also for summer time without its two dates.
    init?(_ text: some Sequence<UInt8>) {
        var reader = Reader(rest: Array(text)[...])
        guard reader.skipName(), let behind = reader.time(hoursMax: 24) else { return nil }
        standardOffset = -behind
        guard !reader.rest.isEmpty else {
            summer = nil
            return
        }
        guard reader.skipName() else { return nil }
        let hasOffset = reader.rest.first != UInt8(ascii: ",")
        guard let summerBehind = hasOffset ? reader.time(hoursMax: 24) : behind - 3600, let start = reader.change(),
            let end = reader.change(), reader.rest.isEmpty
        else { return nil }
        summer = Summer(offset: -summerBehind, start: start, end: end)
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard rest.first == UInt8(ascii: character) else { return false }
            rest = rest.dropFirst()
            return true
        }

        /// Three letters or more, or anything of letters, digits and signs in `<>`.
        mutating func skipName() -> Bool {
            let isQuoted = skip("<")
            let name = rest.prefix { isLetter($0) || isQuoted && (isDigit($0) || $0 == 0x2b || $0 == 0x2d) }
            rest = rest[name.endIndex...]
            return name.count >= 3 && (!isQuoted || skip(">"))
        }

        mutating func number(in range: ClosedRange<Int>) -> Int? {
            let digits = rest.prefix { isDigit($0) }
            guard digits.count <= 3, let number = shortNumber(digits), range.contains(number) else { return nil }
            rest = rest[digits.endIndex...]
            return number
        }

        /// `hh[:mm[:ss]]` with an optional sign, in seconds.
        mutating func time(hoursMax: Int) -> Int? {
            let isNegative = skip("-")
            if !isNegative { _ = skip("+") }
            guard let hours = number(in: 0...hoursMax) else { return nil }
            var seconds = hours * 3600
            for unit in [60, 1] where skip(":") {
                guard let part = number(in: 0...59) else { return nil }
                seconds += part * unit
            }
            return isNegative ? -seconds : seconds
        }

        /// `,day[/time]`; the time is two o'clock when it is not said.
        mutating func change() -> Change? {
            guard skip(","), let day = day(), let time = skip("/") ? time(hoursMax: 167) : 7200 else { return nil }
            return Change(day: day, time: time)
        }

        private mutating func day() -> Day? {
            if skip("J") { return number(in: 1...365).map { .withoutLeapDay($0) } }
            guard skip("M") else { return number(in: 0...365).map { .ofYear($0) } }
            guard let month = number(in: 1...12), skip("."), let week = number(in: 1...5), skip("."),
                let weekday = number(in: 0...6)
            else { return nil }
            return .ofWeek(month: month, week: week, weekday: weekday)
        }
    }
}
