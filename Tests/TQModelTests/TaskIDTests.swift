import TQModel
import Testing

@Suite("Task ids")
struct TaskIDTests {
    private let cipher = TaskIDCipher(key: StoreKey(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210), shard: 5)
    private static let seed = UInt64.random(in: .min ... .max)

    @Test("An id comes back from its text, in either case")
    func text() throws {
        var random = SplitMix64(seed: Self.seed)
        for _ in 0..<1_000 {
            let id = TaskID(high: random.next(), low: random.next())
            #expect(id.description.utf8.count == 36)
            #expect(TaskID(id.description) == id, "seed \(Self.seed)")
            #expect(TaskID(id.description.uppercased()) == id, "seed \(Self.seed)")
        }
        let id = try #require(TaskID("00112233-4455-6677-8899-aabbccddeeff"))
        #expect(id.high == 0x0011_2233_4455_6677)
        #expect(id.low == 0x8899_aabb_ccdd_eeff)
    }

    @Test(
        "Any other text is no id",
        arguments: [
            "", "-", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
            "00112233445566778899aabbccddeeff", "0011223-34455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeefg", "00112233-4455-6677-8899_aabbccddeeff",
            "{00112233-4455-6677-8899-aabbccddeef}", "00112233-4455-6677-8899-aabbccddeeé",
            String(repeating: "-", count: 36), String(repeating: "0", count: 36),
        ]
    )
    func otherText(text: String) { #expect(TaskID(text) == nil) }

    @Test("An id is a UUID of version 7 that states its time and leads back to its sequence")
    func roundTrip() {
        var random = SplitMix64(seed: Self.seed)
        let samples: [UInt64] = [0, 1, 2, 1 << 31, (1 << 62) - 1] + (0..<2_000).map { _ in random.next() >> 2 }
        for sequence in samples {
            let created = random.next() >> 16
            let id = cipher.id(of: TaskSequence(sequence), createdMilliseconds: created)
            #expect(id.high >> 12 & 0xf == 7, "seed \(Self.seed)")
            #expect(id.low >> 62 == 0b10, "seed \(Self.seed)")
            #expect(id.createdMilliseconds == created, "seed \(Self.seed)")
            #expect(cipher.sequence(of: id) == TaskSequence(sequence), "seed \(Self.seed)")
        }
    }

    @Test("Different sequences have different ids, which do not show their order")
    func bijection() {
        let lows = (0..<UInt64(20_000)).map { cipher.id(of: TaskSequence($0), createdMilliseconds: 0).low }
        #expect(Set(lows).count == lows.count)
        let rising = zip(lows, lows.dropFirst()).count { $0 < $1 }
        #expect((9_000...11_000).contains(rising))
    }

    @Test("Ids of another version, variant or shard are nobody's")
    func foreign() {
        let id = cipher.id(of: TaskSequence(77), createdMilliseconds: 1_700_000_000_000)
        #expect(cipher.sequence(of: TaskID(high: id.high ^ 0x1000, low: id.low)) == nil)
        #expect(cipher.sequence(of: TaskID(high: id.high ^ 0x0001, low: id.low)) == nil)
        #expect(cipher.sequence(of: TaskID(high: id.high, low: id.low ^ 1 << 62)) == nil)
        #expect(cipher.sequence(of: TaskID(high: id.high, low: id.low ^ 1 << 63)) == nil)
        let other = TaskIDCipher(key: StoreKey(high: 1, low: 2), shard: 5)
        #expect(other.sequence(of: id) != TaskSequence(77))
    }

    @Test("An id changed in one bit leads to a sequence far away")
    func guessing() {
        let id = cipher.id(of: TaskSequence(1_000), createdMilliseconds: 0)
        for bit in 0..<UInt64(62) {
            let guessed = cipher.sequence(of: TaskID(high: id.high, low: id.low ^ 1 << bit))
            #expect((guessed?.rawValue ?? 0) > 1_000_000)
        }
    }

    @Test("Ids are the same in every version: they are on disk and in the hands of clients")
    func pinned() {
        let id = cipher.id(of: TaskSequence(1), createdMilliseconds: 1_700_000_000_000)
        #expect(id.description == "018bcfe5-6800-7005-9624-b94a76a091e8")
    }
}
