public import ArgumentParser
import TQModel

/// A span of time on the command line: `250ms`, `30s`, `5m`, `1h30m`, `7d`; a bare number is seconds.
public struct DurationArgument: ExpressibleByArgument, Hashable, Sendable, CustomStringConvertible {
    /// The span, at most ``Limits/durationMillisecondsMax``.
    public let milliseconds: UInt64

    /// Creates the span of that many milliseconds.
    public init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    /// Reads numbers with units, the larger units first; `nil` for anything else.
    public init?(argument text: String) {
        if let seconds = UInt64(text) {
            let (milliseconds, isOverflow) = seconds.multipliedReportingOverflow(by: 1000)
            guard !isOverflow, milliseconds <= Limits.durationMillisecondsMax else { return nil }
            self.init(milliseconds: milliseconds)
            return
        }
        var sum: UInt64 = 0
        var rest = text[...]
        var units = Self.units[...]
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            let afterDigits = rest.dropFirst(digits.count)
            let name = afterDigits.prefix { $0.isLetter }
            guard let number = UInt64(digits), let position = units.firstIndex(where: { $0.name == name }) else {
                return nil
            }
            let (part, isOverflow) = number.multipliedReportingOverflow(by: units[position].milliseconds)
            guard !isOverflow, part <= Limits.durationMillisecondsMax else { return nil }
            sum += part
            guard sum <= Limits.durationMillisecondsMax else { return nil }
            rest = afterDigits.dropFirst(name.count)
            units = units[(position + 1)...]
        }
        self.init(milliseconds: sum)
    }

    /// The two largest units that say something, such as `1h30m`, `2d`, `1.5s`, `250ms`.
    public var description: String {
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        if milliseconds < 60_000, milliseconds % 1000 != 0 {
            return "\(milliseconds / 1000).\(milliseconds % 1000 / 100)s"
        }
        var rest = milliseconds
        var parts: [String] = []
        for unit in Self.units where unit.name != "ms" && rest >= unit.milliseconds && parts.count < 2 {
            parts.append("\(rest / unit.milliseconds)\(unit.name)")
            rest %= unit.milliseconds
        }
        return parts.joined()
    }

    private static let units: [(name: String, milliseconds: UInt64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]
}

/// A time in relation to now, for people: `3m ago`, `in 5s`, `now`.
public func relativeTime(wallMilliseconds: UInt64, now: UInt64) -> String {
    let distance = wallMilliseconds > now ? wallMilliseconds - now : now - wallMilliseconds
    if distance < 1000 { return "now" }
    let span = DurationArgument(milliseconds: distance - distance % 1000)
    return wallMilliseconds > now ? "in \(span)" : "\(span) ago"
}
