public import TQModel

/// The first frame of a client: what it speaks and how its session shall behave.
public struct Hello: Hashable, Sendable {
    /// The protocol's version that this library speaks.
    public static let currentVersion: UInt16 = 1

    /// The version that the client speaks; a broker refuses all but its own.
    public var version: UInt16
    /// A bit for each optional feature that the client understands; none is defined yet.
    public var capabilities: UInt32
    /// Who connects, for people: the program and its version, at most 255 bytes.
    public var clientName: String
    /// How the session treats its leases when the connection closes.
    public var settings: SessionSettings
    /// A key or token; empty for none.
    public var credentials: Bytes
    /// The namespace in which names are looked up; `nil` for the default one.
    public var namespace: Name?

    public init(
        version: UInt16 = currentVersion,
        capabilities: UInt32 = 0,
        clientName: String = "",
        settings: SessionSettings = .init(),
        credentials: Bytes = [],
        namespace: Name? = nil
    ) {
        self.version = version
        self.capabilities = capabilities
        self.clientName = clientName
        self.settings = settings
        self.credentials = credentials
        self.namespace = namespace
    }

    /// `tq` and a line end, so that a server of lines answers it at once and the mistake shows.
    static let magic: UInt32 = 0x7471_0d0a

    private enum Tag {
        static let clientName: UInt8 = 1
        static let endsLeasesOnClose: UInt8 = 2
        static let credentials: UInt8 = 3
        static let namespace: UInt8 = 4
    }

    /// Appends the frame.
    public func encode(id: UInt32, into bytes: inout [UInt8]) throws(TQError) {
        try bytes.appendFrame(.hello, id: id) {
            $0.append(integer: Self.magic)
            $0.append(integer: version)
            $0.append(integer: capabilities)
            $0.append(field: Tag.clientName, nonEmpty: Bytes(clientName.utf8.prefix(Limits.nameBytesMax)))
            $0.append(field: Tag.endsLeasesOnClose, nonZero: settings.endsLeasesOnClose ? 1 as UInt8 : 0)
            $0.append(field: Tag.credentials, nonEmpty: credentials)
            if let namespace { $0.append(field: Tag.namespace, bytes: namespace.bytes) }
        }
    }

    /// Reads the first frame of a connection.
    ///
    /// - Throws: `malformedFrame` for anything but a hello, `versionUnsupported` for a hello of another version.
    public static func decode(_ frame: Frame) throws(TQError) -> (id: UInt32, hello: Hello) {
        guard frame.type == MessageType.hello.rawValue else {
            throw TQError(.malformedFrame, "The first frame of a connection must be a hello, not type \(frame.type).")
        }
        let (id, hello) = try frame.read(as: .hello) { (reader) throws(TQError) in try Hello(from: &reader) }
        return (id, hello)
    }

    private init(from reader: inout FieldReader) throws(TQError) {
        guard try reader.integer(UInt32.self) == Self.magic else {
            throw reader.malformed("it does not begin with the bytes of tq")
        }
        let version: UInt16 = try reader.integer()
        guard version == Self.currentVersion else {
            throw TQError(
                .versionUnsupported,
                "The client speaks version \(version) of the protocol, this broker speaks \(Self.currentVersion)."
            )
        }
        self.init(version: version, capabilities: try reader.integer())
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.clientName: clientName = String(repairing: try reader.name(of: field).bytes)
            case Tag.endsLeasesOnClose: settings.endsLeasesOnClose = try reader.integer(of: field, as: UInt8.self) != 0
            case Tag.credentials: credentials = reader.bytes(of: field)
            case Tag.namespace: namespace = try reader.name(of: field)
            default: try reader.unknown(field)
            }
        }
    }
}

/// The broker's answer to a hello that it accepts.
public struct HelloReply: Hashable, Sendable {
    /// The version that the broker speaks; a client refuses all but its own.
    public var version: UInt16
    /// The features of the client's hello that the broker understands too.
    public var capabilities: UInt32
    /// The version of the broker's program.
    public var brokerVersion: String

    public init(version: UInt16 = Hello.currentVersion, capabilities: UInt32 = 0, brokerVersion: String) {
        self.version = version
        self.capabilities = capabilities
        self.brokerVersion = brokerVersion
    }

    /// Appends the frame.
    public func encode(id: UInt32, into bytes: inout [UInt8]) throws(TQError) {
        try bytes.appendFrame(.helloReply, id: id) {
            $0.append(integer: version)
            $0.append(integer: capabilities)
            $0.append(shortBytes: Bytes(brokerVersion.utf8))
        }
    }

    /// Reads the first frame that a broker sends.
    ///
    /// - Throws: The broker's own error when it refuses, `notABroker` for any other frame.
    public static func decode(_ frame: Frame) throws(TQError) -> HelloReply {
        switch MessageType(rawValue: frame.type) {
        case .helloReply:
            return try frame.read(as: .helloReply) { (reader) throws(TQError) in
                let reply = HelloReply(
                    version: try reader.integer(),
                    capabilities: try reader.integer(),
                    brokerVersion: try reader.shortText()
                )
                try reader.noKnownFields()
                guard reply.version == Hello.currentVersion else {
                    throw TQError(.versionUnsupported, "The broker speaks version \(reply.version) of the protocol.")
                }
                return reply
            }.value
        case .errorReply:
            throw try frame.read(as: .errorReply) { (reader) throws(TQError) in try TQError(from: &reader) }.value
        default:
            throw TQError(.notABroker, "The answer to the hello is of type \(frame.type).")
        }
    }
}
