public import TQModel

extension TQError {
    private static let retryAfterTag: UInt8 = 1

    init(from reader: inout FieldReader) throws(TQError) {
        let code = Code(rawValue: try reader.integer())
        self.init(code, String(decoding: try reader.bytes(), as: UTF8.self))
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.retryAfterTag: retryAfterMilliseconds = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: code.rawValue)
        bytes.append(bytes: Bytes(message.utf8))
        bytes.append(field: Self.retryAfterTag, integer: retryAfterMilliseconds)
    }
}

extension TQError.Code {
    /// Whether a decoding error leaves nothing to go on with: the broker says what is wrong and closes the connection.
    ///
    /// Every other error belongs to one request, and the next frame can be read.
    public var endsConnection: Bool {
        switch self {
        case .malformedFrame, .frameTooLarge, .unknownMessage, .versionUnsupported, .notABroker: true
        default: false
        }
    }
}
