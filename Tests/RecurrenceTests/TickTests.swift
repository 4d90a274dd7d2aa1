import Recurrence
import TQModel
import Testing

@Suite("What is due, and when")
struct TickTests {
    /// The next ticks of a text, as texts of its zone's clocks would hide which of two equal ones is meant: in UTC.
    private static func upcoming(_ text: String, after start: String, count: Int) throws -> [String] {
        let recurrence = try recurrence(text)
        let rules = recurrence.zone == .utc ? .utc : try #require(Fixtures.zones["\(recurrence.zone)"])
        return try recurrence.upcoming(after: instant(start), count: count, in: rules).map { tick in
            String(try Recurrence(.once(at: tick)).description.dropFirst("at:".count))
        }
    }

    @Test("What is due once is due once")
    func once() throws {
        let at = try instant("2026-11-21T09:00Z")
        let recurrence = try Recurrence(.once(at: at))
        #expect(recurrence.next(after: 0, in: .utc) == at)
        #expect(recurrence.next(after: at - 1, in: .utc) == at)
        #expect(recurrence.next(after: at, in: .utc) == nil)
    }

    @Test("An interval counts from its first instant, however late somebody asks")
    func interval() throws {
        let recurrence = try Recurrence(.every(milliseconds: 250, from: 1_000_100))
        #expect(recurrence.upcoming(after: 0, count: 3, in: .utc) == [1_000_100, 1_000_350, 1_000_600])
        #expect(recurrence.next(after: 1_000_100, in: .utc) == 1_000_350)
        #expect(recurrence.next(after: 1_000_349, in: .utc) == 1_000_350)
        #expect(recurrence.next(after: 2_000_000, in: .utc) == 2_000_100)
    }

    @Test("A day and a week are those of the zone")
    func calendar() throws {
        #expect(
            try Self.upcoming("daily:09:00 Asia/Kolkata", after: "2026-01-01T03:30Z", count: 2)
                == ["2026-01-02T03:30:00Z", "2026-01-03T03:30:00Z"]
        )
        #expect(
            try Self.upcoming("weekly:MON,FRI 00:30 Asia/Kolkata", after: "2026-01-01T00:00Z", count: 3)
                == ["2026-01-01T19:00:00Z", "2026-01-04T19:00:00Z", "2026-01-08T19:00:00Z"]
        )
    }

    // MARK: Changes of the clock; docs/schedules.md has the same examples.

    @Test(
        "A fixed time that a jump skips is due at once after it",
        arguments: [
            ("daily:02:30 Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
            ("weekly:SUN 02:00 Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00:00Z", "2026-04-05T00:00:00Z"]),
            // Two skipped times and the one after the jump are one instant.
            (
                "cron:0,30 2,3 * * * Europe/Berlin", "2026-03-29T00:30Z",
                ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
            ),
            ("daily:02:30 America/New_York", "2026-03-07T12:00Z", ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]),
            ("daily:02:15 Australia/Lord_Howe", "2026-10-03T00:00Z", ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]),
            ("daily:02:30 Antarctica/Troll", "2026-03-28T12:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
            // Midnight itself is skipped; the tick still belongs to that day.
            ("daily:00:00 America/Sao_Paulo", "2018-11-03T12:00Z", ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]),
            (
                "cron:30 0 4 * * America/Sao_Paulo", "2018-11-03T12:00Z",
                ["2018-11-04T03:00:00Z", "2018-12-04T02:30:00Z"]
            ),
        ]
    )
    func skipped(text: String, start: String, ticks: [String]) throws {
        #expect(try Self.upcoming(text, after: start, count: ticks.count) == ticks)
    }

    @Test(
        "A fixed time that a step back repeats is due the first time only",
        arguments: [
            ("daily:02:30 Europe/Berlin", "2026-10-24T12:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
            ("daily:01:30 America/New_York", "2026-10-31T12:00Z", ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]),
            ("daily:01:45 Australia/Lord_Howe", "2026-04-04T00:00Z", ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]),
            ("daily:23:30 America/Sao_Paulo", "2018-02-17T12:00Z", ["2018-02-18T01:30:00Z", "2018-02-19T02:30:00Z"]),
        ]
    )
    func repeated(text: String, start: String, ticks: [String]) throws {
        #expect(try Self.upcoming(text, after: start, count: ticks.count) == ticks)
    }

    @Test("Asked within the repeated hour, a fixed time waits for the next day")
    func askedWithin() throws {
        let ticks = try Self.upcoming("daily:02:30 Europe/Berlin", after: "2026-10-25T01:10Z", count: 1)
        #expect(ticks == ["2026-10-26T01:30:00Z"])
    }

    @Test(
        "A line with wildcards is due whenever local clocks show its minute",
        arguments: [
            (
                "cron:*/30 * * * * Europe/Berlin", "2026-03-29T00:00Z",
                ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
            ),
            ("cron:*/30 2 * * * Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-30T00:00:00Z"]),
            (
                "cron:*/30 2 * * * Europe/Berlin", "2026-10-24T12:00Z",
                ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
            ),
            (
                "cron:@hourly Australia/Lord_Howe", "2026-04-04T13:30Z",
                ["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"]
            ),
            (
                "cron:45 * * * * Australia/Lord_Howe", "2026-04-04T14:00Z",
                ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T16:15:00Z"]
            ),
        ]
    )
    func wildcards(text: String, start: String, ticks: [String]) throws {
        #expect(try Self.upcoming(text, after: start, count: ticks.count) == ticks)
    }

    @Test(
        "A change of three hours or more is a correction: nothing is made up for, and what is repeated is due again",
        arguments: [
            ("daily:09:00 Pacific/Apia", "2011-12-28T20:00Z", ["2011-12-29T19:00:00Z", "2011-12-30T19:00:00Z"]),
            ("daily:01:00 Antarctica/Casey", "2018-03-10T00:00Z", ["2018-03-10T14:00:00Z", "2018-03-10T17:00:00Z"]),
            ("daily:05:00 Antarctica/Casey", "2018-10-05T00:00Z", ["2018-10-05T21:00:00Z", "2018-10-07T18:00:00Z"]),
        ]
    )
    func corrections(text: String, start: String, ticks: [String]) throws {
        #expect(try Self.upcoming(text, after: start, count: ticks.count) == ticks)
    }

    // MARK: Several ticks at once

    @Test("Missed ticks are walked from either end, and counted, with a bound")
    func missed() throws {
        let start = try instant("2026-01-01T00:00Z")
        let end = try instant("2026-01-03T00:00Z")
        for (text, count) in [
            ("every:1h", 48), ("cron:0 * * * *", 48), ("daily:12:00", 2), ("at:2026-01-02T00:00Z", 1),
        ] {
            let recurrence = try recurrence(text)
            let all = recurrence.ticks(after: start, through: end, countMax: .max, in: .utc)
            #expect(all.count == count && all.allSatisfy { $0 > start && $0 <= end }, "\(text)")
            for countMax in [-1, 0, 1, 2, 5, 47, 48, 1000] {
                let expected = max(countMax, 0)
                #expect(
                    recurrence.ticks(after: start, through: end, countMax: countMax, in: .utc)
                        == Array(all.prefix(expected))
                )
                #expect(
                    recurrence.latestTicks(after: start, through: end, countMax: countMax, in: .utc)
                        == Array(all.suffix(expected))
                )
                #expect(
                    recurrence.tickCount(after: start, through: end, countMax: countMax, in: .utc)
                        == min(expected, count)
                )
            }
            #expect(recurrence.latestTicks(after: end, through: start, countMax: 3, in: .utc).isEmpty)
            #expect(recurrence.tickCount(after: end, through: start, countMax: 3, in: .utc) == 0)
        }
        let every = try recurrence("every:1ms")
        #expect(every.tickCount(after: 0, through: .max, countMax: .max, in: .utc) == Int(Recurrence.millisecondsMax))
        #expect(
            every.latestTicks(after: 0, through: .max, countMax: 2, in: .utc)
                == [Recurrence.millisecondsMax - 1, Recurrence.millisecondsMax]
        )
    }

    @Test("The last of a million missed ticks is found without walking them")
    func latest() throws {
        let recurrence = try recurrence("cron:* * * * * America/New_York")
        let rules = try #require(Fixtures.zones["America/New_York"])
        let end = try instant("2026-11-01T12:00:30Z")
        #expect(
            recurrence.latestTicks(after: 0, through: end, countMax: 2, in: rules)
                == [try instant("2026-11-01T11:59Z"), try instant("2026-11-01T12:00Z")]
        )
    }
}
