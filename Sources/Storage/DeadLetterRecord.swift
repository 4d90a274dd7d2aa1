import ByteStore
import QueueCore
import TQModel

/// One dead letter, complete: a pending table of one row, its error and its payload.
///
/// Behind the table header (count 1; the checksum covers everything), there are reason u8, zero u8, attempts u16, crashes
/// u16, zero u16, buried u64, token u64, bucket in which it expires u32 (0 for never), then three lengths u32: of the table, of the error, of the payload; then
/// the three.
enum DeadLetterRecord {
    private static let headByteCount = 40

    static func byteCount(_ row: DeadLetterRow) -> Int {
        let table = [row.task][...]
        return TableHeader.byteCount + headByteCount + PendingTable.Shape(table).byteCount
            + Int(row.error.count) + Int(row.payload.count)
    }

    static func write(_ row: DeadLetterRow, texts: [UInt8], to value: UnsafeMutableRawBufferPointer) {
        let table = [row.task][...]
        let shape = PendingTable.Shape(table)
        let tableByteCount = shape.byteCount
        var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
        writer.write(row.reason.rawValue)
        writer.write(UInt8(0))
        writer.write(row.attempts)
        writer.write(row.crashes)
        writer.write(UInt16(0))
        writer.write(row.buriedWallMilliseconds)
        writer.write(row.token.rawValue)
        writer.write(row.bucket.rawValue)
        writer.write(UInt32(tableByteCount))
        writer.write(row.error.count)
        writer.write(row.payload.count)
        let tableStart = TableHeader.byteCount + headByteCount
        PendingTable.write(
            table,
            shape,
            to: UnsafeMutableRawBufferPointer(rebasing: value[tableStart..<tableStart + tableByteCount])
        )
        var rest = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[(tableStart + tableByteCount)...]))
        rest.write(texts[row.error.range])
        rest.write(texts[row.payload.range])
        TableHeader(count: 1).seal(value, covered: value.count - TableHeader.byteCount)
    }

    static func read(
        _ value: UnsafeRawBufferPointer,
        texts: inout [UInt8]
    ) throws(StorageError) -> DeadLetterRow {
        var (_, reader) = try TableHeader.open(value, "dead letter") { _ in value.count - TableHeader.byteCount }
        let reason: UInt8 = try reader.read()
        _ = try reader.read(UInt8.self)
        let attempts: UInt16 = try reader.read()
        let crashes: UInt16 = try reader.read()
        _ = try reader.read(UInt16.self)
        let buried: UInt64 = try reader.read()
        let token: UInt64 = try reader.read()
        let bucket = ExpiryBucket(rawValue: try reader.read())
        let tableByteCount: UInt32 = try reader.read()
        let errorByteCount: UInt32 = try reader.read()
        let payloadByteCount: UInt32 = try reader.read()
        let rows = try PendingTable.read(try reader.bytes(Int(tableByteCount)))
        guard let task = rows.first, rows.count == 1, let reason = DeadLetterReason(rawValue: reason) else {
            throw reader.corrupt("\(rows.count) tasks, reason \(reason)")
        }
        let error = EffectBatch.Span(offset: UInt32(texts.count), count: errorByteCount)
        texts.append(contentsOf: try reader.bytes(Int(errorByteCount)))
        let payload = EffectBatch.Span(offset: UInt32(texts.count), count: payloadByteCount)
        texts.append(contentsOf: try reader.bytes(Int(payloadByteCount)))
        try reader.end()
        return DeadLetterRow(
            task: task,
            reason: reason,
            attempts: attempts,
            crashes: crashes,
            token: LeaseToken(rawValue: token),
            buriedWallMilliseconds: buried,
            bucket: bucket,
            error: error,
            payload: payload
        )
    }
}
