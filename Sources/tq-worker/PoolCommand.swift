import ArgumentParser
import BrokerConfig
import CommandLineSupport
import Logging
import TQClient
import TQModel

/// Runs as many worker processes as the backlog asks for.
struct Pool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run as many workers as the backlog asks for.",
        discussion: """
            Behind -- stands the worker: exec or demo with their arguments, or another program that is a worker and ends at \
            SIGTERM; it finds the broker in TQ_BROKER_ADDR. \
            Example: tq-worker pool --queue mail --max 20 -- exec --concurrency 10 -- ./send-mail

            Wanted are the tasks that can start now and those that run, divided by --tasks-per-worker. More workers are started at \
            once, but no more than \(StartLimit.countMax) in an --interval. When the backlog has asked for fewer all through \
            --cool-down, those with the fewest tasks get SIGTERM, and end when their tasks have. A worker that ends by itself is \
            started again, after a growing wait when that happens early and again. While no broker answers, the pool keeps its size.

            SIGTERM or SIGINT ends all workers in the same way; a second one kills them, and their tasks run again when their \
            leases lapse.
            """
    )

    private static let countMax = 1000
    private static let intervalMillisecondsMin: UInt64 = 10
    /// A worker that gives back what still runs at the end of its own grace needs some time for it.
    private static let extraGrace: Duration = .seconds(30)

    @OptionGroup var options: ConnectionOptions
    @Option(
        name: [.short, .long],
        help: "The queue whose backlog counts, and that exec and demo serve; several are added up. (default: default)"
    )
    var queue: [String] = []
    @Option(
        name: .customLong("min"),
        help: ArgumentHelp("The fewest workers, 0 for none without tasks.", valueName: "count")
    )
    var workersMin = 1
    @Option(
        name: .customLong("max"),
        help: ArgumentHelp("The most workers, those included that are still ending.", valueName: "count")
    )
    var workersMax = 50
    @Option(
        help: ArgumentHelp(
            "How many tasks ask for one worker. (default: as many as it runs at once)",
            valueName: "count"
        )
    )
    var tasksPerWorker: Int?
    @Option(help: "How often the broker is asked for the backlog.")
    var interval = DurationArgument(milliseconds: 2000)
    @Option(help: "How long the backlog must have asked for fewer workers before some are stopped.")
    var coolDown = DurationArgument(milliseconds: 30_000)
    @Option(help: "How long a worker may take to end before it is killed. (default: 30s more than its tasks may go on)")
    var grace: DurationArgument?
    @Argument(parsing: .postTerminator, help: "The worker to run, after --.")
    var command: [String] = []

    func validate() throws {
        guard (1...Self.countMax).contains(workersMax) else {
            throw ValidationError("--max \(workersMax) is out of range; choose 1 to \(Self.countMax).")
        }
        guard (0...workersMax).contains(workersMin) else {
            throw ValidationError("--min \(workersMin) is out of range; choose 0 to \(workersMax), which is --max.")
        }
        guard interval.milliseconds >= Self.intervalMillisecondsMin else {
            throw ValidationError(
                "--interval \(interval) is too short; choose \(Self.intervalMillisecondsMin)ms or more."
            )
        }
        let program = try program()
        if let count = tasksPerWorker ?? program.work?.concurrency, count < 1 {
            throw ValidationError("\(count) tasks for a worker are too few; choose --tasks-per-worker from 1 on.")
        }
    }

    func run() async throws {
        StopSignals.catchAll()
        let settings = try options.bootstrap()
        let logger = Logger(label: "tq-worker")
        let program = try program()
        let tasksPerWorker = tasksPerWorker ?? program.work?.concurrency ?? settings.concurrency
        let ownGrace = program.work?.grace?.milliseconds ?? UInt64(settings.gracefulShutdownTimeoutMilliseconds)
        var pool = WorkerPool(
            try program.launch(brokers: options.broker.addresses),
            size: PoolSize(
                bounds: workersMin...workersMax,
                tasksPerWorker: tasksPerWorker,
                coolDown: .milliseconds(coolDown.milliseconds)
            ),
            grace: grace.map { .milliseconds($0.milliseconds) } ?? .milliseconds(ownGrace) + Self.extraGrace,
            logger: logger
        )
        logger.info(
            "pool starts",
            metadata: [
                "min": .stringConvertible(workersMin), "max": .stringConvertible(workersMax),
                "tasks_per_worker": .stringConvertible(tasksPerWorker), "queues": .array(queues.map { "\($0)" }),
                "broker": "\(options.broker.addresses)",
            ]
        )
        let client = TQClient(
            addresses: try BrokerAddress.list(options.broker.addresses),
            options: clientOptions
        )
        let names = Set(queues.map { Name($0) })
        await pool.run(every: .milliseconds(interval.milliseconds)) {
            do throws(TQError) { return .success(try await PoolView(of: names, through: client)) } catch {
                return .failure(error)
            }
        }
        await client.close()
        logger.info("pool stopped")
    }

    private var queues: [String] { queue.isEmpty ? ["\(Defaults.queue)"] : queue }

    private func program() throws -> PoolProgram { try PoolProgram(command, queues: queues, options: options) }

    private var clientOptions: ClientOptions {
        var options = ClientOptions()
        options.clientName = "tq-worker/\(tqVersion)"
        // The next look is the next try.
        options.connectionPatience = .zero
        return options
    }
}
