import CRocksDB
import Glibc
import Synchronization

/// The settings of the engine that depend on the machine; the others are in Sources/CRocksDB/options.cc.
public struct RocksDBOptions: Hashable, Sendable {
    /// What is held in memory before it goes to table files, all families together; 16 MiB suits small machines.
    ///
    /// Four times as much of the write-ahead log is kept, which bounds the replay after a kill.
    public var memtableBytes = 64 << 20
    /// Blocks of table files held in memory, all families together.
    public var blockCacheBytes = 8 << 20
    /// Table files open at the same time.
    public var openFilesMax = 256
    /// What to do about a damaged write-ahead log.
    public var recovery = Recovery.refuseDamage
    /// Where batches have their numbers; `nil` for a store whose batches have none.
    public var counter: BatchCounter?
    /// Whether the table files that a start scans are first compared with their checksums, which scans cannot be trusted with.
    public var checksTables = true

    /// A row of the first family that the first operation of each batch puts, with the batch's number in its value.
    ///
    /// The engine notices neither a log that is gone nor one that was cut; numbers without a gap prove that all are there.
    public struct BatchCounter: Hashable, Sendable {
        /// The row's key.
        public var key: String
        /// Where in the row's value the number is: 8 bytes, little-endian.
        public var offset: Int

        /// Creates the description of a counter.
        public init(key: String, offset: Int) {
            self.key = key
            self.offset = offset
        }
    }

    /// What to do about a damaged write-ahead log.
    public enum Recovery: Hashable, Sendable {
        /// Opens after a torn last write, refuses everything else.
        case refuseDamage
        /// Drops the first damaged record and every later one, acknowledged or not. For repair on a copy.
        case cutAtDamage
    }

    public init() {}

    /// The options, and the families, as the engine takes them.
    func withEngineSettings(
        _ body: (inout tq_options, [tq_family]) throws(StorageError) -> Void
    ) throws(StorageError) {
        var settings = tq_options()
        settings.memtable_bytes = max(memtableBytes, 1 << 20)
        settings.block_cache_bytes = blockCacheBytes
        settings.open_files_max = CInt(clamping: openFilesMax)
        settings.cut_wal_at_damage = recovery == .cutAtDamage
        let counterKey = counter.map { strdup($0.key) }
        defer { free(counterKey ?? nil) }
        settings.counter = tq_counter(key: counterKey ?? nil, offset: counter?.offset ?? 0)
        let families = Family.allCases.map {
            tq_family(
                name: UnsafeRawPointer($0.staticName.utf8Start).assumingMemoryBound(to: CChar.self),
                cold: $0.isCold
            )
        }
        try body(&settings, families)
    }
}

/// The store on disk.
public final class RocksDBStorage: ByteStore {
    /// The directory of the store.
    public let path: String
    private let engine: Engine
    private let failure = Mutex<StorageError?>(nil)

    /// Opens the store in the directory `path`, whose parent exists.
    ///
    /// Read-only stores take no lock and write nothing; what is in the write-ahead log is read into memory.
    public static func open(
        path: String,
        options: RocksDBOptions = RocksDBOptions(),
        createIfMissing: Bool = true,
        readOnly: Bool = false
    ) throws(StorageError) -> RocksDBStorage {
        guard CRC32C.passesSelfTest else {
            throw StorageError(
                .invalid,
                "CRC32C gives wrong checksums on this processor: not opening \(path)",
                path: path
            )
        }
        var opened: OpaquePointer?
        do {
            try options.withEngineSettings { settings, families throws(StorageError) in
                settings.create_if_missing = createIfMissing && !readOnly
                settings.read_only = readOnly
                try StorageError.check(tq_store_open(path, &settings, families, families.count, &opened))
            }
        } catch {
            throw explained(error, path)
        }
        guard let opened else { throw StorageError(.invalid, "the engine opened nothing at \(path)", path: path) }
        let storage = RocksDBStorage(path: path, engine: Engine(opened))
        guard options.checksTables else { return storage }
        do throws(StorageError) {
            try storage.checkTables(of: Family.allCases.filter(\.isScannedAtStart))
        } catch {
            tq_store_close(storage.engine.store, false)
            throw explained(error, path)
        }
        return storage
    }

    /// Reads the table files of families as a whole and compares every checksum.
    ///
    /// A scan that meets a damaged block may leave rows out without a word: RocksDB before 8.5.2 forgets some errors of
    /// its iterators. Reading one row is not affected.
    public func checkTables(of families: [Family]) throws(StorageError) {
        for family in families { try StorageError.check(tq_store_check_tables(engine.store, UInt32(family.rawValue))) }
    }

    private init(path: String, engine: Engine) {
        self.path = path
        self.engine = engine
    }

    /// Adds the way out to what the engine says on opening.
    private static func explained(_ error: StorageError, _ path: String) -> StorageError {
        // A damaged head of a table is reported as one of the manifest, which lists it.
        if error.kind == .corruption, error.path?.contains("MANIFEST") == true,
            let table = try? Salvage.unopenableTables(in: path).first
        {
            return StorageError(.corruption, "\(table.path ?? path) is damaged (\(error.message)).", path: table.path)
        }
        let advice =
            switch error.kind {
            case .corruption: "the store at \(path) is damaged"
            case .locked: "the store at \(path) is open in another process"
            case .newerFormat: "the store at \(path) was written by a later version of tq"
            case .notFound: "there is no store at \(path)"
            default: "cannot open the store at \(path)"
            }
        return StorageError(error.kind, "\(advice) (\(error.message)).", path: error.path ?? path)
    }

    // MARK: Writing

    /// Writes all of the batch or nothing of it; after a failure only an opening anew shows which.
    public func write(_ batch: WriteBatch, sync: Bool) throws(StorageError) {
        try stoppingOnFailure { () throws(StorageError) in
            try StorageError.check(tq_store_write(engine.store, batch.memory, batch.byteCount, sync))
        }
    }

    /// Waits until the write-ahead log is on the disk, and with it every earlier write.
    public func sync() throws(StorageError) {
        try stoppingOnFailure { () throws(StorageError) in try StorageError.check(tq_store_sync(engine.store)) }
    }

    private func stoppingOnFailure(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        try checkNoFailure()
        do {
            try body()
        } catch {
            guard error.kind != .closed else { throw error }
            // `invalid` promises that nothing was written, which only the engine could know here.
            let kind = error.kind == .noSpace || error.kind == .corruption ? error.kind : .io
            let unknown = StorageError(kind, error.message, path: error.path ?? path)
            failure.withLock { $0 = $0 ?? unknown }
            throw unknown
        }
    }

    private func checkNoFailure() throws(StorageError) {
        if let earlier = failure.withLock({ $0 }) { throw .writesStopped(after: earlier) }
    }

    // MARK: Reading

    /// The value of a key, nil where there is none; checksums are verified on the way.
    public func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        try engine.get(nil, family, key)
    }

    /// Hands out the rows of this moment in key order, read block by block.
    public func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try engine.scan(nil, family, from: lower, to: upper, body)
    }

    /// The last row whose key is at least `lower` and at most `upper`, nil where there is none.
    public func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try engine.last(nil, family, from: lower, through: upper)
    }

    /// One state of the store; table files that it needs stay on disk until it is let go of.
    public func snapshot() throws(StorageError) -> any ByteStoreSnapshot { try RocksDBSnapshot(engine) }

    // MARK: Upkeep

    /// Copies the store with all writes so far; refused after a failed write.
    public func checkpoint(to path: String) throws(StorageError) {
        try checkNoFailure()
        try StorageError.check(tq_store_checkpoint(engine.store, path))
    }

    /// Waits until the memory tables of all families are table files; refused after a failed write.
    public func flush() throws(StorageError) {
        try checkNoFailure()
        try StorageError.check(tq_store_flush(engine.store))
    }

    /// Rewrites the rows from `lower` to `upper` (nil = no bound), which may take minutes.
    public func compact(_ family: Family, from lower: [UInt8]?, to upper: [UInt8]?) throws(StorageError) {
        let id = UInt32(family.rawValue)
        try StorageError.check(
            withBytes(lower) { lower in
                withBytes(upper) { upper in
                    tq_store_compact(engine.store, id, lower.baseAddress, lower.count, upper.baseAddress, upper.count)
                }
            }
        )
    }

    /// The estimates of the engine; zeros once the store is closed.
    public func statistics(_ family: Family) -> FamilyStatistics {
        func property(_ name: String) -> UInt64 { tq_store_property(engine.store, UInt32(family.rawValue), name) }
        return FamilyStatistics(
            estimatedRows: property("rocksdb.estimate-num-keys"),
            diskBytes: property("rocksdb.live-sst-files-size"),
            memoryBytes: property("rocksdb.cur-size-all-mem-tables")
        )
    }

    /// Flushes, unless a write has failed, waits for calls under way, and closes.
    public func close() {
        // After a failure nothing of what is in memory may become durable unseen.
        tq_store_close(engine.store, failure.withLock { $0 == nil })
    }
}

extension StorageError {
    static func writesStopped(after earlier: StorageError) -> StorageError {
        StorageError(
            .writesStopped,
            "nothing is written since an earlier write failed (\(earlier.message)); open the store anew",
            path: earlier.path
        )
    }
}
