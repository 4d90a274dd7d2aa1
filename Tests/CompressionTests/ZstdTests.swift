import CZstd
import TQModel
import Testing

@testable import Compression

@Suite("Frames of zstd")
struct ZstdTests {
    private static let limit = Limits.payloadBytesMax
    private let seed = UInt64.random(in: .min ... .max)

    private func text(_ byteCount: Int) -> Bytes {
        var bytes: [UInt8] = []
        var number = 0
        while bytes.count < byteCount {
            bytes += sample(number)
            number += 1
        }
        return bytes[..<byteCount]
    }

    private func noise(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private func compressed(_ bytes: Bytes) throws -> Bytes { try #require(try Zstd.compress(bytes)) }

    private func problem(_ frame: Bytes, countMax: Int = Self.limit) -> String? {
        do throws(CompressionError) {
            _ = try Zstd.decompress(frame, countMax: countMax)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("What was compressed comes back, whatever its length and the level", arguments: [1, 3, 9, 19])
    func roundTrip(level: Int) throws {
        for count in [200, 1_000, 131_071, 131_072, 131_073, 400_000] {
            let frame = try #require(try Zstd.compress(text(count), level: level))
            #expect(frame.count < count)
            #expect(try Zstd.decompress(frame, countMax: count) == text(count))
        }
    }

    @Test("The largest payload comes back at the highest level: its frame looks back no farther than a reader does")
    func largest() throws {
        var random = SplitMix64(seed: seed)
        let block = noise(1 << 16, &random)
        let payload = Array(repeating: block, count: Self.limit >> 16).flatMap { $0 }[...]
        let frame = try #require(try Zstd.compress(payload, level: Zstd.levels.upperBound))
        #expect(payload.count == Self.limit)
        #expect(try Zstd.decompress(frame, countMax: Self.limit) == payload)
    }

    @Test("What does not become shorter is not compressed, and no level is made up")
    func useless() throws {
        var random = SplitMix64(seed: seed)
        for count in [0, 1, 2, 10, 1_000, 200_000] {
            #expect(try Zstd.compress(noise(count, &random)[...]) == nil, "seed \(seed)")
        }
        for level in [Int.min, -1, 0, 20, Int.max] {
            #expect(throws: CompressionError.self) { try Zstd.compress(text(100), level: level) }
        }
    }

    @Test("A frame is decompressed up to the limit and not beyond")
    func limit() throws {
        let frame = try compressed(text(300_000))
        #expect(problem(frame, countMax: 300_000) == nil)
        #expect(problem(frame, countMax: 299_999)?.contains("become more than 299999") == true)
        #expect(problem(frame, countMax: 0)?.contains("become more than 0") == true)
    }

    @Test("A frame that grows beyond all reason is refused, and no payload becomes one")
    func bomb() throws {
        let zeros = Bytes(repeating: 0, count: Self.limit)
        #expect(try Zstd.compress(zeros) == nil)
        #expect(try Zstd.compress(zeros.prefix(1 << 20)) != nil)
        let bomb = [UInt8](unsafeUninitializedCapacity: 10_000) { target, count in
            zeros.withUnsafeBytes {
                count = ZSTD_compress(target.baseAddress, target.count, $0.baseAddress, $0.count, 3)
            }
        }
        #expect(bomb.count < 2_000)
        #expect(problem(bomb[...])?.contains("is not allowed") == true)
    }

    @Test("A frame that claims more than comes out is refused, and one that claims 8 EiB costs nothing")
    func claim() {
        // Eight bytes of content size, a window of 1 KiB, and one last block without bytes.
        let head: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x00]
        let much = Array(repeating: 0xff as UInt8, count: 7) + [0x7f]
        #expect(problem((head + much + [1, 0, 0])[...])?.contains("is not allowed") == true)
        let some: [UInt8] = [0, 0, 8, 0, 0, 0, 0, 0]
        #expect(problem((head + some + [1, 0, 0])[...])?.contains("0 bytes came out instead of 524288") == true)
    }

    @Test("A frame may look back over 8 MiB and no farther")
    func window() {
        // No content size, a window of 2^23 or 2^24 bytes, one last block without bytes.
        #expect(problem([0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 1, 0, 0]) == nil)
        let wide = problem([0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 1, 0, 0])
        #expect(wide?.contains("looks back over more than 8 MiB") == true)
    }

    @Test("A frame that was cut anywhere is an error")
    func truncated() throws {
        let frame = try compressed(text(2_000))
        for count in 0..<frame.count { #expect(problem(frame.prefix(count)) != nil) }
    }

    @Test("What follows a frame is an error, be it another one")
    func trailing() throws {
        let frame = try compressed(text(2_000))
        #expect(problem(frame + [0]) == "1 bytes follow the frame")
        #expect(problem(frame + frame) == "\(frame.count) bytes follow the frame")
    }

    @Test("What is no frame, or one to be skipped, is an error")
    func others() {
        #expect(problem([])?.contains("no frame of zstd") == true)
        #expect(problem(Bytes("plain text".utf8))?.contains("no frame of zstd") == true)
        #expect(problem([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7])?.contains("no frame of zstd") == true)
    }

    @Test("Flipped bytes never trap, and never give other bytes than were compressed")
    func flipped() throws {
        var random = SplitMix64(seed: seed)
        let plain = text(5_000)
        let frame = try compressed(plain)
        for _ in 0..<20_000 {
            var damaged = frame
            for _ in 0...random.next() % 3 {
                let place = Int(random.next() % UInt64(frame.count))
                damaged[place] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let bytes = try? Zstd.decompress(damaged, countMax: Self.limit) else { continue }
            #expect(bytes == plain, "seed \(seed)")
        }
    }

    @Test("Random bytes behind the magic number never trap")
    func random() {
        var random = SplitMix64(seed: seed)
        for _ in 0..<50_000 {
            let frame = [0x28, 0xb5, 0x2f, 0xfd] + noise(Int(random.next() % 64), &random)
            _ = try? Zstd.decompress(frame[...], countMax: 1 << 16)
        }
    }
}
