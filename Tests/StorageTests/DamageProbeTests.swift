import ByteStore
import Glibc
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

/// Every kind of damage to real files: refused, harmless, or an error for whoever reads, and never silent.
@Suite struct DamageProbeTests {
    private func probe(seed: UInt64, end: StoreOnDisk.End) throws -> (store: StoreOnDisk, probe: DamageProbe) {
        let store = try StoreOnDisk(seed: seed, end: end)
        return (store, try DamageProbe(StoreImage(dataDirectory: store.path), scratch: store.directory / "probe"))
    }

    private func name(_ file: String) -> String { file.hasPrefix("db/") ? String(file.dropFirst(3)) : file }

    /// How many flips each test makes; `TQ_FLIPS` asks for more.
    static let flipCount = getenv("TQ_FLIPS").flatMap { Int(String(cString: $0)) } ?? 60

    @Test(arguments: StoreOnDisk.End.allCases)
    func noFlippedBitIsSilent(_ end: StoreOnDisk.End) throws {
        let (store, probe) = try probe(seed: 5, end: end)
        defer { withExtendedLifetime(store) {} }
        var random = SplitMix64(seed: 5)
        var counts: [String: Int] = [:]
        var unnamed: [String: Damage] = [:]
        for _ in 0..<Self.flipCount {
            let damage = probe.image.flip(chosenBy: &random)
            let outcome = try probe.outcome(of: damage)
            let word: String
            switch outcome {
            case .refused(let error):
                word = "refused"
                if !error.description.contains(name(damage.file)) { unnamed[error.description] = damage }
            case .harmless: word = "harmless"
            case .detectedAtRead: word = "detected"
            case .cutOff(let error):
                word = "CUT OFF"
                Issue.record("\(damage) took batches that were synced: \(error)")
            case .silent(let what):
                word = "SILENT"
                Issue.record("\(damage): \(what)")
            }
            counts["\(StoreImage.FileKind(damage.file)) \(word)", default: 0] += 1
        }
        for (error, damage) in unnamed { print(damage, error) }
        print("\(end):", counts.keys.sorted().map { "\($0) \(counts[$0] ?? 0)" }.joined(separator: ", "))
    }

    /// What docs/damage.md leaves open: a power cut took the newest notes of the mark, and the log is damaged behind it.
    @Test func damageBehindTheMarkCostsNothingBeforeIt() throws {
        let store = try StoreOnDisk(seed: 5, flushes: 0, restarts: 0, end: .killed, notesAll: true)
        var image = try StoreImage(dataDirectory: store.path)
        let marked = store.lastBatch - 10
        // The hash counts at the store's last batch alone.
        let mark = Mark(storeID: TestBroker.identity.id, syncedSequence: marked, runningHash: 0)
        _ = try HighWaterMark(store.directory / "mark", initial: mark)
        image.files["mark"] = try ScratchDirectory.read(store.directory / "mark")
        let log = try #require(image.names(.log).max { image.files[$0]?.count ?? 0 < image.files[$1]?.count ?? 0 })
        var random = SplitMix64(seed: 5)
        var unnoticed = 0
        for _ in 0..<Self.flipCount {
            let damaged = image.damaged(image.flip(chosenBy: &random, in: log))
            let path = store.directory / "probe"
            try damaged.write(to: path)
            defer { Salvage.removeTree(path) }
            guard let opened = try? RocksDBStorage.open(path: path + "/db", options: .numbered) else { continue }
            defer { opened.close() }
            guard let recovered = try? Recovery.recover(from: opened, mark: mark) else { continue }
            let batch = recovered.position.sequence
            #expect(batch > marked && (try? StoreOnDisk.contents(of: opened)) == store.contents[batch])
            if batch < store.lastBatch { unnoticed += 1 }
        }
        print("\(unnoticed) of \(Self.flipCount) flips unnoticed: \(store.lastBatch) batches, 10 behind the mark")
    }

    // MARK: More than a bit

    private func expectNoSilence(_ probe: DamageProbe, _ damages: [Damage]) throws {
        for damage in damages {
            if case .silent(let what) = try probe.outcome(of: damage) {
                Issue.record("\(damage.file) of \(probe.image.files[damage.file]?.count ?? 0) bytes: \(what)")
            }
        }
    }

    @Test(arguments: StoreOnDisk.End.allCases)
    func noFileIsMissedCutOrZeroedInSilence(_ end: StoreOnDisk.End) throws {
        let (store, probe) = try probe(seed: 6, end: end)
        defer { withExtendedLifetime(store) {} }
        for (file, bytes) in probe.image.files where StoreImage.FileKind(file) != .other {
            try expectNoSilence(probe, [.delete(file: file), .replace(file: file, [])])
            for part in 0..<4 {
                let place = bytes.count * part / 4
                try expectNoSilence(
                    probe,
                    [.cut(file: file, byteCount: place + 1), .zero(file: file, place..<place + 512)]
                )
            }
            try expectNoSilence(probe, [.cut(file: file, byteCount: max(0, bytes.count - 1))])
        }
    }

    @Test func nothingOfAnOlderCopyIsTakenInSilence() throws {
        let (older, newer) = try StoreOnDisk.twice(seed: 7)
        defer { withExtendedLifetime(newer) {} }
        let probe = try DamageProbe(StoreImage(dataDirectory: newer.path), scratch: newer.directory / "probe")
        let files = older.files
        for (file, bytes) in files where StoreImage.FileKind(file) != .other && bytes != probe.image.files[file] {
            try expectNoSilence(probe, [.replace(file: file, bytes)])
        }
        // The whole database of an older copy, beside the newer mark.
        var rolledBack = older
        rolledBack.files["mark"] = probe.image.files["mark"]
        guard case .refused(let error) = try probe.outcome(of: rolledBack) else {
            Issue.record("an older database was taken")
            return
        }
        #expect(error.message.contains("Acknowledged work is missing"))
        // The mark of an older copy proves less, and is true.
        var oldMark = probe.image
        oldMark.files["mark"] = files["mark"]
        #expect(try probe.outcome(of: oldMark) == .harmless)
    }
}
