public import ArgumentParser
import TQModel

/// A span of time on the command line: `250ms`, `30s`, `5m`, `1h30m`, `7d`; a bare number is seconds.
public struct DurationArgument: ExpressibleByArgument, Hashable, Sendable, CustomStringConvertible {
    /// The span, at most ``Limits/durationMillisecondsMax``.
    public let milliseconds: UInt64

    /// Creates the span of that many milliseconds.
    public init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    /// Reads what ``DurationText`` reads; `nil` for anything else.
    public init?(argument text: String) {
        guard let milliseconds = DurationText.milliseconds(text.utf8) else { return nil }
        self.init(milliseconds: milliseconds)
    }

    /// The two largest units that say something, such as `1h30m`, `2d`, `1.5s`, `250ms`.
    public var description: String {
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        if milliseconds < 60_000, milliseconds % 1000 != 0 {
            return "\(milliseconds / 1000).\(milliseconds % 1000 / 100)s"
        }
        var rest = milliseconds
        var parts: [String] = []
        for unit in DurationText.units where unit.name != "ms" && rest >= unit.milliseconds && parts.count < 2 {
            parts.append("\(rest / unit.milliseconds)\(unit.name)")
            rest %= unit.milliseconds
        }
        return parts.joined()
    }
}

/// A time in relation to now, for people: `3m ago`, `in 5s`, `now`.
public func relativeTime(wallMilliseconds: UInt64, now: UInt64) -> String {
    let distance = wallMilliseconds > now ? wallMilliseconds - now : now - wallMilliseconds
    if distance < 1000 { return "now" }
    let span = DurationArgument(milliseconds: distance - distance % 1000)
    return wallMilliseconds > now ? "in \(span)" : "\(span) ago"
}
