import ByteStore
import Synchronization

/// A store that counts what is read of each family.
final class CountingStore: ByteStoreReader {
    private let store: any ByteStoreReader
    private let counts = Mutex([Int](repeating: 0, count: Family.allCases.count))

    init(_ store: any ByteStoreReader) { self.store = store }

    /// Rows that were handed out.
    func reads(_ family: Family) -> Int { counts.withLock { $0[Int(family.rawValue)] } }

    private func count(_ family: Family, _ rows: Int = 1) { counts.withLock { $0[Int(family.rawValue)] += rows } }

    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        count(family)
        return try store.get(family, key)
    }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        var rows = 0
        defer { count(family, rows) }
        try store.scan(family, from: lower, to: upper) { key, value throws(StorageError) in
            rows += 1
            return try body(key, value)
        }
    }

    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        count(family)
        return try store.last(family, from: lower, through: upper)
    }
}
