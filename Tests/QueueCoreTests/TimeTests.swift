import TQModel
import Testing

@testable import QueueCore

@Suite("Clocks")
struct TimeTests {
    private static let hour: Int64 = 3_600_000

    @Test("A wall clock that jumps by an hour expires no lease, outcome or key", arguments: [hour, -hour])
    func jump(step: Int64) throws {
        var core = CoreHarness()
        let key = TaskSpec(queue: "q", type: "t", idempotencyKey: [1], idempotencyWindowMilliseconds: 600_000)
        let keyed = core.id(of: core.submit(key))
        let ended = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retentionMilliseconds: 600_000)))
        let leases = core.claim(2, worker: "w").map(\.lease)
        #expect(core.complete(leases[1]) == nil)
        core.jumpWall(byMilliseconds: step)
        core.advance(milliseconds: 1_000)
        #expect(core.state(keyed) == .inProgress)
        #expect(core.state(ended) == .completed)
        #expect(try core.submit(key).get() == Submission(id: keyed, isDuplicate: true))
        #expect(core.renew(leases[0]) == nil)
        core.jumpWall(byMilliseconds: -step)
        #expect(core.renew(leases[0]) == nil)
        #expect(core.reply(.workers) != .workers([]))
        try core.checkIndex()
    }

    @Test("A jump of the wall clock starts what is due once and never twice")
    func noDoubleStart() throws {
        var core = CoreHarness()
        let id = core.submit(start: .at(wallMilliseconds: core.now.wallMilliseconds + 1_800_000))
        core.jumpWall(byMilliseconds: Self.hour)
        #expect(core.claimIDs() == [id])
        core.jumpWall(byMilliseconds: -Self.hour)
        core.jumpWall(byMilliseconds: Self.hour)
        #expect(core.claimIDs() == [])
        #expect(core.status(id)?.attempts == 1)
    }

    @Test("Delays and backoffs last as long as they do, whatever the wall clock is set to, over restarts too")
    func waitsIgnoreTheWallClock() throws {
        for step in [Self.hour, -Self.hour] {
            var core = CoreHarness()
            let delayed = core.submit(start: .after(milliseconds: 60_000))
            core.submit()
            let lease = try core.lease()
            #expect(core.fail(lease, retryAfter: 60_000) == nil)
            core.jumpWall(byMilliseconds: step)
            #expect(core.claimIDs() == [])
            core.advance(milliseconds: 30_000)
            // The time of a store is that of its last batch.
            core.submit(queue: "other")
            try core.restart()
            // A tenth faster where the store's clock has to catch up with the wall clock.
            core.advance(milliseconds: 20_000)
            #expect(core.claimIDs() == [])
            core.advance(milliseconds: 10_000)
            #expect(core.claimIDs() == [delayed, lease.task])
        }
    }

    @Test("The store clock follows the wall clock forward at a tenth of the time, however often it is asked")
    func storeClock() {
        for step in [1, 3, 10, 1_000] as [UInt64] {
            var clock = StoreClock(milliseconds: 1_000_000)
            var now = Now(monotonicMilliseconds: 5, wallMilliseconds: 2_000_000)
            clock.advance(to: now)
            for _ in 0..<(30_000 / step) {
                now.monotonicMilliseconds += step
                now.wallMilliseconds += step
                clock.advance(to: now)
            }
            #expect(clock.milliseconds == 1_033_000)
        }
    }

    @Test("The store clock never goes back and never overtakes the wall clock by following it")
    func storeClockBounds() {
        var clock = StoreClock(milliseconds: 0)
        clock.advance(to: Now(monotonicMilliseconds: 10, wallMilliseconds: 1_000))
        #expect(clock.milliseconds == 1_000)
        clock.advance(to: Now(monotonicMilliseconds: 110, wallMilliseconds: 10))
        #expect(clock.milliseconds == 1_100)
        clock.advance(to: Now(monotonicMilliseconds: 50, wallMilliseconds: 5_000))
        #expect(clock.milliseconds == 1_100)
        clock.advance(to: Now(monotonicMilliseconds: 100_110, wallMilliseconds: 101_105))
        #expect(clock.milliseconds == 101_105)
    }

    @Test("A monotonic clock that goes back is not followed")
    func monotonicBack() throws {
        var core = CoreHarness()
        core.submit()
        let lease = try core.lease()
        core.now.monotonicMilliseconds = 0
        core.run(.tick)
        #expect(core.renew(lease) == nil)
        core.now = CoreHarness.start
        core.advance(milliseconds: 29_999)
        #expect(core.renew(lease) == nil)
    }

    @Test("Store time goes on after a restart where it was, however long the broker was off")
    func restart() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retentionMilliseconds: 600_000)))
        #expect(core.complete(try core.lease()) == nil)
        core.settle()
        core.now.wallMilliseconds += 86_400_000
        try core.restart()
        core.advance(milliseconds: 1_000)
        #expect(core.state(id) == .completed)
    }

    @Test("A new outcome counts although only later ones are stored")
    func shortRetentionAfterRestart() throws {
        var core = CoreHarness()
        core.submit()
        #expect(core.complete(try core.lease()) == nil)
        try core.restart()
        let id = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retentionMilliseconds: 60_000)))
        #expect(core.complete(try core.lease()) == nil)
        #expect(core.state(id) == .completed)
        try core.checkIndex()
    }

    @Test("Buckets end on steps of a second, a minute, ten minutes or an hour, after what they hold")
    func buckets() {
        for kept in [1, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000, 7 * 86_400_000] as [UInt64] {
            for store in [0, 1, 59_999, 1_700_000_000_123] as [UInt64] {
                let bucket = ExpiryBucket(storeMilliseconds: store, keptMilliseconds: kept)
                let step: UInt32 = kept < 60_000 ? 1 : kept < 3_600_000 ? 60 : kept < 86_400_000 ? 600 : 3600
                #expect(bucket.rawValue % step == 0)
                #expect(!bucket.isExpired(storeMilliseconds: store + kept))
                #expect(bucket.isExpired(storeMilliseconds: store + kept + UInt64(step) * 1000))
            }
        }
        #expect(ExpiryBucket(storeMilliseconds: .max, keptMilliseconds: .max).rawValue == .max)
    }
}
