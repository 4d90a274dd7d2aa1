import CRocksDB

/// CRC32C (Castagnoli), computed by the processor where it can.
public enum CRC32C {
    /// The checksum of the bytes; `continuing` is the checksum of the bytes before them.
    public static func checksum(of bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
        tq_crc32c(crc, bytes.baseAddress, bytes.count)
    }

    /// The checksum of the bytes; `continuing` is the checksum of the bytes before them.
    public static func checksum(of bytes: some Collection<UInt8>, continuing crc: UInt32 = 0) -> UInt32 {
        bytes.withContiguousStorageIfAvailable { checksum(of: UnsafeRawBufferPointer($0), continuing: crc) }
            ?? Array(bytes).withUnsafeBytes { checksum(of: $0, continuing: crc) }
    }

    /// Whether the processor's own instructions are used.
    public static var isAccelerated: Bool { tq_crc32c_is_accelerated() }

    /// Whether RocksDB's checksums are computed by this code instead of its own.
    public static var servesRocksDB: Bool { tq_crc32c_serves_rocksdb() }

    /// Whether every implementation in use gives the published checksums; checked once per process.
    static let passesSelfTest = tq_crc32c_self_test()
}
