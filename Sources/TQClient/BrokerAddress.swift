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
        // By scalars: a mark that joins the one before or behind it must not hide a comma, a colon or a bracket.
        for part in text.unicodeScalars.split(separator: ",", omittingEmptySubsequences: false) {
            guard let address = BrokerAddress(part.drop { $0 == " " }) else {
                throw TQError(
                    .invalidArgument,
                    "'\(part)' is no broker address; write host:port, for IPv6 [host]:port."
                )
            }
            addresses.append(address)
        }
        return addresses
    }

    private init?(_ text: Substring.UnicodeScalarView) {
        guard let colon = text.lastIndex(of: ":"), text.last != "]" else {
            guard let host = Self.host(text) else { return nil }
            self.init(host: host)
            return
        }
        guard let port = UInt16(Substring(text[text.index(after: colon)...])), port > 0,
            let host = Self.host(text[..<colon])
        else { return nil }
        self.init(host: host, port: Int(port))
    }

    /// The host without its brackets; only there it has colons, and nowhere blanks or more brackets.
    private static func host(_ text: Substring.UnicodeScalarView) -> String? {
        let isBracketed = text.first == "[" && text.last == "]"
        let host = isBracketed ? text.dropFirst().dropLast() : text
        let isHost = host.allSatisfy { $0 != "[" && $0 != "]" && !$0.properties.isWhitespace }
        guard !host.isEmpty, isHost, isBracketed || !host.contains(":") else { return nil }
        return String(host)
    }

    public var description: String { host.unicodeScalars.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
