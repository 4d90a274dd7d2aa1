import ByteStore

/// A store of which some rows cannot be read, as if they lay in damaged blocks.
final class DamagedStore: ByteStoreReader {
    private let store: any ByteStoreReader
    private let unreadable: Set<StoredRow>

    init(_ store: any ByteStoreReader, unreadable: [StoredRow]) {
        (self.store, self.unreadable) = (store, Set(unreadable))
    }

    private func check(_ family: Family, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard unreadable.contains(StoredRow(family: family, key: key, value: value)) else { return }
        throw StorageError(.corruption, "block checksum mismatch")
    }

    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        guard let value = try store.get(family, key) else { return nil }
        try check(family, key, value)
        return value
    }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try store.scan(family, from: lower, to: upper) { key, value throws(StorageError) in
            try check(family, [UInt8](key), [UInt8](value))
            return try body(key, value)
        }
    }

    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        guard let (key, value) = try store.last(family, from: lower, through: upper) else { return nil }
        try check(family, key, value)
        return (key, value)
    }
}
