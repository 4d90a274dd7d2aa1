/// One state of a store in memory: a value whose copies share their rows until they are written.
struct MemoryFamilies: Sendable {
    private var rows = [SortedRows](repeating: SortedRows(), count: Family.allCases.count)

    subscript(family: Family) -> SortedRows {
        get { rows[Int(family.rawValue)] }
        _modify { yield &rows[Int(family.rawValue)] }
    }

    /// Applies a batch that is known to be well formed and allowed, in the order of its operations.
    mutating func apply(_ image: UnsafeRawBufferPointer) throws(StorageError) {
        try BatchImage.forEach(image) { operation throws(StorageError) in
            switch operation {
            case .put(let family, let key, let value): self[family].put(key, value)
            case .delete(let family, let key): self[family].remove(key)
            case .singleDelete(let family, let key):
                // RocksDB leaves what happens then undefined: an older value may come back after a compaction.
                if self[family].row(key)?.wasOverwritten == true {
                    throw StorageError(
                        .invalid,
                        "single delete in \(family.name) of a key that was put twice: \([UInt8](key))"
                    )
                }
                self[family].remove(key)
            case .deleteRange(let family, let lower, let upper): self[family].removeRange(from: lower, to: upper)
            }
        }
    }

    func get(_ family: Family, _ key: [UInt8]) -> [UInt8]? {
        key.withUnsafeBytes { self[family].row($0)?.value }
    }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        let rows = self[family]
        var position = lower.withUnsafeBytes { rows.lowerBound($0) }
        while let row = rows[position] {
            if let upper, compare(row.key, upper) >= 0 { return }
            let step = try row.key.withRawBytes { key throws(StorageError) in
                try row.value.withRawBytes { value throws(StorageError) in try body(key, value) }
            }
            if step == .stop { return }
            position = rows.position(after: position)
        }
    }

    func last(_ family: Family, from lower: [UInt8], through upper: [UInt8]) -> (key: [UInt8], value: [UInt8])? {
        guard let row = upper.withUnsafeBytes({ self[family].last(through: $0) }), compare(row.key, lower) >= 0
        else { return nil }
        return (row.key, row.value)
    }

    func statistics(_ family: Family) -> FamilyStatistics {
        FamilyStatistics(estimatedRows: UInt64(self[family].count), memoryBytes: UInt64(self[family].byteCount))
    }
}

/// One state of a store in memory.
final class MemorySnapshot: ByteStoreSnapshot {
    private let families: MemoryFamilies
    /// Throws once the store is closed.
    private let checkOpen: @Sendable () throws(StorageError) -> Void

    init(_ families: MemoryFamilies, checkOpen: @escaping @Sendable () throws(StorageError) -> Void) {
        self.families = families
        self.checkOpen = checkOpen
    }

    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        try checkOpen()
        return families.get(family, key)
    }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try checkOpen()
        try families.scan(family, from: lower, to: upper, body)
    }

    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try checkOpen()
        return families.last(family, from: lower, through: upper)
    }
}
