import CRocksDB

/// The engine's handle; reads on it and on its snapshots.
final class Engine: @unchecked Sendable {
    // Immutable, and every function of the shim that takes it may be called from any thread.
    let store: OpaquePointer

    init(_ store: OpaquePointer) { self.store = store }
    deinit { tq_store_destroy(store) }

    func get(_ snapshot: OpaquePointer?, _ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        var value = tq_value()
        try StorageError.check(tq_get(store, snapshot, UInt32(family.rawValue), key, key.count, &value))
        guard value.owner != nil else { return nil }
        defer { tq_value_release(&value) }
        return [UInt8](UnsafeRawBufferPointer(start: value.bytes, count: value.count))
    }

    func last(
        _ snapshot: OpaquePointer?,
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        // The engine takes bounds that cross for a programming error.
        guard compare(lower, upper) <= 0 else { return nil }
        var value = tq_value()
        let id = UInt32(family.rawValue)
        try StorageError.check(tq_last(store, snapshot, id, lower, lower.count, upper, upper.count, &value))
        guard value.owner != nil else { return nil }
        defer { tq_value_release(&value) }
        var rows = Rows(block: UnsafeRawBufferPointer(start: value.bytes, count: value.count))
        return rows.next().map { (key: [UInt8]($0.key), value: [UInt8]($0.value)) }
    }

    func scan(
        _ snapshot: OpaquePointer?,
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        if let upper, compare(lower, upper) >= 0 { return }
        var opened: OpaquePointer?
        let id = UInt32(family.rawValue)
        try StorageError.check(
            withBytes(upper) {
                tq_scan_open(store, snapshot, id, lower, lower.count, $0.baseAddress, $0.count, &opened)
            }
        )
        guard let scan = opened else { return }
        defer { tq_scan_close(scan) }
        while true {
            var start: UnsafePointer<UInt8>?
            var count = 0
            try StorageError.check(tq_scan_next(scan, &start, &count))
            guard count > 0 else { return }
            var rows = Rows(block: UnsafeRawBufferPointer(start: start, count: count))
            while let row = rows.next() {
                if try body(row.key, row.value) == .stop { return }
            }
        }
    }
}

/// One state of the store on disk.
final class RocksDBSnapshot: ByteStoreSnapshot, @unchecked Sendable {
    // Both are immutable; the engine outlives the snapshot.
    private let engine: Engine
    private let snapshot: OpaquePointer

    init(_ engine: Engine) throws(StorageError) {
        var created: OpaquePointer?
        try StorageError.check(tq_snapshot_create(engine.store, &created))
        guard let created else { throw StorageError(.invalid, "the engine gave no snapshot") }
        self.engine = engine
        snapshot = created
    }

    deinit { tq_snapshot_destroy(snapshot) }

    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        try engine.get(snapshot, family, key)
    }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try engine.scan(snapshot, family, from: lower, to: upper, body)
    }

    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try engine.last(snapshot, family, from: lower, through: upper)
    }
}

/// The rows of a block made by the shim of this process: lengths, key, value.
private struct Rows {
    var block: UnsafeRawBufferPointer

    mutating func next() -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        guard block.count >= 8 else { return nil }
        let keyCount = Int(block.loadUnaligned(as: UInt32.self))
        let valueCount = Int(block.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let valueStart = 8 + keyCount
        let end = valueStart + valueCount
        defer { block = UnsafeRawBufferPointer(rebasing: block[end...]) }
        return (
            UnsafeRawBufferPointer(rebasing: block[8..<valueStart]),
            UnsafeRawBufferPointer(rebasing: block[valueStart..<end])
        )
    }
}

/// The bytes, or a null pointer for nil.
func withBytes<Result>(_ bytes: [UInt8]?, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    guard let bytes else { return body(UnsafeBufferPointer(start: nil, count: 0)) }
    return bytes.withUnsafeBufferPointer(body)
}
