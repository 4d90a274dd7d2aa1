import ByteStore

/// What the sealed records in the files of a store say, wherever they lie: behind damage, in a log that is cut, or in a
/// table that cannot be opened.
///
/// The records of the default family are not compressed and end with a checksum, so they are found without the engine.
struct FileTraces {
    var identity: StoreIdentity?
    /// The newest epoch of any batch.
    var epoch: UInt32 = 0
    /// The newest store time of any batch.
    var storeMilliseconds: UInt64 = 0
    /// The highest sequence that a batch said is the next one.
    var nextSequence: UInt64 = 1

    /// Table files of the default family hold three rows.
    private static let tableByteCountMax = 64 << 10

    /// - Parameter storeID: Who the store is, if that is known.
    init(directory: String, storeID: UInt128?) throws(StorageError) {
        let names = try Salvage.fileNames(in: directory)
        for name in names where name.hasSuffix(".log") || name.hasSuffix(".sst") {
            let limit = name.hasSuffix(".sst") ? Self.tableByteCountMax : .max
            // Format version and shard, as every header begins, and every identity.
            let start = UInt8(StoreIdentity.formatVersion)
            Salvage.forEach(start, in: "\(directory)/\(name)", upTo: limit, byteCount: HeaderRecord.byteCount) {
                bytes in
                take(bytes, storeID)
            }
        }
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer, _ storeID: UInt128?) {
        if bytes.count >= StoreIdentity.byteCount {
            let found = try? StoreIdentity(UnsafeRawBufferPointer(rebasing: bytes[..<StoreIdentity.byteCount]))
            if let found, storeID == nil || found.id == storeID { identity = found }
        }
        guard bytes.count == HeaderRecord.byteCount, let header = try? HeaderRecord(bytes) else { return }
        epoch = max(epoch, header.position.epoch)
        storeMilliseconds = max(storeMilliseconds, header.storeMilliseconds)
        nextSequence = max(nextSequence, header.nextSequence)
    }
}
