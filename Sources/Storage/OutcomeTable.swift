import ByteStore
import QueueCore
import TQModel

/// The outcomes of a group that expire together, sorted by sequence, with their results.
///
/// Behind the table header (entries of 64 bytes; extra = bytes of results; the checksum covers the entries), an entry is
/// sequence u64, created u64, ended u64, token u64, queue u32, type u32, rank u32, state u8, reason of a cancel u8,
/// attempts u16, crashes u16, content of the result u16, then offset u32, length u32 and CRC32C u32 of the result behind
/// the entries.
enum OutcomeTable {
    private static let entryByteCount = 64
    /// Where in an entry the queue is, with the type behind it, and where the state.
    private static let (queueOffset, stateOffset) = (32, 44)

    static func byteCount(_ rows: [OutcomeRow]) -> Int {
        rows.reduce(TableHeader.byteCount) { $0 + entryByteCount + Int($1.result.count) }
    }

    static func write(_ rows: [OutcomeRow], results: [UInt8], to value: UnsafeMutableRawBufferPointer) {
        let resultsStart = TableHeader.byteCount + rows.count * entryByteCount
        var entries = ByteWriter(
            UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount..<resultsStart])
        )
        var bodies = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[resultsStart...]))
        for row in rows.sorted(by: { $0.sequence < $1.sequence }) {
            entries.write(row.sequence.rawValue)
            entries.write(row.createdMilliseconds)
            entries.write(row.endWallMilliseconds)
            entries.write(row.token.rawValue)
            entries.write(row.queue)
            entries.write(row.type)
            entries.write(row.rank.rawValue)
            entries.write(row.state.rawValue)
            entries.write(row.cancelReason.rawValue | row.tagCount << 4)
            entries.write(row.attempts)
            entries.write(row.crashes)
            entries.write(row.content.rawValue)
            let start = bodies.position
            bodies.write(results[row.result.range])
            entries.write(UInt32(start))
            entries.write(UInt32(row.result.count))
            entries.write(CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: bodies.written[start...])))
        }
        TableHeader(
            entryByteCount: UInt16(entryByteCount),
            count: UInt32(rows.count),
            extra: UInt32(bodies.position)
        ).seal(value, covered: entries.position)
    }

    /// One outcome; the span of its result is in the record's value.
    struct Entry {
        var row: OutcomeRow
        var result: Range<Int>
        var resultChecksum: UInt32

        func isIntact(_ value: UnsafeRawBufferPointer) -> Bool {
            CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: value[result])) == resultChecksum
        }
    }

    static func read(
        _ value: UnsafeRawBufferPointer,
        at location: OutcomeLocation
    ) throws(StorageError) -> [Entry] {
        var (count, reader) = try open(value)
        var entries: [Entry] = []
        entries.reserveCapacity(count)
        for _ in 0..<count { entries.append(try readEntry(&reader, in: value, at: location, count)) }
        return entries
    }

    /// Those outcomes that may be meant, and how many there are in all; the others are passed over at a glance.
    static func read(
        _ value: UnsafeRawBufferPointer,
        at location: OutcomeLocation,
        where mayBeMeant: (_ queue: UInt32, _ type: UInt32, _ state: UInt8) -> Bool
    ) throws(StorageError) -> (entries: [Entry], count: Int) {
        let (count, reader) = try open(value)
        var entries: [Entry] = []
        for place in 0..<count {
            let start = TableHeader.byteCount + place * entryByteCount
            func number(at offset: Int) -> UInt32 {
                UInt32(littleEndian: value.loadUnaligned(fromByteOffset: start + offset, as: UInt32.self))
            }
            guard mayBeMeant(number(at: queueOffset), number(at: queueOffset + 4), value[start + stateOffset]) else {
                continue
            }
            var entry = reader
            _ = try entry.bytes(place * entryByteCount)
            entries.append(try readEntry(&entry, in: value, at: location, count))
        }
        return (entries, count)
    }

    /// The outcome of one task, without those of others.
    static func read(
        _ value: UnsafeRawBufferPointer,
        at location: OutcomeLocation,
        of sequence: TaskSequence
    ) throws(StorageError) -> Entry? {
        let (count, reader) = try open(value)
        var places = 0..<count
        while !places.isEmpty {
            let middle = (places.lowerBound + places.upperBound) / 2
            var place = reader
            _ = try place.bytes(middle * entryByteCount)
            let entry = try readEntry(&place, in: value, at: location, count)
            if entry.row.sequence == sequence { return entry }
            places = entry.row.sequence < sequence ? middle + 1..<places.upperBound : places.lowerBound..<middle
        }
        return nil
    }

    private static func open(_ value: UnsafeRawBufferPointer) throws(StorageError) -> (count: Int, reader: ByteReader) {
        let (header, reader) = try TableHeader.open(value, "outcome table") { Int($0.count) * entryByteCount }
        let resultByteCount = value.count - TableHeader.byteCount - Int(header.count) * entryByteCount
        guard Int(header.entryByteCount) == entryByteCount, resultByteCount == Int(header.extra) else {
            throw reader.corrupt("\(resultByteCount) bytes of results instead of \(header.extra)")
        }
        return (Int(header.count), reader)
    }

    private static func readEntry(
        _ reader: inout ByteReader,
        in value: UnsafeRawBufferPointer,
        at location: OutcomeLocation,
        _ count: Int
    ) throws(StorageError) -> Entry {
        let sequence: UInt64 = try reader.read()
        let created: UInt64 = try reader.read()
        let ended: UInt64 = try reader.read()
        let token: UInt64 = try reader.read()
        let queue: UInt32 = try reader.read()
        let type: UInt32 = try reader.read()
        let rank: UInt32 = try reader.read()
        let state: UInt8 = try reader.read()
        let marks: UInt8 = try reader.read()
        let attempts: UInt16 = try reader.read()
        let crashes: UInt16 = try reader.read()
        let content: UInt16 = try reader.read()
        let offset: UInt32 = try reader.read()
        let length: UInt32 = try reader.read()
        let checksum: UInt32 = try reader.read()
        guard let state = TaskState(rawValue: state), let reason = CancelReason(rawValue: marks & 0xf),
            marks >> 4 <= Limits.tagsMax
        else {
            throw reader.corrupt("state \(state), reason and tags \(marks)")
        }
        let row = OutcomeRow(
            sequence: TaskSequence(sequence),
            createdMilliseconds: created,
            endWallMilliseconds: ended,
            token: LeaseToken(rawValue: token),
            queue: queue,
            type: type,
            rank: Rank(rawValue: rank),
            state: state,
            cancelReason: reason,
            attempts: attempts,
            crashes: crashes,
            bucket: location.bucket,
            part: location.part,
            tagCount: marks >> 4,
            result: EffectBatch.Span(offset: offset, count: length),
            content: StoredContent(rawValue: content)
        )
        let start = TableHeader.byteCount + count * entryByteCount + Int(offset)
        guard start + Int(length) <= value.count else { throw reader.corrupt("a result beyond the end") }
        return Entry(row: row, result: start..<start + Int(length), resultChecksum: checksum)
    }
}
