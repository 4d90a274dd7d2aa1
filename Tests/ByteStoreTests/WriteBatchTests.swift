import ByteStore
import Testing

@Suite("A write batch")
struct WriteBatchTests {
    private func image(_ batch: WriteBatch) -> [UInt8] { batch.withUnsafeBytes { [UInt8]($0) } }

    private func describe(_ image: [UInt8]) throws -> [String] {
        func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
        var lines: [String] = []
        try image.withUnsafeBytes { image in
            _ = try BatchImage.forEach(image) { operation in
                switch operation {
                case .put(let family, let key, let value):
                    lines.append("put \(family.name) \(text(key))=\(text(value))")
                case .delete(let family, let key): lines.append("delete \(family.name) \(text(key))")
                case .singleDelete(let family, let key): lines.append("single delete \(family.name) \(text(key))")
                case .deleteRange(let family, let from, let to):
                    lines.append("delete \(family.name) \(text(from))..<\(text(to))")
                }
            }
        }
        return lines
    }

    private let sample = batch {
        $0.put(.default, key: bytes("k"), value: bytes("v"))
        $0.delete(.pending, key: bytes("k"))
        $0.singleDelete(.index, key: bytes("k"))
        $0.deleteRange(.completed, from: bytes("a"), to: bytes("b"))
    }

    @Test("is the documented bytes")
    func format() {
        let expected: [UInt8] = [
            0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0,
            0x05, 0, 1, 0x6B, 1, 0x76,
            0x04, 1, 1, 0x6B,
            0x08, 6, 1, 0x6B,
            0x0E, 4, 1, 0x61, 1, 0x62,
        ]
        #expect(image(sample) == expected)
        #expect(sample.byteCount == expected.count)
        #expect(sample.count == 4)
    }

    @Test("is decoded into what went in")
    func decoding() throws {
        #expect(
            try describe(image(sample)) == [
                "put default k=v", "delete pending k", "single delete index k", "delete completed a..<b",
            ]
        )
        var count = 0
        try sample.forEach { _ in count += 1 }
        #expect(count == 4)
    }

    @Test("has lengths of one to three bytes", arguments: [0, 1, 127, 128, 16_383, 16_384, 300_000])
    func lengths(count: Int) throws {
        let value = [UInt8](repeating: 0x78, count: count)
        let key = [UInt8](repeating: 0x6B, count: count % 20_000)
        let batch = batch { $0.put(.payload, key: key, value: value) }
        try batch.forEach { operation in
            guard case .put(.payload, let foundKey, let foundValue) = operation else {
                Issue.record("not a put in payload")
                return
            }
            #expect([UInt8](foundKey) == key && [UInt8](foundValue) == value)
        }
    }

    @Test("hands out the place of a value, to be written at once and patched later")
    func inPlace() throws {
        let batch = WriteBatch()
        let place = batch.put(.default, key: bytes("header"), valueByteCount: 8) { memory in
            for index in memory.indices { memory[index] = 0 }
        }
        for index in 0..<1000 {
            batch.put(.payload, key: [UInt8(index & 0xFF)], value: [UInt8](repeating: 1, count: 100))
        }
        batch.withUnsafeMutableBytes(in: place) { $0.copyBytes(from: bytes("patched!")) }
        #expect(try describe(image(batch)).first == "put default header=patched!")
        #expect(batch.count == 1001)
    }

    @Test("is empty again after it was emptied, also when its memory went back")
    func emptied() throws {
        for limit in [0, 8 << 20] {
            let batch = batch { $0.put(.payload, key: [1], value: [UInt8](repeating: 2, count: 100_000)) }
            batch.removeAll(keepingCapacity: limit)
            #expect(batch.isEmpty)
            #expect(image(batch) == [UInt8](repeating: 0, count: 12))
            batch.put(.payload, key: [3], value: [4])
            #expect(try describe(image(batch)).count == 1)
        }
    }

    @Test("can be made of an image from elsewhere, whatever its first eight bytes")
    func copying() throws {
        var received = image(sample)
        received.replaceSubrange(0..<8, with: [1, 2, 3, 4, 5, 6, 7, 8])
        let copy = try received.withUnsafeBytes { try WriteBatch(copying: $0) }
        #expect(image(copy) == image(sample))
        copy.delete(.index, key: [1])
        #expect(copy.count == 5)
        #expect(try describe(image(copy)).count == 5)
    }

    @Test("refuses every image that was cut")
    func truncated() {
        let whole = image(sample)
        for count in 0..<whole.count { #expect(errorKind { _ = try describe(Array(whole[..<count])) } == .corruption) }
    }

    @Test("refuses what it does not know, counts that lie and lengths beyond the end")
    func hostile() {
        func refused(_ operations: [UInt8], count: UInt8 = 1) -> Bool {
            errorKind { _ = try describe([0, 0, 0, 0, 0, 0, 0, 0, count, 0, 0, 0] + operations) } == .corruption
        }
        #expect(!refused([0x04, 1, 1, 0x6B]))
        #expect(refused([0x03, 1, 1, 0x6B]))
        #expect(refused([0x04, 7, 1, 0x6B]))
        #expect(refused([0x04, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1, 0x6B]))
        #expect(refused([0x04, 1, 2, 0x6B]))
        #expect(refused([0x04, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]))
        #expect(refused([0x04, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F]))
        #expect(refused([0x04, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]))
        #expect(refused([0x04, 1, 1, 0x6B], count: 2))
        #expect(refused([0x04, 1, 1, 0x6B], count: 0))
        #expect(refused([], count: 1))
    }

    @Test("survives random damage to an image without a trap", arguments: [21, 22] as [UInt64])
    func randomDamage(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let whole = image(sample)
        for _ in 0..<20_000 {
            var damaged = whole
            for _ in 0...Int.random(in: 0...3, using: &generator) {
                damaged[Int.random(in: damaged.indices, using: &generator)] = UInt8.random(
                    in: 0...255,
                    using: &generator
                )
            }
            let kind = errorKind { _ = try describe(damaged) }
            #expect(kind == nil || kind == .corruption)
        }
    }
}
