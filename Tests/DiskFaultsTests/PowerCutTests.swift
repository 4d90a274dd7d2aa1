import DiskFaults
import DiskTrials
import Testing
import TQModel

@Suite("Power cuts")
struct PowerCutTests {
    @Test("the replayed journal of a store is its directory, byte for byte, also after a second process")
    func exactReplay() throws {
        let scratch = try Scratch()
        for journal in ["first", "second"] {
            let status = try scratch.run(
                "disk-workload",
                [scratch / "disk/data", scratch / "record"],
                journal: journal
            )
            #expect(status == 0)
            let replay = try DiskReplay(try DiskJournal(scratch / journal))
            try replay.advance(to: replay.journal.count)
            try replay.write(.kill, to: scratch / "images/\(journal)")
            let found = try Files.tree(scratch / "images/\(journal)")
            let expected = try Files.tree(scratch / "disk")
            #expect(found.keys.sorted() == expected.keys.sorted())
            for (name, content) in expected { #expect(found[name] == content, "\(name)") }
        }
    }

    @Test("no power cut loses what was acknowledged, and a store opens after each", arguments: UInt64(1)...2)
    func honestDisk(_ seed: UInt64) throws {
        let (objections, images) = try cut(seed, syncsGroups: true)
        #expect(objections.isEmpty, "seed \(seed): \(objections.count) of \(images): \(objections.prefix(5))")
    }

    @Test("a store that is not synced is found to lose what was acknowledged")
    func unsyncedStore() throws {
        let (objections, _) = try cut(3, syncsGroups: false)
        #expect(objections.contains { $0.contains("was acknowledged") })
    }

    /// Cuts the power at random places under a store: what was wrong after which cut, and how many images there were.
    private func cut(_ seed: UInt64, syncsGroups: Bool) throws -> ([String], Int) {
        let scratch = try Scratch()
        var random = SplitMix64(seed: seed)
        let arguments = [scratch / "disk/data", scratch / "record", "60"] + (syncsGroups ? [] : ["unsynced"])
        try #require(try scratch.run("disk-workload", arguments) == 0)
        let journal = try DiskJournal(scratch / "journal")
        let record = try WorkRecord(scratch / "record")
        var cuts = try PowerCuts(journal, dataDirectory: "data", scratch: scratch / "images")
        var objections: [String] = []
        let places = (0..<100).map { _ in Int.random(in: journal.start...journal.count, using: &random) }.sorted()
        for cut in places {
            for image in [DiskImage.strict, .torn(seed: random.next())] {
                try cuts.withImage(image, at: cut) { path in
                    let found = FoundStore(path)
                    guard let objection = record.objection(to: found, lost: journal.nanoseconds(atCut: cut)) else {
                        return
                    }
                    objections.append("cut \(cut), \(image): \(objection)")
                }
            }
        }
        return (objections, 2 * places.count)
    }
}
