public import ByteStore
public import QueueCore
import TQModel

/// What recovery found in a store.
public struct RecoveredStore: Sendable {
    /// Who the store is.
    public var identity: StoreIdentity
    /// What the store's batches say together.
    public var index: DurableIndex
    /// The last batch in the store.
    public var position: LogPosition
    /// The epoch that was raised last; whoever serves takes the next one.
    public var epoch: UInt32
    /// What was read on the way.
    public var report: Report

    /// What was read, for the start log and for tests.
    public struct Report: Hashable, Sendable {
        /// Segments of tasks.
        public var segments = 0
        /// Rows in them, those of ended tasks included.
        public var tasks = 0
        /// Records of transitions.
        public var transitionRecords = 0
        /// Entries in them, superseded ones included.
        public var transitions = 0
        /// Records of payloads that were read: none, whatever the tasks ask for.
        public var payloadRecords = 0

        /// Creates an empty report.
        public init() {}
    }
}

/// Rebuilds the index from a store: the tables alone are read, every checksum on the way is verified.
public enum Recovery {
    /// Reads a store.
    ///
    /// - Parameter mark: What is known to have been synced; a store that has less has lost acknowledged work.
    /// - Returns: `nil` for an empty store.
    /// - Throws: Corruption, with the record that is damaged and the way out; nothing has been changed then.
    public static func recover(
        from store: any ByteStoreReader,
        mark: Mark? = nil
    ) throws(StorageError) -> RecoveredStore? {
        guard let (identity, header, epoch) = try readHead(store) else {
            if let mark { throw lost(mark, found: 0) }
            return nil
        }
        try check(mark, identity, header)
        var recovered = RecoveredStore(
            identity: identity,
            index: DurableIndex(),
            position: header.position,
            epoch: epoch,
            report: .init()
        )
        recovered.index.beginRecovery(
            storeMilliseconds: header.storeMilliseconds,
            nextSequence: header.nextSequence
        )
        try readIndex(store, into: &recovered.index)
        try readSegments(store, into: &recovered)
        try readTransitions(store, into: &recovered)
        _ = recovered.index.endRecovery()
        return recovered
    }

    /// The three records that the first batch of a store brings; `nil` for an empty store.
    static func readHead(
        _ store: any ByteStoreReader
    ) throws(StorageError) -> (identity: StoreIdentity, header: HeaderRecord, epoch: UInt32)? {
        let identity = try StoreIdentity.read(store)
        let header = try readHeader(store)
        let epoch = try EpochRecord.read(store)
        if let identity, let header, let epoch {
            try header.checkCounts()
            guard epoch <= GroupID.epochMax else {
                throw StorageError(.corruption, "The store has epoch \(epoch), the last one is \(GroupID.epochMax).")
            }
            return (identity, header, epoch)
        }
        guard identity == nil, header == nil, epoch == nil else {
            throw StorageError(
                .corruption,
                "The store lacks its identity, its batch header or its epoch, which come together."
            )
        }
        return nil
    }

    private static func readHeader(_ store: any ByteStoreReader) throws(StorageError) -> HeaderRecord? {
        guard let bytes = try store.get(.default, KeyLayout.header) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in try HeaderRecord(value) }
    }

    /// Whether a store holds all that is known to have been synced.
    static func reaches(_ mark: Mark, _ store: any ByteStoreReader) throws(StorageError) -> Bool {
        guard let (identity, header, _) = try readHead(store) else { return false }
        do throws(StorageError) { try check(mark, identity, header) } catch { return false }
        return true
    }

    private static func check(
        _ mark: Mark?,
        _ identity: StoreIdentity,
        _ header: HeaderRecord
    ) throws(StorageError) {
        guard let mark else { return }
        guard mark.storeID == identity.id else {
            throw StorageError(
                .corruption,
                "The high-water mark belongs to another store. If this store was restored or copied on purpose, "
                    + "remove the file 'mark' beside it."
            )
        }
        guard header.position.sequence >= mark.syncedSequence else {
            throw lost(mark, found: header.position.sequence)
        }
        guard header.position.sequence > mark.syncedSequence || header.position.runningHash == mark.runningHash else {
            throw StorageError(
                .corruption,
                "Batch \(mark.syncedSequence) of the store is not the one that was synced: the log was replaced."
            )
        }
    }

    private static func lost(_ mark: Mark, found: UInt64) -> StorageError {
        StorageError(
            .corruption,
            "Acknowledged work is missing: batch \(mark.syncedSequence) was synced, the store ends with batch \(found). "
                + "A log file was damaged, cut or deleted, or the database is an older copy."
        )
    }

    private static func readIndex(
        _ store: any ByteStoreReader,
        into index: inout DurableIndex
    ) throws(StorageError) {
        // Queues must be known before the counters that name them.
        try take("N", of: store, NameRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("W", of: store, WorkerRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("R", of: store, RecurringRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("r", of: store, RecurringStateRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("B", of: store, BulkRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("Q", of: store, QueuePolicyRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try take("G", of: store, GateRecord.read) { (row) throws(RecoveryError) in try index.recover(row) }
        try scan(store, "K") { key, value throws(StorageError) in
            for row in try IdempotencyTable.read(key: key, value: value) { index.recover(row) }
        }
        try scan(store, "U") { key, value throws(StorageError) in
            index.recover(try DeadHoldRecord.read(key: key, value: value))
        }
        var room = HeaderRecord.countMax
        try scan(store, "C") { key, value throws(StorageError) in
            let row = try CounterRecord.read(key: key, value: value)
            guard row.value <= room else {
                throw StorageError(
                    .corruption,
                    "The counters together count more tasks than there can be. Run 'tq-inspect verify'."
                )
            }
            room -= row.value
            try asStorageError { () throws(RecoveryError) in try index.recover(row) }
        }
    }

    /// Recovers from each record whose key begins with a letter.
    private static func take<Row>(
        _ letter: Unicode.Scalar,
        of store: any ByteStoreReader,
        _ read: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Row,
        _ recover: (Row) throws(RecoveryError) -> Void
    ) throws(StorageError) {
        try scan(store, letter) { key, value throws(StorageError) in
            let row = try read(key, value)
            try asStorageError { () throws(RecoveryError) in try recover(row) }
        }
    }

    private static func scan(
        _ store: any ByteStoreReader,
        _ letter: Unicode.Scalar,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        let (lower, upper) = KeyLayout.range(letter)
        try store.scan(.index, from: lower, to: upper) { key, value throws(StorageError) in
            try body(key, value)
            return .continue
        }
    }

    private static func readSegments(
        _ store: any ByteStoreReader,
        into recovered: inout RecoveredStore
    ) throws(StorageError) {
        try store.scan(.pending, from: [], to: nil) { key, value throws(StorageError) in
            let key = try KeyReader.segment(key)
            let rows = try PendingTable.read(value)
            try asStorageError { () throws(RecoveryError) in
                try recovered.index.recover(segment: key, rows: rows)
            }
            recovered.report.segments += 1
            recovered.report.tasks += rows.count
            return .continue
        }
    }

    private static func readTransitions(
        _ store: any ByteStoreReader,
        into recovered: inout RecoveredStore
    ) throws(StorageError) {
        var texts: [UInt8] = []
        try store.scan(.inProgress, from: [], to: nil) { key, value throws(StorageError) in
            texts.removeAll(keepingCapacity: true)
            let rows = try TransitionTable.read(value, texts: &texts).rows
            let group = GroupID(rawValue: try KeyReader.number(key))
            try asStorageError { () throws(RecoveryError) in
                try recovered.index.recover(transitions: rows, group: group, texts: texts)
            }
            recovered.report.transitionRecords += 1
            recovered.report.transitions += rows.count
            return .continue
        }
    }

    private static func asStorageError(_ body: () throws(RecoveryError) -> Void) throws(StorageError) {
        do throws(RecoveryError) {
            try body()
        } catch {
            throw StorageError(.corruption, "The store contradicts itself: \(error).")
        }
    }
}
