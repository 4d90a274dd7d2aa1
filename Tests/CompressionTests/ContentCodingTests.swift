import Compression
import TQModel
import Testing

@Suite("What is sent compressed")
struct ContentCodingTests {
    private let plain = Bytes(Array(repeating: Array("tq ".utf8), count: 1_000).joined())
    private let json = Content(type: "application/json")

    private func encoded(
        _ bytes: Bytes,
        _ content: Content,
        _ compression: PayloadCompression
    ) throws -> (bytes: Bytes, content: Content) {
        var (bytes, content) = (bytes, content)
        try ContentCoding(compression, dictionaries: []).encode(&bytes, &content)
        return (bytes, content)
    }

    @Test("Long payloads are compressed, keep their type, and come back")
    func roundTrip() throws {
        var (bytes, content) = try encoded(plain, json, .zstd())
        #expect(bytes.count < 100 && content == Content(type: "application/json", encoding: .zstd))
        try ContentCoding(.none, dictionaries: []).decode(&bytes, &content, of: "payload")
        #expect(bytes == plain && content == json)
    }

    @Test("What is short, encoded already, or larger than a payload may be stays as it is")
    func left() throws {
        let large = Bytes(repeating: 7, count: Limits.payloadBytesMax + 1)
        let packed = Content(encoding: .zstd)
        for (bytes, content, compression) in [
            (plain, json, .none), (plain, json, .zstd(from: plain.count + 1)), (plain, packed, .zstd()),
            (large, json, .zstd()),
        ] as [(Bytes, Content, PayloadCompression)] {
            let left = try encoded(bytes, content, compression)
            #expect(left.bytes == bytes && left.content == content)
        }
        #expect(try encoded(plain, json, .zstd(from: plain.count)).content.encoding == .zstd)
    }

    @Test("An error names the thing, the reason and the way out")
    func errors() throws {
        let error = #expect(throws: TQError.self) { try encoded(plain, json, .zstd(level: 40)) }
        #expect(error?.message == "The payload cannot be compressed: level 40 is out of range; choose 1 to 19.")
        var (bytes, content) = (plain, Content(encoding: .zstd))
        let other = #expect(throws: TQError.self) {
            try ContentCoding(.none, dictionaries: []).decode(&bytes, &content, of: "result of task 7")
        }
        #expect(other?.code == .invalidArgument)
        #expect(other?.message == "The result of task 7 cannot be decompressed: it is no frame of zstd.")
        #expect(bytes == plain && content.encoding == .zstd)
    }
}
