/// Instants as text by RFC 3339: `2026-03-29T01:00:00Z`, `2026-03-29T03:00:00.250+02:00`; seconds may be left out.
enum InstantText {
    /// The last millisecond of the year 9999, in milliseconds since 1970.
    static let millisecondsMax: UInt64 = 253_402_300_799_999

    /// Always in UTC, with milliseconds where there are any; the shortest text that reads as the same instant.
    static func text(milliseconds: UInt64) -> String {
        let (seconds, fraction) = Int(clamping: milliseconds).quotientAndRemainder(dividingBy: 1000)
        let date = CivilDate(daysSince1970: seconds / 86_400)
        let time = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map { padded($0, to: 2) }
        return "\(padded(date.year, to: 4))-\(padded(date.month, to: 2))-\(padded(date.day, to: 2))T"
            + time.joined(separator: ":") + (fraction > 0 ? "." + padded(fraction, to: 3) : "") + "Z"
    }

    /// Reads a date, `T`, a time and a zone.
    ///
    /// - Returns: Milliseconds since 1970, at most ``millisecondsMax``; `nil` for anything else.
    static func milliseconds(_ bytes: [UInt8]) -> UInt64? {
        var rest = bytes[...]
        guard let year = number(4, from: &rest), skip("-", &rest), let month = number(2, from: &rest), skip("-", &rest),
            let day = number(2, from: &rest), skip("T", &rest) || skip("t", &rest),
            let hour = number(2, from: &rest), skip(":", &rest), let minute = number(2, from: &rest),
            let second = skip(":", &rest) ? number(2, from: &rest) : 0,
            let fraction = skip(".", &rest) ? thousandths(from: &rest) : 0,
            let offset = offsetMinutes(from: &rest), rest.isEmpty,
            (1...12).contains(month), (1...CivilDate.dayCount(ofMonth: month, in: year)).contains(day),
            hour < 24, minute < 60, second < 60
        else { return nil }
        let days = CivilDate(year: year, month: month, day: day).daysSince1970
        let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
        guard let instant = UInt64(exactly: seconds * 1000 + fraction), instant <= millisecondsMax else { return nil }
        return instant
    }

    private static func number(_ count: Int, from rest: inout ArraySlice<UInt8>) -> Int? {
        guard rest.count >= count, let number = shortNumber(rest.prefix(count)) else { return nil }
        rest = rest.dropFirst(count)
        return number
    }

    private static func skip(_ character: Unicode.Scalar, _ rest: inout ArraySlice<UInt8>) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// One to three digits behind the point.
    private static func thousandths(from rest: inout ArraySlice<UInt8>) -> Int? {
        let digits = rest.prefix { isDigit($0) }
        guard digits.count <= 3, let number = shortNumber(digits) else { return nil }
        rest = rest[digits.endIndex...]
        return [100, 10, 1][digits.count - 1] * number
    }

    /// `Z`, or how far the clock is before UTC.
    private static func offsetMinutes(from rest: inout ArraySlice<UInt8>) -> Int? {
        if skip("Z", &rest) || skip("z", &rest) { return 0 }
        let isBehind = skip("-", &rest)
        guard isBehind || skip("+", &rest), let hours = number(2, from: &rest), skip(":", &rest),
            let minutes = number(2, from: &rest), hours < 24, minutes < 60
        else { return nil }
        return (isBehind ? -1 : 1) * (hours * 60 + minutes)
    }
}
