public import TQModel

/// | text | due |
/// |---|---|
/// | `at:2026-11-21T09:00:00Z` | once |
/// | `every:15m from 2026-01-01T00:00:00Z` | at that instant and every 15 minutes after it |
/// | `daily:09:00 Europe/Berlin` | every day at nine |
/// | `weekly:MON,FRI 09:00 Europe/Berlin` | on two days of each week |
/// | `cron:*/5 8-17 * * MON-FRI Europe/Berlin` | as a crontab would say it |
///
/// Without `from`, an interval counts from 1970, so that `every:15m` is due at each quarter of an hour; without a zone,
/// clocks are those of UTC.
extension Recurrence: CustomStringConvertible {
    /// The recurrence with everything that it says; reads as the same one.
    public var description: String {
        switch rule {
        case .once(let instant): "at:\(InstantText.text(milliseconds: instant))"
        case .every(let interval, let first):
            "every:\(DurationText.text(milliseconds: interval)) from \(InstantText.text(milliseconds: first))"
        case .daily(let time): "daily:\(time) \(zone)"
        case .weekly(let days, let time): "weekly:\(days) \(time) \(zone)"
        case .cron(let line): "cron:\(line) \(zone)"
        }
    }

    /// The most bytes of a recurrence's text.
    public static let textBytesMax = Limits.nameBytesMax

    /// Reads a recurrence.
    ///
    /// - Throws: `invalidArgument` with the part that cannot be read, and what is allowed.
    public init(_ text: some Sequence<UInt8>) throws(TQError) {
        let bytes = Array(text)
        guard bytes.count <= Self.textBytesMax else {
            throw TQError(
                .invalidArgument,
                "A recurrence of \(bytes.count) bytes is over the limit of \(Self.textBytesMax). Use ranges and steps."
            )
        }
        let halves = bytes.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        var parts = Parts(words: halves.count == 2 ? words(halves[1]) : [], text: bytes)
        switch String(decoding: halves[0], as: UTF8.self) {
        case "at": self = try parts.once()
        case "every": self = try parts.every()
        case "daily": self = try parts.daily()
        case "weekly": self = try parts.weekly()
        case "cron": self = try parts.cron()
        default: throw parts.wrong("it begins with \(quoted(halves[0])); use at:, every:, daily:, weekly: or cron:")
        }
        guard description.utf8.count <= Self.textBytesMax else {
            throw parts.wrong("written out it is over the limit of \(Self.textBytesMax) bytes; use ranges and steps")
        }
    }
}

/// The words behind the kind, each taken once.
private struct Parts {
    private var words: ArraySlice<[UInt8]>
    private let text: [UInt8]

    init(words: [[UInt8]], text: [UInt8]) {
        self.words = words[...]
        self.text = text
    }

    func wrong(_ clause: String) -> TQError {
        TQError(.invalidArgument, "The recurrence \(quoted(text)) is not one: \(clause).")
    }

    mutating func once() throws(TQError) -> Recurrence {
        let instant = try instant()
        try end()
        return try Recurrence(.once(at: instant))
    }

    mutating func every() throws(TQError) -> Recurrence {
        let word = words.popFirst() ?? []
        guard let interval = DurationText.milliseconds(word), interval > 0 else {
            throw wrong("\(quoted(word)) is no interval; use one such as 30s, 15m or 1h30m, at most 366d")
        }
        var first: UInt64 = 0
        if let word = words.popFirst() {
            guard word.elementsEqual("from".utf8) else {
                throw wrong("\(quoted(word)) does not belong there; use from and an instant, or nothing")
            }
            first = try instant()
        }
        try end()
        return try Recurrence(.every(milliseconds: interval, from: first))
    }

    mutating func daily() throws(TQError) -> Recurrence {
        let time = try time()
        return try Recurrence(.daily(time), zone: try zone())
    }

    mutating func weekly() throws(TQError) -> Recurrence {
        let days = try days()
        let time = try time()
        return try Recurrence(.weekly(days, time), zone: try zone())
    }

    mutating func cron() throws(TQError) -> Recurrence {
        let count = words.first?.first == UInt8(ascii: "@") ? 1 : 5
        let line = try CronLine(words.prefix(count).joined(separator: " ".utf8))
        words = words.dropFirst(count)
        do throws(TQError) {
            return try Recurrence(.cron(line), zone: try zone())
        } catch {
            // Who writes seconds, or a year, has the rest of the line read as a zone.
            throw TQError(error.code, error.message + " A cron line has five fields; the zone stands behind them.")
        }
    }

    private mutating func instant() throws(TQError) -> UInt64 {
        let word = words.popFirst() ?? []
        guard let instant = InstantText.milliseconds(word) else {
            throw wrong("\(quoted(word)) is no instant from 1970 to 9999; use one such as 2026-11-21T09:00:00Z")
        }
        return instant
    }

    private mutating func time() throws(TQError) -> TimeOfDay {
        let word = words.popFirst() ?? []
        guard let time = TimeOfDay(word) else { throw wrong("\(quoted(word)) is no time; use 00:00 to 23:59") }
        return time
    }

    /// As in a cron line, but for stars.
    private mutating func days() throws(TQError) -> Weekdays {
        let word = words.popFirst() ?? []
        guard !word.contains(UInt8(ascii: "*")) else { throw wrong("\(quoted(word)) is no list of days; use daily:") }
        do throws(CronField.Problem) {
            return Weekdays(rawValue: UInt8(try CronField(word, at: .dayOfWeek).values))
        } catch {
            throw wrong(error.clause)
        }
    }

    private mutating func zone() throws(TQError) -> ZoneName {
        guard let word = words.popFirst() else { return .utc }
        let name = try ZoneName(word)
        try end()
        return name
    }

    private func end() throws(TQError) {
        guard let word = words.first else { return }
        throw wrong("\(quoted(word)) does not belong there")
    }
}
