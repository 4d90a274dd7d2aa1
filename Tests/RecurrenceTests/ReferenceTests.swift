import Recurrence
import TQModel
import Testing

/// The day since 1970.
private let newYear2018 = 17_532

/// The rule of Debian's cron as its loop follows it: minute by minute, with two clocks.
private struct SlowCron {
    private let fields: [Set<Int>]
    private let isDaysEither: Bool
    private let isFixedTime: Bool

    /// Reads lists of values, ranges and steps, as they are written in this file.
    init(_ line: String) {
        let words = line.split(separator: " ")
        let ranges = [0...59, 0...23, 1...31, 1...12, 0...6]
        fields = zip(words, ranges).map { word, range in
            Set(
                word.split(separator: ",").flatMap { part in
                    let halves = part.split(separator: "/")
                    let step = halves.count == 2 ? Int(halves[1]) ?? 1 : 1
                    let ends =
                        halves[0] == "*"
                        ? [range.lowerBound, range.upperBound] : halves[0].split(separator: "-").compactMap { Int($0) }
                    return Array(stride(from: ends[0], through: ends[ends.count - 1], by: step))
                }
            )
        }
        isDaysEither = !words[2].hasPrefix("*") && !words[4].hasPrefix("*")
        isFixedTime = !words[0].hasPrefix("*") && !words[1].hasPrefix("*")
    }

    /// Whether a local minute matches; the calendar is walked day by day, so that no arithmetic of dates is shared with
    /// what is tested.
    private func matches(_ minute: Int) -> Bool {
        guard fields[0].contains(minute % 60), fields[1].contains(minute / 60 % 24) else { return false }
        let day = minute / 1440
        let date = Self.calendar[day - newYear2018 + 2]
        let byMonth = fields[2].contains(date.day)
        let byWeek = fields[4].contains((day + 4) % 7)
        return fields[3].contains(date.month) && (isDaysEither ? byMonth || byWeek : byMonth && byWeek)
    }

    /// 2018, and the two days before it.
    private static let calendar: [(month: Int, day: Int)] = {
        var calendar = [(month: 12, day: 30), (month: 12, day: 31)]
        for (month, days) in [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
            calendar += (1...days).map { (month: month + 1, day: $0) }
        }
        return calendar
    }()

    /// The ticks from a minute on.
    ///
    /// - Parameter locals: What local clocks show in each minute, beginning with the one before the first.
    func ticks(from first: Int, locals: [Int]) -> [UInt64] {
        var ticks: [UInt64] = []
        var reached = locals[0]
        for (minute, local) in zip(first..., locals.dropFirst()) {
            let difference = local - reached
            // Normally 1.
            let isCorrection = abs(difference - 1) >= 180
            let isDue: Bool
            if !isFixedTime || isCorrection {
                isDue = matches(local)
            } else {
                isDue = difference > 0 && ((reached + 1)...local).contains { matches($0) }
            }
            if isDue { ticks.append(UInt64(minute) * 60_000) }
            if difference > 0 || isCorrection { reached = local }
        }
        return ticks
    }
}

@Suite("Recurrences against a cron that goes from minute to minute")
struct ReferenceTests {
    private static func randomField(_ low: Int, _ high: Int, using random: inout SplitMix64) -> String {
        let value = Int(random.next() % UInt64(high - low + 1)) + low
        let step = random.next() % 6 + 2
        switch random.next() % 6 {
        case 0, 1: return "*"
        case 2: return "*/\(step)"
        case 3: return "\(value)-\(high)/\(step)"
        case 4: return "\(low)-\(value)"
        default: return "\(value),\(low)"
        }
    }

    /// Often every day, so that the days on which clocks are changed are among them.
    private static func randomLine(using random: inout SplitMix64) -> String {
        let time = [(0, 59), (0, 4)].map { randomField($0, $1, using: &random) }
        let days = [(1, 28), (1, 12), (0, 6)].map { low, high in
            random.next() % 2 == 0 ? "*" : randomField(low, high, using: &random)
        }
        return (time + days).joined(separator: " ")
    }

    @Test("Random lines are due in the same minutes, with nothing left out and nothing twice")
    func randomLines() throws {
        var random = SplitMix64(seed: 2018)
        // The two parts of the year that have changes of the clock.
        for (zone, rules) in Fixtures.zones.sorted(by: { $0.key < $1.key }) {
            for days in [(newYear2018 + 60)..<(newYear2018 + 140), (newYear2018 + 240)..<(newYear2018 + 310)] {
                let minutes = (days.lowerBound * 1440)..<(days.upperBound * 1440)
                let locals = (minutes.lowerBound - 1..<minutes.upperBound).map { $0 + rules.offset(at: $0 * 60) / 60 }
                for _ in 0..<3 {
                    let line = Self.randomLine(using: &random)
                    let found = try recurrence("cron:\(line) \(zone)").ticks(
                        after: UInt64(minutes.lowerBound) * 60_000 - 1,
                        through: UInt64(minutes.upperBound) * 60_000 - 1,
                        countMax: .max,
                        in: rules
                    )
                    let expected = SlowCron(line).ticks(from: minutes.lowerBound, locals: locals)
                    #expect(found == expected, "\(line) in \(zone)")
                }
            }
        }
    }

    @Test("The next tick is always later, and the same from anywhere before it")
    func order() throws {
        var random = SplitMix64(seed: 77)
        let zones = Fixtures.zones.keys.sorted()
        for round in 0..<400 {
            let line = [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)]
                .map { Self.randomField($0, $1, using: &random) }.joined(separator: " ")
            let rules = try #require(Fixtures.zones[zones[round % zones.count]])
            let recurrence = try recurrence("cron:\(line) \(zones[round % zones.count])")
            let start = random.next() % 6_000_000_000_000
            let ticks = recurrence.upcoming(after: start, count: 12, in: rules)
            #expect(ticks.count == 12)
            for (tick, following) in zip([start] + ticks, ticks) {
                #expect(tick < following)
                let between = tick + random.next() % (following - tick)
                #expect(recurrence.next(after: between, in: rules) == following, "\(recurrence) after \(between)")
            }
            #expect(recurrence.latestTicks(after: start, through: ticks[11], countMax: 12, in: rules) == ticks)
        }
    }
}
