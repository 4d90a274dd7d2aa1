import ByteStore
public import TQModel

/// Who a store is: made once, part of every backup.
///
/// Stored under `store` in the default family: format version u16, zero u16, CRC32C u32 of what follows, store id
/// (16 bytes), the store's key (two u64), created u64 in milliseconds since 1970. The epoch lies beside it under `epoch`:
/// u32, then its CRC32C u32.
public struct StoreIdentity: Hashable, Sendable {
    /// Tells stores apart; a restored or copied one gets a new id.
    public var id: UInt128
    /// The key of task ids and idempotency hashes; see ``TQModel/StoreKey``.
    public var key: StoreKey
    public var createdWallMilliseconds: UInt64

    public init(id: UInt128, key: StoreKey, createdWallMilliseconds: UInt64) {
        self.id = id
        self.key = key
        self.createdWallMilliseconds = createdWallMilliseconds
    }

    /// The version of everything that docs/storage-format.md describes.
    public static let formatVersion: UInt16 = 1

    private static let byteCount = 48

    func write(to batch: WriteBatch) {
        batch.put(.default, key: KeyLayout.identity, valueByteCount: Self.byteCount) { value in
            var body = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[8...]))
            body.write(UInt64(truncatingIfNeeded: id))
            body.write(UInt64(truncatingIfNeeded: id >> 64))
            body.write(key.high)
            body.write(key.low)
            body.write(createdWallMilliseconds)
            var head = ByteWriter(value)
            head.write(Self.formatVersion)
            head.write(UInt16(0))
            head.write(CRC32C.checksum(of: body.written))
        }
    }

    /// The identity of a store; `nil` for an empty one.
    static func read(_ store: any ByteStoreReader) throws(StorageError) -> StoreIdentity? {
        guard let bytes = try store.get(.default, KeyLayout.identity) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in
            var reader = ByteReader(value, "store identity")
            let version: UInt16 = try reader.read()
            guard version <= formatVersion else {
                throw StorageError(
                    .newerFormat, "The store has format \(version), this tq knows \(formatVersion). Use a newer tq.")
            }
            _ = try reader.read(UInt16.self)
            let stored: UInt32 = try reader.read()
            guard value.count == byteCount,
                CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: value[8...])) == stored
            else { throw reader.corrupt("the checksum does not match") }
            let low: UInt64 = try reader.read()
            let high: UInt64 = try reader.read()
            let key = StoreKey(high: try reader.read(), low: try reader.read())
            return StoreIdentity(
                id: UInt128(high) << 64 | UInt128(low),
                key: key,
                createdWallMilliseconds: try reader.read()
            )
        }
    }
}

/// The store's epoch: raised, synced, before anybody issues a token or a group id.
enum EpochRecord {
    static func write(_ epoch: UInt32, to batch: WriteBatch) {
        batch.put(.default, key: KeyLayout.epoch, valueByteCount: 8) { value in
            var writer = ByteWriter(value)
            writer.write(epoch)
            writer.write(CRC32C.checksum(of: writer.written))
        }
    }

    static func read(_ store: any ByteStoreReader) throws(StorageError) -> UInt32? {
        guard let bytes = try store.get(.default, KeyLayout.epoch) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in
            var reader = ByteReader(value, "epoch")
            let epoch: UInt32 = try reader.read()
            let covered = UnsafeRawBufferPointer(rebasing: value[0..<4])
            guard try reader.read() == CRC32C.checksum(of: covered) else {
                throw reader.corrupt("the checksum does not match")
            }
            return epoch
        }
    }
}

extension [UInt8] {
    /// The bytes, for bodies that throw a type of their own.
    func withRaw<Result>(
        _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        try withUnsafeBufferPointer { bytes throws(StorageError) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}
