import ArgumentParser
import CommandLineSupport
import Glibc
import NIOCore
import NIOPosix
import TQClient
import TQModel

/// Measures a broker.
@main
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-bench",
        abstract: "Measures what a broker does on this machine.",
        discussion: """
            Without --broker-addr a broker of the same installation is started on fresh data in the current directory. \
            Submits are measured without idempotency keys. Latencies at a fixed --rate count from when a submit was due.
            """,
        version: tqVersion
    )

    @Option(
        help: """
            submit, claim, lifecycle; restart: memory with all tasks pending, and the first claim after a kill -9; \
            promises: the floor below which nothing is released; neighbours: what hostile connections cost the others.
            """
    )
    var scenario: Scenario = .lifecycle
    @Option(help: "Connections that submit, and in a lifecycle as many that claim and complete.")
    var connections = 4
    @Option(help: "Unanswered requests, or leased tasks, per connection.")
    var window = 64
    @Option(help: "Tasks.")
    var tasks = 500_000
    @Option(help: "Submits per second in all; 0 for as fast as the window allows.")
    var rate = 0
    @Option(help: "Bytes of a payload.")
    var payloadBytes = 256
    @Option(help: "Bytes of a result.")
    var resultBytes = 32
    @Option(help: "A broker that runs already.")
    var brokerAddr: String?
    @Option(help: "The process id of that broker, to measure what it uses.")
    var brokerPid: Int32?
    @Option(help: "Where the data of a broker that is started goes.")
    var dataParent = "."
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A setting of a broker that is started.", valueName: "section.key=value")
    )
    var settings: [String] = []
    @OptionGroup var output: OutputOptions

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        await runAndExit()
    }

    func run() async throws {
        let broker = try await makeBroker()
        defer { broker.stop() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        if scenario == .promises {
            let verdicts = try await Promises(broker: broker, group: group).measure()
            Promises.print(verdicts, output.format)
            guard verdicts.allSatisfy(\.isKept) else { throw CommandFailure(.failed, "A promise is broken.") }
        } else {
            let figures =
                switch scenario {
                case .restart: try await measureRestart(broker, group)
                case .neighbours: try await measureNeighbours(broker, group)
                default: try await measure(broker, group)
                }
            Figure.print(
                [Figure("scenario", scenario.rawValue), Figure("configuration", configurationText(broker))]
                    + [Figure("tasks", tasks)] + figures,
                output.format
            )
        }
        try await group.shutdownGracefully()
    }

    private func makeBroker() async throws -> MeasuredBroker {
        guard let brokerAddr else {
            // The depth limit is a promise to users, not a part of what is measured.
            return try await MeasuredBroker(
                dataParent: dataParent,
                settings: ["broker.queue_depth_threshold=100000000"] + settings
            )
        }
        guard let address = try BrokerAddress.list(brokerAddr).first else {
            throw CommandFailure(.usage, "--broker-addr is empty: write HOST:PORT.")
        }
        guard scenario != .restart else {
            throw CommandFailure(.usage, "--scenario restart kills its broker: leave --broker-addr out.")
        }
        return MeasuredBroker(address, pid: brokerPid)
    }

    private func measure(_ broker: MeasuredBroker, _ group: MultiThreadedEventLoopGroup) async throws -> [Figure] {
        if scenario == .claim { try await fill(broker, group) }
        let run = makeRun(scenario.goal, submits: scenario != .claim, on: group)
        let interval = rate == 0 ? 0 : Int64(connections) * 1_000_000_000 / Int64(rate)
        var loads: [LoadConnection] = []
        if scenario != .submit {
            loads += (0..<connections).map { _ in Consumer(run, window: window, completes: scenario == .lifecycle) }
        }
        if scenario != .claim {
            loads += (0..<connections).map { _ in Producer(run, window: window, interval: interval) }
        }
        let usage = try await broker.usage {
            try await run.execute(loads, host: broker.host, port: broker.port, on: group, label: scenario.rawValue)
        }
        return usage.figures(tasks: tasks) + run.latencyFigures
    }

    /// Submits everything, kills the broker and waits for the first task from its successor.
    private func measureRestart(
        _ broker: MeasuredBroker,
        _ group: MultiThreadedEventLoopGroup
    ) async throws -> [Figure] {
        let filled = try await broker.usage { try await fill(broker, group) }
        let started = try await broker.killAndRestart()
        let ready = ContinuousClock.now
        let run = makeRun(.claimed, tasks: 1, submits: false, on: group)
        try await run.execute(
            [Consumer(run, window: 1, completes: false)],
            host: broker.host,
            port: broker.port,
            on: group,
            label: "first claim"
        )
        let claimed = ContinuousClock.now
        return filled.figures(tasks: tasks) + [
            Figure("restart_ready_ms", (ready - started) / .milliseconds(1)),
            Figure("restart_first_claim_ms", (claimed - started) / .milliseconds(1)),
            Figure("restart_rss_mb", Double(broker.residentBytes) / 1e6),
        ]
    }

    private func measureNeighbours(
        _ broker: MeasuredBroker,
        _ group: MultiThreadedEventLoopGroup
    ) async throws -> [Figure] {
        guard rate > 0 else {
            throw CommandFailure(.usage, "--scenario neighbours compares latencies at a rate: add --rate 5000.")
        }
        return try await Neighbours(broker: broker, group: group, rate: rate, tasks: tasks).measure()
    }

    private func fill(_ broker: MeasuredBroker, _ group: MultiThreadedEventLoopGroup) async throws {
        let run = makeRun(.submitted, on: group)
        try await run.execute(
            (0..<connections).map { _ in Producer(run, window: window, interval: 0) },
            host: broker.host,
            port: broker.port,
            on: group,
            label: "fill"
        )
    }

    private func makeRun(
        _ goal: LoadRun.Goal,
        tasks: Int? = nil,
        submits: Bool = true,
        on group: MultiThreadedEventLoopGroup
    ) -> LoadRun {
        LoadRun(
            total: tasks ?? self.tasks,
            goal: goal,
            queue: "bench",
            payloadByteCount: payloadBytes,
            resultByteCount: resultBytes,
            submits: submits,
            on: group.next()
        )
    }

    private func configurationText(_ broker: MeasuredBroker) -> String {
        "\(connections) connections, window \(window), payload \(payloadBytes) B, result \(resultBytes) B, "
            + (rate == 0 ? "no fixed rate" : "\(rate) submits/s") + ", no idempotency keys, broker: "
            + broker.configurationText
    }
}

/// What is measured.
enum Scenario: String, ExpressibleByArgument, CaseIterable {
    case submit, claim, lifecycle, restart, promises, neighbours

    var goal: LoadRun.Goal {
        switch self {
        case .submit, .restart, .neighbours: .submitted
        case .claim: .claimed
        case .lifecycle, .promises: .completed
        }
    }
}
