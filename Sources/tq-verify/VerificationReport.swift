import CommandLineSupport
import HistoryChecker

/// What a verification did and found.
struct VerificationReport {
    let seed: UInt64
    /// Faults that met work, by kind.
    private(set) var faults: [FaultKind: Int] = [:]
    /// Rounds whose fault met work.
    var rounds = 0
    /// Kills that came before the broker was ready.
    var killsDuringRecovery = 0
    /// Faults that met none, and do not count.
    var idleRounds = 0
    /// Full reads of the store.
    var checks = 0
    var images = ImageCounts()
    var flips = FlipCounts()
    var disk = DiskCounts()
    var clockSteps = 0
    var longestStart = Duration.zero
    var duration = Duration.zero
    /// Sums over all faults that count.
    private var acknowledgedAtFaults = 0
    private var inFlightAtFaults = 0
    private var leasedAtFaults = 0
    private(set) var counts = HistoryCounts()
    private(set) var violations: [Violation] = []
    private(set) var violationCount = 0
    private(set) var eventCount = 0
    /// What is wrong but is no violation of a promise between clients and broker.
    var problems: [String] = []
    /// Why the verification could not go on.
    var failure: String?
    /// Where everything is, when something is wrong.
    var directory: String?

    /// Images of the disk after power cuts.
    struct ImageCounts {
        /// Looked at: with nothing that was not synced, and with a random part of it.
        var strict = 0, torn = 0
        /// Tasks in them.
        var tasks = 0
        /// Looked at as if no sync had done anything, and those of them in which something was lost.
        var unsynced = 0, unsyncedLosing = 0

        mutating func add(_ other: Self) {
            strict += other.strict
            torn += other.torn
            tasks += other.tasks
            unsynced += other.unsynced
            unsyncedLosing += other.unsyncedLosing
        }
    }

    /// What became of flipped bits.
    struct FlipCounts {
        /// The broker refuses to start; it starts, and nothing is missing; it reports the damage where it is read.
        var refused = 0, harmless = 0, reported = 0
        /// It starts without batches that were written and never synced, and says so.
        var cutOff = 0
        /// Served wrong bytes, or lost something, without a word.
        var silent = 0

        mutating func add(_ other: Self) {
            refused += other.refused
            harmless += other.harmless
            reported += other.reported
            cutOff += other.cutOff
            silent += other.silent
        }
    }

    /// What the disk under the broker did.
    struct DiskCounts {
        /// Failed once; each ended with the broker serving again by itself.
        var failedWrites = 0, failedSyncs = 0, fills = 0

        mutating func add(_ other: Self) {
            failedWrites += other.failedWrites
            failedSyncs += other.failedSyncs
            fills += other.fills
        }
    }

    init(seed: UInt64) { self.seed = seed }

    /// Faults that met work; a round may have several kills.
    var faultCount: Int { faults.values.reduce(0, +) }
    var kills: Int { faults[.kill] ?? 0 }

    var isClean: Bool {
        violationCount == 0 && failure == nil && problems.isEmpty && counts.unexpectedRefusals.isEmpty
    }

    /// Whether the verification has something to tell, and need not go on.
    func hasFound(_ follower: HistoryFollower) -> Bool {
        !problems.isEmpty || follower.checker.violationCount > 0
    }

    mutating func count(_ fault: FaultKind, _ load: HistoryFollower.Load) {
        faults[fault, default: 0] += 1
        acknowledgedAtFaults += load.acknowledged
        inFlightAtFaults += load.inFlight
        leasedAtFaults += load.leased
    }

    /// Adds what the next verification did and found.
    mutating func add(_ other: VerificationReport) {
        faults.merge(other.faults, uniquingKeysWith: +)
        rounds += other.rounds
        killsDuringRecovery += other.killsDuringRecovery
        idleRounds += other.idleRounds
        checks += other.checks
        images.add(other.images)
        flips.add(other.flips)
        disk.add(other.disk)
        clockSteps += other.clockSteps
        longestStart = max(longestStart, other.longestStart)
        duration += other.duration
        acknowledgedAtFaults += other.acknowledgedAtFaults
        inFlightAtFaults += other.inFlightAtFaults
        leasedAtFaults += other.leasedAtFaults
        counts.add(other.counts)
        violations += other.violations
        violationCount += other.violationCount
        eventCount += other.eventCount
        problems += other.problems
        failure = failure ?? other.failure
        directory = directory ?? other.directory
    }

    /// A test that cannot see a loss proves nothing.
    mutating func judgeControl() {
        guard images.unsynced > 0, images.unsyncedLosing == 0 else { return }
        problems.append("Nothing seemed lost in \(images.unsynced) images without any sync: this test sees nothing.")
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
            ("faults that met work", "faults", faultCount)
        ]
            + FaultKind.allCases.map { ("  \($0.rawValue)", $0.rawValue.replacing("-", with: "_"), faults[$0] ?? 0) }
            + [
                ("  kills during recovery", "kills_during_recovery", killsDuringRecovery),
                ("faults that met none, not counted", "idle_faults", idleRounds),
                ("images after power cuts: only what was synced", "images_strict", images.strict),
                ("  with a random part of the rest", "images_torn", images.torn),
                ("  tasks in them", "tasks_in_images", images.tasks),
                ("  as if no sync had worked (control)", "images_unsynced", images.unsynced),
                ("    seen to lose something", "images_unsynced_losing", images.unsyncedLosing),
                ("failed writes", "failed_writes", disk.failedWrites),
                ("failed syncs", "failed_syncs", disk.failedSyncs),
                ("times the disk was full", "disk_fills", disk.fills),
                ("flipped bits: refused", "flips_refused", flips.refused),
                ("  reported when read", "flips_reported", flips.reported),
                ("  cut off behind the mark, with a warning", "flips_cut_off", flips.cutOff),
                ("  in bytes that nobody needs", "flips_harmless", flips.harmless),
                ("  unnoticed", "flips_silent", flips.silent),
                ("steps of the wall clock", "clock_steps", clockSteps),
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
                ("unfinished tasks at the faults", "acknowledged_at_faults", acknowledgedAtFaults),
                ("requests in flight at the faults", "in_flight_at_faults", inFlightAtFaults),
                ("tasks leased at the faults", "leased_at_faults", leasedAtFaults),
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
        return text + "\n" + (isClean ? "Every promise was kept.\n" : findings)
    }

    /// What is wrong, and where to look.
    var findings: String {
        var text = violations.prefix(20).map { "\($0)\n" }.joined()
        if violationCount > 20 { text += "and \(violationCount - 20) more\n" }
        for problem in problems { text += problem + "\n" }
        for (code, count) in counts.unexpectedRefusals { text += "\(count) requests were refused with \(code)\n" }
        if let failure { text += failure + "\n" }
        if let directory { text += "The data, the logs and the history are in \(directory); seed \(seed).\n" }
        return text
    }

    private var json: JSONValue {
        var fields = [JSONValue.Field("seed", .unsigned(seed)), .init("seconds", .number(duration / .seconds(1)))]
        fields += lines.map { JSONValue.Field($0.name, .integer(Int64($0.value))) }
        fields.append(.init("violation_list", .array(violations.map { .string($0.description) })))
        fields.append(.init("problems", .array(problems.map { .string($0) })))
        fields.append(.init("failure", failure.map { .string($0) } ?? .null))
        fields.append(.init("directory", directory.map { .string($0) } ?? .null))
        return .object(fields)
    }
}
