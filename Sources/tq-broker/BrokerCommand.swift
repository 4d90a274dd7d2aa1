import ArgumentParser
import Broker
import BrokerConfig
import CommandLineSupport
import FoundationEssentials
import Glibc
import Logging
import TQModel
import Telemetry

/// Runs a broker until it is told to stop.
@main
struct BrokerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-broker",
        abstract: "A durable task queue in one binary.",
        discussion: """
            Settings come from flags, then the environment (TQ_BROKER_PORT, ...), then the file of --config, then the \
            defaults. SIGTERM or SIGINT drains and stops; a second one stops at once, and loses nothing either.
            """,
        version: tqVersion
    )

    @OptionGroup var file: ConfigOptions
    @OptionGroup var logging: LoggingOptions

    @Option(help: "The directory that holds all tasks.")
    var dataDir: String?
    @Option(help: "The address to listen on.")
    var host: String?
    @Option(help: "The port of the native protocol; 0 takes a free one.")
    var port: Int?
    @Option(help: "The port of the REST interface; 0 takes a free one.")
    var restPort: Int?
    @Option(help: "The port of the gRPC interface; 0 takes a free one.")
    var grpcPort: Int?
    @Option(help: "The port of the Prometheus endpoint; 0 takes a free one.")
    var prometheusPort: Int?
    @Option(name: .customLong("set"), help: ArgumentHelp("Any other key.", valueName: "section.key=value"))
    var assignments: [String] = []
    @Flag(help: "Serve an address that other machines reach, although nothing checks who they are.")
    var insecure = false
    @Flag(help: "Check the settings and exit.")
    var checkConfig = false
    @Flag(help: "Print every setting with its source and exit.")
    var printConfig = false
    @Flag(help: "Try it out: temporary data, logs for people, and another port where the usual one is taken.")
    var dev = false

    static func main() async {
        // A closed connection and a file size limit are errors to handle, not reasons to die.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        umask(0o077)
        StopSignals.catchAll()
        await runAndExit()
    }

    func run() async throws {
        let loaded = try load()
        if printConfig { return writeToStandardOutput(loaded.lines.joined(separator: "\n") + "\n") }
        if checkConfig { return writeToStandardOutput("The configuration is valid.\n") }
        let monitoring = loaded.configuration.monitoring
        logging.bootstrap(
            monitoring.isJSONLogging && !dev ? .json : .text,
            default: Logger.Level(rawValue: monitoring.logLevel) ?? .info
        )
        let logger = Logger(label: "tq-broker")
        for warning in loaded.warnings { logger.warning("\(warning)") }
        try await serve(loaded, logger)
    }

    private func serve(_ loaded: LoadedConfiguration, _ logger: Logger) async throws {
        var settings = BrokerSettings(loaded.configuration)
        let temporary = dev && dataDir == nil ? try TemporaryDirectory() : nil
        if let temporary {
            settings.dataDirectory = temporary.path
        }
        if dev, port == nil, !isPortFree(settings.port) { settings.port = 0 }
        let broker = Broker(settings, logger: logger)
        do {
            try await broker.start()
        } catch {
            temporary?.remove()
            throw CommandFailure(.failed, error.description)
        }
        if dev, let port = broker.port { greet(port) }
        await StopSignals.next()
        logger.notice("stopping: leased tasks may end; a second signal stops at once")
        // Leases survive a stop, so there is nothing to wait for but politeness towards running tasks.
        let grace = Int64(loaded.configuration.worker.gracefulShutdownTimeoutMilliseconds)
        Task.detached {
            await StopSignals.next()
            // Ends the wait below.
            await broker.stop()
        }
        await broker.stop(graceMilliseconds: grace)
        temporary?.remove()
    }

    /// Prints commands that work as they are in another terminal, wherever the programs and the port are.
    private func greet(_ port: Int) {
        let isUsual = port == BrokerConfiguration().broker.port && processEnvironment()["TQ_BROKER_ADDR"] == nil
        let address = isUsual ? "" : " --broker-addr 127.0.0.1:\(port)"
        let life = dataDir == nil ? " with data that is gone when it stops" : ""
        let (worker, admin) = (typedCommand("tq-worker"), typedCommand("tq-admin"))
        writeToStandardError(
            """

            tq-broker \(tqVersion) serves 127.0.0.1:\(port)\(life). Try in other terminals:
              \(worker) exec\(address) --queue hello -- wc -c
              \(admin) wait\(address) $(\(admin) submit\(address) --queue hello --type count --payload 'how long is this?')


            """
        )
    }

    private func load() throws -> LoadedConfiguration {
        do throws(ConfigurationError) {
            return try LoadedConfiguration.load(try input())
        } catch {
            throw CommandFailure(.usage, error.description)
        }
    }

    private func input() throws(ConfigurationError) -> ConfigurationInput {
        var input = ConfigurationInput(environment: processEnvironment(), filePath: file.file, isInsecure: insecure)
        for assignment in assignments { try input.set(assignment) }
        input.setFlag("persistence.data_dir", dataDir)
        input.setFlag("broker.host", host)
        input.setFlag("broker.port", port)
        input.setFlag("api.rest_port", restPort)
        input.setFlag("api.grpc_port", grpcPort)
        input.setFlag("monitoring.prometheus_port", prometheusPort)
        return input
    }
}

/// A directory for data that nobody keeps.
private struct TemporaryDirectory {
    let path: String

    init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/tq-dev-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw CommandFailure(
                .failed,
                "Cannot create a directory in \(parent): \(String(cString: strerror(errno)))."
            )
        }
        path = template.withUnsafeBufferPointer {
            String(decoding: $0.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    func remove() {
        // Nothing depends on it: what stays is in a directory for temporary files.
        try? FileManager.default.removeItem(atPath: path)
    }
}
