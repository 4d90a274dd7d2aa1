import ByteStore
import QueueCore
import TQModel

/// A bulk operation and how far it is.
///
/// Behind the table header (count 1, extra = namespace; everything is covered) come change u8, phase u8, states u16 (bit n is
/// state n), target u32, rate u32, queue u32, type u32, lowest rank u32, highest rank u32, created from u64 and before u64, next
/// u64, last u64, changed u64, refused u64, start u64, end u64, then four lengths u16: of the pattern of types, of the error
/// and of the tag that are looked for, of the problem; then the four.
enum BulkRecord {
    private static let headByteCount = 100

    static func write(_ operation: BulkOperation, to batch: WriteBatch) {
        let selection = operation.selection
        let texts = [selection.types?.bytes ?? [], selection.error, selection.tag?.bytes ?? [], operation.problem]
        let covered = headByteCount + texts.reduce(0) { $0 + $1.count }
        batch.put(
            .index,
            key: KeyLayout.bulkOperation(operation.number),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(operation.change.rawValue)
            writer.write(operation.phase.rawValue)
            writer.write(selection.states.reduce(0 as UInt16) { $0 | 1 << UInt16($1.rawValue) })
            writer.write(operation.target)
            writer.write(operation.perSecond)
            writer.write(selection.queue ?? 0)
            writer.write(selection.type ?? 0)
            writer.write(selection.ranks.lowerBound.rawValue)
            writer.write(selection.ranks.upperBound.rawValue)
            writer.write(selection.created.lowerBound)
            writer.write(selection.created.upperBound)
            writer.write(operation.next.rawValue)
            writer.write(operation.last.rawValue)
            writer.write(operation.changed)
            writer.write(operation.refused)
            writer.write(operation.startWallMilliseconds)
            writer.write(operation.endWallMilliseconds)
            for text in texts { writer.write(UInt16(text.count)) }
            for text in texts { writer.write(text) }
            TableHeader(count: 1, extra: selection.namespace).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> BulkOperation {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let number: UInt32 = try keyReader.read()
        try keyReader.end()
        var (header, reader) = try TableHeader.open(value, "bulk operation") { _ in value.count - TableHeader.byteCount
        }
        let change: UInt8 = try reader.read()
        let phase: UInt8 = try reader.read()
        let states: UInt16 = try reader.read()
        let target: UInt32 = try reader.read()
        let perSecond: UInt32 = try reader.read()
        let queue: UInt32 = try reader.read()
        let type: UInt32 = try reader.read()
        let (lowest, highest) = (try reader.read(UInt32.self), try reader.read(UInt32.self))
        let (from, before) = (try reader.read(UInt64.self), try reader.read(UInt64.self))
        let known = TaskState.allCases.reduce(0 as UInt16) { $0 | 1 << UInt16($1.rawValue) }
        guard let change = BulkChange.Kind(rawValue: change), let phase = BulkPhase(rawValue: phase),
            states & ~known == 0,
            lowest <= highest, from <= before
        else { throw reader.corrupt("change \(change), phase \(phase), states \(states), or a range that is none") }
        var operation = BulkOperation(
            number: number,
            change: change,
            target: target,
            selection: TaskSelection(
                namespace: header.extra,
                states: Set(TaskState.allCases.filter { states >> UInt16($0.rawValue) & 1 == 1 }),
                queue: queue == 0 ? nil : queue,
                type: type == 0 ? nil : type,
                ranks: Rank(rawValue: lowest)...Rank(rawValue: highest),
                created: from..<before,
                error: []
            ),
            perSecond: perSecond,
            last: TaskSequence(0),
            startWallMilliseconds: 0
        )
        operation.phase = phase
        operation.next = TaskSequence(try reader.read())
        operation.last = TaskSequence(try reader.read())
        operation.changed = try reader.read()
        operation.refused = try reader.read()
        operation.startWallMilliseconds = try reader.read()
        operation.endWallMilliseconds = try reader.read()
        let lengths = [
            try reader.read(UInt16.self), try reader.read(UInt16.self), try reader.read(UInt16.self),
            try reader.read(UInt16.self),
        ]
        let pattern = Bytes(Array(try reader.bytes(Int(lengths[0]))))
        operation.selection.types = pattern.isEmpty ? nil : TypePattern(bytes: pattern)
        operation.selection.error = Bytes(Array(try reader.bytes(Int(lengths[1]))))
        let tag = Bytes(Array(try reader.bytes(Int(lengths[2]))))
        operation.selection.tag = tag.isEmpty ? nil : TaskTag(bytes: tag)
        operation.problem = Bytes(Array(try reader.bytes(Int(lengths[3]))))
        try reader.end()
        return operation
    }
}
