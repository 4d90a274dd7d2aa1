#if TQ_PLANT_BUGS

import ByteStore
import QueueCore

/// A store whose scan of tasks leaves out the first row: the planted bug ``PlantedBug/recoverySkipsSegment``.
final class SegmentSkippingReader: ByteStoreReader {
    private let store: any ByteStoreReader

    init(_ store: any ByteStoreReader) { self.store = store }

    func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { try store.get(family, key) }

    func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        var isFirst = family == .pending
        try store.scan(family, from: lower, to: upper) { key, value throws(StorageError) in
            defer { isFirst = false }
            return isFirst ? .continue : try body(key, value)
        }
    }

    func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try store.last(family, from: lower, through: upper)
    }
}

#endif
