/// A time on a clock of 24 hours, to the minute: `09:30`.
public struct TimeOfDay: Hashable, Sendable, CustomStringConvertible {
    /// 0 to 23.
    public let hour: Int
    /// 0 to 59.
    public let minute: Int

    /// - Returns: `nil` when there is no such time.
    public init?(hour: Int, minute: Int) {
        guard (0...23).contains(hour), (0...59).contains(minute) else { return nil }
        self.hour = hour
        self.minute = minute
    }

    /// Reads `hh:mm` or `h:mm`; `nil` for anything else.
    public init?(_ text: some Sequence<UInt8>) {
        let halves = Array(text).split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, halves[0].count <= 2, halves[1].count == 2, let hour = shortNumber(halves[0]),
            let minute = shortNumber(halves[1])
        else { return nil }
        self.init(hour: hour, minute: minute)
    }

    public var description: String { "\(padded(hour, to: 2)):\(padded(minute, to: 2))" }
}
