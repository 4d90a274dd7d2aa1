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
            "Where the broker is; several addresses are tried in turn. (default: $TQ_BROKER_ADDR, else \(BrokerAddress.default))",
            valueName: "host:port"
        )
    )
    var list: BrokerAddressList?

    /// Creates the options of an empty command line.
    public init() {}

    /// The addresses to try: the flag's, else those of `TQ_BROKER_ADDR`, else this machine's.
    public func addresses() throws -> [BrokerAddress] {
        if let list { return list.addresses }
        guard let variable = getenv("TQ_BROKER_ADDR"), variable.pointee != 0 else { return [.default] }
        let text = String(cString: variable)
        guard let list = BrokerAddressList(argument: text) else {
            throw CommandFailure(.usage, "TQ_BROKER_ADDR is '\(text)', write it as host:port[,host:port]")
        }
        return list.addresses
    }
}

/// Where a broker listens.
public struct BrokerAddress: Hashable, Sendable, CustomStringConvertible {
    /// A name or an IP address, without brackets.
    public let host: String
    /// The TCP port.
    public let port: Int

    /// Creates an address.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// This machine, at the native protocol's usual port.
    public static let `default` = BrokerAddress(host: "127.0.0.1", port: 6379)

    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        let isBareIPv6 = !text.hasPrefix("[") && text.count(where: { $0 == ":" }) > 1
        let host: String
        var rest: Substring
        if isBareIPv6 {
            (host, rest) = (String(text), "")
        } else if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            (host, rest) = (String(text[..<end].dropFirst()), Substring(text[end...].dropFirst()))
        } else {
            (host, rest) = (String(text.prefix { $0 != ":" }), Substring(text.drop { $0 != ":" }))
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
        if rest.isEmpty {
            self.init(host: host, port: Self.default.port)
        } else {
            guard rest.removeFirst() == ":", let port = UInt16(rest), port > 0 else { return nil }
            self.init(host: host, port: Int(port))
        }
    }

    /// The address as it is written on the command line.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

struct BrokerAddressList: ExpressibleByArgument {
    let addresses: [BrokerAddress]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let addresses = parts.compactMap { BrokerAddress($0) }
        guard !addresses.isEmpty, addresses.count == parts.count else { return nil }
        self.addresses = addresses
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
