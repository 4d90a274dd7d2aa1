public import ArgumentParser

/// A point in time on the command line by RFC 3339: `2026-11-21T04:34:56Z`, `2026-11-21T06:34:56.5+02:00`.
public struct TimestampArgument: ExpressibleByArgument, Hashable, Sendable {
    /// Milliseconds since 1970.
    public let wallMilliseconds: UInt64

    /// Reads a date, `T` or a blank, a time with or without a fraction, and a zone; `nil` for anything else.
    public init?(argument text: String) {
        let pattern = /(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)/
            .asciiOnlyDigits()
        guard let match = text.wholeMatch(of: pattern), let year = Int(match.1), let month = Int(match.2),
            let day = Int(match.3), let hour = Int(match.4), let minute = Int(match.5), let second = Int(match.6),
            (1...12).contains(month), (1...daysInMonth(month, of: year)).contains(day),
            hour < 24, minute < 60, second < 60, let zone = Self.zoneMinutes(match.8),
            let fraction = Int((match.7 ?? "0").prefix(3).appending(zerosTo: 3))
        else { return nil }
        let minutes = (daysSince1970(year: year, month: month, day: day) * 24 + hour) * 60 + minute - zone
        guard let milliseconds = UInt64(exactly: (minutes * 60 + second) * 1000 + fraction) else { return nil }
        self.wallMilliseconds = milliseconds
    }

    private static func zoneMinutes(_ text: Substring) -> Int? {
        if text.count == 1 { return 0 }
        let parts = text.dropFirst().split(separator: ":").compactMap { Int($0) }
        guard parts.count == 2, parts[0] < 24, parts[1] < 60 else { return nil }
        return (text.first == "-" ? -1 : 1) * (parts[0] * 60 + parts[1])
    }
}

extension Substring {
    fileprivate func appending(zerosTo count: Int) -> String {
        self + String(repeating: "0", count: Swift.max(0, count - self.count))
    }
}

private func daysInMonth(_ month: Int, of year: Int) -> Int {
    switch month {
    case 2: year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400)) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
}

/// Counts in eras of 400 years whose years begin in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
private func daysSince1970(year: Int, month: Int, day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
}
