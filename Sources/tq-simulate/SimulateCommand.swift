import ArgumentParser
import CommandLineSupport
import Simulation

/// Plays simulated crashes until there were enough.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-simulate",
        abstract: "Runs the broker's own core, storage and recovery on a simulated disk, clock and network.",
        discussion: """
            A run is moved by one seed and has a few crashes; the next run takes the next seed. A crash counts as a cycle \
            when at least \(Simulation.acknowledgedMin) changes were acknowledged since the one before. A broken promise \
            ends the command with code 1, the events that show it, and the command that plays the same run again. \
            From \(cyclesForCoverage) cycles on every row of the table must have been met.
            """,
        version: tqVersion
    )

    /// So many cycles meet everything; fewer need not.
    private static let cyclesForCoverage = 5_000

    @Option(help: "The seed of the first run; random when it is left out.")
    var seed: UInt64?
    @Option(help: "Cycles of crash and recovery.")
    var cycles = 20_000
    @Option(help: "Minutes to go on for, instead of a number of cycles.")
    var minutes: Int?
    @Flag(help: "Prints every event of every run.")
    var verbose = false
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard cycles > 0 else { throw ValidationError("--cycles must be at least 1, not \(cycles).") }
        if let minutes, minutes < 1 { throw ValidationError("--minutes must be at least 1, not \(minutes).") }
    }

    func run() throws {
        let first = seed ?? .random(in: 1...UInt64(UInt32.max))
        writeToStandardError("seed \(first)\n")
        var campaign = Campaign(first: first)
        let progress = Progress("cycles", total: minutes == nil ? UInt64(cycles) : nil)
        let clock = ContinuousClock()
        let end = minutes.map { clock.now + .seconds($0 * 60) }
        let observe: ((String) -> Void)? = verbose ? { writeToStandardOutput($0 + "\n") } : nil
        while end.map({ clock.now < $0 }) ?? (campaign.cycles < cycles) {
            let report = Simulation.run(seed: campaign.nextSeed, observe: observe)
            campaign.add(report)
            if let failure = report.failure {
                throw CommandFailure(
                    .failed,
                    "\(failure)\nplay it again: tools/simulate --seed \(report.seed) --cycles 1 --verbose"
                )
            }
            progress.update(UInt64(campaign.cycles))
        }
        progress.finish(UInt64(campaign.cycles))
        campaign.listing.print(campaign.rows, format: output.format)
        let missing = campaign.hits.missing
        guard campaign.cycles < Self.cyclesForCoverage || missing.isEmpty else {
            let names = missing.map { "\($0.section) \($0)" }.joined(separator: ", ")
            throw CommandFailure(.failed, "never met: \(names). The simulator does not test what it should.")
        }
    }
}

/// Runs with one seed after the other, added up.
private struct Campaign {
    private(set) var nextSeed: UInt64
    private(set) var hits = Hits()
    private(set) var cycles = 0
    private var runs = 0
    private var crashes = 0
    private var steps = 0
    private var acknowledged = 0
    private var simulatedMilliseconds: UInt64 = 0
    /// Equal for equal seeds and versions of the program.
    private var digest: UInt64 = 0

    init(first: UInt64) { nextSeed = first }

    mutating func add(_ report: Simulation.Report) {
        nextSeed &+= 1
        runs += 1
        hits.add(report.hits)
        cycles += report.cycles
        crashes += report.crashes
        steps += report.steps
        acknowledged += report.acknowledged
        simulatedMilliseconds += report.simulatedMilliseconds
        digest = digest &* 31 ^ report.digest
    }

    struct Row {
        var section: String
        var name: String
        var count: UInt64
    }

    var rows: [Row] {
        let sums: [(String, UInt64)] = [
            ("runs", UInt64(runs)), ("cycles", UInt64(cycles)), ("crashes", UInt64(crashes)), ("steps", UInt64(steps)),
            ("acknowledgedChanges", UInt64(acknowledged)), ("simulatedSeconds", simulatedMilliseconds / 1000),
            ("digest", digest),
        ]
        return sums.map { Row(section: "all", name: $0.0, count: $0.1) }
            + Hit.allCases.map { Row(section: $0.section, name: "\($0)", count: hits[$0]) }
    }

    var listing: Listing<Row> {
        Listing([
            Column("Section", "section", \.section),
            Column("Name", "name", \.name),
            Column("Count", "count", count: \.count),
        ])
    }
}
