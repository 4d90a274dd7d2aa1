/// Spans of time as text, the same in every API: `250ms`, `30s`, `5m`, `1h30m`, `7d`; a bare number is seconds.
public enum DurationText {
    /// Reads numbers with units, the larger units first.
    ///
    /// - Returns: Milliseconds, at most ``Limits/durationMillisecondsMax``; `nil` for anything else.
    public static func milliseconds(_ text: some Sequence<UInt8>) -> UInt64? {
        var rest = Array(text)[...]
        guard !rest.isEmpty else { return nil }
        var sum: UInt64 = 0
        var units = units[...]
        while !rest.isEmpty {
            let digits = rest.prefix { isDigit($0) }
            let name = rest[digits.endIndex...].prefix { !isDigit($0) }
            rest = rest[name.endIndex...]
            let isBare = name.isEmpty && digits.startIndex == 0
            let position = isBare ? secondsPosition : units.firstIndex { name.elementsEqual($0.name.utf8) }
            guard let position, let number = decimal(digits), number <= Limits.durationMillisecondsMax else {
                return nil
            }
            sum += number * Self.units[position].milliseconds
            guard sum <= Limits.durationMillisecondsMax else { return nil }
            units = Self.units[(position + 1)...]
        }
        return sum
    }

    /// The shortest text that reads as that many milliseconds: `1h30m`, `1s500ms`, `0s`.
    public static func text(milliseconds: UInt64) -> String {
        var rest = milliseconds
        var text = ""
        for unit in units where rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text.isEmpty ? "0s" : text
    }

    /// A number of at most 18 digits, so that nothing overflows.
    static func decimal(_ digits: some Collection<UInt8>) -> UInt64? {
        guard !digits.isEmpty, digits.count <= 18, digits.allSatisfy({ isDigit($0) }) else { return nil }
        return digits.reduce(0) { $0 * 10 + UInt64($1 - UInt8(ascii: "0")) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    /// Largest first.
    public static let units: [(name: String, milliseconds: UInt64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]
    private static let secondsPosition = 3
}
