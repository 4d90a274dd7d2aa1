import ArgumentParser
import Testing

@testable import CommandLineSupport

@Suite("Arguments of the commands")
struct ArgumentTests {
    @Test(
        "a span of time is numbers with units, and a bare number is seconds",
        arguments: [
            ("250ms", 250), ("30s", 30_000), ("300", 300_000), ("5m", 300_000), ("1h30m", 5_400_000),
            ("7d", 604_800_000), ("1d2h3m4s5ms", 93_784_005), ("0", 0), ("366d", 31_622_400_000),
        ]
    )
    func durations(text: String, milliseconds: UInt64) {
        #expect(DurationArgument(argument: text)?.milliseconds == milliseconds)
    }

    @Test(
        "what is no span of time is refused",
        arguments: [
            "", "s", "5x", "-5s", "1.5s", "5m1h", "5s5s", "367d", "18446744073709551615", "99999999999999999999d",
            "5 s",
            "366d1ms", "٣s",
        ]
    )
    func noDurations(text: String) {
        #expect(DurationArgument(argument: text) == nil)
    }

    @Test(
        "a span of time is shown with its two largest units",
        arguments: [
            (0, "0ms"), (999, "999ms"), (1000, "1s"), (1500, "1.5s"), (60_000, "1m"), (90_500, "1m30s"),
            (5_400_000, "1h30m"), (86_400_000, "1d"), (93_784_005, "1d2h"),
        ]
    )
    func shownDurations(milliseconds: UInt64, text: String) {
        #expect(DurationArgument(milliseconds: milliseconds).description == text)
    }

    @Test("a time is shown in relation to now")
    func relative() {
        #expect(relativeTime(wallMilliseconds: 10_000, now: 10_999) == "now")
        #expect(relativeTime(wallMilliseconds: 10_000, now: 190_500) == "3m ago")
        #expect(relativeTime(wallMilliseconds: 15_000, now: 10_000) == "in 5s")
        #expect(relativeTime(wallMilliseconds: 0, now: .max).hasSuffix("ago"))
    }

    @Test(
        "a point in time follows RFC 3339",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T00:00:00.001Z", 951_782_400_001),
            ("2026-11-21T04:34:56.789Z", 1_795_235_696_789), ("2026-11-21 06:34:56.7891+02:00", 1_795_235_696_789),
            ("2026-11-20t23:34:56.789-05:00", 1_795_235_696_789), ("9999-12-31T23:59:59.999z", 253_402_300_799_999),
        ]
    )
    func timestamps(text: String, milliseconds: UInt64) {
        #expect(TimestampArgument(argument: text)?.wallMilliseconds == milliseconds)
    }

    @Test(
        "what is no point in time is refused",
        arguments: [
            "", "tomorrow", "2026-11-21", "2026-11-21T04:34:56", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00.Z", "٢٠٢٦-01-01T00:00:00Z",
        ]
    )
    func noTimestamps(text: String) {
        #expect(TimestampArgument(argument: text) == nil)
    }
}
