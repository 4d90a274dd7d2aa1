import Broker
import ByteStore
import Glibc
import TQClient
import TQModel
import Testing

@Suite("What keeps a broker from starting", .timeLimit(.minutes(5)))
struct StartTests {
    /// A store with a task in it, cleanly stopped.
    private func stopped() async throws -> ScratchDirectory {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client()
        try await client.submit((0..<50).map { TaskSpec(type: "t", payload: bytes("task \($0)")) })
            .forEach { _ = try $0.get() }
        try await client.complete(try await client.claimOne(), result: bytes("r"))
        await client.close()
        await broker.broker.stop()
        return directory
    }

    /// The files of a store as a kill leaves them: copied while the broker runs, so that all is in the log.
    private func killed() async throws -> ScratchDirectory {
        let (live, copy) = (try ScratchDirectory(), try ScratchDirectory())
        let broker = try await TestBroker.start(live)
        let client = try await broker.client()
        for number in 0..<50 { try await client.submit(TaskSpec(type: "t", payload: bytes("task \(number)"))) }
        mkdir("\(copy.path)/data", 0o700)
        mkdir("\(copy.path)/data/db", 0o700)
        for name in try ScratchDirectory.names(in: "\(live.path)/data") where name != "db" {
            try ScratchDirectory.write(
                ScratchDirectory.read("\(live.path)/data/\(name)"),
                to: "\(copy.path)/data/\(name)"
            )
        }
        for name in try ScratchDirectory.names(in: "\(live.path)/data/db") where name != "LOCK" {
            let bytes = try ScratchDirectory.read("\(live.path)/data/db/\(name)")
            try ScratchDirectory.write(bytes, to: "\(copy.path)/data/db/\(name)")
        }
        await client.close()
        await broker.broker.stop()
        return copy
    }

    private func files(_ directory: ScratchDirectory, _ isWanted: (String) -> Bool) throws -> [String] {
        try ScratchDirectory.names(in: "\(directory.path)/data/db").filter(isWanted).map {
            "\(directory.path)/data/db/\($0)"
        }
    }

    @Test("A port in use is named, with whoever may have it and the flag for another one")
    func portInUse() async throws {
        let (directory, other) = (try ScratchDirectory(), try ScratchDirectory())
        let broker = try await TestBroker.start(directory)
        let text = await TestBroker.refusal(other) { $0.port = broker.port }
        #expect(text.contains("Port \(broker.port) is in use on 127.0.0.1"))
        #expect(text.contains("another program"))
        #expect(text.contains("--port"))
        await broker.broker.stop()
        // Nothing of the failed start is left in the way.
        let second = try await TestBroker.start(other)
        await second.broker.stop()
    }

    @Test("A data directory in use is named with the process that has it")
    func directoryInUse() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let text = await TestBroker.refusal(directory)
        #expect(text.contains("\(directory.path)/data is in use by process \(getpid())"))
        let client = try await broker.client()
        try await client.submit(TaskSpec(type: "t"))
        await client.close()
        await broker.broker.stop()
    }

    @Test("A data directory that cannot be used is named")
    func unusable() async throws {
        let directory = try ScratchDirectory()
        try ScratchDirectory.write([1], to: "\(directory.path)/data")
        #expect(await TestBroker.refusal(directory).contains("\(directory.path)/data"))
        let text = await TestBroker.refusal(directory) { $0.dataDirectory = "/proc/tq" }
        #expect(text.contains("cannot create the data directory /proc/tq"))
    }

    @Test("A store of a later version is left alone", arguments: ["store", "applied"])
    func newerFormat(key: String) async throws {
        let directory = try await stopped()
        let store = try RocksDBStorage.open(path: "\(directory.path)/data/db", createIfMissing: false)
        var value = try #require(try store.get(.default, Array(key.utf8)))
        // The version comes first, a checksum over all of it last.
        value[0] = 9
        let checksum = CRC32C.checksum(of: value.dropLast(4))
        value.replaceSubrange((value.count - 4)..., with: withUnsafeBytes(of: checksum.littleEndian, Array.init))
        let batch = WriteBatch()
        _ = batch.put(.default, key: Array(key.utf8), value: value)
        try store.write(batch, sync: true)
        store.close()
        let text = await TestBroker.refusal(directory)
        #expect(text.contains("format 9"))
        #expect(text.contains("newer tq"))
    }

    @Test("A damaged log is named, and nothing of it is served")
    func damagedLog() async throws {
        let directory = try await killed()
        let log = try #require(try files(directory) { $0.hasSuffix(".log") }.max { size($0) < size($1) })
        try ScratchDirectory.flip(log) { $0 / 2 }
        let text = await TestBroker.refusal(directory)
        #expect(text.contains("'tq-inspect repair --data-dir \(directory.path)/data --to NEW'"))
        #expect(text.contains("damaged") || text.contains("missing"))
        #expect(await TestBroker.refusal(directory) == text, "the damage is still there")
    }

    @Test("A log that was deleted is missed")
    func deletedLog() async throws {
        let directory = try await killed()
        for log in try files(directory, { $0.hasSuffix(".log") }) { unlink(log) }
        let text = await TestBroker.refusal(directory)
        #expect(text.contains("'tq-inspect repair --data-dir \(directory.path)/data --to NEW'"))
        #expect(text.contains("Acknowledged work is missing") || text.contains(".log"))
    }

    @Test("The files of a killed broker are served whole")
    func undamaged() async throws {
        let directory = try await killed()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client()
        #expect(try await client.statistics().counts.pending == 50)
        await client.close()
        await broker.broker.stop()
    }

    @Test("A damaged table is named")
    func damagedTable() async throws {
        let directory = try await stopped()
        let tables = try files(directory) { $0.hasSuffix(".sst") }
        #expect(!tables.isEmpty)
        for table in tables { try ScratchDirectory.flip(table) { _ in 12 } }
        let text = await TestBroker.refusal(directory)
        #expect(text.contains(".sst"))
        #expect(text.contains("'tq-inspect repair --data-dir \(directory.path)/data --to NEW'"))
    }

    @Test("A damaged manifest is named")
    func damagedManifest() async throws {
        let directory = try await stopped()
        let manifest = try #require(try files(directory) { $0.hasPrefix("MANIFEST") }.last)
        try ScratchDirectory.flip(manifest) { $0 / 2 }
        let text = await TestBroker.refusal(directory)
        #expect(text.contains("MANIFEST"))
        #expect(text.contains("'tq-inspect repair --data-dir \(directory.path)/data --to NEW'"))
    }

    @Test("A damaged mark is named")
    func damagedMark() async throws {
        let directory = try await stopped()
        let mark = "\(directory.path)/data/mark"
        try ScratchDirectory.write([UInt8](repeating: 1, count: 8192), to: mark)
        let text = await TestBroker.refusal(directory)
        #expect(text.contains(mark))
        #expect(text.contains("'tq-inspect repair --data-dir \(directory.path)/data --to NEW'"))
    }

    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
