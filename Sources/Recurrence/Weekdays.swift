/// Days of the week; written as a list: `MON,WED-FRI`.
public struct Weekdays: OptionSet, Hashable, Sendable, CustomStringConvertible {
    /// Bit 0 is Sunday, bit 6 is Saturday.
    public let rawValue: UInt8

    /// The bits of no day are dropped.
    public init(rawValue: UInt8) { self.rawValue = rawValue & 0x7f }

    /// The first day of a cron's week.
    public static let sunday = Weekdays(rawValue: 1)
    /// The day after Sunday.
    public static let monday = Weekdays(rawValue: 1 << 1)
    /// The day after Monday.
    public static let tuesday = Weekdays(rawValue: 1 << 2)
    /// The day after Tuesday.
    public static let wednesday = Weekdays(rawValue: 1 << 3)
    /// The day after Wednesday.
    public static let thursday = Weekdays(rawValue: 1 << 4)
    /// The day after Thursday.
    public static let friday = Weekdays(rawValue: 1 << 5)
    /// The day after Friday.
    public static let saturday = Weekdays(rawValue: 1 << 6)

    /// From Monday to Sunday.
    public var description: String { field.text(at: .dayOfWeek) }

    /// The same days in a cron line.
    var field: CronField { CronField(values: UInt64(rawValue), isStar: false) }
}
