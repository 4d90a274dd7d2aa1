import Recurrence
import TQModel

extension FuzzTarget {
    /// What a user or a file says about when a task is due.
    static let recurrence = FuzzTarget(
        name: "recurrence",
        summary: "recurrences as text, and their ticks; the first eight bytes are an instant",
        seeds: {
            [
                "at:2026-11-21T09:00:00.5+01:00", "every:1h30m from 2026-01-01T00:00:00Z", "daily:09:00 UTC",
                "weekly:MON,FRI-SUN 09:00 Europe/Berlin", "cron:*/5 8-17/2 1,15 JAN-JUN MON-FRI Etc/GMT+5",
                "cron:@weekly", "cron:*/7,3 0 29 2 */7 UTC",
            ].map { [0, 0, 1, 0x9a, 0, 0, 0, 0] + Array($0.utf8) }
        },
        run: { bytes in
            var input = ByteCursor(bytes)
            let instant: UInt64 = input.number()
            guard let recurrence = try? Recurrence(input.remaining()) else { return }
            let text = recurrence.description
            expectEqual(try? Recurrence(text.utf8), recurrence, "\(text) is read as another recurrence.")
            Ticks.check(recurrence, after: instant, in: .utc)
        }
    )

    /// A file of a time zone, and what is due by its clocks.
    static let zone = FuzzTarget(
        name: "zone",
        summary: "files of time zones, and what is due there; the first eight bytes are an instant",
        seeds: {
            let instant: [UInt8] = [0, 0, 1, 0x9a, 0, 0, 0, 0]
            let files = try Inputs.text("Tests/Fixtures/zones.txt").split(separator: "\n")
                .compactMap { $0.split(separator: " ").last }.map { try Inputs.bytes(ofHex: $0) }
            // The smaller ones: the search is faster, and all of them have the same parts.
            return files.filter { $0.count < 1000 }.map { instant + $0 }
        },
        run: { bytes in
            var input = ByteCursor(bytes)
            let instant: UInt64 = input.number()
            guard let rules = try? ZoneRules(file: input.remaining(), of: .utc) else { return }
            let second = Int(truncatingIfNeeded: instant) >> 8
            let offset = rules.offset(at: second)
            expect(abs(offset) < 26 * 3600, "Clocks are \(offset) seconds before UTC.")
            let instants = rules.instants(atLocal: second + offset)
            expect(instants.contains(second), "The local time of \(second) is not at that instant, but at \(instants)")
            for text in ["daily:02:30", "cron:* 2 * * SUN", "cron:0 0 29 2 *"] {
                guard let recurrence = try? Recurrence(text.utf8) else { fatalError("\(text) is refused") }
                Ticks.check(recurrence, after: instant, in: rules)
            }
        }
    )
}

private enum Ticks {
    static func check(_ recurrence: Recurrence, after instant: UInt64, in rules: ZoneRules) {
        let ticks = recurrence.upcoming(after: instant, count: 8, in: rules)
        for (tick, following) in zip([instant] + ticks, ticks) {
            expect(tick < following, "\(recurrence) goes from \(tick) to \(following)")
            let middle = tick + (following - tick) / 2
            expectEqual(recurrence.next(after: middle, in: rules), following, "\(recurrence) depends on who asks")
        }
        guard let last = ticks.last else { return }
        expectEqual(
            recurrence.latestTicks(after: instant, through: last, countMax: 3, in: rules),
            Array(ticks.suffix(3)),
            "The last ticks of \(recurrence) are others from the end."
        )
    }
}
