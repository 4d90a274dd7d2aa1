import Synchronization

/// A store that lives and dies with the process, for tests and for the simulator; deterministic.
///
/// It keeps to the rules of the store on disk, and is stricter in one: a single delete of a key that was put twice is
/// refused, where RocksDB would do something undefined later.
public final class InMemoryStorage: ByteStore {
    private let contents: Mutex<MemoryFamilies?>

    public init() { contents = Mutex(MemoryFamilies()) }

    private func current() throws(StorageError) -> MemoryFamilies {
        guard let families = contents.withLock({ $0 }) else { throw .closedStore }
        return families
    }

    /// Applies the batch at once; `sync` makes no difference, because nothing survives the process.
    public func write(_ batch: WriteBatch, sync: Bool) throws(StorageError) {
        // The copy shares what the batch does not touch, and makes the write all or nothing.
        var next = try current()
        try batch.withUnsafeBytes { image throws(StorageError) in try next.apply(image) }
        contents.withLock { [next] in $0 = next }
    }

    /// Does nothing but throw ``StorageError/Kind/closed`` once the store is closed.
    public func sync() throws(StorageError) { _ = try current() }

    /// The value of a key, nil where there is none.
    public func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        try current().get(family, key)
    }

    /// Hands out the rows of this moment in key order; the store may be written and closed from the body.
    public func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try current().scan(family, from: lower, to: upper, body)
    }

    /// The last row whose key is at least `lower` and at most `upper`, nil where there is none.
    public func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try current().last(family, from: lower, through: upper)
    }

    /// A copy that shares its rows with the store until they are written.
    public func snapshot() throws(StorageError) -> any ByteStoreSnapshot {
        MemorySnapshot(try current()) { [self] () throws(StorageError) in _ = try current() }
    }

    /// There are no files to copy.
    public func checkpoint(to path: String) throws(StorageError) {
        throw StorageError(.invalid, "a store in memory has no files to copy to \(path)", path: path)
    }

    /// Does nothing but throw ``StorageError/Kind/closed`` once the store is closed.
    public func flush() throws(StorageError) { _ = try current() }

    /// Does nothing but throw once the store is closed: deleted rows take no space.
    public func compact(_ family: Family, from lower: [UInt8]?, to upper: [UInt8]?) throws(StorageError) {
        _ = try current()
    }

    /// Exact counts of rows and of the bytes of keys and values; `diskBytes` is 0.
    public func statistics(_ family: Family) -> FamilyStatistics {
        contents.withLock { $0?.statistics(family) ?? FamilyStatistics() }
    }

    /// Frees all rows; every later call throws ``StorageError/Kind/closed``.
    public func close() { contents.withLock { $0 = nil } }
}

extension StorageError {
    static var closedStore: StorageError { StorageError(.closed, "the store is closed") }
}
