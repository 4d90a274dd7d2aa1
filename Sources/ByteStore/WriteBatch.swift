import CRocksDB

/// An atomic batch, built in the memory that the engine writes.
///
/// The image is RocksDB's own: 8 zero bytes (its sequence number), the count of operations as a little-endian u32, then
/// the operations one after the other: a tag byte, the family as a varint, and one or two byte strings, each a varint
/// length and the bytes. The tags are in ``BatchImage``.
///
/// A batch belongs to one thread at a time. It can be filled again after ``removeAll(keepingCapacity:)``, which keeps
/// its memory.
public final class WriteBatch {
    /// The operations so far.
    public private(set) var count: UInt32 = 0
    /// The length of the image in bytes, header included.
    public private(set) var byteCount = BatchImage.headerByteCount

    let memory: OpaquePointer
    private var base: UnsafeMutableRawPointer
    private var capacity = 0

    public init() {
        var granted = 0
        guard let memory = tq_batch_create(), let base = tq_batch_reserve(memory, 4096, &granted) else {
            fatalError("out of memory: no room for a write batch")
        }
        self.memory = memory
        self.base = UnsafeMutableRawPointer(base)
        capacity = granted
        clearHeader()
    }

    /// Copies an image made elsewhere, for example by a leader, after checking it.
    public convenience init(copying image: UnsafeRawBufferPointer) throws(StorageError) {
        self.init()
        count = try BatchImage.forEach(image) { _ in }
        reserve(image.count - byteCount)
        UnsafeMutableRawBufferPointer(start: base, count: image.count).copyMemory(from: image)
        base.storeBytes(of: 0, as: UInt64.self)
        byteCount = image.count
    }

    deinit { tq_batch_destroy(memory) }

    /// Whether there is no operation to write.
    public var isEmpty: Bool { count == 0 }

    /// Empties the batch; memory beyond `limit` bytes goes back to the system.
    public func removeAll(keepingCapacity limit: Int = 8 << 20) {
        byteCount = BatchImage.headerByteCount
        count = 0
        if capacity > limit {
            tq_batch_release_memory(memory)
            capacity = 0
            reserve(4096)
        }
        clearHeader()
    }

    // MARK: Operations

    /// Sets the value of a key, and returns where in the image the value is.
    @discardableResult
    public func put(
        _ family: Family,
        key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer
    ) -> Range<Int> {
        put(family, key: key, valueByteCount: value.count) { $0.copyMemory(from: value) }
    }

    /// Sets the value of a key, and returns where in the image the value is.
    @discardableResult
    public func put(_ family: Family, key: [UInt8], value: [UInt8]) -> Range<Int> {
        key.withUnsafeBytes { key in value.withUnsafeBytes { put(family, key: key, value: $0) } }
    }

    /// Sets the value of a key to bytes written in place, and returns where in the image they are.
    ///
    /// The memory is not cleared: `fill` must write every byte of it, and must not touch the batch.
    @discardableResult
    public func put(
        _ family: Family,
        key: UnsafeRawBufferPointer,
        valueByteCount: Int,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> Range<Int> {
        begin(.put, family, roomFor: key.count + valueByteCount)
        append(key)
        appendVarint(valueByteCount)
        let range = byteCount..<byteCount + valueByteCount
        byteCount = range.upperBound
        fill(UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count))
        return range
    }

    /// Sets the value of a key to bytes written in place, and returns where in the image they are.
    ///
    /// The memory is not cleared: `fill` must write every byte of it, and must not touch the batch.
    @discardableResult
    public func put(
        _ family: Family,
        key: [UInt8],
        valueByteCount: Int,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> Range<Int> {
        key.withUnsafeBytes { put(family, key: $0, valueByteCount: valueByteCount, fill: fill) }
    }

    /// Deletes a key, whether it exists or not.
    public func delete(_ family: Family, key: UnsafeRawBufferPointer) {
        begin(.delete, family, roomFor: key.count)
        append(key)
    }

    /// Deletes a key, whether it exists or not.
    public func delete(_ family: Family, key: [UInt8]) {
        key.withUnsafeBytes { delete(family, key: $0) }
    }

    /// Deletes a key that was put at most once in its life; the put and the delete vanish together when they meet.
    public func singleDelete(_ family: Family, key: UnsafeRawBufferPointer) {
        begin(.singleDelete, family, roomFor: key.count)
        append(key)
    }

    /// Deletes a key that was put at most once in its life; the put and the delete vanish together when they meet.
    public func singleDelete(_ family: Family, key: [UInt8]) {
        key.withUnsafeBytes { singleDelete(family, key: $0) }
    }

    /// Deletes every key from `lower` to below `upper`.
    public func deleteRange(_ family: Family, from lower: [UInt8], to upper: [UInt8]) {
        begin(.deleteRange, family, roomFor: lower.count + upper.count)
        lower.withUnsafeBytes { append($0) }
        upper.withUnsafeBytes { append($0) }
    }

    // MARK: The image

    /// The whole image; its first 8 bytes are zero.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: byteCount))
    }

    /// A part of the image to be changed, such as a value that was put before its content was known.
    public func withUnsafeMutableBytes<Result, Failure: Error>(
        in range: Range<Int>,
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= BatchImage.headerByteCount && range.upperBound <= byteCount)
        return try body(UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// The operations in order; the bytes are valid during the body only.
    public func forEach(_ body: (BatchOperation) throws(StorageError) -> Void) throws(StorageError) {
        _ = try withUnsafeBytes { image throws(StorageError) in try BatchImage.forEach(image, body) }
    }

    // MARK: Writing the format

    private func begin(_ tag: BatchImage.Tag, _ family: Family, roomFor bytes: Int) {
        // A tag, a family and at most two lengths come on top.
        reserve(bytes + 2 + 2 * BatchImage.varintBytesMax)
        base.storeBytes(of: tag.rawValue, toByteOffset: byteCount, as: UInt8.self)
        base.storeBytes(of: family.rawValue, toByteOffset: byteCount + 1, as: UInt8.self)
        byteCount += 2
        count += 1
        storeCount()
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        appendVarint(bytes.count)
        UnsafeMutableRawBufferPointer(start: base + byteCount, count: bytes.count).copyMemory(from: bytes)
        byteCount += bytes.count
    }

    private func appendVarint(_ value: Int) {
        guard var rest = UInt32(exactly: value) else {
            fatalError("a key or value of \(value) bytes: 4 GiB is the limit")
        }
        while rest >= 0x80 {
            base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: byteCount, as: UInt8.self)
            byteCount += 1
            rest >>= 7
        }
        base.storeBytes(of: UInt8(rest), toByteOffset: byteCount, as: UInt8.self)
        byteCount += 1
    }

    private func reserve(_ bytes: Int) {
        guard byteCount + bytes > capacity else { return }
        guard let moved = tq_batch_reserve(memory, max(byteCount + bytes, 2 * capacity), &capacity) else {
            fatalError("out of memory: no room for a write batch of \(byteCount + bytes) bytes")
        }
        base = UnsafeMutableRawPointer(moved)
    }

    private func clearHeader() {
        base.storeBytes(of: 0, as: UInt64.self)
        storeCount()
    }

    private func storeCount() {
        base.storeBytes(of: count.littleEndian, toByteOffset: BatchImage.countOffset, as: UInt32.self)
    }
}
