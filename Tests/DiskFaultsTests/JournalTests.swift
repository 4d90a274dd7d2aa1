import DiskFaults
import Glibc
import TQModel
import Testing

@Suite("Journals")
struct JournalTests {
    private func journal() throws -> (Scratch, [UInt8]) {
        let scratch = try Scratch()
        let calls = [
            "write:5", "sync", "create", "rename", "mkdir", "sync-directory", "write:900", "resize:700", "write:9",
        ]
        try #require(try scratch.run("disk-calls", [scratch / "disk"] + calls) == 0)
        return (scratch, try Files.read(scratch / "journal"))
    }

    /// Whatever a journal says, nothing is trapped, and nothing is written outside of the image.
    private func play(_ bytes: [UInt8], in scratch: Scratch, seed: UInt64) throws {
        try Files.write(bytes, to: scratch / "changed")
        defer { Files.remove(scratch / "images/image") }
        do {
            let replay = try DiskReplay(try DiskJournal(scratch / "changed"))
            try replay.advance(to: replay.journal.count)
            try replay.write(.torn(seed: seed), to: scratch / "images/image")
        } catch {
            #expect(!"\(error)".isEmpty)
        }
    }

    @Test("a journal that is cut anywhere is read up to its last whole record")
    func cut() throws {
        let (scratch, bytes) = try journal()
        let whole = try DiskJournal(scratch / "journal")
        #expect(!whole.isTorn)
        for length in 0..<bytes.count { try play(Array(bytes[..<length]), in: scratch, seed: 1) }
        try Files.write(bytes.dropLast(), to: scratch / "changed")
        let torn = try DiskJournal(scratch / "changed")
        #expect(torn.isTorn && torn.count == whole.count - 1)
        #expect(whole.nanoseconds(atCut: whole.count) == .max)
        #expect(whole.nanoseconds(atCut: whole.count - 1) <= DiskJournal.nanosecondsNow)
    }

    @Test("no journal is trusted", arguments: UInt64(1)...4)
    func hostile(_ seed: UInt64) throws {
        let (scratch, bytes) = try journal()
        let before = try Files.names(scratch.path).sorted()
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<changed.count, using: &random)
                changed[place] =
                    [0, 0xff, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
            }
            try play(changed, in: scratch, seed: seed)
        }
        #expect(try Files.names(scratch.path).sorted().filter { $0 != "changed" } == before, "seed \(seed)")
    }

    @Test("a torn image lies between the strict one and that of a kill", arguments: UInt64(1)...20)
    func torn(_ seed: UInt64) throws {
        let (scratch, _) = try journal()
        let replay = try DiskReplay(try DiskJournal(scratch / "journal"))
        try replay.advance(to: replay.journal.count)
        for image in [DiskImage.torn(seed: seed), .kill] { try replay.write(image, to: scratch / "images/\(image)") }
        let torn = try Files.tree(scratch / "images/\(DiskImage.torn(seed: seed))")
        let killed = try Files.tree(scratch / "images/kill")
        #expect(torn.keys.sorted() == killed.keys.sorted())
        let (part, all) = (torn["renamed"] ?? nil, killed["renamed"] ?? nil)
        #expect(part?.starts(with: Array("xxxxx".utf8)) == true && all?.count == 914, "seed \(seed)")
        #expect(part?.allSatisfy { $0 == UInt8(ascii: "x") || $0 == 0 } == true)
        // The same seed gives the same image.
        try replay.write(.torn(seed: seed), to: scratch / "images/again")
        #expect(try Files.tree(scratch / "images/again") == torn)
    }
}
