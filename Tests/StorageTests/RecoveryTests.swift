import ByteStore
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

@Suite struct RecoveryTests {
    /// A segment of which every column is used, as features to come will write it.
    private func storeWithEveryColumn(_ rows: [TaskRow]) throws -> InMemoryStorage {
        let store = InMemoryStorage()
        let log = CommitLog(store: store, position: LogPosition())
        try log.begin(epoch: 1, index: DurableIndex(), identity: TestBroker.identity)
        var effects = EffectBatch(group: GroupID(epoch: 1, counter: 1))
        effects.names = [
            NameRow(kind: .queue, number: 1, namespace: 0, name: "mail"),
            NameRow(kind: .type, number: 1, namespace: 0, name: "send"),
            NameRow(kind: .retryPolicy, number: 1, namespace: 0, name: "fixed,1s,jitter=none"),
            NameRow(kind: .contentType, number: 1, namespace: 0, name: "text/plain"),
        ]
        effects.segments = [
            SegmentSpan(
                key: SegmentKey(group: effects.group, part: 0),
                firstTask: 0,
                taskCount: rows.count,
                firstBody: 0,
                bodyByteCount: rows.count * 5
            )
        ]
        effects.tasks = rows
        effects.bodies = rows.flatMap { _ in Array("hello".utf8) }
        effects.nextSequence = UInt64(rows.count + 1)
        try log.commit(effects, sync: true)
        return store
    }

    @Test func everyColumnIsRecoveredWithoutReadingOnePayload() throws {
        var random = RandomRows(seed: 5)
        let tasks = (1...50).map { number in
            var row = random.task(bodyByteCount: 5)
            row.sequence = TaskSequence(UInt64(number))
            row.createdMilliseconds &= 0xffff_ffff_ffff
            (row.queue, row.type) = (1, 1)
            row.options = random.options()
            row.options?.retryPolicy %= 2
            row.content = StoredContent(type: UInt32(number % 2), number % 3 == 0 ? .zstd : .identity)
            return row
        }
        #expect(PendingTable.Shape(tasks[...]).columns == .known, "every column is in use")
        let store = CountingStore(try storeWithEveryColumn(tasks))
        let recovered = try #require(try Recovery.recover(from: store))
        #expect(store.reads(.payload) == 0 && recovered.report.payloadRecords == 0)
        #expect(recovered.report.segments == 1 && recovered.report.tasks == 50)
        for row in tasks {
            let slot = recovered.index.tasks[row.sequence]
            #expect(slot.createdMilliseconds == row.createdMilliseconds && slot.rank == row.rank)
            #expect(slot.content == row.content)
            #expect(recovered.index.options[row.sequence] == row.options)
        }
    }

    @Test func aTaskWithARetryPolicyThatIsNotStoredRefusesTheStart() throws {
        var random = RandomRows(seed: 6)
        var row = random.task(bodyByteCount: 5)
        (row.sequence, row.queue, row.type) = (TaskSequence(1), 1, 1)
        row.options = TaskOptions()
        row.options?.retryPolicy = 2
        row.content = .unspecified
        let store = try storeWithEveryColumn([row])
        let error = #expect(throws: StorageError.self) { try Recovery.recover(from: store) }
        #expect(error?.description.contains("names retry policy 2, which is unknown") == true)
    }

    @Test func aBusyStoreIsRecoveredWithoutReadingOnePayload() throws {
        let broker = try TestBroker()
        var workload = Workload(seed: 3)
        for _ in 0..<400 { try workload.step(broker) }
        try broker.commit()
        let store = CountingStore(broker.store)
        let recovered = try #require(try Recovery.recover(from: store))
        #expect(store.reads(.payload) == 0 && store.reads(.completed) == 0 && store.reads(.deadLetter) == 0)
        #expect(recovered.report.tasks > 0 && recovered.report.transitions > 0)
    }

    @Test func recoveryIsTheSameEachTimeAndWritesNothing() throws {
        let broker = try TestBroker()
        var workload = Workload(seed: 12)
        for _ in 0..<300 { try workload.step(broker) }
        try broker.commit()
        let live = broker.index.canonicalDump
        let before = try rows(broker.store)
        for _ in 0..<3 {
            #expect(try Recovery.recover(from: broker.store)?.index.canonicalDump == live)
        }
        #expect(try rows(broker.store) == before)
        // A crash right after the new epoch was written: the next start finds the same.
        for _ in 0..<3 {
            try broker.restart()
            #expect(broker.index.canonicalDump == live)
        }
    }

    @Test func anEmptyStoreIsNoStore() throws {
        #expect(try Recovery.recover(from: InMemoryStorage()) == nil)
    }

    @Test func theEpochRisesWithEveryStartAndTokensWithIt() throws {
        let broker = try TestBroker()
        var last = LeaseToken(rawValue: 0)
        for epoch in UInt32(1)...4 {
            #expect(try Recovery.recover(from: broker.store)?.epoch == epoch)
            _ = try broker.submit(TaskSpec(queue: "mail", type: "send"))
            let token = try #require(try broker.claim().first).lease.token
            #expect(token > last)
            last = token
            try broker.restart()
        }
    }

    // MARK: The mark

    private func markedStore() throws -> (broker: TestBroker, mark: Mark) {
        let broker = try TestBroker()
        _ = try broker.submit(TaskSpec(queue: "mail", type: "send"))
        let position = broker.log.synced
        let mark = Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: position.sequence,
            runningHash: position.runningHash
        )
        return (broker, mark)
    }

    @Test func aStoreAtOrAboveItsMarkIsServed() throws {
        let (broker, mark) = try markedStore()
        try broker.restart(mark: mark)
        _ = try broker.submit(TaskSpec(queue: "mail", type: "send"))
        try broker.restart(mark: mark)
    }

    @Test func aStoreBelowItsMarkIsRefusedWithTheNumbers() throws {
        var (broker, mark) = try markedStore()
        mark.syncedSequence += 5
        let error = #expect(throws: StorageError.self) { try broker.restart(mark: mark) }
        #expect(error?.kind == .corruption)
        #expect(error?.message.contains("batch 7 was synced, the store ends with batch 2") == true)
    }

    @Test func anEmptyStoreWithAMarkIsRefused() throws {
        let (_, mark) = try markedStore()
        let error = #expect(throws: StorageError.self) { try Recovery.recover(from: InMemoryStorage(), mark: mark) }
        #expect(error?.message.contains("batch 2 was synced, the store ends with batch 0") == true)
    }

    @Test func anotherBatchInThePlaceOfTheMarkedOneIsRefused() throws {
        var (broker, mark) = try markedStore()
        mark.runningHash ^= 1
        let error = #expect(throws: StorageError.self) { try broker.restart(mark: mark) }
        #expect(error?.message.contains("Batch 2") == true)
    }

    @Test func theMarkOfAnotherStoreIsRefused() throws {
        var (broker, mark) = try markedStore()
        mark.storeID ^= 1
        let error = #expect(throws: StorageError.self) { try broker.restart(mark: mark) }
        #expect(error?.message.contains("belongs to another store") == true)
    }

    // MARK: Strange stores

    @Test(arguments: ["store", "applied"])
    func aNewerFormatIsRefused(_ key: String) throws {
        let (broker, _) = try markedStore()
        var value = try #require(try broker.store.get(.default, Array(key.utf8)))
        value[0] = 2
        let crc = CRC32C.checksum(of: value.dropLast(4))
        value.replaceSubrange(value.count - 4..<value.count, with: withUnsafeBytes(of: crc.littleEndian) { Array($0) })
        try put(broker.store, .default, Array(key.utf8), value)
        let error = #expect(throws: StorageError.self) { try broker.restart() }
        #expect(error?.kind == .newerFormat)
        #expect(error?.message.contains("format 2") == true)
    }

    @Test(arguments: ["store", "applied", "epoch"])
    func aStoreWithoutItsHeadIsNotTakenForAnEmptyOne(_ key: String) throws {
        let (broker, _) = try markedStore()
        let batch = WriteBatch()
        batch.delete(.default, key: Array(key.utf8))
        try broker.store.write(batch, sync: true)
        let error = #expect(throws: StorageError.self) { try broker.restart() }
        #expect(error?.kind == .corruption)
    }

    @Test func aTableThatContradictsTheStoreIsRefusedWithoutATrap() throws {
        var row = TaskRow(
            sequence: TaskSequence(1),
            createdMilliseconds: 1,
            queue: 1,
            type: 1,
            rank: Rank(rawValue: 0),
            bodyByteCount: 5,
            options: nil
        )
        for (sequence, queue) in [(0, 1), (2, 1), (UInt64.max, 1), (1, 0), (1, 2), (1, UInt32.max)]
            as [(UInt64, UInt32)]
        {
            row.sequence = TaskSequence(sequence)
            row.queue = queue
            let store = try storeWithEveryColumn([row])
            let error = #expect(throws: StorageError.self) { try Recovery.recover(from: store) }
            #expect(error?.kind == .corruption, "task \(sequence) in queue \(queue)")
        }
    }
}

func put(_ store: any ByteStore, _ family: Family, _ key: [UInt8], _ value: [UInt8]) throws {
    let batch = WriteBatch()
    batch.put(family, key: key, value: value)
    try store.write(batch, sync: true)
}
