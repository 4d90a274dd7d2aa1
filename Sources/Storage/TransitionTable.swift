import ByteStore
import QueueCore
import TQModel

/// The transitions of a group, in the order in which they were decided.
///
/// Behind the table header (count; extra = bytes behind it, all covered by the checksum) comes the store time of the first
/// transition u64, then the entries. An entry has 24 bytes: sequence u64, token u64, operation u8, state u8, columns u16,
/// attempts u16, crashes u16; then the columns that it names, in the order of their bits.
enum TransitionTable {
    /// What a table holds.
    struct Content {
        /// Store time of the first transition, when every attempt began that the group began.
        var storeMilliseconds: UInt64
        var rows: [Transition] = []
    }

    struct Columns: OptionSet {
        let rawValue: UInt16

        /// u32.
        static let worker = Columns(rawValue: 1 << 0)
        /// u32.
        static let lease = Columns(rawValue: 1 << 1)
        /// u64.
        static let start = Columns(rawValue: 1 << 2)
        /// u32 bucket, u16 part.
        static let outcome = Columns(rawValue: 1 << 3)
        /// u64.
        static let outcomeGroup = Columns(rawValue: 1 << 4)
        /// u32.
        static let rank = Columns(rawValue: 1 << 5)
        /// u32.
        static let queue = Columns(rawValue: 1 << 6)
        /// u8 percent, u16 length, then so many bytes.
        static let progress = Columns(rawValue: 1 << 7)
        /// Nothing: that it is there says that somebody asked for the end of the running attempt.
        static let cancelRequest = Columns(rawValue: 1 << 8)
        /// u64.
        static let blocker = Columns(rawValue: 1 << 9)
        /// u64.
        static let claimed = Columns(rawValue: 1 << 10)
        /// Nothing: that it is there says that the task was put back from the dead letters.
        static let redriven = Columns(rawValue: 1 << 11)
        /// Nothing: that it is there says that the history may have attempts that are not counted.
        static let earlierAttempts = Columns(rawValue: 1 << 12)
        /// u16 length, then so many bytes.
        static let checkpoint = Columns(rawValue: 1 << 13)
        /// u32.
        static let byteCount = Columns(rawValue: 1 << 14)
        static let known = Columns(rawValue: 0x7fff)

        init(rawValue: UInt16) { self.rawValue = rawValue }

        init(_ transition: Transition, since storeMilliseconds: UInt64) {
            var columns: Columns = []
            if transition.worker != 0 { columns.insert(.worker) }
            if transition.leaseMilliseconds != 0 { columns.insert(.lease) }
            if transition.start != .none { columns.insert(.start) }
            if transition.bucket.rawValue != 0 { columns.insert(.outcome) }
            if transition.outcomeGroup != nil { columns.insert(.outcomeGroup) }
            if transition.rank != nil { columns.insert(.rank) }
            if transition.queue != nil { columns.insert(.queue) }
            if transition.progress != nil { columns.insert(.progress) }
            if transition.isCancelRequested { columns.insert(.cancelRequest) }
            if transition.blocker != 0 { columns.insert(.blocker) }
            if transition.state == .inProgress, transition.claimedStoreMilliseconds != storeMilliseconds {
                columns.insert(.claimed)
            }
            if transition.isRedriven { columns.insert(.redriven) }
            if transition.hasEarlierAttempts { columns.insert(.earlierAttempts) }
            if transition.checkpoint?.count ?? 0 > 0 { columns.insert(.checkpoint) }
            if transition.byteCount != 0 { columns.insert(.byteCount) }
            self = columns
        }
    }

    private static let headByteCount = 24

    // MARK: Writing

    static func byteCount(_ content: Content) -> Int {
        content.rows.reduce(TableHeader.byteCount + 8) {
            $0 + byteCount($1, Columns($1, since: content.storeMilliseconds))
        }
    }

    private static func byteCount(_ row: Transition, _ columns: Columns) -> Int {
        var count = headByteCount
        if columns.contains(.worker) { count += 4 }
        if columns.contains(.lease) { count += 4 }
        if columns.contains(.start) { count += 8 }
        if columns.contains(.outcome) { count += 6 }
        if columns.contains(.outcomeGroup) { count += 8 }
        if columns.contains(.rank) { count += 4 }
        if columns.contains(.queue) { count += 4 }
        if let progress = row.progress { count += 3 + Int(progress.message.count) }
        if columns.contains(.blocker) { count += 8 }
        if columns.contains(.claimed) { count += 8 }
        if columns.contains(.checkpoint) { count += 2 + Int(row.checkpoint?.count ?? 0) }
        if columns.contains(.byteCount) { count += 4 }
        return count
    }

    static func write(_ content: Content, texts: [UInt8], to value: UnsafeMutableRawBufferPointer) {
        var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
        writer.write(content.storeMilliseconds)
        for row in content.rows {
            let columns = Columns(row, since: content.storeMilliseconds)
            writer.write(row.sequence.rawValue)
            writer.write(row.token.rawValue)
            writer.write(row.operation.rawValue)
            writer.write(row.state.rawValue)
            writer.write(columns.rawValue)
            writer.write(row.attempts)
            writer.write(row.crashes)
            if columns.contains(.worker) { writer.write(row.worker) }
            if columns.contains(.lease) { writer.write(row.leaseMilliseconds) }
            if columns.contains(.start) { writer.write(row.start.rawValue) }
            if columns.contains(.outcome) {
                writer.write(row.bucket.rawValue)
                writer.write(row.outcomePart)
            }
            if let group = row.outcomeGroup { writer.write(group.rawValue) }
            if let rank = row.rank { writer.write(rank.rawValue) }
            if let queue = row.queue { writer.write(queue) }
            if let progress = row.progress {
                writer.write(progress.percent)
                writer.write(UInt16(progress.message.count))
                writer.write(texts[progress.message.range])
            }
            if columns.contains(.blocker) { writer.write(row.blocker) }
            if columns.contains(.claimed) { writer.write(row.claimedStoreMilliseconds) }
            if columns.contains(.checkpoint), let checkpoint = row.checkpoint {
                writer.write(UInt16(checkpoint.count))
                writer.write(texts[checkpoint.range])
            }
            if columns.contains(.byteCount) { writer.write(row.byteCount) }
        }
        TableHeader(count: UInt32(content.rows.count), extra: UInt32(writer.position)).seal(
            value,
            covered: writer.position
        )
    }

    // MARK: Reading

    /// Reads the transitions; their messages are appended to `texts`, and their spans point into it.
    static func read(_ value: UnsafeRawBufferPointer, texts: inout [UInt8]) throws(StorageError) -> Content {
        var (header, reader) = try TableHeader.open(value, "transition table") { Int($0.extra) }
        guard reader.remaining == Int(header.extra), Int(header.count) <= reader.remaining / headByteCount else {
            throw reader.corrupt("\(header.count) entries in \(reader.remaining) bytes")
        }
        var content = Content(storeMilliseconds: try reader.read())
        content.rows.reserveCapacity(Int(header.count))
        for _ in 0..<header.count {
            content.rows.append(try readRow(&reader, &texts, since: content.storeMilliseconds))
        }
        try reader.end()
        return content
    }

    private static func readRow(
        _ reader: inout ByteReader,
        _ texts: inout [UInt8],
        since storeMilliseconds: UInt64
    ) throws(StorageError) -> Transition {
        let sequence: UInt64 = try reader.read()
        let token: UInt64 = try reader.read()
        let operation: UInt8 = try reader.read()
        let state: UInt8 = try reader.read()
        let columns = Columns(rawValue: try reader.read())
        let attempts: UInt16 = try reader.read()
        let crashes: UInt16 = try reader.read()
        guard let operation = Transition.Operation(rawValue: operation), let state = TaskState(rawValue: state),
            Columns.known.isSuperset(of: columns)
        else { throw reader.corrupt("operation \(operation), state \(state), columns \(columns.rawValue)") }
        var row = Transition(
            sequence: TaskSequence(sequence),
            operation: operation,
            state: state,
            attempts: attempts,
            crashes: crashes,
            token: LeaseToken(rawValue: token)
        )
        if columns.contains(.worker) { row.worker = try reader.read() }
        if columns.contains(.lease) { row.leaseMilliseconds = try reader.read() }
        if columns.contains(.start) { row.start = StartTime(rawValue: try reader.read()) }
        if columns.contains(.outcome) {
            row.bucket = ExpiryBucket(rawValue: try reader.read())
            row.outcomePart = try reader.read()
            guard row.bucket.rawValue != 0 else { throw reader.corrupt("an outcome in bucket 0") }
        }
        if columns.contains(.outcomeGroup) { row.outcomeGroup = GroupID(rawValue: try reader.read()) }
        if columns.contains(.rank) { row.rank = Rank(rawValue: try reader.read()) }
        if columns.contains(.queue) { row.queue = try reader.read() }
        if columns.contains(.progress) {
            row.progress = Transition.Progress(percent: try reader.read(), message: try readText(&reader, &texts))
        }
        row.isCancelRequested = columns.contains(.cancelRequest)
        row.isRedriven = columns.contains(.redriven)
        row.hasEarlierAttempts = columns.contains(.earlierAttempts)
        if columns.contains(.blocker) { row.blocker = try reader.read() }
        if columns.contains(.claimed) {
            guard state == .inProgress else { throw reader.corrupt("an attempt that began and does not run") }
            row.claimedStoreMilliseconds = try reader.read()
        } else if state == .inProgress {
            row.claimedStoreMilliseconds = storeMilliseconds
        }
        if columns.contains(.checkpoint) {
            let checkpoint = try readText(&reader, &texts)
            guard checkpoint.count > 0 else { throw reader.corrupt("a checkpoint without bytes") }
            row.checkpoint = checkpoint
        }
        if columns.contains(.byteCount) { row.byteCount = try reader.read() }
        return row
    }

    private static func readText(
        _ reader: inout ByteReader,
        _ texts: inout [UInt8]
    ) throws(StorageError) -> EffectBatch.Span {
        let bytes = try reader.bytes(Int(try reader.read(UInt16.self)))
        defer { texts.append(contentsOf: bytes) }
        return EffectBatch.Span(offset: UInt32(texts.count), count: UInt32(bytes.count))
    }
}
