import ByteStore

/// The 16 bytes before every table: version, shape, count and checksum.
///
/// | byte | size | content |
/// |---|---|---|
/// | 0 | 1 | version of the table's format |
/// | 1 | 1 | form; its meaning is the table's |
/// | 2 | 2 | bytes of an entry, where entries have one size |
/// | 4 | 4 | count of entries |
/// | 8 | 4 | a number whose meaning is the table's |
/// | 12 | 4 | CRC32C of bytes 0 to 11 and of the covered bytes behind the header |
struct TableHeader {
    static let byteCount = 16
    static let version: UInt8 = 1

    var form: UInt8 = 0
    var entryByteCount: UInt16 = 0
    var count: UInt32
    var extra: UInt32 = 0

    /// Writes the header into the first bytes of a value whose covered bytes are in place already.
    func seal(_ value: UnsafeMutableRawBufferPointer, covered: Int) {
        var writer = ByteWriter(value)
        writer.write(Self.version)
        writer.write(form)
        writer.write(entryByteCount)
        writer.write(count)
        writer.write(extra)
        let crc = CRC32C.checksum(of: writer.written)
        let rest = UnsafeRawBufferPointer(rebasing: value[Self.byteCount..<Self.byteCount + covered])
        writer.write(CRC32C.checksum(of: rest, continuing: crc))
    }

    /// Reads and checks a header.
    ///
    /// - Parameter covered: How many bytes behind the header the checksum covers, known from the header's fields.
    static func open(
        _ value: UnsafeRawBufferPointer,
        _ what: StaticString,
        covered: (TableHeader) -> Int
    ) throws(StorageError) -> (header: TableHeader, reader: ByteReader) {
        var reader = ByteReader(value, what)
        let version: UInt8 = try reader.read()
        // The store's own version was read before and is known, so an unknown one here is damage.
        guard version == Self.version else { throw reader.corrupt("version \(version) instead of \(Self.version)") }
        let form: UInt8 = try reader.read()
        let entryByteCount: UInt16 = try reader.read()
        let count: UInt32 = try reader.read()
        let extra: UInt32 = try reader.read()
        let header = TableHeader(form: form, entryByteCount: entryByteCount, count: count, extra: extra)
        let stored: UInt32 = try reader.read()
        let length = covered(header)
        guard length >= 0, length <= reader.remaining else {
            throw reader.corrupt("\(count) entries do not fit into \(value.count) bytes")
        }
        let head = CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: value[0..<12]))
        let rest = UnsafeRawBufferPointer(rebasing: value[Self.byteCount..<Self.byteCount + length])
        guard CRC32C.checksum(of: rest, continuing: head) == stored else {
            throw reader.corrupt("the checksum does not match")
        }
        return (header, reader)
    }
}
