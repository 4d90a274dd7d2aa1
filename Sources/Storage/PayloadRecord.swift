import ByteStore
import QueueCore
import TQModel

/// The payloads of a segment, in the order of its rows.
///
/// Behind the table header (count; extra = bytes behind the directory) lies a directory of one u32 per task, the offset
/// behind the directory at which its body ends. A body is sequence u64, queue u32, type u32, CRC32C u32 of those 16
/// bytes and of the payload, then the payload: enough to rebuild a lost table from. The header's checksum
/// covers the directory.
enum PayloadRecord {
    static let bodyHeadByteCount = 20

    static func byteCount(_ rows: ArraySlice<TaskRow>, payloadByteCount: Int) -> Int {
        TableHeader.byteCount + rows.count * (4 + bodyHeadByteCount) + payloadByteCount
    }

    static func write(
        _ rows: ArraySlice<TaskRow>,
        payloads: UnsafeRawBufferPointer,
        to value: UnsafeMutableRawBufferPointer
    ) {
        let directoryByteCount = rows.count * 4
        let bodiesStart = TableHeader.byteCount + directoryByteCount
        var directory = ByteWriter(
            UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount..<bodiesStart])
        )
        var bodies = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[bodiesStart...]))
        var position = 0
        for row in rows {
            let headStart = bodies.position
            bodies.write(row.sequence.rawValue)
            bodies.write(row.queue)
            bodies.write(row.type)
            let head = UnsafeRawBufferPointer(rebasing: bodies.written[headStart...])
            let payload = UnsafeRawBufferPointer(
                rebasing: payloads[position..<position + Int(row.bodyByteCount)]
            )
            bodies.write(CRC32C.checksum(of: payload, continuing: CRC32C.checksum(of: head)))
            bodies.write(payload)
            directory.write(UInt32(bodies.position))
            position += payload.count
        }
        TableHeader(count: UInt32(rows.count), extra: UInt32(bodies.position))
            .seal(value, covered: directoryByteCount)
    }

    /// One task's payload inside a record.
    struct Body {
        var sequence: TaskSequence
        var queue: UInt32
        var type: UInt32
        /// Where the payload lies in the record's value.
        var payload: Range<Int>
        /// Whether the checksum matches.
        var isIntact: Bool
    }

    /// Reads the record's directory and every body.
    static func read(_ value: UnsafeRawBufferPointer) throws(StorageError) -> [Body] {
        var (header, reader) = try TableHeader.open(value, "payload record") { Int($0.count) * 4 }
        let bodiesStart = TableHeader.byteCount + Int(header.count) * 4
        guard value.count - bodiesStart == Int(header.extra) else {
            throw reader.corrupt("\(value.count - bodiesStart) bytes of bodies instead of \(header.extra)")
        }
        var bodies: [Body] = []
        bodies.reserveCapacity(Int(header.count))
        var start = bodiesStart
        for _ in 0..<header.count {
            let end = bodiesStart + Int(try reader.read(UInt32.self))
            guard end >= start + bodyHeadByteCount, end <= value.count else {
                throw reader.corrupt("a body from byte \(start) to byte \(end) of \(value.count)")
            }
            bodies.append(try readBody(value, start..<end))
            start = end
        }
        return bodies
    }

    private static func readBody(
        _ value: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(StorageError) -> Body {
        let bytes = UnsafeRawBufferPointer(rebasing: value[range])
        var reader = ByteReader(bytes, "body")
        let sequence: UInt64 = try reader.read()
        let queue: UInt32 = try reader.read()
        let type: UInt32 = try reader.read()
        let stored: UInt32 = try reader.read()
        let head = CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: bytes[0..<16]))
        let rest = UnsafeRawBufferPointer(rebasing: bytes[bodyHeadByteCount...])
        return Body(
            sequence: TaskSequence(sequence),
            queue: queue,
            type: type,
            payload: range.lowerBound + bodyHeadByteCount..<range.upperBound,
            isIntact: CRC32C.checksum(of: rest, continuing: head) == stored
        )
    }
}
