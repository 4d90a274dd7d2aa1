public import TQModel

/// A protocol that is often spoken to the wrong port; told from its first bytes, none of which can begin a tq frame.
public enum ForeignProtocol: Sendable, Hashable, CaseIterable {
    /// A method of HTTP/1, the preface of HTTP/2, or an answer of HTTP.
    case http
    /// A command or an answer of Redis (RESP).
    case redis
    /// The handshake record of TLS 1.0 or later.
    case tls
    /// Some other protocol made of printable lines.
    case text

    /// Recognises the first four bytes or more of a connection; `nil` for fewer and for what may be tq.
    public init?(firstBytes: Bytes) {
        let head = Array(firstBytes.prefix(4))
        // The first byte of a tq frame is 0 or, in a frame of exactly 16 MiB, 1.
        guard head.count == 4, head[0] > 1 else { return nil }
        if head[0] == 0x16, head[1] == 0x03 {
            self = .tls
        } else if Self.httpStarts.contains(where: { $0.elementsEqual(head) }) {
            self = .http
        } else if Self.redisStarts.contains(head[0]), (0x20..<0x7f).contains(head[1]) {
            self = .redis
        } else if head.allSatisfy({ (0x20..<0x7f).contains($0) || $0 == 0x0d || $0 == 0x0a }) {
            self = .text
        } else {
            return nil
        }
    }

    /// What to call it in a sentence.
    public var name: String {
        switch self {
        case .http: "HTTP"
        case .redis: "the Redis protocol"
        case .tls: "TLS"
        case .text: "a text protocol"
        }
    }

    /// What a broker answers, in the peer's own language, before it closes the connection.
    public var farewell: [UInt8] {
        switch self {
        case .http:
            let body = "This is the native port of a tq broker; HTTP is served on the REST port.\n"
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            return Array("\(head)Content-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8)
        case .redis:
            return Array("-ERR this is a tq broker, not Redis\r\n".utf8)
        case .tls:
            // A fatal alert: protocol_version.
            return [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]
        case .text:
            return Array("This is the native port of a tq broker.\r\n".utf8)
        }
    }

    private static let httpStarts = [
        "GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ", "HTTP",
    ]
    .map { Array($0.utf8) }
    private static let redisStarts = Array("*+-$:".utf8)
}
