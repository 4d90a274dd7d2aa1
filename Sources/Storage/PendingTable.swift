import ByteStore
import QueueCore
import TQModel

/// The rows of a segment: what the index needs of its tasks after a restart, without their payloads.
///
/// Behind the table header (entry size; extra = columns), each entry has 32 bytes (sequence u64, created u64, queue
/// u32, type u32, rank u32, payload bytes u32), then the columns that the header names, in the order of
/// their bits. A column is there for all entries of a table or for none.
///
/// Two columns name places, from 1, in lists behind the entries, which the form says are there: what tasks share (1), and what they depend
/// on (2); 3 for both, in that order. A list is counted by a u16.
///
/// What tasks share is there once: the weight u16, then the lengths u8 of the limit key, the serial key and the group (0 for none), then the
/// three. What a task depends on is its own: condition u8, what follows from failures u8, progress u64, then, counted by a u8, the
/// sequence u64 and the created u64 of each.
enum PendingTable {
    private static let formWithSharings: UInt8 = 1
    private static let formWithDependencies: UInt8 = 2

    /// In the column of the latest start: a task that is late becomes a dead letter.
    private static let buriesLateBit = UInt64(1) << 62

    /// Optional columns; a bit's position is its place in an entry.
    struct Columns: OptionSet {
        let rawValue: UInt32

        static let start = Columns(rawValue: 1 << 0)
        static let lease = Columns(rawValue: 1 << 1)
        static let timeout = Columns(rawValue: 1 << 2)
        static let retries = Columns(rawValue: 1 << 3)
        static let crashes = Columns(rawValue: 1 << 4)
        static let retryPolicy = Columns(rawValue: 1 << 5)
        static let retention = Columns(rawValue: 1 << 6)
        static let startBy = Columns(rawValue: 1 << 7)
        static let sharing = Columns(rawValue: 1 << 8)
        static let uniqueKey = Columns(rawValue: 1 << 10)
        static let dependencies = Columns(rawValue: 1 << 12)
        static let batch = Columns(rawValue: 1 << 13)
        static let tick = Columns(rawValue: 1 << 14)
        static let clientID = Columns(rawValue: 1 << 15)
        static let deadLetterRetention = Columns(rawValue: 1 << 16)
        static let tags = Columns(rawValue: 1 << 17)
        static let content = Columns(rawValue: 1 << 18)

        /// The bytes of each column, by bit; two bits have no column.
        static let byteCounts = [8, 4, 4, 2, 2, 4, 8, 8, 2, 0, 17, 0, 4, 4, 12, 16, 8, 1, 2]
        static let known = Columns(
            rawValue: byteCounts.enumerated().reduce(0) { $0 | ($1.element > 0 ? 1 << UInt32($1.offset) : 0) }
        )

        var byteCount: Int {
            Self.byteCounts.enumerated().reduce(0) { $0 + (rawValue >> UInt32($1.offset) & 1 == 1 ? $1.element : 0) }
        }

        init(rawValue: UInt32) { self.rawValue = rawValue }

        init(_ options: TaskOptions) {
            var columns: Columns = []
            if options.start != .none { columns.insert(.start) }
            if options.leaseMilliseconds != 0 { columns.insert(.lease) }
            if options.timeoutMilliseconds != 0 { columns.insert(.timeout) }
            if options.retriesMax != nil { columns.insert(.retries) }
            if options.crashesMax != nil { columns.insert(.crashes) }
            if options.retryPolicy != 0 { columns.insert(.retryPolicy) }
            if options.retentionMilliseconds != 0 { columns.insert(.retention) }
            if options.startBy != .none { columns.insert(.startBy) }
            if !options.sharing.isNone { columns.insert(.sharing) }
            if options.uniqueKey != nil { columns.insert(.uniqueKey) }
            if options.dependencies != nil { columns.insert(.dependencies) }
            if options.batch != 0 { columns.insert(.batch) }
            if options.tick != nil { columns.insert(.tick) }
            if options.clientID != nil { columns.insert(.clientID) }
            if options.tagCount != 0 { columns.insert(.tags) }
            if options.deadLetterRetentionMilliseconds != 0 { columns.insert(.deadLetterRetention) }
            self = columns
        }

        /// The form of a table with these columns.
        var form: UInt8 {
            (contains(.sharing) ? formWithSharings : 0) | (contains(.dependencies) ? formWithDependencies : 0)
        }
    }

    static let baseByteCount = 32
    /// Stands for "not asked for" in columns of 16 bits where 0 means something.
    private static let absent: UInt16 = .max

    // MARK: Writing

    /// What a table of some rows consists of.
    struct Shape {
        var columns: Columns = []
        /// What the tasks share, each once.
        var sharings: [Sharing] = []
        /// The places in the list, from 1.
        fileprivate var places: [Sharing: UInt16] = [:]
        /// What the tasks depend on, in their order.
        fileprivate var dependencies: [TaskDependencies] = []
        fileprivate let entryByteCount: Int
        let byteCount: Int

        init(_ rows: ArraySlice<TaskRow>) {
            for row in rows {
                if row.content != .unspecified { columns.insert(.content) }
                guard let options = row.options else { continue }
                columns.formUnion(Columns(options))
                if let dependencies = options.dependencies { self.dependencies.append(dependencies) }
                guard !options.sharing.isNone, places[options.sharing] == nil else { continue }
                sharings.append(options.sharing)
                places[options.sharing] = UInt16(sharings.count)
            }
            entryByteCount = baseByteCount + columns.byteCount
            var listByteCount = sharings.isEmpty ? 0 : 2 + sharings.reduce(0) { $0 + PendingTable.byteCount($1) }
            if !dependencies.isEmpty { listByteCount += dependencies.reduce(2) { $0 + $1.byteCount } }
            byteCount = TableHeader.byteCount + rows.count * entryByteCount + listByteCount
        }
    }

    static func write(_ rows: ArraySlice<TaskRow>, _ shape: Shape, to value: UnsafeMutableRawBufferPointer) {
        let columns = shape.columns
        var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
        var dependencyPlace: UInt32 = 0
        for row in rows {
            writer.write(row.sequence.rawValue)
            writer.write(row.createdMilliseconds)
            writer.write(row.queue)
            writer.write(row.type)
            writer.write(row.rank.rawValue)
            writer.write(row.bodyByteCount)
            if row.options?.dependencies != nil { dependencyPlace += 1 }
            if !columns.isEmpty { write(row.options ?? TaskOptions(), shape, dependencyPlace, to: &writer) }
            if columns.contains(.content) { writer.write(row.content.rawValue) }
        }
        if !shape.sharings.isEmpty {
            writer.write(UInt16(shape.sharings.count))
            for sharing in shape.sharings { write(sharing, to: &writer) }
        }
        if !shape.dependencies.isEmpty {
            writer.write(UInt16(shape.dependencies.count))
            for dependencies in shape.dependencies { write(dependencies, to: &writer) }
        }
        TableHeader(
            form: columns.form,
            entryByteCount: UInt16(shape.entryByteCount),
            count: UInt32(rows.count),
            extra: columns.rawValue
        ).seal(value, covered: writer.position)
    }

    private static func byteCount(_ sharing: Sharing) -> Int {
        [sharing.limitKey, sharing.serialKey, sharing.group].reduce(5) { $0 + ($1?.bytes.count ?? 0) }
    }

    private static func write(_ sharing: Sharing, to writer: inout ByteWriter) {
        writer.write(sharing.weight)
        let names = [sharing.limitKey, sharing.serialKey, sharing.group]
        for name in names { writer.write(UInt8(name?.bytes.count ?? 0)) }
        for name in names { writer.write(name?.bytes ?? []) }
    }

    private static func write(_ dependencies: TaskDependencies, to writer: inout ByteWriter) {
        writer.write(dependencies.condition.rawValue)
        writer.write(dependencies.onFailure.rawValue)
        writer.write(dependencies.progress.rawValue)
        writer.write(UInt8(dependencies.parents.count))
        for parent in dependencies.parents {
            writer.write(parent.sequence.rawValue)
            writer.write(parent.createdMilliseconds)
        }
    }

    /// - Parameter dependencyPlace: Where the list has what the task depends on, if it does.
    private static func write(
        _ options: TaskOptions,
        _ shape: Shape,
        _ dependencyPlace: UInt32,
        to writer: inout ByteWriter
    ) {
        let columns = shape.columns
        if columns.contains(.start) { writer.write(options.start.rawValue) }
        if columns.contains(.lease) { writer.write(options.leaseMilliseconds) }
        if columns.contains(.timeout) { writer.write(options.timeoutMilliseconds) }
        if columns.contains(.retries) { writer.write(options.retriesMax ?? absent) }
        if columns.contains(.crashes) { writer.write(options.crashesMax ?? absent) }
        if columns.contains(.retryPolicy) { writer.write(options.retryPolicy) }
        if columns.contains(.retention) { writer.write(options.retentionMilliseconds) }
        if columns.contains(.startBy) {
            writer.write(options.startBy.rawValue | (options.buriesLate ? buriesLateBit : 0))
        }
        if columns.contains(.sharing) { writer.write(shape.places[options.sharing] ?? 0) }
        if columns.contains(.uniqueKey) {
            writer.write(options.uniqueKey?.hash.high ?? 0)
            writer.write(options.uniqueKey?.hash.low ?? 0)
            writer.write(options.uniqueKey?.scope.rawValue ?? 0)
        }
        if columns.contains(.dependencies) { writer.write(options.dependencies == nil ? 0 : dependencyPlace) }
        if columns.contains(.batch) { writer.write(options.batch) }
        if columns.contains(.tick) {
            writer.write(options.tick?.recurring ?? 0)
            writer.write(options.tick?.wallMilliseconds ?? 0)
        }
        if columns.contains(.clientID) {
            writer.write(options.clientID?.high ?? 0)
            writer.write(options.clientID?.low ?? 0)
        }
        if columns.contains(.deadLetterRetention) { writer.write(options.deadLetterRetentionMilliseconds) }
        if columns.contains(.tags) { writer.write(options.tagCount) }
    }

    // MARK: Reading

    static func read(_ value: UnsafeRawBufferPointer) throws(StorageError) -> [TaskRow] {
        var (header, reader) = try TableHeader.open(value, "pending table") {
            $0.form == 0 ? Int($0.count) * Int($0.entryByteCount) : value.count - TableHeader.byteCount
        }
        let columns = Columns(rawValue: header.extra)
        guard Columns.known.isSuperset(of: columns), Int(header.entryByteCount) == baseByteCount + columns.byteCount,
            header.count <= UInt16.max, header.form == columns.form
        else { throw reader.corrupt("columns \(header.extra) with entries of \(header.entryByteCount) bytes") }
        var rows: [TaskRow] = []
        rows.reserveCapacity(Int(header.count))
        let lists = try Lists(value, header, columns)
        for _ in 0..<header.count { rows.append(try readRow(&reader, columns, lists)) }
        if header.form == 0 { try reader.end() }
        return rows
    }

    /// What is behind the entries; the first of each is for those that name nothing.
    private struct Lists {
        var sharings = [Sharing.none]
        var dependencies: [TaskDependencies?] = [nil]

        init(_ value: UnsafeRawBufferPointer, _ header: TableHeader, _ columns: Columns) throws(StorageError) {
            guard header.form != 0 else { return }
            var reader = ByteReader(value, "pending table")
            _ = try reader.bytes(TableHeader.byteCount)
            _ = try reader.bytes(Int(header.count) * Int(header.entryByteCount))
            if columns.contains(.sharing) {
                for _ in 0..<(try reader.read(UInt16.self)) { sharings.append(try readSharing(&reader)) }
            }
            if columns.contains(.dependencies) {
                for _ in 0..<(try reader.read(UInt16.self)) { dependencies.append(try readDependencies(&reader)) }
            }
            try reader.end()
        }
    }

    private static func readDependencies(_ reader: inout ByteReader) throws(StorageError) -> TaskDependencies {
        let condition: UInt8 = try reader.read()
        let onFailure: UInt8 = try reader.read()
        let progress: UInt64 = try reader.read()
        let count: UInt8 = try reader.read()
        guard let condition = Dependencies.Condition(rawValue: condition),
            let onFailure = Dependencies.OnFailure(rawValue: onFailure),
            (1...Limits.dependenciesMax).contains(Int(count))
        else { throw reader.corrupt("\(count) dependencies with condition \(condition), after failures \(onFailure)") }
        var parents: [TaskDependencies.Parent] = []
        for _ in 0..<count {
            let sequence = TaskSequence(try reader.read())
            parents.append(.init(sequence: sequence, createdMilliseconds: try reader.read()))
        }
        let dependencies = TaskDependencies(
            parents: parents,
            condition: condition,
            onFailure: onFailure,
            progress: TaskDependencies.Progress(rawValue: progress)
        )
        guard dependencies.isPossible else { throw reader.corrupt("\(count) dependencies with progress \(progress)") }
        return dependencies
    }

    private static func readSharing(_ reader: inout ByteReader) throws(StorageError) -> Sharing {
        let weight: UInt16 = try reader.read()
        let counts: [UInt8] = [try reader.read(), try reader.read(), try reader.read()]
        var names: [Name?] = []
        for count in counts {
            let bytes = try reader.bytes(Int(count))
            names.append(count == 0 ? nil : Name(bytes: Bytes(Array(bytes))))
        }
        let sharing = Sharing(limitKey: names[0], serialKey: names[1], group: names[2], weight: weight)
        guard !sharing.isNone, sharing.weight == weight, weight > 0 else {
            throw reader.corrupt("a task that shares \(sharing) with weight \(weight)")
        }
        return sharing
    }

    private static func readRow(
        _ reader: inout ByteReader,
        _ columns: Columns,
        _ lists: Lists
    ) throws(StorageError) -> TaskRow {
        let sequence: UInt64 = try reader.read()
        let created: UInt64 = try reader.read()
        let queue: UInt32 = try reader.read()
        let type: UInt32 = try reader.read()
        let rank: UInt32 = try reader.read()
        let byteCount: UInt32 = try reader.read()
        let options = columns.isEmpty ? nil : try readOptions(&reader, columns, lists)
        let content = StoredContent(rawValue: columns.contains(.content) ? try reader.read() : 0)
        return TaskRow(
            sequence: TaskSequence(sequence),
            createdMilliseconds: created,
            queue: queue,
            type: type,
            rank: Rank(rawValue: rank),
            bodyByteCount: byteCount,
            content: content,
            options: options?.isEmpty == false ? options : nil
        )
    }

    private static func readOptions(
        _ reader: inout ByteReader,
        _ columns: Columns,
        _ lists: Lists
    ) throws(StorageError) -> TaskOptions {
        var options = TaskOptions()
        if columns.contains(.start) { options.start = StartTime(rawValue: try reader.read()) }
        if columns.contains(.lease) { options.leaseMilliseconds = try reader.read() }
        if columns.contains(.timeout) { options.timeoutMilliseconds = try reader.read() }
        if columns.contains(.retries) { options.retriesMax = present(try reader.read()) }
        if columns.contains(.crashes) { options.crashesMax = present(try reader.read()) }
        if columns.contains(.retryPolicy) { options.retryPolicy = try reader.read() }
        if columns.contains(.retention) { options.retentionMilliseconds = try reader.read() }
        if columns.contains(.startBy) {
            let value: UInt64 = try reader.read()
            guard value != buriesLateBit else { throw reader.corrupt("a task that is late and has no latest start") }
            options.startBy = StartTime(rawValue: value & ~buriesLateBit)
            options.buriesLate = value & buriesLateBit != 0
        }
        if columns.contains(.sharing) {
            let place = Int(try reader.read(UInt16.self))
            guard lists.sharings.indices.contains(place) else {
                throw reader.corrupt("a task that shares number \(place)")
            }
            options.sharing = lists.sharings[place]
        }
        if columns.contains(.uniqueKey) { options.uniqueKey = try readUniqueKey(&reader) }
        if columns.contains(.dependencies) {
            let place = Int(try reader.read(UInt32.self))
            guard lists.dependencies.indices.contains(place) else {
                throw reader.corrupt("a task that depends on what number \(place) says")
            }
            options.dependencies = lists.dependencies[place]
        }
        if columns.contains(.batch) { options.batch = try reader.read() }
        if columns.contains(.tick) {
            let tick = TaskTick(recurring: try reader.read(), wallMilliseconds: try reader.read())
            options.tick = tick.recurring == 0 ? nil : tick
        }
        if columns.contains(.clientID) {
            let id = TaskID(high: try reader.read(), low: try reader.read())
            options.clientID = id.high == 0 && id.low == 0 ? nil : id
        }
        if columns.contains(.deadLetterRetention) { options.deadLetterRetentionMilliseconds = try reader.read() }
        if columns.contains(.tags) {
            options.tagCount = try reader.read()
            guard options.tagCount <= Limits.tagsMax else {
                throw reader.corrupt("a task with \(options.tagCount) tags")
            }
        }
        return options
    }

    private static func readUniqueKey(_ reader: inout ByteReader) throws(StorageError) -> UniqueHold? {
        let hash = KeyHash(high: try reader.read(), low: try reader.read())
        let number: UInt8 = try reader.read()
        if let scope = UniqueHold.Scope(rawValue: number) { return UniqueHold(hash: hash, scope: scope) }
        guard number == 0, hash == KeyHash(high: 0, low: 0) else {
            throw reader.corrupt("a unique key with scope \(number)")
        }
        return nil
    }

    private static func present(_ value: UInt16) -> UInt16? { value == absent ? nil : value }
}
