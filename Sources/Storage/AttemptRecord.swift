import ByteStore
import QueueCore
import TQModel

/// An attempt that did not succeed: table header (count 1; everything is covered), token u64, start u64, end u64, number
/// u16, how it ended u8, bytes of the worker's name u8, the name, the error.
enum AttemptRecord {
    private static let headByteCount = 28

    static func write(_ row: AttemptRow, texts: [UInt8], to batch: WriteBatch) {
        let worker = texts[row.worker.range].prefix(Limits.nameBytesMax)
        let error = texts[row.error.range]
        let covered = headByteCount + worker.count + error.count
        batch.put(
            .index,
            key: KeyLayout.attempt(row.sequence, place: row.place),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.token.rawValue)
            writer.write(row.startWallMilliseconds)
            writer.write(row.endWallMilliseconds)
            writer.write(row.number)
            writer.write(row.end.rawValue)
            writer.write(UInt8(worker.count))
            writer.write(worker)
            writer.write(error)
            TableHeader(count: 1).seal(value, covered: covered)
        }
    }

    /// Reads an attempt; its texts are appended to `texts`, and its spans point into it.
    static func read(
        key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer,
        texts: inout [UInt8]
    ) throws(StorageError) -> AttemptRow {
        let (sequence, place) = try KeyReader.attempt(key)
        var (_, reader) = try TableHeader.open(value, "attempt") { _ in value.count - TableHeader.byteCount }
        let token = LeaseToken(rawValue: try reader.read())
        let start: UInt64 = try reader.read()
        let end: UInt64 = try reader.read()
        let number: UInt16 = try reader.read()
        let kind: UInt8 = try reader.read()
        guard let kind = AttemptEnd(rawValue: kind) else { throw reader.corrupt("an attempt that ended as \(kind)") }
        let row = AttemptRow(
            sequence: sequence,
            number: number,
            end: kind,
            token: token,
            startWallMilliseconds: start,
            endWallMilliseconds: end,
            worker: try readText(&reader, Int(try reader.read(UInt8.self)), &texts),
            error: try readText(&reader, reader.remaining, &texts)
        )
        guard row.place == place else { throw reader.corrupt("attempt \(number) in place \(place)") }
        return row
    }

    private static func readText(
        _ reader: inout ByteReader,
        _ count: Int,
        _ texts: inout [UInt8]
    ) throws(StorageError) -> EffectBatch.Span {
        let bytes = try reader.bytes(count)
        defer { texts.append(contentsOf: bytes) }
        return EffectBatch.Span(offset: UInt32(texts.count), count: UInt32(count))
    }
}
