import TQModel
import Testing

@testable import Compression

@Suite("Dictionaries")
struct DictionaryTests {
    private let own: CompressionDictionary

    init() throws { own = try dictionary(id: 4_711) }

    @Test("Small payloads become much shorter with a dictionary, and come back with it alone")
    func roundTrip() throws {
        let other = try dictionary(id: 4_712)
        for number in 1_000..<1_050 {
            let plain = sample(number)
            let frame = try #require(try Zstd.compress(plain, dictionary: own))
            #expect(frame.count * 2 < plain.count)
            #expect(try Zstd.decompress(frame, countMax: 1_000, dictionaries: [other, own]) == plain)
            let error = #expect(throws: CompressionError.self) {
                try Zstd.decompress(frame, countMax: 1_000, dictionaries: [other])
            }
            #expect(error?.description == "it needs dictionary 4711, which was not given")
        }
    }

    @Test("Another dictionary with the same number never gives other bytes")
    func sameNumber() throws {
        let other = try dictionary(id: 4_711, from: 50_000)
        var refused = 0
        for number in 1_000..<1_050 {
            let frame = try #require(try Zstd.compress(sample(number), dictionary: own))
            guard let bytes = try? Zstd.decompress(frame, countMax: 1_000, dictionaries: [other]) else {
                refused += 1
                continue
            }
            #expect(bytes == sample(number))
        }
        #expect(refused > 0)
    }

    @Test("What zstd --train did not write is no dictionary")
    func noDictionary() throws {
        for bytes in [[], [0x37, 0xa4, 0x30, 0xec], Array("plain text, of which there is enough".utf8)] as [[UInt8]] {
            let error = #expect(throws: TQError.self) { try CompressionDictionary(bytes[...]) }
            #expect(error?.code == .invalidArgument)
        }
        let cut = trained(id: 4_711).prefix(100)
        #expect(throws: TQError.self) { try CompressionDictionary(cut) }
    }
}
