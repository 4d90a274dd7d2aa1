import TQModel

/// Reads the fields of one frame in place, from first to last.
///
/// It points into the frame's bytes and is valid only inside ``Frame/read(as:_:)``. Every length is checked, once,
/// before it is used; what is too short, too long or out of order throws and never traps.
struct FieldReader: ~Copyable {
    private let message: MessageType
    private let owner: Bytes
    private let base: UnsafeRawPointer
    private var position = 0
    /// Where the innermost record ends, counted as ``position`` is.
    private var end: Int
    /// The last optional field's tag in the innermost record; tags ascend, so none comes twice.
    private var previousTag: UInt8 = 0

    init(message: MessageType, owner: Bytes, base: UnsafeRawPointer) {
        self.message = message
        self.owner = owner
        self.base = base
        self.end = owner.count
    }

    var isAtEnd: Bool { position == end }

    /// An integer of fixed width, big-endian.
    @inline(__always)
    mutating func integer<Integer: FixedWidthInteger>(_: Integer.Type = Integer.self) throws(TQError) -> Integer {
        let start = try advance(MemoryLayout<Integer>.size)
        return Integer(bigEndian: base.loadUnaligned(fromByteOffset: start, as: Integer.self))
    }

    /// A length of 4 bytes and that many bytes.
    @inline(__always)
    mutating func bytes() throws(TQError) -> Bytes {
        let count = Int(try integer(UInt32.self))
        return slice(try advance(count), count)
    }

    /// A payload or result: bytes within ``Limits/payloadBytesMax``.
    mutating func payload(of task: @autoclosure () -> String) throws(TQError) -> Bytes {
        let payload = try bytes()
        guard payload.count <= Limits.payloadBytesMax else { throw .payloadTooLarge(payload.count, of: task()) }
        return payload
    }

    /// A length of 1 byte and that many bytes.
    @inline(__always)
    mutating func shortBytes() throws(TQError) -> Bytes {
        let count = Int(try integer(UInt8.self))
        return slice(try advance(count), count)
    }

    /// A text for people of at most ``Limits/nameBytesMax`` bytes.
    mutating func shortText() throws(TQError) -> String { String(repairing: try shortBytes()) }

    @inline(__always)
    mutating func name() throws(TQError) -> Name { Name(bytes: try shortBytes()) }

    @inline(__always)
    mutating func taskID() throws(TQError) -> TaskID {
        TaskID(high: try integer(), low: try integer())
    }

    @inline(__always)
    mutating func lease() throws(TQError) -> LeaseHandle {
        LeaseHandle(task: try taskID(), token: LeaseToken(rawValue: try integer()))
    }

    /// The next optional field of the innermost record; `nil` at its end.
    @inline(__always)
    mutating func nextField() throws(TQError) -> Field? {
        guard position < end else { return nil }
        let tag: UInt8 = try integer()
        guard tag > previousTag else { throw malformed("optional field \(tag) is not in ascending order") }
        previousTag = tag
        let count = Int(try integer(UInt32.self))
        return Field(tag: tag, start: try advance(count), count: count)
    }

    /// What to do with an optional field that this version does not know: skipped in a reply, an error in a request,
    /// because a broker that ignores what was asked for would lie by its success reply.
    func unknown(_ field: Field) throws(TQError) {
        guard !message.isReply else { return }
        throw TQError(
            .invalidArgument,
            "This broker does not know optional field \(field.tag) of a \(message) request. Leave it out or update it."
        )
    }

    /// Ends a record that has no optional fields yet.
    mutating func noKnownFields() throws(TQError) {
        while let field = try nextField() { try unknown(field) }
    }

    func integer<Integer: FixedWidthInteger>(
        of field: Field,
        as _: Integer.Type = Integer.self
    ) throws(TQError) -> Integer {
        guard field.count == MemoryLayout<Integer>.size else {
            throw malformed("optional field \(field.tag) has \(field.count) bytes, not \(MemoryLayout<Integer>.size)")
        }
        return Integer(bigEndian: base.loadUnaligned(fromByteOffset: field.start, as: Integer.self))
    }

    func bytes(of field: Field) -> Bytes { slice(field.start, field.count) }

    func name(of field: Field) throws(TQError) -> Name {
        guard field.count <= Limits.nameBytesMax else {
            throw malformed("optional field \(field.tag) is a name of \(field.count) bytes")
        }
        return Name(bytes: bytes(of: field))
    }

    func taskID(of field: Field) throws(TQError) -> TaskID {
        guard field.count == 16 else {
            throw malformed("optional field \(field.tag) has \(field.count) bytes, not the 16 of an id")
        }
        return TaskID(
            high: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: field.start, as: UInt64.self)),
            low: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: field.start + 8, as: UInt64.self))
        )
    }

    /// A count of 4 bytes and that many items, at most `max` of them.
    ///
    /// - Parameter itemBytesMin: What the smallest item takes, so that a count alone can reserve no memory.
    mutating func list<Item>(
        max: Int,
        itemBytesMin: Int,
        _ item: (inout FieldReader) throws(TQError) -> Item
    ) throws(TQError) -> [Item] {
        let count = Int(try integer(UInt32.self))
        guard count <= (end - position) / itemBytesMin else {
            throw malformed("a list of \(count) items does not fit into \(end - position) bytes")
        }
        guard count <= max else {
            throw message.isReply
                ? malformed("a list of \(count) items is longer than \(max)")
                : .tooMany(count, max: max, in: message)
        }
        var items: [Item] = []
        items.reserveCapacity(min(count, Limits.batchCountMax))
        for _ in 0..<count { items.append(try item(&self)) }
        return items
    }

    /// A list of records, each with its length before it, so that records can grow.
    mutating func records<Item>(
        max: Int,
        _ item: (inout FieldReader) throws(TQError) -> Item
    ) throws(TQError) -> [Item] {
        try list(max: max, itemBytesMin: 4) { (reader) throws(TQError) in try reader.record(item) }
    }

    /// A list of records that an optional field holds, at most `max` of them.
    mutating func records<Item>(
        of field: Field,
        max: Int,
        _ item: (inout FieldReader) throws(TQError) -> Item
    ) throws(TQError) -> [Item] {
        try nested(field.start, field.count) { (reader) throws(TQError) in try reader.records(max: max, item) }
    }

    /// A list of task ids.
    mutating func taskIDs() throws(TQError) -> [TaskID] {
        try list(max: Limits.batchCountMax, itemBytesMin: 16) { (reader) throws(TQError) in try reader.taskID() }
    }

    /// What an optional field holds, all of it.
    mutating func nested<Value>(
        in field: Field,
        _ body: (inout FieldReader) throws(TQError) -> Value
    ) throws(TQError) -> Value {
        try nested(field.start, field.count, body)
    }

    /// A list of task ids that an optional field holds.
    mutating func taskIDs(of field: Field) throws(TQError) -> [TaskID] {
        try nested(field.start, field.count) { (reader) throws(TQError) in try reader.taskIDs() }
    }

    /// A length of 4 bytes and a record that fills exactly that many.
    mutating func record<Item>(_ item: (inout FieldReader) throws(TQError) -> Item) throws(TQError) -> Item {
        let count = Int(try integer(UInt32.self))
        return try nested(try advance(count), count, item)
    }

    /// Reads a part of the frame, all of it, and goes on where it was.
    private mutating func nested<Value>(
        _ start: Int,
        _ count: Int,
        _ body: (inout FieldReader) throws(TQError) -> Value
    ) throws(TQError) -> Value {
        let outer = (position, end, previousTag)
        (position, end, previousTag) = (start, start + count, 0)
        let value = try body(&self)
        guard position == end else { throw malformed("a record has \(end - position) bytes too many") }
        (position, end, previousTag) = outer
        return value
    }

    private func tooShort(_ count: Int) -> TQError { malformed("a field of \(count) bytes reaches past the end") }

    func malformed(_ what: String) -> TQError {
        TQError(.malformedFrame, "Malformed \(message) frame: \(what) (at byte \(position) of its payload).")
    }

    @inline(__always)
    private func slice(_ start: Int, _ count: Int) -> Bytes {
        let first = owner.startIndex + start
        return owner[first..<(first + count)]
    }

    /// Steps over `count` bytes and gives the position of the first.
    @inline(__always)
    private mutating func advance(_ count: Int) throws(TQError) -> Int {
        let start = position
        guard count <= end - start else { throw tooShort(count) }
        position = start + count
        return start
    }
}

/// An optional field in place: its tag, and where its value lies in the frame.
struct Field {
    let tag: UInt8
    let start: Int
    let count: Int
}

extension Frame {
    /// Decodes the payload, request id first, all of it.
    func read<Value>(
        as message: MessageType,
        _ body: (inout FieldReader) throws(TQError) -> Value
    ) throws(TQError) -> (id: UInt32, value: Value) {
        try payload.withUnsafeBufferPointer { (buffer) throws(TQError) in
            guard let base = buffer.baseAddress else {
                throw TQError(.malformedFrame, "Malformed \(message) frame: it has no request id.")
            }
            var reader = FieldReader(message: message, owner: payload, base: UnsafeRawPointer(base))
            let id: UInt32 = try reader.integer()
            let value = try body(&reader)
            guard reader.isAtEnd else { throw reader.malformed("bytes follow its last field") }
            return (id, value)
        }
    }
}

extension String {
    /// A short text of a peer: what is no UTF-8 is replaced, which makes it longer, and the end is cut so that it can be
    /// sent on.
    init(repairing bytes: Bytes) {
        self.init(decoding: bytes, as: UTF8.self)
        while utf8.count > Limits.nameBytesMax { unicodeScalars.removeLast() }
    }
}

extension TQError {
    static func tooMany(_ count: Int, max: Int, in message: MessageType) -> TQError {
        TQError(.limitExceeded, "A \(message) request with \(count) items is over the limit of \(max). Split it.")
    }

    static func payloadTooLarge(_ count: Int, of thing: String) -> TQError {
        TQError(
            .payloadTooLarge,
            "The \(thing) has \(count) bytes, the limit is \(Limits.payloadBytesMax). Store it elsewhere and send a reference."
        )
    }
}
