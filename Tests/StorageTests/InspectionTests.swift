import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

/// What inspectors find in stores on disk, whole and damaged.
@Suite struct InspectionTests {
    private func busyBroker(_ store: any ByteStore, seed: UInt64 = 4, steps: Int = 300) throws -> TestBroker {
        let broker = try TestBroker(store)
        var workload = Workload(seed: seed)
        for _ in 0..<steps { try workload.step(broker) }
        try broker.commit()
        return broker
    }

    private func problems(_ store: any ByteStoreReader, _ mark: Mark? = nil) -> [StoreVerification.Problem] {
        var problems: [StoreVerification.Problem] = []
        let report = StoreVerification.verify(store, mark: mark) { problems.append($0) }
        #expect(report.problems == UInt64(problems.count))
        return problems
    }

    private func mark(_ broker: TestBroker) -> Mark {
        let synced = broker.log.synced
        return Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: synced.sequence,
            runningHash: synced.runningHash
        )
    }

    // MARK: Dump and summary

    @Test(arguments: UInt64(1)...5)
    func aDumpHasEveryTaskOnceAndSaysWhatTheBrokerSays(_ seed: UInt64) throws {
        let broker = try busyBroker(InMemoryStorage(), seed: seed)
        let inspection = try StoreInspection(broker.store, mark: mark(broker))
        var counts = TaskCounts()
        var ids: Set<TaskID> = []
        var found: [StoreInspection.InspectedTask] = []
        try inspection.forEachTask(withPayloads: true) { found.append($0) }
        for task in found {
            counts[task.state] += 1
            #expect(ids.insert(task.id).inserted, "task \(task.sequence) twice, seed \(seed)")
            #expect(task.damage == nil)
            let status = try #require(try broker.status(task.id), "seed \(seed)")
            #expect(status.state == task.state && status.queue == task.queue && status.type == task.type)
            #expect(status.attempts == task.attempts && status.crashes == task.crashes)
            #expect(status.priority == task.priority && status.worker == task.worker)
            #expect(status.startWallMilliseconds == task.startWallMilliseconds)
            #expect(status.error == task.error ?? [] && status.tags == task.tags)
            #expect((task.state == .completed) == (task.result != nil))
            if task.state == .completed { #expect(try broker.result(task.id)?.result == task.result) }
            #expect((task.payload == nil) == task.state.isFinal)
        }
        #expect(counts == broker.index.counts, "seed \(seed)")
        #expect(try inspection.summary().counts == counts, "seed \(seed)")
    }

    @Test func aSummaryCountsRecordsAndBytesOfEveryFamily() throws {
        let broker = try busyBroker(InMemoryStorage())
        let summary = try StoreInspection(broker.store, mark: nil).summary()
        #expect(summary.families.map(\.family) == Family.allCases)
        for family in summary.families {
            let stored = try rows(broker.store, [family.family])
            #expect(family.records == UInt64(stored.count))
            #expect(family.bytes == UInt64(stored.reduce(0) { $0 + $1.key.count + $1.value.count }))
        }
        #expect(summary.position == broker.log.written && summary.epoch == 1)
        #expect(summary.queues == 3)
    }

    @Test("A task that was replaced twice in one group is dumped once, and is no problem")
    func replacedTwice() throws {
        let broker = try TestBroker(InMemoryStorage())
        for tags in [["a"], ["a", "b"], []] as [[TaskTag]] {
            let key = UniqueKey([1], scope: .waiting, onConflict: .replace)
            _ = try broker.send(.submit([TaskSpec(queue: "mail", type: "t", uniqueKey: key, tags: tags)]))
        }
        _ = try broker.settle()
        #expect(problems(broker.store) == [])
        var found: [StoreInspection.InspectedTask] = []
        try StoreInspection(broker.store, mark: nil).forEachTask(withPayloads: true) { found.append($0) }
        #expect(found.count == 1 && found.first?.damage == nil && found.first?.tags == [])
    }

    // MARK: Verification

    @Test(arguments: UInt64(1)...4)
    func aWholeStoreHasNoProblem(_ seed: UInt64) throws {
        let broker = try busyBroker(InMemoryStorage(), seed: seed)
        #expect(problems(broker.store, mark(broker)) == [], "seed \(seed)")
        try broker.restart()
        #expect(problems(broker.store, mark(broker)) == [], "seed \(seed)")
    }

    @Test(arguments: Family.allCases)
    func aFlippedBitAnywhereIsReported(_ family: Family) throws {
        let disk = SimulatedDisk()
        let broker = try busyBroker(disk, steps: 120)
        try broker.log.sync()
        var random = SplitMix64(seed: 9)
        for row in try rows(broker.store, [family]) where !row.value.isEmpty {
            let bit = Int(random.next() % UInt64(row.value.count * 8))
            #expect(disk.flipBit(bit, in: family, key: row.key))
            #expect(!problems(disk).isEmpty, "\(row), bit \(bit)")
            #expect(disk.flipBit(bit, in: family, key: row.key))
        }
        #expect(problems(disk) == [])
    }

    @Test(arguments: Family.allCases.filter { $0 != .inProgress })
    func aMissingRecordIsReported(_ family: Family) throws {
        let broker = try busyBroker(InMemoryStorage(), steps: 120)
        for row in try rows(broker.store, [family]) where row.key.first != UInt8(ascii: "K") {
            // A worker may come and go, a name may be one that no task uses, a history may have gaps, and a queue no policy.
            if family == .index, "WNAQB".utf8.contains(row.key[0]) { continue }
            // A segment of dead letters may lose its table and its payloads together; one alone shows.
            let batch = WriteBatch()
            batch.delete(family, key: row.key)
            try broker.store.write(batch, sync: true)
            #expect(!problems(broker.store).isEmpty, "\(row)")
            try put(broker.store, family, row.key, row.value)
        }
        #expect(problems(broker.store) == [])
    }

    @Test func aWrongCounterAndAnUnknownKeyAreReported() throws {
        let broker = try TestBroker()
        _ = try broker.submit(TaskSpec(queue: "mail", type: "send"))
        try broker.fail(try #require(try broker.claim().first), error: "x", isPermanent: true)
        let batch = WriteBatch()
        batch.delete(.deadLetter, key: try #require(try rows(broker.store, [.deadLetter]).first).key)
        batch.put(.index, key: Array("Zebra".utf8), value: [1])
        try broker.store.write(batch, sync: true)
        let found = problems(broker.store)
        #expect(found.contains { $0.message.contains("recount gives 0") })
        #expect(found.contains { $0.place == "index 5a65627261" })
    }

    // MARK: Real files

    /// The files of a store whose broker was killed with `steps` behind it, flushed or not.
    private func image(_ scratch: ScratchDirectory, isFlushed: Bool) throws -> (path: String, mark: Mark) {
        let store = try RocksDBStorage.open(path: scratch / "db")
        let broker = try busyBroker(store)
        if isFlushed { try store.flush() }
        // A store that is let go without a close flushes nothing.
        return (scratch / "db", mark(broker))
    }

    private func verify(_ path: String, _ mark: Mark) -> [StoreVerification.Problem] {
        switch Result(catching: { () throws(StorageError) in
            try RocksDBStorage.open(path: path, createIfMissing: false, readOnly: true)
        }) {
        case .success(let store):
            defer { store.close() }
            return problems(store, mark)
        case .failure(let error): return [.init(place: error.path ?? "db", message: error.message)]
        }
    }

    @Test(arguments: [true, false])
    func aKilledBrokersFilesHaveNoProblem(_ isFlushed: Bool) throws {
        let scratch = try ScratchDirectory()
        let (path, mark) = try image(scratch, isFlushed: isFlushed)
        #expect(verify(path, mark) == [])
        #expect(verify(path, mark) == [], "nothing was changed")
    }

    @Test func aFlippedByteInATableFileIsReported() throws {
        let scratch = try ScratchDirectory()
        let (path, mark) = try image(scratch, isFlushed: true)
        for name in try ScratchDirectory.names(in: path) where name.hasSuffix(".sst") {
            let whole = try ScratchDirectory.read("\(path)/\(name)")
            // The last 53 bytes are the footer, of which the padding means nothing.
            for place in [10, whole.count / 3, whole.count / 2, whole.count - 60, whole.count - 4] {
                var bytes = whole
                bytes[place] ^= 0x10
                try ScratchDirectory.write(bytes, to: "\(path)/\(name)")
                let found = verify(path, mark)
                #expect(found.contains { $0.place.contains(name) }, "\(name), byte \(place): \(found)")
            }
            try ScratchDirectory.write(whole, to: "\(path)/\(name)")
        }
        #expect(verify(path, mark) == [])
    }

    @Test func aFlippedByteInTheLogIsReported() throws {
        let scratch = try ScratchDirectory()
        let (path, mark) = try image(scratch, isFlushed: false)
        let name = try #require(try ScratchDirectory.names(in: path).first { $0.hasSuffix(".log") })
        let whole = try ScratchDirectory.read("\(path)/\(name)")
        var random = SplitMix64(seed: 21)
        for _ in 0..<12 {
            let place = Int(random.next() % UInt64(whole.count))
            var bytes = whole
            bytes[place] ^= 1
            try ScratchDirectory.write(bytes, to: "\(path)/\(name)")
            #expect(!verify(path, mark).isEmpty, "byte \(place) of \(whole.count)")
        }
    }

    @Test func aDeletedLogAndACutOneAreReportedWithTheNumbers() throws {
        let scratch = try ScratchDirectory()
        let (path, mark) = try image(scratch, isFlushed: false)
        let name = try #require(try ScratchDirectory.names(in: path).first { $0.hasSuffix(".log") })
        let whole = try ScratchDirectory.read("\(path)/\(name)")
        try ScratchDirectory.write(Array(whole.prefix(whole.count / 2)), to: "\(path)/\(name)")
        #expect(verify(path, mark).contains { $0.message.contains("batch \(mark.syncedSequence) was synced") })
        try ScratchDirectory.remove("\(path)/\(name)")
        #expect(verify(path, mark).contains { $0.message.contains("batch \(mark.syncedSequence) was synced") })
    }
}
