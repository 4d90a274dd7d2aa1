import CommandLineSupport
import HistoryChecker

/// What a crash test did and found.
struct CrashReport {
    let seed: UInt64
    /// Kills that met work, and those of them that came before the broker was ready.
    var kills = 0
    var killsDuringRecovery = 0
    /// Kills that met none, and do not count.
    var idleKills = 0
    /// Full reads of the store.
    var checks = 0
    var longestStart = Duration.zero
    var duration = Duration.zero
    /// Sums over all kills that count.
    private var acknowledgedAtKills = 0
    private var inFlightAtKills = 0
    private var leasedAtKills = 0
    private(set) var counts = HistoryCounts()
    private(set) var violations: [Violation] = []
    private(set) var violationCount = 0
    private(set) var eventCount = 0
    /// Why the test could not go on.
    var failure: String?
    /// Where everything is, when something is wrong.
    var directory: String?

    init(seed: UInt64) { self.seed = seed }

    var isClean: Bool { violationCount == 0 && failure == nil && counts.unexpectedRefusals.isEmpty }

    mutating func met(_ load: HistoryFollower.Load) {
        acknowledgedAtKills += load.acknowledged
        inFlightAtKills += load.inFlight
        leasedAtKills += load.leased
    }

    mutating func take(_ follower: HistoryFollower) {
        counts = follower.counts
        violations = follower.checker.violations
        violationCount = follower.checker.violationCount
        eventCount = follower.checker.eventCount
    }

    /// Violations of these promises, as far as they were kept.
    private func count(_ invariants: Invariant...) -> Int { violations.count { invariants.contains($0.invariant) } }

    // MARK: Printing

    /// Writes the report where data goes.
    func print(_ format: OutputFormat) {
        writeToStandardOutput(format == .table ? text : json.text + "\n")
    }

    /// One line of a report: a name for people, a name for programs, a number.
    private typealias Line = (title: String, name: String, value: Int)

    private var lines: [Line] {
        [
            ("kills that met work", "kills", kills),
            ("  of them during recovery", "kills_during_recovery", killsDuringRecovery),
            ("kills that met none, not counted", "idle_kills", idleKills),
            ("acknowledged submits", "submits", counts.submits),
            ("  found by a second submit", "duplicates", counts.duplicates),
            ("deliveries", "deliveries", counts.deliveries),
            ("acknowledged completions", "completions", counts.completions),
            ("acknowledged failures", "failures", counts.failures),
            ("acknowledged releases", "releases", counts.releases),
            ("acknowledged renewals", "renewals", counts.renewals),
            ("acknowledged cancels", "cancels", counts.cancels),
            ("acknowledged redrives", "redrives", counts.redrives),
            ("refused as they should be", "refused", counts.refused),
            ("requests whose answer was lost", "unknown", counts.unknown),
            ("unfinished tasks at the kills", "acknowledged_at_kills", acknowledgedAtKills),
            ("requests in flight at the kills", "in_flight_at_kills", inFlightAtKills),
            ("tasks leased at the kills", "leased_at_kills", leasedAtKills),
            ("full reads after restarts", "full_reads", checks),
            ("tasks compared in them", "tasks_compared", counts.rowsRead),
            ("longest start, ms", "longest_start_ms", Int(longestStart / .milliseconds(1))),
            ("events checked", "events", eventCount),
            ("acknowledged tasks lost", "lost", count(.submitStays)),
            ("acknowledged ends undone", "ends_undone", count(.endStays)),
            ("delivered after their end", "delivered_after_end", count(.noDeliveryAfterEnd)),
            ("done or made twice", "twice", count(.once)),
            ("tokens repeated or stale ones accepted", "fencing", count(.fencing)),
            ("counters unlike a recount", "counters", count(.counters)),
            ("changed by another recovery", "recovery", count(.recovery)),
            ("violations in all", "violations", violationCount),
            ("refusals without a reason", "unexpected_refusals", counts.unexpectedRefusals.values.reduce(0, +)),
        ]
    }

    private var text: String {
        let seconds = Int(duration / .seconds(1))
        var text = "seed \(seed), \(seconds) s\n\n"
        let width = lines.map(\.title.count).max() ?? 0
        for line in lines {
            let value = "\(line.value)"
            text +=
                line.title + String(repeating: " ", count: width - line.title.count + 12 - value.count) + value + "\n"
        }
        return text + "\n" + (isClean ? "Every promise was kept.\n" : problems)
    }

    /// What is wrong, and where to look.
    var problems: String {
        var text = violations.prefix(20).map { "\($0)\n" }.joined()
        if violationCount > 20 { text += "and \(violationCount - 20) more\n" }
        for (code, count) in counts.unexpectedRefusals { text += "\(count) requests were refused with \(code)\n" }
        if let failure { text += failure + "\n" }
        if let directory { text += "The data, the logs and the history are in \(directory); seed \(seed).\n" }
        return text
    }

    private var json: JSONValue {
        var fields = [JSONValue.Field("seed", .unsigned(seed)), .init("seconds", .number(duration / .seconds(1)))]
        fields += lines.map { JSONValue.Field($0.name, .integer(Int64($0.value))) }
        fields.append(.init("violation_list", .array(violations.map { .string($0.description) })))
        fields.append(.init("failure", failure.map { .string($0) } ?? .null))
        fields.append(.init("directory", directory.map { .string($0) } ?? .null))
        return .object(fields)
    }
}
