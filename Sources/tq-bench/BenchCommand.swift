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
            Submits are measured without idempotency keys, but for --scenario keys. Latencies at a fixed --rate count from \
            when a submit was due. docs/benchmarks.md says what each scenario does, and what was measured.
            """,
        version: tqVersion
    )

    @Option(
        help: """
            submit, claim, lifecycle; restart: memory with all tasks pending, and the first claim after a kill -9; \
            promises: the floor below which nothing is released; neighbours: what hostile connections cost the others; \
            keys: what keys on every task cost; sharing: what limit keys and groups cost; blocked: what a backlog behind a \
            key costs those of other keys; scheduled: how late scheduled tasks are while others pass; \
            lists: pages of lists among many tasks; redrive: what a redrive of many dead letters costs the others.
            """
    )
    var scenario: Scenario = .lifecycle
    @Option(help: "Connections that submit, and in a lifecycle as many that claim and complete.")
    var connections = 4
    @Option(help: "Unanswered requests, or leased tasks, per connection.")
    var window = 64
    @Option(
        help: """
            Tasks: scheduled ones, pending ones of lists, those behind a key, or dead letters of a redrive. \
            (default: 500000; scheduled, lists and blocked: 1000000; redrive: 100000)
            """
    )
    var tasks: Int?
    @Option(
        help: """
            Submits per second in all; 0 for as fast as the window allows. (default: 0; scheduled: 21000 tasks beside the \
            scheduled ones; redrive and blocked: 5000)
            """
    )
    var rate: Int?
    @Option(help: "Seconds of the hour that --scenario scheduled measures, 1 to 3600.")
    var seconds = 60
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

    /// Tasks of the scenario.
    var taskCount: Int { tasks ?? scenario.tasks }
    /// Submits per second of the scenario.
    private var submitRate: Int { rate ?? scenario.rate }

    func validate() throws {
        guard taskCount > 0 else { throw ValidationError("--tasks is at least 1.") }
        guard (1...3600).contains(seconds) else { throw ValidationError("--seconds is 1 to 3600.") }
        guard submitRate > 0 || !scenario.needsRate else {
            throw ValidationError("--scenario \(scenario.rawValue) compares at a rate: add --rate 5000.")
        }
    }

    func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        if let extras = scenario.extras {
            show(try await measure(extras, group), broker: nil)
        } else if scenario == .blocked {
            let (free, blocked) = (try await makeBroker(), try await makeBroker())
            defer {
                free.stop()
                blocked.stop()
            }
            let key = BlockedKey(free: free, blocked: blocked, group: group, rate: submitRate, tasks: taskCount)
            show(try await key.measure(), broker: nil)
        } else {
            let broker = try await makeBroker()
            defer { broker.stop() }
            try await run(broker, group)
        }
        try await group.shutdownGracefully()
    }

    private func run(_ broker: MeasuredBroker, _ group: MultiThreadedEventLoopGroup) async throws {
        switch scenario {
        case .promises:
            let verdicts = try await Promises(broker: broker, group: group).measure()
            Promises.print(verdicts, output.format)
            guard verdicts.allSatisfy(\.isKept) else { throw CommandFailure(.failed, "A promise is broken.") }
        case .lists:
            let rows = try await TaskLists(broker: broker, group: group, tasks: taskCount).measure()
            TaskLists.print(rows, output.format)
        case .restart: show(try await measureRestart(broker, group), broker: broker)
        case .neighbours:
            let neighbours = Neighbours(broker: broker, group: group, rate: submitRate, tasks: taskCount)
            show(try await neighbours.measure(), broker: broker)
        case .scheduled:
            let scheduled = ScheduledTasks(
                broker: broker,
                group: group,
                tasks: taskCount,
                seconds: seconds,
                rate: submitRate
            )
            show(try await scheduled.measure(), broker: broker)
        case .redrive:
            let redrives = Redrives(broker: broker, group: group, rate: submitRate, tasks: taskCount)
            show(try await redrives.measure(), broker: broker)
        case .submit, .claim, .lifecycle, .keys, .sharing, .blocked:
            show(try await measure(broker, group), broker: broker)
        }
    }

    private func show(_ figures: [Figure], broker: MeasuredBroker?) {
        Figure.print(
            [Figure("scenario", scenario.rawValue), Figure("configuration", configurationText(broker))]
                + [Figure("tasks", taskCount)] + figures,
            output.format
        )
    }

    func makeBroker() async throws -> MeasuredBroker {
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
        let interval = submitRate == 0 ? 0 : Int64(connections) * 1_000_000_000 / Int64(submitRate)
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
        return usage.figures(tasks: taskCount) + run.latencyFigures
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
        return filled.figures(tasks: taskCount) + [
            Figure("restart_ready_ms", (ready - started) / .milliseconds(1)),
            Figure("restart_first_claim_ms", (claimed - started) / .milliseconds(1)),
            Figure("restart_rss_mb", Double(broker.residentBytes) / 1e6),
        ]
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

    func makeRun(
        _ goal: LoadRun.Goal,
        tasks: Int? = nil,
        submits: Bool = true,
        on group: MultiThreadedEventLoopGroup
    ) -> LoadRun {
        LoadRun(
            total: tasks ?? taskCount,
            goal: goal,
            queue: "bench",
            payloadByteCount: payloadBytes,
            resultByteCount: resultBytes,
            submits: submits,
            on: group.next()
        )
    }

    private func configurationText(_ broker: MeasuredBroker?) -> String {
        switch scenario {
        case .scheduled:
            "\(seconds) s of an hour, \(submitRate) other tasks/s in batches of 20, broker: \(brokerText(broker))"
        case .redrive: "\(submitRate) submits/s, one bulk operation, broker: \(brokerText(broker))"
        case .keys: "\(loadText), runs in turns without and with keys, broker: \(brokerText(broker))"
        case .sharing:
            "\(loadText), runs in turns without and with \(TaskExtras.limitKeys) limit keys and \(TaskExtras.groups) groups, "
                + "broker: \(brokerText(broker))"
        case .blocked: "\(submitRate) submits/s, in turns without and with a backlog, broker: \(brokerText(broker))"
        default: "\(loadText), no idempotency keys, broker: \(brokerText(broker))"
        }
    }

    private var loadText: String {
        "\(connections) connections, window \(window), payload \(payloadBytes) B, result \(resultBytes) B, "
            + (submitRate == 0 ? "no fixed rate" : "\(submitRate) submits/s")
    }

    private func brokerText(_ broker: MeasuredBroker?) -> String {
        if let broker { return broker.configurationText }
        return brokerAddr == nil ? (["a fresh one for each run"] + settings).joined(separator: ", ") : "as it runs"
    }
}

/// What is measured.
enum Scenario: String, ExpressibleByArgument, CaseIterable {
    case submit, claim, lifecycle, restart, promises, neighbours, keys, sharing, blocked, scheduled, lists, redrive

    var goal: LoadRun.Goal {
        switch self {
        case .submit, .restart, .neighbours, .lists, .redrive: .submitted
        case .claim: .claimed
        case .lifecycle, .promises, .keys, .sharing, .blocked, .scheduled: .completed
        }
    }

    /// How many tasks there are when nobody says so.
    var tasks: Int {
        switch self {
        case .scheduled, .lists, .blocked: 1_000_000
        case .redrive: 100_000
        case .submit, .claim, .lifecycle, .restart, .promises, .neighbours, .keys, .sharing: 500_000
        }
    }

    /// Submits per second when nobody says so; 0 for as fast as the window allows.
    var rate: Int {
        switch self {
        // Above what is promised, so that a start-up pause does not decide.
        case .scheduled: 21_000
        case .redrive, .blocked: 5_000
        case .submit, .claim, .lifecycle, .restart, .promises, .neighbours, .keys, .sharing, .lists: 0
        }
    }

    /// Whether it makes no sense without a rate.
    var needsRate: Bool { [.neighbours, .scheduled, .redrive, .blocked].contains(self) }

    /// What each task of it has, in half of the runs.
    var extras: TaskExtras? {
        switch self {
        case .keys: .keyed
        case .sharing: .sharing
        default: nil
        }
    }
}
