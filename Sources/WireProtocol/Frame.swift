public import TQModel

/// One message as it lies in the read buffer: its type, and a payload that shares the buffer.
public struct Frame: Sendable {
    /// The number of a ``MessageType``, or one that this version does not know.
    public let type: UInt8
    /// Everything after the type byte, the request id first.
    public let payload: Bytes

    public init(type: UInt8, payload: Bytes) {
        self.type = type
        self.payload = payload
    }

    /// The request id, readable even where the rest of the payload is not; 0 when there is none.
    public var requestID: UInt32 {
        guard payload.count >= 4 else { return 0 }
        return payload.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// Cuts the bytes of a connection into frames.
///
/// Every burst that is read is copied once; the frames and all that is decoded from them are slices of that one array.
/// A partial frame waits for the next burst.
public struct FrameReader: Sendable {
    private var bytes: [UInt8] = []
    private var position = 0
    private var hasReadFrame = false

    /// Length (4 bytes) and type (1 byte).
    static let headerBytes = 5

    public init() {}

    /// Adds what was read from the connection.
    public mutating func append(_ burst: UnsafeRawBufferPointer) {
        if position == bytes.count {
            bytes = Array(burst)
        } else if position == 0 {
            // A partial frame and no decoded one: nobody shares the array, so it grows in place.
            bytes.append(contentsOf: burst)
        } else {
            var rest: [UInt8] = []
            rest.reserveCapacity(bytes.count - position + burst.count)
            rest.append(contentsOf: bytes[position...])
            rest.append(contentsOf: burst)
            bytes = rest
        }
        position = 0
    }

    /// The next complete frame, or `nil` when more bytes are needed.
    ///
    /// - Throws: `frameTooLarge` or `malformedFrame`; the connection cannot be read any further then.
    public mutating func next() throws(TQError) -> Frame? {
        let available = bytes.count - position
        guard available >= 4 else { return nil }
        let length = bytes.withUnsafeBytes {
            Int(UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self)))
        }
        guard length >= 1, length <= Limits.frameBytesMax else { throw unreadable(length: length) }
        guard available >= 4 + length else { return nil }
        let payload = bytes[(position + Self.headerBytes)..<(position + 4 + length)]
        let frame = Frame(type: bytes[position + 4], payload: payload)
        position += 4 + length
        hasReadFrame = true
        return frame
    }

    /// Bytes of a frame that is not complete yet.
    public var unreadByteCount: Int { bytes.count - position }

    /// Another protocol that the first bytes of the connection look like; `nil` once a frame was read.
    public var foreignProtocol: ForeignProtocol? {
        hasReadFrame ? nil : ForeignProtocol(firstBytes: bytes[position...])
    }

    private func unreadable(length: Int) -> TQError {
        if let foreignProtocol {
            return TQError(.malformedFrame, "The peer speaks \(foreignProtocol.name), not tq's protocol.")
        }
        guard length > 0 else { return TQError(.malformedFrame, "A frame of length 0 has no message type.") }
        return TQError(
            .frameTooLarge,
            "A frame of \(length) bytes is over the limit of \(Limits.frameBytesMax). Split the request."
        )
    }
}
