import Compression
import TQModel

extension FuzzTarget {
    /// Frames of zstd, as submitters and workers send them, and dictionaries.
    static let zstd = FuzzTarget(
        name: "zstd",
        summary: "a frame of zstd that somebody sent; or, behind a byte 1, a dictionary that is compressed with",
        seeds: {
            let texts = ["", "tq", String(repeating: "a task is submitted, and ", count: 40)]
            let frames = try texts.compactMap { try Zstd.compress(Bytes($0.utf8)).map { Array($0) } }
            // Of one block without bytes, of one that repeats a byte 4,096 times, with a dictionary, one to be skipped.
            let others: [[UInt8]] = [
                [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 1, 0, 0], [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 3, 0x80, 0, 7],
                [0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x68, 9, 1, 0, 0], [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7],
            ]
            return (frames + others).map { [0] + $0 } + [[1, 0x37, 0xa4, 0x30, 0xec, 7, 0, 0, 0]]
        },
        run: { bytes in
            var input = ByteCursor(bytes)
            if input.byte() == 1 {
                guard let dictionary = try? CompressionDictionary(input.remaining()[...]) else { return }
                checkRoundTrip(Bytes(bytes), dictionary)
            } else {
                let limit = 1 << 20
                guard let found = try? Zstd.decompress(input.remaining()[...], countMax: limit) else { return }
                expect(found.count <= limit, "\(found.count) bytes came out where \(limit) are the most.")
                checkRoundTrip(found, nil)
            }
        }
    )
}

private func checkRoundTrip(_ bytes: Bytes, _ dictionary: CompressionDictionary?) {
    guard let frame = (try? Zstd.compress(bytes, dictionary: dictionary)) ?? nil else { return }
    expect(frame.count < bytes.count, "Compressing \(bytes.count) bytes gave \(frame.count).")
    let dictionaries = [dictionary].compactMap { $0 }
    let found = try? Zstd.decompress(frame, countMax: bytes.count, dictionaries: dictionaries)
    expectEqual(found, bytes, "What was compressed does not come back.")
}
