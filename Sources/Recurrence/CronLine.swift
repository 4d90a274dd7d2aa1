public import TQModel

/// Five fields that say in which minutes of a local calendar something runs, as in a crontab of Vixie's or Debian's cron.
///
/// The fields are minute (0-59), hour (0-23), day of month (1-31), month (1-12 or JAN-DEC) and day of week (0-7 or
/// SUN-SAT, both 0 and 7 are Sunday). Each is a list of values, ranges `a-b` and `*`, the last two with an optional
/// step: `*/5`, `10-40/3`. `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and `@yearly` (`@annually`) stand
/// for whole lines. Where crons differ:
///
/// - When both fields of days are restricted, a day that matches one of them is enough. A field that begins with `*`
///   is not restricted, so with `*/2` in one of them a day must match both.
/// - `5/10` is refused: some read it as `5`, others as `5-59/10`.
/// - A range runs upwards; only a week may end on Sunday: `FRI-SUN`.
/// - A step is at most the field's highest value, and a line that can never match is refused.
public struct CronLine: Hashable, Sendable {
    let minute: CronField
    let hour: CronField
    let dayOfMonth: CronField
    let month: CronField
    let dayOfWeek: CronField

    /// Whether it runs at times of the day, not in every so many minutes or hours.
    ///
    /// That is so when neither the minute nor the hour begins with `*`. Such a line is made up for when a change of the
    /// clock skips its time, and not repeated when one repeats it.
    public var isFixedTime: Bool { !minute.isStar && !hour.isStar }

    /// The line that matches once on each of these days.
    init(at time: TimeOfDay, on days: CronField) {
        minute = CronField(values: 1 << UInt64(time.minute), isStar: false)
        hour = CronField(values: 1 << UInt64(time.hour), isStar: false)
        dayOfMonth = CronField(values: 0xffff_fffe, isStar: true)
        month = CronField(values: 0x1ffe, isStar: true)
        dayOfWeek = days
    }
}

// MARK: Text

extension CronLine: CustomStringConvertible {
    private static let nicknames: [(name: String, line: String)] = [
        ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 1 *"),
    ]

    /// The line in the shortest of the usual forms; reads as the same line.
    public var description: String {
        zip([minute, hour, dayOfMonth, month, dayOfWeek], CronField.Place.all)
            .map { field, place in field.text(at: place) }.joined(separator: " ")
    }

    /// Reads a line; names in any case, fields with blanks or tabs between them.
    ///
    /// - Throws: `invalidArgument` with the field, what it says and what is allowed; also for a line that never matches.
    public init(_ text: some Sequence<UInt8>) throws(TQError) {
        let bytes = Array(text)
        guard bytes.count <= Limits.nameBytesMax else {
            throw TQError(
                .invalidArgument,
                "A cron line of \(bytes.count) bytes is over the limit of \(Limits.nameBytesMax). Use ranges and steps."
            )
        }
        func wrong(_ clause: String) -> TQError {
            TQError(.invalidArgument, "The cron line \(quoted(bytes)) is not one: \(clause).")
        }
        var fields = words(bytes)
        if fields.count == 1, fields[0].first == UInt8(ascii: "@") {
            let name = String(decoding: fields[0], as: UTF8.self).lowercased()
            guard let line = Self.nicknames.first(where: { $0.name == name })?.line else {
                let names = Self.nicknames.map(\.name).joined(separator: ", ")
                throw wrong("\(quoted(fields[0])) is no known name; use one of \(names)")
            }
            fields = words(line.utf8)
        }
        guard fields.count == 5 else {
            let order = CronField.Place.all.map(\.name).joined(separator: ", ")
            throw wrong("it has \(fields.count) fields; use 5: \(order)")
        }
        do throws(CronField.Problem) {
            minute = try CronField(fields[0], at: .minute)
            hour = try CronField(fields[1], at: .hour)
            dayOfMonth = try CronField(fields[2], at: .dayOfMonth)
            month = try CronField(fields[3], at: .month)
            dayOfWeek = try CronField(fields[4], at: .dayOfWeek)
        } catch {
            throw wrong(error.clause)
        }
        guard canMatch else {
            let days = "day of month \(quoted(fields[2])) is not in month \(quoted(fields[3]))"
            throw wrong("it never runs, because \(days); use days that the month has")
        }
    }

    /// Every date of the calendar falls on every day of the week in some year, so only the months' lengths matter.
    private var canMatch: Bool {
        if !dayOfMonth.isStar, !dayOfWeek.isStar { return true }
        return (1...12).contains { number in
            // A leap year.
            let days = CivilDate.dayCount(ofMonth: number, in: 2000)
            return month.values >> UInt64(number) & 1 == 1 && dayOfMonth.values & Self.below(days + 1) != 0
        }
    }
}

// MARK: Matching

extension CronLine {
    /// The first matching minute that does not begin before a local second.
    ///
    /// - Parameter second: Of the local calendar and clock, counted from 1970-01-01 00:00 there.
    /// - Returns: The second in which the minute begins; `nil` when there is none before the year 10000.
    func next(from second: Int) -> Int? {
        let (minutes, rest) = second.quotientAndRemainder(flooredBy: 60)
        let (days, minuteOfDay) = (rest > 0 ? minutes + 1 : minutes).quotientAndRemainder(flooredBy: 1440)
        let date = CivilDate(daysSince1970: days)
        if self.days(of: date.month, in: date.year) >> UInt64(date.day) & 1 == 1,
            let minute = self.minute(from: minuteOfDay)
        {
            return (days * 1440 + minute) * 60
        }
        guard let day = nextDay(after: date), let minute = self.minute(from: 0) else { return nil }
        return (day.daysSince1970 * 1440 + minute) * 60
    }

    /// The first matching minute of a day that is not before one.
    private func minute(from minuteOfDay: Int) -> Int? {
        let (hour, minute) = minuteOfDay.quotientAndRemainder(dividingBy: 60)
        if self.hour.values >> UInt64(hour) & 1 == 1, let minute = Self.lowest(of: self.minute.values, from: minute) {
            return hour * 60 + minute
        }
        guard let hour = Self.lowest(of: self.hour.values, from: hour + 1),
            let minute = Self.lowest(of: self.minute.values, from: 0)
        else { return nil }
        return hour * 60 + minute
    }

    /// Goes from month to month, at most to the end of the calendar.
    private func nextDay(after date: CivilDate) -> CivilDate? {
        var (year, month, after) = (date.year, date.month, date.day)
        while year <= CivilDate.yearMax {
            if let day = Self.lowest(of: days(of: month, in: year), from: after + 1) {
                return CivilDate(year: year, month: month, day: day)
            }
            (year, month, after) = (month == 12 ? year + 1 : year, month % 12 + 1, 0)
        }
        return nil
    }

    /// The days of a month that match: bit n stands for its n-th day.
    private func days(of number: Int, in year: Int) -> UInt64 {
        guard year <= CivilDate.yearMax, month.values >> UInt64(number) & 1 == 1 else { return 0 }
        let first = CivilDate(year: year, month: number, day: 1).daysSince1970
        // The week as it lies from the first day on, five times over.
        let weekday = UInt64(CivilDate.weekday(daysSince1970: first))
        let week = (dayOfWeek.values >> weekday | dayOfWeek.values << (7 - weekday)) & 0x7f
        let byWeek = week << 1 | week << 8 | week << 15 | week << 22 | week << 29
        let isEither = !dayOfMonth.isStar && !dayOfWeek.isStar
        let days = isEither ? dayOfMonth.values | byWeek : dayOfMonth.values & byWeek
        return days & Self.below(CivilDate.dayCount(ofMonth: number, in: year) + 1) & ~1
    }

    /// The lowest value that is not below another.
    private static func lowest(of values: UInt64, from low: Int) -> Int? {
        let rest = low < 64 ? values & ~below(low) : 0
        return rest == 0 ? nil : rest.trailingZeroBitCount
    }

    /// The bits of 0 to one below the end, which is at most 63.
    private static func below(_ end: Int) -> UInt64 { 1 << UInt64(end) - 1 }
}
