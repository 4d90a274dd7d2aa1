public import TQModel

/// When a recurring task is due: a rule, and the time zone whose clocks it means.
///
/// The value is pure: it reads no clock and no file. Instants are milliseconds of wall time since 1970; whoever asks
/// hands over what the zone's file says (``ZoneRules``), so that a new edition of that file needs no new schedule.
/// Nothing is ever due after the year 9999. docs/schedules.md has the grammar of the texts and what happens when clocks
/// are changed.
public struct Recurrence: Hashable, Sendable {
    /// What makes it due.
    public let rule: Rule
    /// Whose clocks the rule means; UTC for a rule that means none.
    public let zone: ZoneName

    /// What makes a task due.
    public enum Rule: Hashable, Sendable {
        /// Once, in milliseconds since 1970.
        case once(at: UInt64)
        /// Every so many milliseconds from an instant on, that one included; clocks and zones do not matter.
        case every(milliseconds: UInt64, from: UInt64)
        /// Once a day.
        case daily(TimeOfDay)
        /// Once on each of these days.
        case weekly(Weekdays, TimeOfDay)
        /// In each minute that the line matches.
        case cron(CronLine)
    }

    /// The latest instant of a schedule: the end of the year 9999, in milliseconds since 1970.
    public static let millisecondsMax = InstantText.millisecondsMax

    /// Checks a rule.
    ///
    /// - Throws: `invalidArgument` for an interval of 0 or over ``Limits/durationMillisecondsMax``, an instant after
    ///   ``millisecondsMax``, no day of the week, or a zone for a rule that has no use for it.
    public init(_ rule: Rule, zone: ZoneName = .utc) throws(TQError) {
        func wrong(_ clause: String) -> TQError { TQError(.invalidArgument, "The recurrence is not one: \(clause).") }
        switch rule {
        case .once(let instant), .every(_, from: let instant):
            guard instant <= Self.millisecondsMax else { throw wrong("\(instant) ms is after the year 9999") }
            guard zone == .utc else { throw wrong("the zone '\(zone)' says nothing to a rule without a time of day") }
        case .weekly(let days, _): guard !days.isEmpty else { throw wrong("it has no day of the week") }
        case .daily, .cron: break
        }
        if case .every(let interval, _) = rule, !(1...Limits.durationMillisecondsMax).contains(interval) {
            throw wrong("an interval of \(interval) ms is not 1 ms to 366d")
        }
        self.rule = rule
        self.zone = zone
    }

    /// The cron line that means the same; `nil` for a rule without a time of day.
    private var line: CronLine? {
        switch rule {
        case .once, .every: nil
        case .daily(let time): CronLine(at: time, on: CronField(values: 0x7f, isStar: true))
        case .weekly(let days, let time): CronLine(at: time, on: days.field)
        case .cron(let line): line
        }
    }
}

// MARK: Ticks

/// Ticks are instants, each due once.
///
/// Whoever was away from one instant to another has missed the ticks between them, and may leave them out, make up for
/// the last of them or for the last few (``latestTicks(after:through:countMax:in:)``), or for all in their order up to a
/// bound (``ticks(after:through:countMax:in:)``).
extension Recurrence {
    /// The first tick after an instant, that instant itself not included.
    ///
    /// - Parameters:
    ///   - instant: In milliseconds since 1970.
    ///   - rules: What the file of ``zone`` says.
    /// - Returns: In milliseconds since 1970; `nil` when there is none any more.
    public func next(after instant: UInt64, in rules: ZoneRules) -> UInt64? {
        guard instant < Self.millisecondsMax else { return nil }
        let next: UInt64?
        switch rule {
        case .once(let at): next = at > instant ? at : nil
        case .every(let interval, let first):
            next = first > instant ? first : instant - (instant - first) % interval + interval
        case .daily, .weekly, .cron:
            let second = line?.next(from: Int(instant / 1000) + 1, in: rules)
            next = second.map { UInt64($0) * 1000 }
        }
        return next.flatMap { $0 <= Self.millisecondsMax ? $0 : nil }
    }

    /// The first so many ticks after an instant; fewer when there are no more.
    public func upcoming(after instant: UInt64, count: Int, in rules: ZoneRules) -> [UInt64] {
        ticks(after: instant, through: Self.millisecondsMax, countMax: count, in: rules)
    }

    /// The ticks after one instant up to another, that one included: the first `countMax` of them, ascending.
    public func ticks(after start: UInt64, through end: UInt64, countMax: Int, in rules: ZoneRules) -> [UInt64] {
        var ticks: [UInt64] = []
        var instant = start
        while ticks.count < countMax, let next = next(after: instant, in: rules), next <= end {
            ticks.append(next)
            instant = next
        }
        return ticks
    }

    /// The ticks after one instant up to another, that one included: the last `countMax` of them, ascending.
    ///
    /// Takes about 40 times as long for each tick as ``next(after:in:)``, however many ticks come before them.
    public func latestTicks(after start: UInt64, through end: UInt64, countMax: Int, in rules: ZoneRules) -> [UInt64] {
        var ticks: [UInt64] = []
        var end = end
        while ticks.count < countMax, let latest = latest(after: start, through: end, in: rules) {
            ticks.append(latest)
            end = latest - 1
        }
        return ticks.reversed()
    }

    /// How many ticks there are after one instant up to another, that one included, at most `countMax`.
    public func tickCount(after start: UInt64, through end: UInt64, countMax: Int, in rules: ZoneRules) -> Int {
        guard let first = next(after: start, in: rules), first <= end, countMax > 0 else { return 0 }
        if case .every(let interval, _) = rule {
            return Int(clamping: min((min(end, Self.millisecondsMax) - first) / interval + 1, UInt64(countMax)))
        }
        var count = 1
        var instant = first
        while count < countMax, let next = next(after: instant, in: rules), next <= end {
            count += 1
            instant = next
        }
        return count
    }

    /// The last tick after one instant up to another, found by halving what lies behind a known one.
    private func latest(after start: UInt64, through end: UInt64, in rules: ZoneRules) -> UInt64? {
        guard var latest = next(after: start, in: rules), latest <= end else { return nil }
        // No tick lies behind this.
        var bound = min(end, Self.millisecondsMax)
        while latest < bound {
            let middle = latest + (bound - latest) / 2
            if let next = next(after: middle, in: rules), next <= bound { latest = next } else { bound = middle }
        }
        return latest
    }
}
