import TQModel

/// The fields of a frame, appended to a byte array; ``FieldReader`` reads the same.
extension [UInt8] {
    @inline(__always)
    mutating func append<Integer: FixedWidthInteger>(integer: Integer) {
        append(addingCapacity: MemoryLayout<Integer>.size) { span in
            span.withUnsafeMutableBufferPointer { buffer, count in
                UnsafeMutableRawBufferPointer(buffer)
                    .storeBytes(of: integer.bigEndian, toByteOffset: count, as: Integer.self)
                count += MemoryLayout<Integer>.size
            }
        }
    }

    /// A length of 4 bytes and the bytes.
    mutating func append(bytes: Bytes) {
        append(integer: UInt32(truncatingIfNeeded: bytes.count))
        append(contentsOf: bytes)
    }

    /// A length of 1 byte and the bytes; whoever sends names has checked them (``Request/checkLimits()``).
    mutating func append(shortBytes bytes: Bytes) {
        guard bytes.count <= Limits.nameBytesMax else { return append(shortBytes: bytes.prefix(Limits.nameBytesMax)) }
        append(integer: UInt8(truncatingIfNeeded: bytes.count))
        append(contentsOf: bytes)
    }

    mutating func append(name: Name) { append(shortBytes: name.bytes) }

    mutating func append(taskID: TaskID) {
        append(integer: taskID.high)
        append(integer: taskID.low)
    }

    mutating func append(lease: LeaseHandle) {
        append(taskID: lease.task)
        append(integer: lease.token.rawValue)
    }

    /// An optional field; only what differs from the default is sent.
    mutating func append<Integer: FixedWidthInteger>(field tag: UInt8, integer: Integer?) {
        guard let integer else { return }
        append(tag)
        append(integer: UInt32(MemoryLayout<Integer>.size))
        append(integer: integer)
    }

    @inline(__always)
    mutating func append<Integer: FixedWidthInteger>(field tag: UInt8, nonZero integer: Integer) {
        if integer != 0 { append(field: tag, integer: integer) }
    }

    @inline(__always)
    mutating func append(field tag: UInt8, nonEmpty bytes: Bytes) {
        if !bytes.isEmpty { append(field: tag, bytes: bytes) }
    }

    mutating func append(field tag: UInt8, bytes: Bytes) {
        append(tag)
        append(bytes: bytes)
    }

    /// A count of 4 bytes and the items.
    mutating func append<Item>(list: [Item], _ item: (inout Self, Item) -> Void) {
        append(integer: UInt32(truncatingIfNeeded: list.count))
        for element in list { item(&self, element) }
    }

    /// A list of records, each with its length before it.
    mutating func append<Item>(records: [Item], _ item: (inout Self, Item) -> Void) {
        append(integer: UInt32(truncatingIfNeeded: records.count))
        for element in records { appendRecord { item(&$0, element) } }
    }

    /// A length of 4 bytes, patched when the record is written.
    mutating func appendRecord(_ body: (inout Self) -> Void) {
        let start = count
        append(integer: UInt32(0))
        body(&self)
        patch(length: count - start - 4, at: start)
    }

    /// A whole frame: length, type, request id, and what `body` appends; nothing at all when that is too large.
    mutating func appendFrame(
        _ message: MessageType,
        id: UInt32,
        _ body: (inout Self) -> Void
    ) throws(TQError) {
        let start = count
        append(integer: UInt32(0))
        append(message.rawValue)
        append(integer: id)
        body(&self)
        let length = count - start - 4
        guard length <= Limits.frameBytesMax else {
            removeSubrange(start...)
            throw TQError(
                .frameTooLarge,
                "A \(message) frame of \(length) bytes is over the limit of \(Limits.frameBytesMax). Split it."
            )
        }
        patch(length: length, at: start)
    }

    private mutating func patch(length: Int, at start: Int) {
        withUnsafeMutableBytes {
            $0.storeBytes(of: UInt32(truncatingIfNeeded: length).bigEndian, toByteOffset: start, as: UInt32.self)
        }
    }
}
