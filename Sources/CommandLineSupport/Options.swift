public import ArgumentParser
import Glibc
public import Logging
public import Telemetry

/// `--config FILE`.
public struct ConfigOptions: ParsableArguments {
    /// The path of the YAML file, when one was given.
    @Option(name: .customLong("config"), help: ArgumentHelp("YAML file with settings.", valueName: "file"))
    public var file: String?

    /// Creates the options of an empty command line.
    public init() {}
}

/// `--log-level LEVEL`, for commands whose own data goes to standard output.
public struct LoggingOptions: ParsableArguments {
    /// The least severe level that is logged.
    @Option(help: ArgumentHelp("Least severe level that is logged.", valueName: "level"))
    public var logLevel: Logger.Level?

    /// Creates the options of an empty command line.
    public init() {}

    /// Logs to standard error from now on; call it once.
    public func bootstrap(_ format: LogFormat = .text, default level: Logger.Level = .warning) {
        bootstrapLogging(format, level: logLevel ?? level)
    }
}

/// `-o FORMAT`.
public struct OutputOptions: ParsableArguments {
    /// How data is printed.
    @Option(name: [.customShort("o"), .customLong("output")], help: "How data is printed.")
    public var format = OutputFormat.table

    /// Creates the options of an empty command line.
    public init() {}
}

/// `--broker-addr HOST:PORT[,HOST:PORT]`.
public struct BrokerOptions: ParsableArguments {
    @Option(
        name: .customLong("broker-addr"),
        help: ArgumentHelp(
            "Where the broker is; several addresses are tried in turn. (default: $TQ_BROKER_ADDR, else 127.0.0.1:6379)",
            valueName: "host:port"
        )
    )
    var flag: String?

    /// Creates the options of an empty command line.
    public init() {}

    /// The addresses to try as text: the flag's, else those of `TQ_BROKER_ADDR`, else this machine's.
    public var addresses: String {
        if let flag { return flag }
        guard let variable = getenv("TQ_BROKER_ADDR"), variable.pointee != 0 else { return "127.0.0.1:6379" }
        return String(cString: variable)
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
