import ArgumentParser
import CommandLineSupport
import Glibc
import TQModel

/// Kills a broker again and again while clients work, and checks that no task is lost or changed.
@main
struct CrashTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-crash-test",
        abstract: "Kills a broker again and again while clients work, and checks what is left.",
        discussion: """
            Another process submits, claims and ends tasks and records every answer. At random moments the broker gets \
            SIGKILL, one time in five while it starts. After each restart all tasks and counters are read, and the history \
            is checked against the promises of docs/reliability.md. A kill that meets no unfinished task, no request in \
            flight or no lease does not count. Exits with 0 when every promise was kept, with 1 otherwise.
            """,
        version: tqVersion,
        subcommands: [LoadCommand.self]
    )

    @Option(help: "Kills that meet work.")
    var kills = 25
    @Option(help: ArgumentHelp("How long the broker works before each kill.", valueName: "min-max"))
    var seconds = SecondsRange(0.2...1.2)
    @Option(help: "Makes the moments of the kills and the load repeatable, as far as a machine is. (default: random)")
    var seed: UInt64?
    @Option(help: "Where the data goes: a directory on a disk.")
    var dataParent = "."
    @Option(help: "The broker to test. (default: the tq-broker of the same installation)")
    var broker: String?
    @Flag(help: "Test the test: brokers with planted bugs must be found out. Needs a broker that was built for it.")
    var selfTest = false
    @Flag(help: "Tell of each kill.")
    var verbose = false
    @OptionGroup var output: OutputOptions

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        await runAndExit()
    }

    func validate() throws {
        guard kills > 0 else { throw ValidationError("--kills must be at least 1.") }
    }

    func run() async throws {
        let plan = CrashPlan(
            seed: seed ?? .random(in: 0...UInt64(UInt32.max)),
            kills: kills,
            seconds: seconds,
            dataParent: dataParent,
            broker: try broker ?? siblingPath("tq-broker"),
            isVerbose: verbose
        )
        BrokerProcess.endWithTest()
        writeToStandardError("seed \(plan.seed)\n")
        let isPassed: Bool
        if selfTest {
            isPassed = try await SelfTest(plan: plan).run()
        } else {
            let report = try await CrashTest(plan, progress: Progress("kills", total: UInt64(kills))).run()
            report.print(output.format)
            isPassed = report.isClean
        }
        if !isPassed { throw ExitCode(ExitStatus.failed.rawValue) }
    }
}
