import ArgumentParser
import CommandLineSupport
import Glibc
import Simulation

/// Plays simulated crashes until there were enough.
struct SimulateCommand: AsyncParsableCommand {
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
    @Option(help: "Runs that are played at once; the results are the same for any number. (default: one per processor)")
    var jobs: Int?
    @Flag(help: "Prints every event of every run.")
    var verbose = false
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard cycles > 0 else { throw ValidationError("--cycles must be at least 1, not \(cycles).") }
        if let jobs, jobs < 1 { throw ValidationError("--jobs must be at least 1, not \(jobs).") }
        if let minutes, minutes < 1 { throw ValidationError("--minutes must be at least 1, not \(minutes).") }
    }

    func run() async throws {
        let first = seed ?? .random(in: 1...UInt64(UInt32.max))
        writeToStandardError("seed \(first)\n")
        var campaign = Campaign()
        let progress = Progress("cycles", total: minutes == nil ? UInt64(cycles) : nil)
        let clock = ContinuousClock()
        let end = minutes.map { clock.now + .seconds($0 * 60) }
        var reports = Reports(from: first, atOnce: jobs, isVerbose: verbose)
        repeat {
            let report = await reports.next()
            campaign.add(report)
            if let failure = report.failure {
                if output.format != .table { campaign.failureListing.print(report, format: output.format) }
                throw CommandFailure(
                    .failed,
                    "\(failure)\nfound in run \(campaign.runs), after \(campaign.steps) steps in all"
                        + "\nplay it again: tools/simulate --seed \(report.seed) --cycles 1 --verbose"
                )
            }
            progress.update(UInt64(campaign.cycles))
        } while end.map({ clock.now < $0 }) ?? (campaign.cycles < cycles)
        progress.finish(UInt64(campaign.cycles))
        campaign.listing.print(campaign.rows, format: output.format)
        let missing = campaign.hits.missing
        guard campaign.cycles < Self.cyclesForCoverage || missing.isEmpty else {
            let names = missing.map { "\($0.section) \($0)" }.joined(separator: ", ")
            throw CommandFailure(.failed, "never met: \(names). The simulator does not test what it should.")
        }
    }
}

/// What becomes of one seed after the other, in the order of the seeds however many are played at once.
private struct Reports {
    private var seed: UInt64
    private let atOnce: Int
    private let isVerbose: Bool
    private var playing: [Task<Simulation.Report, Never>] = []

    init(from first: UInt64, atOnce: Int?, isVerbose: Bool) {
        seed = first
        self.isVerbose = isVerbose
        // Events of several runs would be printed in between each other.
        self.atOnce = isVerbose ? 1 : atOnce ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }

    mutating func next() async -> Simulation.Report {
        while playing.count < atOnce {
            let (seed, isVerbose) = (seed, isVerbose)
            self.seed &+= 1
            playing.append(
                Task.detached {
                    Simulation.run(seed: seed, observe: isVerbose ? { writeToStandardOutput($0 + "\n") } : nil)
                }
            )
        }
        return await playing.removeFirst().value
    }
}

/// Runs with one seed after the other, added up.
private struct Campaign {
    private(set) var hits = Hits()
    private(set) var cycles = 0
    private(set) var runs = 0
    private var crashes = 0
    private(set) var steps = 0
    private var acknowledged = 0
    /// The first ends the campaign.
    private var violations = 0
    private var simulatedMilliseconds: UInt64 = 0
    /// Equal for equal seeds and versions of the program.
    private var digest: UInt64 = 0

    mutating func add(_ report: Simulation.Report) {
        runs += 1
        hits.add(report.hits)
        cycles += report.cycles
        crashes += report.crashes
        steps += report.steps
        violations += report.failure == nil ? 0 : 1
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
            ("violations", UInt64(violations)), ("acknowledgedChanges", UInt64(acknowledged)),
            ("simulatedSeconds", simulatedMilliseconds / 1000), ("digest", digest),
        ]
        return sums.map { Row(section: "all", name: $0.0, count: $0.1) }
            + Hit.allCases.map { Row(section: $0.section, name: "\($0)", count: hits[$0]) }
    }

    /// What a program that looks for bugs wants to know of the run in which one was found, the last one.
    var failureListing: Listing<Simulation.Report> {
        let (runs, steps) = (UInt64(runs), UInt64(steps))
        return Listing([
            Column("Seed", "seed", count: \.seed),
            Column("Runs", "runs", count: { _ in runs }),
            Column("Steps", "steps", count: { _ in steps }),
            Column("Invariant", "invariant", { $0.broken?.invariant ?? "" }),
            Column("Sentence", "sentence", { $0.broken?.sentence ?? "" }),
        ])
    }

    var listing: Listing<Row> {
        Listing([
            Column("Section", "section", \.section),
            Column("Name", "name", \.name),
            Column("Count", "count", count: \.count),
        ])
    }
}
