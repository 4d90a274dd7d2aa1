import ArgumentParser
import BrokerConfig
import CommandLineSupport
import Compression
import Glibc
import Logging
import TQClient
import TQModel
import TQWorker
import Telemetry

/// A worker in a process of its own.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-worker",
        abstract: "Runs tasks.",
        discussion: """
            SIGTERM or SIGINT takes no more tasks and lets the running ones end; a second signal gives them back at once.
            """,
        version: tqVersion,
        subcommands: [Exec.self, Demo.self, Pool.self, Member.self]
    )

    @OptionGroup var options: ConnectionOptions
}

/// What may stand before or after the subcommand.
struct ConnectionOptions: ParsableArguments {
    @OptionGroup var broker: BrokerOptions
    @OptionGroup var file: ConfigOptions
    @OptionGroup var logging: LoggingOptions
}

extension ConnectionOptions {
    /// Begins to log as the options and the configuration say.
    ///
    /// - Returns: The section `worker` of the configuration.
    func bootstrap() throws -> BrokerConfiguration.Worker {
        var input = ConfigurationInput(environment: processEnvironment(), filePath: file.file)
        // The broker's address is none of the worker's business.
        input.isInsecure = true
        do throws(ConfigurationError) {
            let settings = try LoadedConfiguration.load(input).configuration
            let isForPeople = isatty(STDERR_FILENO) == 1 || !settings.monitoring.isJSONLogging
            let level = Logger.Level(rawValue: settings.monitoring.logLevel) ?? .info
            logging.bootstrap(isForPeople ? .text : .json, default: level)
            return settings.worker
        } catch {
            throw CommandFailure(.usage, error.description)
        }
    }
}

/// What every kind of worker can be told.
struct WorkOptions: ParsableArguments {
    @Option(
        name: [.short, .long],
        help: "The queue to take tasks from; several are served by priority. (default: default)"
    )
    var queue: [String] = []
    @Option(help: "How many tasks run at once. (default: 4)")
    var concurrency: Int?
    @Option(help: "The worker's name, one of a kind. (default: made from host and process)")
    var name: String?
    @Option(help: "How long a task is held without renewal, instead of the task's own.")
    var lease: DurationArgument?
    @Option(help: "How long running tasks may go on after a stop signal. (default: 60s)")
    var grace: DurationArgument?
    @Flag(help: "Compress results with zstd when that makes them shorter.")
    var compress = false
    @Option(
        help: ArgumentHelp(
            "What zstd --train made, for payloads that are compressed with it, and for results.",
            valueName: "file"
        )
    )
    var dictionary: String?
}

/// Makes a worker of the options, and runs it until it is told to stop.
struct WorkerProcess {
    private let options: WorkerOptions
    private let addresses: String
    private let logger: Logger

    init(_ connection: ConnectionOptions, _ work: WorkOptions, kind: String) throws {
        StopSignals.catchAll()
        let settings = try connection.bootstrap()
        var options = WorkerOptions()
        if let name = work.name { options.name = Name(name) }
        if !work.queue.isEmpty { options.queues = work.queue.map { Name($0) } }
        options.concurrency = work.concurrency ?? settings.concurrency
        options.lease = work.lease.map { .milliseconds($0.milliseconds) }
        options.heartbeatInterval = .milliseconds(settings.heartbeatIntervalMilliseconds)
        options.shutdownGrace = .milliseconds(
            work.grace?.milliseconds ?? UInt64(settings.gracefulShutdownTimeoutMilliseconds)
        )
        options.metadata = "tq-worker \(tqVersion) \(kind)"
        options.client.clientName = "tq-worker/\(tqVersion)"
        let dictionary = try work.dictionary.map { try CompressionDictionary(readFile($0)[...]) }
        options.client.dictionaries = [dictionary].compactMap { $0 }
        if work.compress { options.client.compression = .zstd(dictionary: dictionary) }
        options.logger = Logger(label: "tq-worker")
        options.client.logger = options.logger
        self.options = options
        self.addresses = connection.broker.addresses
        self.logger = options.logger
    }

    /// Registers handlers, runs, and stops at the first signal; the second one hurries.
    func run(_ register: (Worker) -> Void) async throws {
        let worker = try Worker(brokers: addresses, options: options)
        register(worker)
        let stopping = Task {
            await StopSignals.next()
            logger.notice("stopping: running tasks may end; a second signal gives them back")
            async let hurried: Void = {
                await StopSignals.next()
                await worker.shutdown(grace: .zero)
            }()
            await worker.shutdown()
            _ = await hurried
        }
        logger.info(
            "worker starts",
            metadata: [
                "worker": "\(options.name)", "concurrency": .stringConvertible(options.concurrency),
                "queues": .array(options.queues.map { "\($0)" }), "broker": "\(addresses)",
            ]
        )
        try await worker.run()
        stopping.cancel()
        logger.info("worker stopped")
    }
}
