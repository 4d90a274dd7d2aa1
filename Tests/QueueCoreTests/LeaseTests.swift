import TQModel
import Testing

@testable import QueueCore

@Suite("Leases")
struct LeaseTests {
    @Test("A lease lapses exactly at its deadline, and the lapse counts as attempt and crash")
    func lapse() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease(worker: "w")
        core.advance(milliseconds: 29_999)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1)
        let status = try core.known(id)
        #expect(status.state == .pending)
        #expect(status.attempts == 1)
        #expect(status.crashes == 1)
        #expect(try core.statistics().totals.lapsed == 1)
        #expect(core.takeNotices() == [.leaseLapsed(id, worker: "w", crashes: 1)])
        #expect(core.complete(lease)?.code == .leaseLost)
        try core.checkIndex()
    }

    @Test("A lease lasts as long as the claim says, else as the task says, else as the broker says")
    func durations() {
        var core = CoreHarness(CoreConfiguration(leaseMilliseconds: 7_000))
        core.submit(TaskSpec(queue: "q", type: "t", leaseMilliseconds: 5_000, timeoutMilliseconds: 9_000))
        #expect(core.claim(leaseMilliseconds: 3_000).map(\.leaseMilliseconds) == [3_000])
        core.advance(milliseconds: 3_000)
        let second = core.claim()
        #expect(second.map(\.leaseMilliseconds) == [5_000])
        #expect(second.map(\.timeoutMilliseconds) == [9_000])
        core.submit()
        let other = core.claim()
        #expect(other.map(\.leaseMilliseconds) == [7_000])
        #expect(other.map(\.timeoutMilliseconds) == [Defaults.timeoutMilliseconds])
    }

    @Test("A renewal starts the duration again, and a new duration is kept over a restart")
    func renew() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease()
        core.advance(milliseconds: 29_000)
        #expect(core.renew(lease) == nil)
        core.advance(milliseconds: 29_999)
        #expect(core.state(id) == .inProgress)
        #expect(core.renew(lease, leaseMilliseconds: 50_000) == nil)
        core.advance(milliseconds: 49_999)
        #expect(core.state(id) == .inProgress)
        try core.checkIndex()
        try core.restart()
        core.advance(milliseconds: 49_999)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1)
        #expect(core.state(id) == .pending)
    }

    @Test("A thousand leases of many lengths each lapse at their deadline")
    func manyDeadlines() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", timeoutMilliseconds: 1_000_000)
        core.send(.submit(Array(repeating: spec, count: 1000)))
        var deadlines: [UInt64] = []
        for number in 0..<1000 {
            let duration = UInt32(1 + number * 997 % 700_000)
            core.send(.claim(ClaimSpec(queues: ["q"], count: 1, leaseMilliseconds: duration)))
            deadlines.append(core.now.monotonicMilliseconds + UInt64(duration))
        }
        for step in [1, 255, 256, 10_000, 262_144, 270_000, 400_000] as [UInt64] {
            core.advance(milliseconds: step)
            let held = deadlines.count { $0 > core.now.monotonicMilliseconds }
            #expect(core.counts().inProgress == UInt64(held))
        }
        try core.checkIndex()
    }

    @Test(
        "A lease is reclaimed once, however long nobody ticked",
        arguments: [261_900, 262_143, 262_144, 262_400, 10_000_000]
    )
    func longSilence(milliseconds: UInt64) throws {
        for duration in [1, min(milliseconds, 262_144)] {
            var core = CoreHarness()
            let id = core.submit()
            _ = try core.lease(leaseMilliseconds: UInt32(duration))
            core.advance(milliseconds: milliseconds)
            core.advance(milliseconds: 1_000)
            #expect(core.status(id)?.crashes == 1)
            #expect(try core.statistics().totals.lapsed == 1)
            try core.checkIndex()
        }
    }

    @Test("A release counts no attempt, and may put the task off")
    func release() throws {
        var core = CoreHarness()
        let id = core.submit()
        #expect(core.release(try core.lease()) == nil)
        #expect(core.status(id)?.attempts == 0)
        let again = try #require(core.claim().first)
        #expect(again.attempt == 1)
        #expect(core.release(again.lease, delay: 5_000) == nil)
        let status = try core.known(id)
        #expect(status.state == .scheduled)
        #expect(status.startWallMilliseconds == core.now.wallMilliseconds + 5_000)
        core.advance(milliseconds: 4_999)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1)
        #expect(core.claim().map(\.attempt) == [1])
        try core.checkIndex()
    }

    @Test("Tokens rise with every lease, restarts included")
    func tokens() throws {
        var core = CoreHarness()
        core.submit()
        var newest = LeaseToken(rawValue: 0)
        for round in 0..<6 {
            let lease = try core.lease()
            #expect(lease.token > newest)
            newest = lease.token
            #expect(core.release(lease) == nil)
            if round % 2 == 1 { try core.restart() }
        }
    }

    @Test("A stale token changes nothing, whatever it is shown for")
    func staleTokens() throws {
        var core = CoreHarness()
        let id = core.submit()
        let stale = try core.lease()
        #expect(core.release(stale) == nil)
        let valid = try core.lease()
        core.settle()
        let before = core.core.index.canonicalDump
        for handle in [
            stale,
            LeaseHandle(task: id, token: LeaseToken(rawValue: 0)),
            LeaseHandle(task: id, token: LeaseToken(rawValue: .max)),
        ] {
            #expect(core.complete(handle)?.code == .leaseLost)
            #expect(core.fail(handle)?.code == .leaseLost)
            #expect(core.release(handle)?.code == .leaseLost)
            #expect(core.renew(handle)?.code == .leaseLost)
            core.run(.damagedPayload(handle))
        }
        #expect(core.core.index.canonicalDump == before)
        #expect(!core.core.hasEffects)
        #expect(core.complete(valid) == nil)
        for handle in [stale, valid] {
            #expect(core.complete(handle)?.code == .leaseLost)
            #expect(core.fail(handle)?.code == .leaseLost)
            #expect(core.release(handle)?.code == .leaseLost)
            #expect(core.renew(handle)?.code == .leaseLost)
        }
    }

    @Test("One request may hold good and bad handles, and each gets its own answer")
    func mixedHandles() throws {
        var core = CoreHarness()
        for _ in 0..<3 { core.submit() }
        let leases = core.claim(3).map(\.lease)
        let twice = [leases[0], leases[0], leases[2]].map { Completion(lease: $0) }
        guard case .outcomes(let outcomes)? = core.reply(.complete(twice)) else {
            Issue.record("no outcomes")
            return
        }
        #expect(outcomes.map { $0?.code } == [nil, .leaseLost, nil])
    }

    // MARK: Restarts

    @Test("A restart gives a lease its full duration, and its lapse then counts nothing")
    func restart() throws {
        var core = CoreHarness()
        let id = core.submit(TaskSpec(queue: "q", type: "t", crashesMax: 1))
        let task = core.id(of: id)
        _ = try core.lease()
        core.advance(milliseconds: 29_000)
        try core.restart()
        core.advance(milliseconds: 29_999)
        #expect(core.state(task) == .inProgress)
        core.advance(milliseconds: 1)
        let status = try core.known(task)
        #expect(status.state == .pending)
        #expect(status.attempts == 0)
        #expect(status.crashes == 0)
        try core.checkIndex()
    }

    @Test("A lease outlives a restart, and counts again once it is renewed")
    func renewedAfterRestart() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease()
        try core.restart()
        #expect(core.renew(lease) == nil)
        core.advance(milliseconds: 30_000)
        #expect(core.status(id)?.crashes == 1)
        let second = try core.lease()
        try core.restart()
        #expect(core.complete(second) == nil)
        #expect(core.state(id) == .completed)
    }

    // MARK: Progress

    @Test("Progress is kept over renewals, cleaning and restarts, and gone with its attempt")
    func progress() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease(leaseMilliseconds: 3_600_000)
        let progress = TaskProgress(percent: 40, message: Bytes("page 4 of 10".utf8))
        #expect(core.status(id)?.progress == nil)
        #expect(core.renew(lease, progress: progress) == nil)
        #expect(core.status(id)?.progress == progress)
        #expect(core.renew(lease) == nil)
        #expect(core.renew(lease, leaseMilliseconds: 7_200_000) == nil)
        #expect(core.status(id)?.progress == progress)
        try core.restart()
        #expect(core.status(id)?.progress == progress)
        let next = TaskProgress(percent: 100)
        #expect(core.renew(lease, progress: next) == nil)
        #expect(core.status(id)?.progress == next)
        #expect(core.fail(lease, retryAfter: 0) == nil)
        #expect(core.status(id)?.progress == nil)
        _ = try core.lease()
        #expect(core.status(id)?.progress == nil)
        try core.checkIndex()
    }

    @Test("Progress beyond its bounds is refused")
    func progressBounds() throws {
        var core = CoreHarness()
        core.submit()
        let lease = try core.lease()
        let long = Bytes(repeating: 0x61, count: Limits.progressBytesMax)
        #expect(core.renew(lease, progress: TaskProgress(percent: 101))?.code == .invalidArgument)
        #expect(core.renew(lease, progress: TaskProgress(percent: 1, message: long + [0x61]))?.code == .invalidArgument)
        #expect(core.renew(lease, progress: TaskProgress(percent: 100, message: long)) == nil)
    }

    // MARK: Sessions

    @Test("A closed connection ends its leases only if it asked for that")
    func closeSession() throws {
        var core = CoreHarness()
        core.open(2)
        core.open(3, endsLeasesOnClose: true)
        let (kept, ended) = (core.submit(), core.submit())
        #expect(core.claim(session: 2).map(\.lease.task) == [kept])
        #expect(core.claim(session: 3).map(\.lease.task) == [ended])
        #expect(core.core.isBusy(2))
        #expect(!core.core.isBusy(CoreHarness.session))
        #expect(core.core.busySessions == [2, 3])
        core.run(.closeSession(2))
        core.run(.closeSession(3))
        #expect(core.state(kept) == .inProgress)
        #expect(core.status(ended)?.state == .pending)
        #expect(core.status(ended)?.crashes == 1)
        #expect(!core.core.isBusy(3))
        try core.checkIndex()
    }

    @Test("More quarantines than one command reads for go on in the next ticks, and each payload is kept")
    func manyQuarantines() throws {
        var core = CoreHarness()
        core.send(.submit((0..<50).map { TaskSpec(queue: "q", type: "t", payload: [UInt8($0)], crashesMax: 1) }))
        core.open(3, endsLeasesOnClose: true)
        #expect(core.claim(25, worker: "w", leaseMilliseconds: 1_000_000).count == 25)
        #expect(core.claim(25, session: 3).count == 25)
        core.run(.closeSession(3))
        core.advance(milliseconds: 60_001)
        for _ in 0..<3 { core.advance(milliseconds: 1) }
        core.settle()
        #expect(core.store.letters.count == 50)
        #expect(core.store.letters.values.allSatisfy { $0.row.reason == .quarantined && $0.payload.count == 1 })
        try core.checkIndex()
    }

    @Test("A lost connection quarantines a task that lost too many")
    func closeSessionQuarantines() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", payload: [1, 2], crashesMax: 1)))
        core.open(3, endsLeasesOnClose: true)
        #expect(core.claim(session: 3).count == 1)
        core.run(.closeSession(3))
        core.settle()
        #expect(core.letter(id)?.row.reason == .quarantined)
        #expect(core.letter(id)?.payload == [1, 2])
        try core.checkIndex()
    }

    @Test("A session gets nothing any more from the moment it is to be closed, however long its close reads")
    func nothingAfterClose() throws {
        var core = CoreHarness()
        core.open(3, endsLeasesOnClose: true)
        _ = core.submit(TaskSpec(queue: "q", type: "t", crashesMax: 1))
        #expect(core.claim(session: 3).count == 1)
        core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)), session: 3)
        core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], count: 1)), session: 3)
        #expect(core.reads(.closeSession(3)).count == 1)
        let late = [core.submit(), core.submit()]
        core.run(.closeSession(3))
        for id in late {
            #expect(core.status(id)?.attempts == 0)
            #expect(core.status(id)?.crashes == 0)
        }
        try core.checkIndex()
    }
}
