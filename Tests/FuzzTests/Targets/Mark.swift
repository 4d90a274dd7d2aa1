@testable import ByteStore

extension FuzzTarget {
    /// The file beside the store that says how far it was synced; a mark that was written over another is the one read.
    static let mark = FuzzTarget(
        name: "mark",
        summary: "the file of the high-water mark; the first byte says which slots get a valid checksum",
        seeds: {
            let mark = Mark(storeID: 1, syncedSequence: 2, runningHash: 3)
            return [HighWaterMark.encode(mark, generation: 1), HighWaterMark.encode(mark, generation: .max)]
                .map { [1] + $0 }
        },
        run: { bytes in
            var input = ByteCursor(bytes)
            let sealed = input.byte()
            var file: [UInt8] = []
            for slot in 0..<2 {
                var bytes = input.bytes(HighWaterMark.slotByteCount)
                if sealed >> UInt8(slot) & 1 == 1, bytes.count == HighWaterMark.slotByteCount {
                    StoredRow.sealEnd(&bytes)
                }
                file += bytes
                // A file may end anywhere.
                guard !input.isAtEnd else { break }
                if slot == 0 { file += [UInt8](repeating: 0, count: HighWaterMark.slotDistance - bytes.count) }
            }
            ScratchFile.with(file) { path in
                guard (try? HighWaterMark.read(path)) != nil else { return }
                let next = Mark(storeID: 4, syncedSequence: 5, runningHash: 6)
                guard (try? HighWaterMark(path, initial: next).write(next)) != nil else { return }
                expectEqual(try? HighWaterMark.read(path), next, "The mark that was written last is not the one read.")
            }
        }
    )
}
