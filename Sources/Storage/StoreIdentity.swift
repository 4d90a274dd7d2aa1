import ByteStore
public import TQModel

/// Who a store is: made once, part of every backup.
///
/// Stored under `store` in the default family: format version u16, zero u16, store id (16 bytes), the store's key (two
/// u64), created u64 in milliseconds since 1970, CRC32C u32 of all bytes before. The epoch lies beside it under `epoch`:
/// u32, then its CRC32C u32.
public struct StoreIdentity: Hashable, Sendable {
    /// Tells stores apart; a restored or copied one gets a new id.
    public var id: UInt128
    /// The key of task ids and idempotency hashes; see ``TQModel/StoreKey``.
    public var key: StoreKey
    /// When the store was made, in milliseconds since 1970.
    public var createdWallMilliseconds: UInt64

    /// Creates an identity.
    public init(id: UInt128, key: StoreKey, createdWallMilliseconds: UInt64) {
        self.id = id
        self.key = key
        self.createdWallMilliseconds = createdWallMilliseconds
    }

    /// The version of everything that docs/storage-format.md describes.
    public static let formatVersion: UInt16 = 1

    static let byteCount = 48

    func write(to batch: WriteBatch) {
        batch.put(.default, key: KeyLayout.identity, valueByteCount: Self.byteCount) { value in
            var writer = ByteWriter(value)
            writer.write(Self.formatVersion)
            writer.write(UInt16(0))
            writer.write(UInt64(truncatingIfNeeded: id))
            writer.write(UInt64(truncatingIfNeeded: id >> 64))
            writer.write(key.high)
            writer.write(key.low)
            writer.write(createdWallMilliseconds)
            writer.write(CRC32C.checksum(of: writer.written))
        }
    }

    /// The identity of a store; `nil` for an empty one.
    static func read(_ store: any ByteStoreReader) throws(StorageError) -> StoreIdentity? {
        guard let bytes = try store.get(.default, KeyLayout.identity) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in try StoreIdentity(value) }
    }

    init(_ value: UnsafeRawBufferPointer) throws(StorageError) {
        var reader = try ByteReader(sealed: value, "store identity")
        try reader.readFormatVersion(newest: Self.formatVersion)
        _ = try reader.read(UInt16.self)
        let low: UInt64 = try reader.read()
        let high: UInt64 = try reader.read()
        let key = StoreKey(high: try reader.read(), low: try reader.read())
        let created: UInt64 = try reader.read()
        try reader.end()
        self.init(id: UInt128(high) << 64 | UInt128(low), key: key, createdWallMilliseconds: created)
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
        return try bytes.withRaw { value throws(StorageError) in try read(value) }
    }

    static func read(_ value: UnsafeRawBufferPointer) throws(StorageError) -> UInt32 {
        var reader = try ByteReader(sealed: value, "epoch")
        let epoch: UInt32 = try reader.read()
        try reader.end()
        return epoch
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
