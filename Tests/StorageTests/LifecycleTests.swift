import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

/// What a store says of a task through everything that can happen to its records.
@Suite struct LifecycleTests {
    private static let payload = Bytes("hello".utf8)

    private func spec(_ type: Name = "send", retention: UInt64 = 0) -> TaskSpec {
        TaskSpec(queue: "mail", type: type, payload: Self.payload, retentionMilliseconds: retention)
    }

    @Test func aTaskIsTheSameBeforeAndAfterARestart() throws {
        let broker = try TestBroker()
        let ids = try broker.submit([spec("a"), spec("b"), spec("c"), spec("d")])
        let deliveries = try broker.claim(3)
        try broker.complete(deliveries[0], result: "done")
        try broker.fail(deliveries[1], error: "no route")
        let before = try ids.map { try broker.status($0) }
        let counts = broker.index.counts
        try broker.restart()
        #expect(try ids.map { try broker.status($0) } == before)
        #expect(broker.index.counts == counts)
        #expect(before.map { $0?.state } == [.completed, .failed, .inProgress, .pending])
        #expect(before[1]?.error == Bytes("no route".utf8))
        #expect(try broker.result(ids[0])?.result == Bytes("done".utf8))
    }

    @Test func aLeaseOutlivesARestartAndItsTokenStaysTheLast() throws {
        let broker = try TestBroker()
        _ = try broker.submit(spec())
        let delivery = try #require(try broker.claim().first)
        try broker.restart()
        #expect(try broker.claim().isEmpty)
        try broker.complete(delivery, result: "late")
        let stale = TestBroker.failure(try broker.ask(.complete([Completion(lease: delivery.lease)])))
        #expect(stale?.code == .leaseLost)
    }

    @Test func stragglersMoveOutOfTheirSegmentAndKeepTheirIds() throws {
        let broker = try TestBroker()
        let ids = try broker.submit((0..<40).map { _ in spec() })
        let deliveries = try broker.claim(38)
        for delivery in deliveries.dropLast() { try broker.complete(delivery, result: "done") }
        try broker.passGroups(160)
        let before = try ids.map { try broker.status($0) }
        let old = SegmentKey(group: broker.committed[0].group, part: 0)
        #expect(try broker.reader.payload(PayloadPlace(segment: old, place: 39), of: TaskSequence(40)) == Self.payload)

        try broker.run(.clean)
        try broker.commit()
        #expect(try broker.reader.payload(PayloadPlace(segment: old, place: 39), of: TaskSequence(40)) == nil)
        #expect(broker.committed.last?.segments.map(\.key.isMoved) == [true])
        for _ in 0..<2 {
            #expect(try ids.map { try broker.status($0) } == before)
            #expect(try broker.result(ids[5])?.result == Bytes("done".utf8))
            try broker.restart()
        }
        let last = try broker.claim(2)
        #expect(last.map(\.lease.task) == [ids[38], ids[39]])
        #expect(last.map(\.payload) == [Self.payload, Self.payload])
        try broker.complete(deliveries[37], result: "slow")
        for delivery in last { try broker.complete(delivery, result: "moved") }
        for _ in 0..<2 {
            #expect(try broker.result(ids[37])?.result == Bytes("slow".utf8))
            #expect(try broker.result(ids[39])?.result == Bytes("moved".utf8))
            #expect(try broker.result(ids[0])?.result == Bytes("done".utf8))
            try broker.restart()
        }
    }

    @Test func aRedrivenTaskKeepsItsIdPayloadAndPlace() throws {
        let broker = try TestBroker()
        let ids = try broker.submit([spec(), spec()])
        try broker.fail(try #require(try broker.claim().first), error: "broken", isPermanent: true)
        try broker.restart()
        let letter = try #require(try broker.deadLetters().first)
        #expect(letter.status.id == ids[0] && letter.payload == Self.payload)
        #expect(letter.status.error == Bytes("broken".utf8))
        try broker.expectDone(.redrive([Redrive(task: ids[0])]))
        #expect(try broker.deadLetters().isEmpty)
        for _ in 0..<2 {
            #expect(try broker.status(ids[0])?.state == .pending)
            #expect(broker.index.counts.deadLetter == 0 && broker.index.counts.pending == 2)
            try broker.restart()
        }
        let deliveries = try broker.claim(2)
        #expect(deliveries.map(\.lease.task) == ids)
        try broker.complete(deliveries[0], result: "at last")
        try broker.complete(deliveries[1])
        try broker.restart()
        #expect(try broker.result(ids[0])?.result == Bytes("at last".utf8))
    }

    @Test func aDeadLetterWhoseSegmentIsGoneComesBackThroughItsOwnRecord() throws {
        let broker = try TestBroker()
        let id = try broker.submit(spec())
        try broker.fail(try #require(try broker.claim().first), error: "broken", isPermanent: true)
        #expect(try rows(broker.store, [.pending, .payload, .inProgress]).isEmpty)
        try broker.restart()
        try broker.expectDone(.redrive([Redrive(task: id)]))
        try broker.restart()
        let delivery = try #require(try broker.claim().first)
        #expect(delivery.lease.task == id && delivery.payload == Self.payload)
    }

    @Test func aResultIsFoundAfterItsSegmentIsGoneThroughACompactLocator() throws {
        let broker = try TestBroker()
        let ids = try broker.submit((0..<9).map { _ in spec() })
        for delivery in try broker.claim(9) { try broker.complete(delivery, result: "\(delivery.lease.task)") }
        #expect(try rows(broker.store, [.pending, .payload, .inProgress]).isEmpty)
        let locator = try #require(try rows(broker.store, [.index]).first { $0.key.first == UInt8(ascii: "L") })
        #expect(locator.value[1] == 0, "one bucket, one epoch: compact")
        #expect(locator.value.count == 16 + 12 + 9 * 4)
        try expectResults(broker, ids)
    }

    @Test func aLocatorReachesOverTwoEpochsTwoBucketsAndTwoParts() throws {
        let broker = try TestBroker()
        let large = String(repeating: "x", count: 40_000)
        let ids = try broker.submit((0..<6).map { spec(retention: $0 < 3 ? 60_000 : 7_200_000) })
        let deliveries = try broker.claim(6)
        // Two large results in one group do not fit into one record.
        let items = deliveries[2...3].map { Completion(lease: $0.lease, result: Bytes(large.utf8)) }
        try broker.complete(deliveries[0], result: "\(ids[0])")
        try broker.expectDone(.complete(items + [Completion(lease: deliveries[4].lease, result: Bytes(large.utf8))]))
        #expect(Set(try #require(broker.committed.last).outcomes.map(\.part)) == [0, 1])
        try broker.restart()
        try broker.complete(deliveries[1], result: "\(ids[1])")
        try broker.complete(deliveries[5], result: "\(ids[5])")
        let locator = try #require(try rows(broker.store, [.index]).first { $0.key.first == UInt8(ascii: "L") })
        #expect(locator.value[1] == 1, "two epochs: full")
        #expect(locator.value.count == 16 + 6 * 14)
        for _ in 0..<2 {
            for place in [0, 1, 5] { #expect(try broker.result(ids[place])?.result == Bytes("\(ids[place])".utf8)) }
            for place in 2...4 { #expect(try broker.result(ids[place])?.result == Bytes(large.utf8)) }
            try broker.restart()
        }
        // When the earlier bucket expires, the later results stay.
        try broker.pass(minutes: 3)
        #expect(try broker.result(ids[0]) == nil)
        #expect(try broker.result(ids[5])?.result == Bytes("\(ids[5])".utf8))
    }

    private func expectResults(_ broker: TestBroker, _ ids: [TaskID]) throws {
        for _ in 0..<2 {
            for id in ids { #expect(try broker.result(id)?.result == Bytes("\(id)".utf8)) }
            try broker.restart()
        }
    }

    @Test func aForgedIdFindsNothingWhereverTheTaskIs() throws {
        let broker = try TestBroker()
        let ids = try broker.submit([spec(), spec(), spec()])
        let deliveries = try broker.claim(2)
        try broker.complete(deliveries[0])
        try broker.fail(deliveries[1], error: "broken", isPermanent: true)
        for id in ids {
            let forged = TaskID(high: id.high &+ 1 << 16, low: id.low)
            #expect(try broker.status(forged) == nil && broker.status(id) != nil)
        }
        try broker.complete(try #require(try broker.claim().first))
        #expect(try broker.status(TaskID(high: ids[0].high &+ 1 << 16, low: ids[0].low)) == nil)
        #expect(try broker.status(ids[0]) != nil)
    }

    // MARK: Expiry

    @Test func expiryRemovesOutcomesTheirLocatorsAndTheirCounters() throws {
        let broker = try TestBroker(configuration: CoreConfiguration(retentionMilliseconds: 60_000))
        var key = spec()
        key.idempotencyKey = Bytes("once".utf8)
        key.idempotencyWindowMilliseconds = 60_000
        let ids = try broker.submit((0..<5).map { _ in spec() } + [key])
        for delivery in try broker.claim(6) { try broker.complete(delivery, result: "done") }
        #expect(try rows(broker.store, [.completed]).count == 6)
        try broker.pass(minutes: 1)
        #expect(try broker.result(ids[0]) != nil, "a bucket is rounded up")
        try broker.pass(minutes: 2)
        #expect(try rows(broker.store, [.pending, .payload, .inProgress, .completed, .deadLetter]).isEmpty)
        let letters = Set(try rows(broker.store, [.index]).compactMap(\.key.first).map { Unicode.Scalar($0) })
        #expect(letters == ["N"], "names are all that is left")
        #expect(try broker.result(ids[0]) == nil)
        #expect(broker.index.counts == TaskCounts())
    }

    @Test func aSegmentThatDiesWhileABucketExpiresLeavesNoLocatorBehind() throws {
        let broker = try TestBroker(configuration: CoreConfiguration(retentionMilliseconds: 60_000))
        _ = try broker.submit([spec(), spec()])
        let deliveries = try broker.claim(2, leaseMilliseconds: 3_600_000)
        try broker.complete(deliveries[0], result: "early")
        broker.advance(milliseconds: 180_000)
        // The segment dies between the listing of what is left of the bucket and the decision to remove that.
        try broker.run(.tick)
        try broker.commit()
        try broker.run(.tick) { try broker.fail(deliveries[1], error: "late", isPermanent: true) }
        try broker.commit()
        try broker.run(.tick)
        try broker.commit()
        #expect(try rows(broker.store, [.pending, .completed]).isEmpty)
        #expect(try !rows(broker.store, [.index]).contains { "LP".utf8.contains($0.key[0]) })
        var problems: [StoreVerification.Problem] = []
        _ = StoreVerification.verify(broker.store, mark: nil) { problems.append($0) }
        #expect(problems == [])
    }

    @Test func oneTaskThatIsDueInAYearKeepsNoResultsOfOthersOnDisk() throws {
        let broker = try TestBroker(configuration: CoreConfiguration(retentionMilliseconds: 60_000))
        var late = spec("late")
        late.start = .after(milliseconds: 365 * 86_400_000)
        var ids: [TaskID] = []
        for _ in 0..<30 {
            ids += try broker.submit((0..<10).map { _ in spec() } + (ids.count == 100 ? [late] : []))
            for delivery in try broker.claim(10) { try broker.complete(delivery, result: "done") }
            try broker.pass(minutes: 1)
        }
        let kept = try rows(broker.store, [.completed]).count
        #expect(kept <= 30, "the last minutes alone, not \(kept)")
        try broker.passGroups(160)
        try broker.run(.clean)
        try broker.commit()
        try broker.pass(minutes: 3)
        try broker.restart()
        #expect(try rows(broker.store, [.completed]).isEmpty)
        #expect(try rows(broker.store, [.pending]).count == 1 && rows(broker.store, [.inProgress]).isEmpty)
        #expect(try broker.status(ids[110])?.state == .scheduled)
    }

    @Test func countersAreTheSameAsARecount() throws {
        let broker = try TestBroker()
        var workload = Workload(seed: 77)
        for _ in 0..<300 { try workload.step(broker) }
        try broker.commit()
        var outcomes: UInt64 = 0
        for row in try rows(broker.store, [.completed]) {
            outcomes += UInt64(row.value[4]) + UInt64(row.value[5]) << 8
        }
        let counts = broker.index.counts
        #expect(counts.completed + counts.cancelled == outcomes)
        #expect(counts.deadLetter == UInt64(try rows(broker.store, [.deadLetter]).count))
    }
}
