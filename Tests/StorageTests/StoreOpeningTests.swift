import ByteStore
import Glibc
import TQModel
import Testing

@testable import Storage

@Suite("Opening a store after a power cut")
struct StoreOpeningTests {
    /// A store as a power cut leaves it, whose last batch, of 60 kB, is torn in its middle.
    private func torn(_ scratch: ScratchDirectory) throws -> (db: String, marks: [Mark]) {
        let store = try RocksDBStorage.open(path: scratch / "live", options: .numbered)
        defer { store.close() }
        let broker = try TestBroker(store)
        let marks = try [100, 60_000].map { size in
            var spec = TaskSpec(queue: "mail", type: "send")
            spec.payload = Bytes([UInt8](repeating: 7, count: size))
            _ = try broker.submit(spec)
            return Mark(
                storeID: TestBroker.identity.id,
                syncedSequence: broker.log.synced.sequence,
                runningHash: broker.log.synced.runningHash
            )
        }
        try ScratchDirectory.makeDirectory(scratch / "db")
        for name in try ScratchDirectory.names(in: scratch / "live") {
            var content = try ScratchDirectory.read(scratch / "live/\(name)")
            if name.hasSuffix(".log") {
                let page = (content.count - 40_000) / 512 * 512
                content.replaceSubrange(page..<page + 512, with: repeatElement(0, count: 512))
            }
            try ScratchDirectory.write(content, to: scratch / "db/\(name)")
        }
        return (scratch / "db", marks)
    }

    @Test("what was torn is cut off when the mark says that it was never acknowledged")
    func harmless() throws {
        let scratch = try ScratchDirectory()
        let (db, marks) = try torn(scratch)
        for readOnly in [true, false] {
            let opening = try StoreOpening(db, options: .numbered, mark: marks[0], readOnly: readOnly)
            #expect(opening.cutOff?.kind == .corruption)
            let recovered = try Recovery.recover(from: opening.store, mark: marks[0])
            #expect(recovered?.position.sequence == marks[0].syncedSequence)
            opening.store.close()
        }
        let again = try StoreOpening(db, options: .numbered, mark: marks[0])
        #expect(again.cutOff == nil)
        again.store.close()
    }

    @Test("a list of table files whose last entries are torn is cut, unless synced work is only in them")
    func tornManifest() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db", options: .numbered)
        let broker = try TestBroker(store)
        _ = try broker.submit(TaskSpec(queue: "mail", type: "send"))
        let mark = Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: broker.log.synced.sequence,
            runningHash: broker.log.synced.runningHash
        )
        let names = try ScratchDirectory.names(in: scratch / "db")
        let logs = try names.filter { $0.hasSuffix(".log") }.map {
            ($0, try ScratchDirectory.read(scratch / "db/\($0)"))
        }
        let manifest = scratch / "db/\(try #require(names.last { $0.hasPrefix("MANIFEST") }))"
        let before = try ScratchDirectory.read(manifest)
        try store.flush()
        store.close()
        // What the flush has added is there, but for a byte of its first entry.
        var torn = try ScratchDirectory.read(manifest)
        try #require(torn.count > before.count + 100)
        torn[before.count + 20] ^= 1
        try ScratchDirectory.write(torn, to: manifest)
        for (name, _) in logs { unlink(scratch / "db/\(name)") }
        #expect(throws: StorageError.self) { try StoreOpening(scratch / "db", options: .numbered, mark: mark) }
        #expect(try ScratchDirectory.read(manifest) == torn)
        #expect(try ScratchDirectory.names(in: scratch.path) == ["db"])
        // The power cut came before the log of what was flushed was removed.
        for (name, content) in logs { try ScratchDirectory.write(content, to: scratch / "db/\(name)") }
        let opening = try StoreOpening(scratch / "db", options: .numbered, mark: mark)
        #expect(opening.cutOff?.kind == .corruption)
        let recovered = try Recovery.recover(from: opening.store, mark: mark)
        #expect(recovered?.position.sequence == mark.syncedSequence)
        opening.store.close()
        #expect(try ScratchDirectory.names(in: scratch.path) == ["db"])
    }

    @Test("what was acknowledged is not cut off, and the store is left as it is")
    func lost() throws {
        let scratch = try ScratchDirectory()
        let (db, marks) = try torn(scratch)
        let log = try ScratchDirectory.names(in: db).filter { $0.hasSuffix(".log") }
        let before = try log.map { try ScratchDirectory.read("\(db)/\($0)") }
        for mark in [marks[1], nil] {
            let error = try #require(throws: StorageError.self) {
                _ = try StoreOpening(db, options: .numbered, mark: mark)
            }
            #expect(error.kind == .corruption && error.path?.hasSuffix(".log") == true, "\(error)")
        }
        #expect(try log.map { try ScratchDirectory.read("\(db)/\($0)") } == before)
    }
}
