import ByteStore
import Testing

@Suite("CRC32C")
struct CRC32CTests {
    @Test("gives the published checksums")
    func vectors() {
        #expect(CRC32C.checksum(of: bytes("123456789")) == 0xE306_9283)
        #expect(CRC32C.checksum(of: [UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum(of: [UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum(of: [UInt8](0..<32)) == 0x46DD_794E)
        #expect(CRC32C.checksum(of: []) == 0)
    }

    @Test("gives the same checksum bit by bit, whole, and in two parts at any address")
    func parts() {
        var generator = SeededGenerator(seed: 3)
        let data = generator.bytes(300)
        for start in 0..<9 {
            for end in stride(from: start, to: data.count, by: 7) {
                let expected = bitwise(data[start..<end])
                let middle = (start + end) / 2
                #expect(CRC32C.checksum(of: data[start..<end]) == expected)
                let first = CRC32C.checksum(of: data[start..<middle])
                #expect(CRC32C.checksum(of: data[middle..<end], continuing: first) == expected)
            }
        }
    }

    @Test("computes RocksDB's own checksums")
    func servesRocksDB() { #expect(CRC32C.servesRocksDB) }

    /// The definition: the reversed polynomial 0x82F63B78, one bit at a time.
    private func bitwise(_ data: some Sequence<UInt8>) -> UInt32 {
        var crc: UInt32 = .max
        for byte in data {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 0 ? 0 : 0x82F6_3B78) }
        }
        return ~crc
    }
}
