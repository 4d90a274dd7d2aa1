import ArgumentParser
import CommandLineSupport
import Glibc
import TQModel

/// Lets a broker on this machine's own disk meet what brokers meet, and checks that no task is lost or changed.
@main
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-verify",
        abstract: "Proves on your own machine and disk that a broker loses nothing.",
        discussion: """
            Another process submits, claims and ends tasks and records every answer. Round by round the broker meets one \
            of the faults of --fault: it is killed, also while it starts, paused, its power is cut, its disk fails, fills up \
            or slows down, bits of its files flip, the wall clock jumps. After each round all tasks and counters are read, \
            and the history is checked against the promises of docs/guarantees.md. A fault that meets no unfinished task, \
            no request in flight or no lease does not count. No step needs root, and nothing outside the test's own \
            directory is touched: power cuts and disk errors come from a library that is loaded before the broker.

            Exits with 0 when every promise was kept, with 1 otherwise.
            """,
        version: tqVersion,
        subcommands: [LoadCommand.self]
    )

    @Option(help: "Minutes to go on for.")
    var minutes: Double?
    @Option(help: "Rounds that meet work, instead of minutes.")
    var rounds: Int?
    @Option(
        name: .customLong("fault"),
        help: ArgumentHelp("A kind of fault, several times for several. (default: all)", valueName: "kind")
    )
    var faults: [FaultKind] = []
    @Option(help: ArgumentHelp("How long the broker works before each fault.", valueName: "min-max"))
    var seconds = SecondsRange(0.2...1.2)
    @Option(help: "Images of the disk that are looked at after each power cut.")
    var images = 20
    @Option(help: "Bits that are flipped in each round of bit-flips.")
    var flips = 40
    @Option(help: "Makes the moments of the faults and the load repeatable, as far as a machine is. (default: random)")
    var seed: UInt64?
    @Option(help: "Where the data goes: a directory on a disk.")
    var dataParent = "."
    @Option(help: "The broker to test. (default: the tq-broker of the same installation)")
    var broker: String?
    @Flag(help: "Test the test: the disk lies about its syncs, and losses must be reported.")
    var control = false
    @Flag(help: "Test the test: brokers with planted bugs must be found out. Needs a broker that was built for it.")
    var selfTest = false
    @Flag(help: "Tell of each fault.")
    var verbose = false
    @OptionGroup var output: OutputOptions

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        await runAndExit()
    }

    func validate() throws {
        if let rounds, rounds < 1 { throw ValidationError("--rounds must be at least 1, not \(rounds).") }
        if let minutes, minutes <= 0 { throw ValidationError("--minutes must be more than 0, not \(minutes).") }
        guard rounds == nil || minutes == nil else { throw ValidationError("Give --rounds or --minutes, not both.") }
        guard images >= 1 else { throw ValidationError("--images must be at least 1, not \(images).") }
        guard flips >= 1 else { throw ValidationError("--flips must be at least 1, not \(flips).") }
    }

    func run() async throws {
        var plan = VerificationPlan(
            seed: seed ?? .random(in: 0...UInt64(UInt32.max)),
            length: rounds.map { .rounds($0) } ?? .minutes(minutes ?? 10),
            seconds: seconds,
            images: images,
            flips: flips,
            isControl: control,
            dataParent: dataParent,
            broker: try broker ?? siblingPath("tq-broker"),
            isVerbose: verbose
        )
        if !faults.isEmpty { plan.faults = faults }
        if control { plan.faults = [.powerCut] }
        BrokerProcess.endWithTest()
        writeToStandardError("seed \(plan.seed)\n")
        let isPassed: Bool
        if selfTest {
            isPassed = try await SelfTest(plan: plan).run()
        } else {
            let report = try await Campaign(plan: plan, progress: plan.progress).run()
            report.print(output.format)
            isPassed = report.isClean
        }
        if !isPassed { throw ExitCode(ExitStatus.failed.rawValue) }
    }
}

extension VerificationPlan {
    /// Shows how far the verification is, on a terminal and now and then elsewhere.
    fileprivate var progress: Progress {
        switch length {
        case .rounds(let rounds): Progress("rounds", total: UInt64(rounds))
        case .minutes: Progress("rounds", total: nil)
        }
    }
}
