import ByteStore
import Storage
import Synchronization
import TQModel
import Testing

@testable import QueueCore

@Suite struct ReplayTests {
    /// An index that knows nothing but the batches.
    final class Follower: Sendable {
        struct State {
            var index = DurableIndex()
            var decoded: [EffectBatch] = []
            var problems: [String] = []

            mutating func take(_ decoded: Result<EffectBatch, any Error>, _ number: UInt64) {
                switch decoded {
                case .success(let effects):
                    let derived = index.apply(effects)
                    if derived != effects.derived {
                        problems.append("batch \(number): \(derived) is not \(effects.derived)")
                    }
                    self.decoded.append(effects)
                case .failure(let error): problems.append("batch \(number): \(error)")
                }
            }
        }

        let state = Mutex(State())

        func take(_ batch: CommittedBatch) {
            let decoded = Result { try batch.effects() }
            state.withLock { $0.take(decoded, batch.position.sequence) }
        }
    }

    @Test(arguments: 1...4)
    func theIndexIsTheSameLiveReplayedAndRecovered(_ seed: UInt64) throws {
        let follower = Follower()
        let broker = try TestBroker(InMemoryStorage(), onBatch: { follower.take($0) })
        var workload = Workload(seed: seed)
        for step in 0..<900 {
            try workload.step(broker)
            if step % 300 == 299 {
                try broker.commit()
                try compare(broker, follower, "seed \(seed), step \(step)")
            }
            if step % 350 == 349 {
                try broker.restart()
            }
        }
        let decoded = follower.state.withLock(\.decoded)
        #expect(decoded.count == broker.committed.count, "seed \(seed)")
        for (read, written) in zip(decoded, broker.committed) {
            try #require(difference(written.facts, read.facts) == [], "seed \(seed), group \(written.group)")
        }
    }

    private func compare(_ broker: TestBroker, _ follower: Follower, _ place: Comment) throws {
        let live = broker.index
        let recovered = try #require(try Recovery.recover(from: broker.store)).index
        let replayed = follower.state.withLock(\.index)
        #expect(follower.state.withLock(\.problems) == [], place)
        #expect(difference(live.canonicalDump, replayed.canonicalDump) == [], place)
        #expect(difference(live.canonicalDump, recovered.canonicalDump) == [], place)
        let order = live.pendingOrder
        #expect(order == recovered.pendingOrder, place)
        #expect(order == replayed.pendingOrder, place)
    }

    private func difference(_ left: [String], _ right: [String]) -> [String] {
        let (leftLines, rightLines) = (Set(left), Set(right))
        return left.filter { !rightLines.contains($0) }.map { "- " + $0 }
            + right.filter { !leftLines.contains($0) }.map { "+ " + $0 }
    }

    @Test(arguments: 1...3)
    func theStoreOnDiskHoldsTheSameBytesAsTheOneInMemory(_ seed: UInt64) throws {
        let directory = try ScratchDirectory()
        let onDisk = try RocksDBStorage.open(path: directory / "db")
        defer { onDisk.close() }
        let brokers = [try TestBroker(onDisk), try TestBroker(InMemoryStorage())]
        for broker in brokers {
            var workload = Workload(seed: seed)
            for _ in 0..<400 { try workload.step(broker) }
            try broker.commit()
            try broker.restart()
        }
        #expect(try rows(brokers[0].store) == rows(brokers[1].store), "seed \(seed)")
    }
}
