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
