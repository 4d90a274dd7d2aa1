/// What can be read of a store or of a snapshot: ordered bytes in families.
///
/// Keys compare as unsigned bytes.
public protocol ByteStoreReader: AnyObject, Sendable {
    /// The value of a key, nil where there is none.
    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]?

    /// Hands out the rows from `lower` to below `upper` (nil = the end of the family) in key order.
    ///
    /// All rows are of the state at the call, whatever is written meanwhile. The bytes are valid during the body only,
    /// and may lie at any address: load integers unaligned. A store must not be closed from the body.
    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError)

    /// The last row whose key is at least `lower` and at most `upper`.
    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])?
}

/// What the body of a scan asks for after each row.
public enum ScanStep: Sendable {
    /// Hand out the next row.
    case `continue`
    /// Hand out no more rows; the scan returns without an error.
    case stop
}

/// One state of a store, unmoved by later writes; let go of it soon, because it keeps old rows on disk.
///
/// A snapshot whose store was closed throws ``StorageError/Kind/closed``.
public protocol ByteStoreSnapshot: ByteStoreReader {}

/// Ordered bytes in families, written in atomic batches.
///
/// Writes and syncs come from one thread at a time; reads may come from any thread at any time. After a failed write or sync
/// every later one throws ``StorageError/Kind/writesStopped`` until the store is opened anew: what a failed write left
/// behind is only known then.
public protocol ByteStore: ByteStoreReader {
    /// Writes all of the batch or nothing of it.
    ///
    /// A synced batch and every batch before it survive a power cut; one that is not synced is in the hands of the
    /// operating system and survives the death of the process.
    func write(_ batch: WriteBatch, sync: Bool) throws(StorageError)

    /// Makes every earlier write durable.
    func sync() throws(StorageError)

    /// The state of this moment, with every write that has returned, to be read while writes go on.
    func snapshot() throws(StorageError) -> any ByteStoreSnapshot

    /// Makes a complete copy in a directory that must not exist; the files are hard links where that is possible.
    func checkpoint(to path: String) throws(StorageError)

    /// Moves what is in memory tables into table files.
    func flush() throws(StorageError)

    /// Rewrites the rows from `lower` to `upper` (nil = no bound), which frees the space of deleted ones.
    func compact(_ family: Family, from lower: [UInt8]?, to upper: [UInt8]?) throws(StorageError)

    /// Sizes for operators; zeros once the store is closed.
    func statistics(_ family: Family) -> FamilyStatistics

    /// Flushes, waits for calls under way, and closes; later calls throw ``StorageError/Kind/closed``. Idempotent.
    func close()
}

/// The sizes of a family; estimates, good for operators and dashboards.
public struct FamilyStatistics: Hashable, Sendable {
    /// Rows, counting some that were overwritten or deleted lately.
    public var estimatedRows: UInt64
    /// Bytes of the table files in use.
    public var diskBytes: UInt64
    /// Bytes of the memory tables.
    public var memoryBytes: UInt64

    public init(estimatedRows: UInt64 = 0, diskBytes: UInt64 = 0, memoryBytes: UInt64 = 0) {
        self.estimatedRows = estimatedRows
        self.diskBytes = diskBytes
        self.memoryBytes = memoryBytes
    }
}
