import TQModel
import Testing

@testable import QueueCore

@Suite("Timeouts of attempts")
struct TimeoutTests {
    private static let grace = Defaults.timeoutGraceMilliseconds

    /// A core with a task in progress whose attempt may take 20 s, with leases of 8 s.
    private func running(_ spec: (inout TaskSpec) -> Void = { _ in }) throws -> (CoreHarness, TaskID, LeaseHandle) {
        var core = CoreHarness()
        let id = core.submit(with: {
            ($0.timeoutMilliseconds, $0.leaseMilliseconds) = (20_000, 8_000)
            spec(&$0)
        })
        let lease = try core.lease()
        return (core, id, lease)
    }

    /// Renews the lease every two seconds for so long.
    private func renew(_ lease: LeaseHandle, for milliseconds: UInt64, _ core: inout CoreHarness) {
        for _ in 0..<milliseconds / 2_000 {
            core.advance(milliseconds: 2_000)
            #expect(core.renew(lease) == nil)
        }
    }

    @Test("An attempt is taken back when its time is over, however often its lease is renewed, and not before")
    func timeout() throws {
        var (core, id, lease) = try running()
        renew(lease, for: 20_000, &core)
        core.advance(milliseconds: Self.grace - 1)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1)
        #expect(core.state(id) == .failed)
        #expect(core.renew(lease)?.code == .leaseLost)
        #expect(core.complete(lease)?.code == .leaseLost)
        let found = core.status(id)
        let status = try #require(found)
        #expect(String(decoding: status.error, as: UTF8.self) == "Attempt 1 took longer than its timeout of 20000 ms.")
        #expect(status.attempts == 1 && status.crashes == 0)
        let totals = try core.statistics().totals
        #expect((totals.failed, totals.timedOut, totals.lapsed, totals.retried) == (1, 1, 0, 1))
        try core.checkIndex()
    }

    @Test("A renewal after that time is refused, before anybody has looked")
    func lateRenewal() throws {
        var (core, id, lease) = try running()
        renew(lease, for: 20_000, &core)
        core.wait(milliseconds: Self.grace)
        #expect(core.renew(lease)?.code == .leaseLost)
        #expect(core.state(id) == .inProgress)
    }

    @Test("It waits as its retry policy says, and the last one makes a dead letter with the reason")
    func retries() throws {
        var (core, id, lease) = try running {
            $0.retryPolicy = RetryPolicy(.fixed(3_000))
            $0.retriesMax = 1
        }
        renew(lease, for: 20_000, &core)
        core.advance(milliseconds: Self.grace)
        core.advance(milliseconds: 2_900)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 200)
        let second = try core.lease()
        renew(second, for: 20_000, &core)
        core.advance(milliseconds: Self.grace)
        #expect(core.state(id) == .deadLetter)
        try core.checkIndex()
    }

    @Test("A lease that nobody renews lapses before, and that is a crash")
    func lapse() throws {
        var (core, id, _) = try running()
        core.advance(milliseconds: 8_500)
        #expect(core.status(id)?.crashes == 1)
        #expect(core.state(id) == .pending)
    }

    @Test("A longer lease ends with the attempt's time")
    func longLease() throws {
        var (core, id, _) = try running { $0.leaseMilliseconds = 60_000 }
        core.advance(milliseconds: 20_000)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: Self.grace)
        #expect(core.state(id) == .failed)
        #expect(core.status(id)?.crashes == 0)
    }

    @Test("A restart leaves an attempt what is left of its time")
    func restart() throws {
        var (core, id, lease) = try running()
        renew(lease, for: 8_000, &core)
        core.submit(queue: "other")  // stored with the time
        try core.restart()
        renew(lease, for: 12_000, &core)
        core.advance(milliseconds: Self.grace + 500)
        #expect(core.state(id) == .failed)
    }

    @Test("After a restart a lease has its full duration, also when the attempt's time is nearly over")
    func restartAtTheEnd() throws {
        var (core, id, lease) = try running()
        renew(lease, for: 20_000, &core)
        core.submit(queue: "other")  // stored with the time
        try core.restart()
        core.advance(milliseconds: 7_900)
        #expect(core.renew(lease) == nil)
        core.advance(milliseconds: 200)
        #expect(core.state(id) == .failed)
    }

    @Test("An attempt that began long after the group's first transition has its whole time after a restart")
    func longGroup() throws {
        var (core, _, first) = try running()
        #expect(core.release(first, delay: 3_600_000) == nil)
        let late = core.submit(with: { ($0.timeoutMilliseconds, $0.leaseMilliseconds) = (20_000, 8_000) })
        // The disk lets the group wait.
        core.advance(milliseconds: 30_000)
        let lease = try core.lease()
        #expect(lease.task == late)
        let begun = core.status(late)?.attemptStartWallMilliseconds
        #expect(begun == core.now.wallMilliseconds)
        try core.restart()
        #expect(core.status(late)?.attemptStartWallMilliseconds == begun)
        renew(lease, for: 18_000, &core)
        #expect(core.state(late) == .inProgress)
        try core.checkIndex()
    }

    @Test("A renewal that is stored and a cleaning keep the beginning of the attempt", arguments: [false, true])
    func keptBeginning(isCleaned: Bool) throws {
        var core = CoreHarness()
        for _ in 0..<40 {
            core.submit(with: { ($0.timeoutMilliseconds, $0.leaseMilliseconds) = (20_000, 8_000) })
        }
        let leases = core.claim(40).map(\.lease)
        let begun = core.status(leases[0].task)?.attemptStartWallMilliseconds
        #expect(begun ?? 0 > 0)
        for lease in leases.dropFirst() { #expect(core.complete(lease) == nil) }
        renew(leases[0], for: 6_000, &core)
        #expect(core.renew(leases[0], leaseMilliseconds: 7_000, progress: TaskProgress(percent: 3)) == nil)
        if isCleaned {
            core.ageRecords()
            core.run(.clean)
        }
        try core.restart()
        #expect(core.status(leases[0].task)?.attemptStartWallMilliseconds == begun)
        renew(leases[0], for: 14_000, &core)
        core.advance(milliseconds: Self.grace + 500)
        #expect(core.state(leases[0].task) == .failed)
        try core.checkIndex()
    }
}
