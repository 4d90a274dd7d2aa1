import ByteStore
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

/// Policies of queues, and dead letters that go by themselves, as they are stored.
@Suite struct DeadLetterExpiryTests {
    private static let policy = QueuePolicy(
        retryPolicy: RetryPolicy(.fixed(0)),
        retriesMax: 1,
        retentionMilliseconds: 120_000,
        deadLetterRetentionMilliseconds: 60_000
    )

    /// Makes a dead letter with a history and a unique key in a queue that says how long such a one is kept.
    private func bury(_ broker: TestBroker, key: String) throws -> TaskID {
        try broker.ask(.putQueuePolicy("mail", Self.policy))
        let unique = UniqueKey(Bytes(key.utf8), scope: .unfinished)
        let id = try broker.submit(TaskSpec(queue: "mail", type: "send", payload: [1, 2, 3], uniqueKey: unique))
        for _ in 0..<2 { try broker.fail(try #require(try broker.claim().first), error: "no") }
        return id
    }

    private func problems(_ store: any ByteStoreReader) -> [StoreVerification.Problem] {
        var problems: [StoreVerification.Problem] = []
        _ = StoreVerification.verify(store, mark: nil) { problems.append($0) }
        return problems
    }

    private func letters(_ store: any ByteStoreReader) throws -> Set<Unicode.Scalar> {
        Set(try rows(store, [.index]).compactMap(\.key.first).map { Unicode.Scalar($0) })
    }

    @Test func nothingIsLeftOfADeadLetterThatExpired() throws {
        let broker = try TestBroker()
        let id = try bury(broker, key: "a")
        try broker.restart()
        #expect(try letters(broker.store).isSuperset(of: ["E", "U", "D", "A", "Q"]))
        #expect(try broker.status(id)?.retriesMax == 1)
        try broker.pass(minutes: 3)
        #expect(try broker.status(id)?.cancelReason == .expired)
        #expect(try letters(broker.store).isDisjoint(with: ["E", "U", "D"]))
        #expect(problems(broker.store) == [])
        try broker.pass(minutes: 4)
        #expect(try broker.status(id) == nil)
        #expect(try rows(broker.store, [.pending, .payload, .inProgress, .completed, .deadLetter]).isEmpty)
        #expect(try letters(broker.store) == ["N", "Q"])
        #expect(broker.index.counts == TaskCounts())
    }

    @Test func oneThatIsPutBackWhileItIsReadStaysAlive() throws {
        let broker = try TestBroker()
        let id = try bury(broker, key: "a")
        // The first tick learns when it is due.
        try broker.run(.tick)
        broker.advance(milliseconds: 180_000)
        try broker.run(.tick) { try broker.ask(.redrive([Redrive(task: id)])) }
        try broker.commit()
        #expect(try broker.status(id)?.state == .pending)
        #expect(try letters(broker.store).isDisjoint(with: ["E", "U", "D"]))
        #expect(problems(broker.store) == [])
        try broker.restart()
        try broker.pass(minutes: 4)
        #expect(try broker.status(id)?.state == .pending)
    }

    @Test func aTimeThatIsMissingOrLeadsNowhereIsReported() throws {
        let broker = try TestBroker()
        _ = try bury(broker, key: "a")
        let row = try #require(try rows(broker.store, [.index]).first { $0.key.first == UInt8(ascii: "E") })
        var batch = WriteBatch()
        batch.delete(.index, key: row.key)
        try broker.store.write(batch, sync: true)
        #expect(problems(broker.store).contains { $0.message.contains("nothing ends it when its time is over") })
        batch = WriteBatch()
        batch.put(.index, key: row.key, value: [])
        batch.put(.index, key: Array(row.key.dropLast()) + [99], value: [])
        try broker.store.write(batch, sync: true)
        #expect(problems(broker.store).contains { $0.message.contains("some lead nowhere") })
        // Nor does it end anything.
        try broker.pass(minutes: 3)
        #expect(broker.index.counts.cancelled == 1)
    }

    @Test func aDamagedDeadLetterHoldsUpNoOther() throws {
        let broker = try TestBroker()
        let ids = [try bury(broker, key: "a"), try bury(broker, key: "b")]
        let row = try #require(try rows(broker.store, [.deadLetter]).first)
        let batch = WriteBatch()
        batch.put(.deadLetter, key: row.key, value: Array(row.value.dropLast()) + [row.value[row.value.count - 1] ^ 1])
        try broker.store.write(batch, sync: true)
        try broker.pass(minutes: 3)
        #expect(try broker.status(ids[1])?.state == .cancelled)
        #expect(broker.index.counts.deadLetter == 1)
        #expect(!broker.start.core.isExpiring)
    }

    @Test func aRepairKeepsPoliciesAndTheTimesOfDeadLetters() throws {
        let directory = try ScratchDirectory()
        let source = directory / "data"
        try ScratchDirectory.makeDirectory(source)
        let store = try RocksDBStorage.open(path: source + "/db", options: .numbered)
        let broker = try TestBroker(store)
        let id = try bury(broker, key: "a")
        try broker.settleAndSync()
        store.close()
        let target = directory / "repaired"
        _ = try StoreRepair.run(
            source: source,
            target: target,
            wallMilliseconds: broker.now.wallMilliseconds,
            acceptsLoss: true
        )
        let opened = try RocksDBStorage.open(path: target + "/db", options: .numbered, createIfMissing: false)
        defer { opened.close() }
        let repaired = try TestBroker(opened, mark: try HighWaterMark.read(target + "/mark"))
        #expect(repaired.index.queuePolicies == [QueuePolicyRow(queue: 1, policy: Self.policy)])
        #expect(try repaired.status(id)?.state == .deadLetter)
        repaired.now = broker.now
        try repaired.pass(minutes: 4)
        #expect(try repaired.status(id)?.cancelReason == .expired)
    }
}
