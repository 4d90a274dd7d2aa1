import ByteStore
import Glibc
import Testing

@Suite("The store on disk")
struct RocksDBTests {
    private func fill(_ store: some ByteStore, _ keys: Range<Int>, sync: Bool = true) throws {
        for key in keys {
            let batch = batch {
                $0.put(.pending, key: [UInt8(key)], value: [UInt8](repeating: UInt8(key), count: 500))
                $0.put(.payload, key: [UInt8(key)], value: [UInt8](repeating: UInt8(key), count: 500))
            }
            try store.write(batch, sync: sync)
        }
    }

    @Test("keeps its rows over a close and a reopening, without a log to replay")
    func reopening() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "db"
        let store = try RocksDBStorage.open(path: path)
        try fill(store, 0..<50, sync: false)
        store.close()
        for name in try ScratchDirectory.names(in: path) where name.hasSuffix(".log") {
            #expect(try ScratchDirectory.read("\(path)/\(name)").isEmpty)
        }
        let reopened = try RocksDBStorage.open(path: path, createIfMissing: false)
        #expect(try reopened.rows(.pending).count == 50)
        #expect(try reopened.get(.payload, [49]) == [UInt8](repeating: 49, count: 500))
        reopened.close()
    }

    @Test("keeps what was written when it is not closed in an orderly way")
    func copyOfOpenStore() throws {
        // The files as a kill would leave them: a copy taken while the store is open.
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<20)
        try fill(store, 20..<40, sync: false)
        try Salvage.copyFiles(from: scratch / "db", to: scratch / "copy")
        store.close()
        let copy = try RocksDBStorage.open(path: scratch / "copy")
        #expect(try copy.rows(.pending).map { $0.key[0] } == [UInt8](0..<40))
        copy.close()
    }

    @Test("says that there is no store, when it may not create one")
    func missing() throws {
        let scratch = try ScratchDirectory()
        #expect(errorKind { _ = try RocksDBStorage.open(path: scratch / "db", createIfMissing: false) } == .notFound)
        #expect(errorKind { _ = try RocksDBStorage.open(path: scratch / "db", readOnly: true) } == .notFound)
        #expect(try ScratchDirectory.names(in: scratch.path).isEmpty)
    }

    @Test("refuses to be opened twice")
    func openedTwice() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        #expect(errorKind { _ = try RocksDBStorage.open(path: scratch / "db") } == .locked)
        store.close()
        try RocksDBStorage.open(path: scratch / "db").close()
    }

    @Test("opened read-only shows the rows, refuses writes and changes no file")
    func readOnly() throws {
        let scratch = try ScratchDirectory()
        let path = scratch / "db"
        let store = try RocksDBStorage.open(path: path)
        try fill(store, 0..<10)
        try Salvage.copyFiles(from: path, to: scratch / "copy")
        store.close()
        let before = try contents(scratch / "copy")
        let reader = try RocksDBStorage.open(path: scratch / "copy", readOnly: true)
        #expect(try reader.rows(.pending).count == 10)
        #expect(try reader.last(.payload, from: [], through: [0xFF])?.key == [9])
        #expect(throws: StorageError.self) { try fill(reader, 10..<11) }
        reader.close()
        #expect(try contents(scratch / "copy") == before)
    }

    @Test("makes a checkpoint that is a store of its own")
    func checkpoint() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<10)
        try store.checkpoint(to: scratch / "copy")
        try fill(store, 10..<20)
        let copy = try RocksDBStorage.open(path: scratch / "copy", createIfMissing: false)
        #expect(try copy.rows(.pending).count == 10)
        try fill(copy, 100..<110)
        #expect(try store.rows(.pending).count == 20)
        #expect(throws: StorageError.self) { try store.checkpoint(to: scratch / "copy") }
        copy.close()
        store.close()
    }

    @Test("refuses a flipped bit in its log, and names the file")
    func damagedLog() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<50)
        try Salvage.copyFiles(from: scratch / "db", to: scratch / "copy")
        store.close()
        let log = try #require(try largest(in: scratch / "copy", suffix: ".log"))
        var content = try ScratchDirectory.read(log)
        content[20_000] ^= 1
        try ScratchDirectory.write(content, to: log)
        let error = try #require(throws: StorageError.self) { _ = try RocksDBStorage.open(path: scratch / "copy") }
        #expect(error.kind == .corruption)
        #expect(error.path == log)

        var options = RocksDBOptions()
        options.recovery = .cutAtDamage
        let repaired = try RocksDBStorage.open(path: scratch / "copy", options: options)
        let left = try repaired.rows(.pending).map { Int($0.key[0]) }
        #expect(left == Array(0..<left.count) && left.count < 50)
        repaired.close()
    }

    @Test("opens after a torn last record, and has lost that record only")
    func tornTail() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<20)
        try Salvage.copyFiles(from: scratch / "db", to: scratch / "copy")
        store.close()
        let log = try #require(try largest(in: scratch / "copy", suffix: ".log"))
        let content = try ScratchDirectory.read(log)
        try ScratchDirectory.write(Array(content.dropLast(100)), to: log)
        let opened = try RocksDBStorage.open(path: scratch / "copy")
        #expect(try opened.rows(.pending).map { $0.key[0] } == [UInt8](0..<19))
        #expect(try opened.rows(.payload).map { $0.key[0] } == [UInt8](0..<19))
        opened.close()
    }

    /// Numbered batches in three logs, as a kill leaves them before anything is flushed; the paths of the logs.
    private func threeLogs(in path: String) throws -> (options: RocksDBOptions, logs: [String]) {
        var options = RocksDBOptions()
        options.counter = .init(key: "n", offset: 4)
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db", options: options)
        var number: UInt64 = 0
        var logs: [String] = []
        for round in 0..<3 {
            for _ in 0..<100 {
                number += 1
                let batch = batch {
                    $0.put(
                        .default,
                        key: [0x6e],
                        value: [0, 0, 0, 0] + withUnsafeBytes(of: number.littleEndian) { [UInt8]($0) }
                    )
                    $0.put(.payload, key: [UInt8(number & 0xff)], value: [UInt8](repeating: 7, count: 500))
                }
                try store.write(batch, sync: true)
            }
            if round == 0 { try Salvage.copyFiles(from: scratch / "db", to: path) }
            let log = try #require(try largest(in: scratch / "db", suffix: ".log"))
            let name = String(log[log.index(after: log.lastIndex(of: "/") ?? log.startIndex)...])
            try ScratchDirectory.write(try ScratchDirectory.read(log), to: "\(path)/\(name)")
            logs.append("\(path)/\(name)")
            // The next batch goes into a new log.
            try store.flush()
        }
        store.close()
        return (options, logs)
    }

    @Test("opens several logs when none of their batches is missing")
    func severalLogs() throws {
        let scratch = try ScratchDirectory()
        let (options, logs) = try threeLogs(in: scratch / "db")
        #expect(Set(logs).count == 3)
        let store = try RocksDBStorage.open(path: scratch / "db", options: options)
        #expect(try store.get(.default, [0x6e])?[4...].first == 44, "300 modulo 256")
        store.close()
        // What was flushed meanwhile counts: the next log goes on from there.
        try RocksDBStorage.open(path: scratch / "db", options: options).close()
    }

    @Test("refuses a log that is gone, cut or damaged, whichever of several it is", arguments: [0, 1, 2])
    func holes(place: Int) throws {
        func isRefused(readOnly: Bool, _ harm: (inout [UInt8]) -> Bool) throws -> Bool {
            let scratch = try ScratchDirectory()
            let (options, logs) = try threeLogs(in: scratch / "db")
            var bytes = try ScratchDirectory.read(logs[place])
            if harm(&bytes) {
                try ScratchDirectory.write(bytes, to: logs[place])
            } else {
                remove(logs[place])
            }
            do {
                try RocksDBStorage.open(path: scratch / "db", options: options, readOnly: readOnly).close()
                return false
            } catch {
                #expect(error.kind == .corruption, "\(error)")
                return true
            }
        }
        for readOnly in [false, true] {
            // Of the last log only the high-water mark can tell that its end is missing.
            let isLast = place == 2
            #expect(try isRefused(readOnly: readOnly) { _ in false } == !isLast)
            #expect(
                try isRefused(readOnly: readOnly) { bytes in
                    bytes.removeLast(bytes.count / 2)
                    return true
                } == !isLast
            )
            // The length of the last record but one: the reader takes the rest for a torn end.
            #expect(
                try isRefused(readOnly: readOnly) { bytes in
                    bytes[bytes.count / 2] ^= 0x40
                    return true
                }
            )
        }
    }

    /// A store of some rows in one table file; the file's path.
    private func makeTable(of count: Int, in scratch: ScratchDirectory) throws -> String {
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<count)
        store.close()
        return try #require(try largest(in: scratch / "db", suffix: ".sst"))
    }

    @Test("finds a flipped bit in a table file where it is read, and names the file")
    func damagedTable() throws {
        let scratch = try ScratchDirectory()
        let table = try makeTable(of: 100, in: scratch)
        var content = try ScratchDirectory.read(table)
        content[1000] ^= 0x20
        try ScratchDirectory.write(content, to: table)
        let refusal = try #require(throws: StorageError.self) { try RocksDBStorage.open(path: scratch / "db") }
        #expect(refusal.kind == .corruption)
        #expect(refusal.description.contains(table), "a start reads what it will scan as a whole")
        var options = RocksDBOptions()
        options.checksTables = false
        let damaged = try RocksDBStorage.open(path: scratch / "db", options: options)
        var errors: [StorageError] = []
        for family in [Family.pending, .payload] {
            do { _ = try damaged.rows(family) } catch { errors.append(try #require(error as? StorageError)) }
        }
        #expect(errors.map(\.kind) == [.corruption])
        #expect(errors.first?.path?.hasSuffix(".sst") == true)
        damaged.close()
    }

    @Test("survives the bit in the end of a table file that ends a process when it is flipped, and names the file")
    func damagedTableEnd() throws {
        let scratch = try ScratchDirectory()
        let table = try makeTable(of: 10, in: scratch)
        let content = try ScratchDirectory.read(table)
        var aborting = 0
        for place in content.count - 600..<content.count {
            var damaged = content
            damaged[place] ^= 0x80
            try ScratchDirectory.write(damaged, to: table)
            do throws(StorageError) { try RocksDBStorage.open(path: scratch / "db").close() } catch {
                let isOfProperties = error.message.contains("properties of the table are damaged")
                if isOfProperties, error.kind == .corruption, error.description.contains(table) { aborting += 1 }
            }
        }
        #expect(aborting == 1)
    }

    @Test("refuses to open without one of its table files, and names it")
    func missingTable() throws {
        let scratch = try ScratchDirectory()
        let table = try makeTable(of: 10, in: scratch)
        #expect(remove(table) == 0)
        let error = try #require(throws: StorageError.self) { _ = try RocksDBStorage.open(path: scratch / "db") }
        #expect(error.kind == .corruption)
        #expect(error.path == table, "\(error)")
    }

    @Test(
        "writes nothing more after a failed write or sync, until it is opened anew",
        arguments: [FailingDevice.full, .readOnly, .withoutSync]
    )
    func failedWrite(device: FailingDevice) throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<3)
        try device.replaceOpenFile(in: scratch / "db", suffix: ".log")
        #expect(errorKind { try fill(store, 3..<4) } == (device == .full ? .noSpace : .io))
        #expect(errorKind { try fill(store, 4..<5) } == .writesStopped)
        #expect(errorKind { try store.sync() } == .writesStopped)
        #expect(errorKind { try store.flush() } == .writesStopped)
        #expect(errorKind { try store.checkpoint(to: scratch / "copy") } == .writesStopped)
        #expect(try store.rows(.pending).count >= 3)
        store.close()
        let reopened = try RocksDBStorage.open(path: scratch / "db")
        #expect(try reopened.rows(.pending).map { $0.key[0] } == [0, 1, 2])
        try fill(reopened, 5..<6)
        #expect(try reopened.rows(.payload).map { $0.key[0] } == [0, 1, 2, 5])
        reopened.close()
    }

    @Test("is not started afresh over files whose CURRENT is missing")
    func missingCurrent() throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<3)
        store.close()
        #expect(remove(scratch / "db/CURRENT") == 0)
        let names = try ScratchDirectory.names(in: scratch / "db")
        #expect(errorKind { _ = try RocksDBStorage.open(path: scratch / "db") } == .corruption)
        #expect(try ScratchDirectory.names(in: scratch / "db") == names)
    }

    @Test("serves readers on other threads while it is written, and closes after them")
    func concurrentReaders() async throws {
        let scratch = try ScratchDirectory()
        let store = try RocksDBStorage.open(path: scratch / "db")
        try fill(store, 0..<1)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    while true {
                        // The writer needs a thread too.
                        await Task.yield()
                        do {
                            // Both families of a batch appear together.
                            let snapshot = try store.snapshot()
                            let rows = try snapshot.rows(.pending)
                            #expect(try snapshot.rows(.payload) == rows)
                        } catch {
                            #expect((error as? StorageError)?.kind == .closed)
                            return
                        }
                    }
                }
            }
            group.addTask {
                do { try fill(store, 1..<100, sync: false) } catch { Issue.record(error) }
                store.close()
            }
        }
        let reopened = try RocksDBStorage.open(path: scratch / "db")
        #expect(try reopened.rows(.pending).count == 100)
        reopened.close()
    }

    // MARK: Files

    private func contents(_ directory: String) throws -> [String: [UInt8]] {
        var contents: [String: [UInt8]] = [:]
        for name in try ScratchDirectory.names(in: directory) {
            contents[name] = try ScratchDirectory.read("\(directory)/\(name)")
        }
        return contents
    }

    private func largest(in directory: String, suffix: String) throws -> String? {
        try contents(directory).filter { $0.key.hasSuffix(suffix) }
            .max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }
            .map { "\(directory)/\($0.key)" }
    }
}
