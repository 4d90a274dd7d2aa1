import ByteStore
import QueueCore
import TQModel

/// A recurring task.
///
/// Behind the table header (extra = namespace; everything is covered) come created u64, the latest start's span u64,
/// catch-up u32, overlap u8, bury late u8, then four lengths u32: of the name, of the recurrence, of the table, of the
/// payload; then the four, and the tags, each as its length u8 and its bytes. The table is a pending table of one row without
/// sequence and times; it says how many tags there are.
enum RecurringRecord {
    private static let headByteCount = 38

    static func write(_ row: RecurringRow, to batch: WriteBatch) {
        let table = [row.task][...]
        let shape = PendingTable.Shape(table)
        let tableByteCount = shape.byteCount
        let name = row.name.bytes
        let covered =
            headByteCount + name.count + row.recurrence.count + tableByteCount + row.payload.count
            + TagsRecord.byteCount(row.tags)
        batch.put(.index, key: KeyLayout.recurring(row.number), valueByteCount: TableHeader.byteCount + covered) {
            value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.createdMilliseconds)
            writer.write(row.startByMilliseconds)
            writer.write(row.catchUpMax)
            writer.write(row.overlap.rawValue)
            writer.write(row.buriesLate ? 1 as UInt8 : 0)
            writer.write(UInt32(name.count))
            writer.write(UInt32(row.recurrence.count))
            writer.write(UInt32(tableByteCount))
            writer.write(UInt32(row.payload.count))
            writer.write(name)
            writer.write(row.recurrence)
            let tableStart = TableHeader.byteCount + writer.position
            PendingTable.write(
                table,
                shape,
                to: UnsafeMutableRawBufferPointer(rebasing: value[tableStart..<tableStart + tableByteCount])
            )
            var rest = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[(tableStart + tableByteCount)...]))
            rest.write(row.payload)
            TagsRecord.write(row.tags, to: &rest)
            TableHeader(count: 1, extra: row.namespace).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> RecurringRow {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let number: UInt32 = try keyReader.read()
        try keyReader.end()
        var (header, reader) = try TableHeader.open(value, "recurring task") { _ in
            value.count - TableHeader.byteCount
        }
        let created: UInt64 = try reader.read()
        let startBy: UInt64 = try reader.read()
        let catchUpMax: UInt32 = try reader.read()
        let overlap: UInt8 = try reader.read()
        let buriesLate: UInt8 = try reader.read()
        let nameByteCount: UInt32 = try reader.read()
        let recurrenceByteCount: UInt32 = try reader.read()
        let tableByteCount: UInt32 = try reader.read()
        let payloadByteCount: UInt32 = try reader.read()
        let name = Bytes(Array(try reader.bytes(Int(nameByteCount))))
        let recurrence = Bytes(Array(try reader.bytes(Int(recurrenceByteCount))))
        let rows = try PendingTable.read(try reader.bytes(Int(tableByteCount)))
        let payload = Bytes(Array(try reader.bytes(Int(payloadByteCount))))
        let tags = try TagsRecord.read(Int(rows.first?.options?.tagCount ?? 0), from: &reader)
        try reader.end()
        guard let task = rows.first, rows.count == 1, let overlap = RecurringSpec.Overlap(rawValue: overlap),
            buriesLate <= 1, Int(task.bodyByteCount) == payload.count
        else { throw reader.corrupt("\(rows.count) tasks, overlap \(overlap), \(payload.count) bytes of payload") }
        return RecurringRow(
            number: number,
            namespace: header.extra,
            name: Name(bytes: name),
            recurrence: recurrence,
            createdMilliseconds: created,
            catchUpMax: catchUpMax,
            overlap: overlap,
            startByMilliseconds: startBy,
            buriesLate: buriesLate == 1,
            task: task,
            payload: payload,
            tags: tags
        )
    }
}

/// How far a recurring task is.
///
/// Table header (count 1; everything is covered), through u64, last tick u64, last sequence u64, its created u64, submitted u64,
/// skipped u64, paused u8.
enum RecurringStateRecord {
    private static let covered = 49

    static func write(_ state: RecurringState, to batch: WriteBatch) {
        batch.put(
            .index,
            key: KeyLayout.recurringState(state.number),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(state.throughWallMilliseconds)
            writer.write(state.lastTickWallMilliseconds)
            writer.write(state.lastSequence.rawValue)
            writer.write(state.lastCreatedMilliseconds)
            writer.write(state.submitted)
            writer.write(state.skipped)
            writer.write(state.isPaused ? 1 as UInt8 : 0)
            TableHeader(count: 1).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> RecurringState
    {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let number: UInt32 = try keyReader.read()
        try keyReader.end()
        var (_, reader) = try TableHeader.open(value, "state of a recurring task") { _ in covered }
        var state = RecurringState(number: number, throughWallMilliseconds: try reader.read())
        state.lastTickWallMilliseconds = try reader.read()
        state.lastSequence = TaskSequence(try reader.read())
        state.lastCreatedMilliseconds = try reader.read()
        state.submitted = try reader.read()
        state.skipped = try reader.read()
        state.isPaused = try reader.read(UInt8.self) != 0
        try reader.end()
        return state
    }
}
