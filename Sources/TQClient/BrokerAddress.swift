public import TQModel

/// Where a broker listens: a host name or address, and a port.
public struct BrokerAddress: Hashable, Sendable, CustomStringConvertible {
    /// A name to look up, or an IPv4 or IPv6 address without brackets.
    public var host: String
    /// The TCP port of the native protocol, 1 to 65535.
    public var port: Int

    /// The port of a broker that nobody configured.
    public static let defaultPort = 6379

    public init(host: String, port: Int = defaultPort) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port[,host:port]`; a port may be missing, an IPv6 address stands in brackets.
    ///
    /// - Throws: `invalidArgument`, naming the part that is wrong.
    public static func list(_ text: String) throws(TQError) -> [BrokerAddress] {
        var addresses: [BrokerAddress] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let trimmed = part.drop { $0 == " " }
            guard let address = BrokerAddress(trimmed) else {
                throw TQError(
                    .invalidArgument,
                    "'\(part)' is no broker address; write host:port, for IPv6 [host]:port."
                )
            }
            addresses.append(address)
        }
        return addresses
    }

    private init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else {
            self.init(host: Self.withoutBrackets(text))
            if host.isEmpty { return nil }
            return
        }
        guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        let host = text[..<colon]
        guard !host.contains(":") || host.hasPrefix("[") else { return nil }
        self.init(host: Self.withoutBrackets(host), port: Int(port))
        if self.host.isEmpty { return nil }
    }

    private static func withoutBrackets(_ host: some StringProtocol) -> String {
        guard host.hasPrefix("["), host.hasSuffix("]") else { return String(host) }
        return String(host.dropFirst().dropLast())
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
