import ByteStore
import Testing

@Suite("The high-water mark")
struct HighWaterMarkTests {
    private let first = Mark(
        storeID: 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210,
        syncedSequence: 42,
        runningHash: 0x1122_3344_5566_7788
    )

    private func mark(_ sequence: UInt64) -> Mark {
        Mark(storeID: first.storeID, syncedSequence: sequence, runningHash: sequence &* 31)
    }

    @Test("is nil where there is no file")
    func absent() throws {
        let scratch = try ScratchDirectory()
        #expect(try HighWaterMark.read(scratch / "mark") == nil)
    }

    @Test("is read back as it was written, again and again, by other handles too")
    func writing() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "mark"
        for sequence in 1...7 {
            let mark = mark(UInt64(sequence))
            try HighWaterMark(path, initial: first).write(mark)
            #expect(try HighWaterMark.read(path) == mark)
        }
        #expect(try ScratchDirectory.names(in: scratch.path) == ["mark"])
        #expect(try ScratchDirectory.read(path).count == 8192)
    }

    @Test("is what was noted last, which goes over the older slot until the next write")
    func noting() throws {
        let scratch = try ScratchDirectory()
        let file = try HighWaterMark(scratch / "mark", initial: first)
        try file.write(mark(50))
        let durable = try ScratchDirectory.read(scratch / "mark").prefix(4096)
        for sequence in [51, 52, 53] {
            try file.note(mark(UInt64(sequence)))
            #expect(try HighWaterMark.read(scratch / "mark") == mark(UInt64(sequence)))
            #expect(try ScratchDirectory.read(scratch / "mark").prefix(4096) == durable)
        }
        try file.write(mark(54))
        #expect(try HighWaterMark.read(scratch / "mark") == mark(54))
    }

    @Test("is the documented bytes")
    func format() throws {
        let scratch = try ScratchDirectory()
        _ = try HighWaterMark(scratch / "mark", initial: first)
        let file = try ScratchDirectory.read(scratch / "mark")
        let slot: [UInt8] = [
            0x54, 0x51, 0x48, 0x4D, 0x01, 0x00, 0x00, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE,
            0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01, 0x2A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6F, 0xBD, 0x32, 0x9A,
        ]
        #expect(Array(file[4096..<4096 + 64]) == slot)
        #expect(file[..<4096].allSatisfy { $0 == 0 } && file[4160...].allSatisfy { $0 == 0 })
    }

    @Test("falls back to the older slot when the newer one is damaged, whichever byte it is")
    func oneDamagedSlot() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "mark"
        let file = try HighWaterMark(path, initial: first)
        try file.write(mark(100))
        let whole = try ScratchDirectory.read(path)
        #expect(try HighWaterMark.read(path) == mark(100))
        for byte in 0..<64 {
            var damaged = whole
            damaged[byte] ^= 0x10
            try ScratchDirectory.write(damaged, to: path)
            #expect(try HighWaterMark.read(path) == first)
        }
        // The next write goes over the damaged slot and leaves the good one alone.
        try HighWaterMark(path, initial: mark(1)).write(mark(101))
        #expect(try HighWaterMark.read(path) == mark(101))
        #expect(try ScratchDirectory.read(path)[4096...] == whole[4096...])
    }

    @Test("is an error when both slots are damaged, or the file is cut")
    func bothSlotsDamaged() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "mark"
        try HighWaterMark(path, initial: first).write(mark(100))
        var damaged = try ScratchDirectory.read(path)
        damaged[30] ^= 1
        damaged[4096 + 30] ^= 1
        for content in [damaged, [], Array(damaged[..<100]), [UInt8](repeating: 0, count: 8192)] {
            try ScratchDirectory.write(content, to: path)
            let error = try #require(throws: StorageError.self) { _ = try HighWaterMark.read(path) }
            #expect(error.kind == .corruption && error.path == path && error.message.contains("both slots"))
            #expect(errorKind { _ = try HighWaterMark(path, initial: first) } == .corruption)
        }
    }

    @Test("of a later version is refused")
    func laterVersion() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "mark"
        _ = try HighWaterMark(path, initial: first)
        var file = try ScratchDirectory.read(path)
        file[4096 + 4] = 2
        let crc = CRC32C.checksum(of: file[4096..<4096 + 60])
        withUnsafeBytes(of: crc.littleEndian) { file.replaceSubrange(4096 + 60..<4096 + 64, with: $0) }
        try ScratchDirectory.write(file, to: path)
        #expect(errorKind { _ = try HighWaterMark.read(path) } == .newerFormat)
    }
}
