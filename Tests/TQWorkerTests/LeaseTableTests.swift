import TQModel
import Testing

@testable import TQWorker

@Suite("Leases that a worker holds")
struct LeaseTableTests {
    @Test("While a renewal is under way only deadlines wake the worker")
    func nextInstant() {
        let now = ContinuousClock.now
        var leases = LeaseTable()
        #expect(leases.nextInstant(isRenewing: false) == nil)
        _ = leases.add(delivery(1, leaseMilliseconds: 30_000, timeoutMilliseconds: 40_000), now: now)
        #expect(leases.nextInstant(isRenewing: false) == now + .seconds(10))
        #expect(leases.nextInstant(isRenewing: true) == now + .seconds(40))
        #expect(leases.takeDue(at: now + .seconds(10)).count == 1)
        #expect(leases.nextInstant(isRenewing: false) == now + .seconds(20))
        #expect(leases.end { _ in true }.count == 1)
        #expect(leases.nextInstant(isRenewing: true) == nil)
    }

    @Test("The lease of a cancelled task is renewed no more, and its time is still watched")
    func cancelled() {
        var leases = LeaseTable()
        let now = ContinuousClock.now
        for number in [1, 2] as [UInt64] {
            _ = leases.add(delivery(number, leaseMilliseconds: 30_000, timeoutMilliseconds: 40_000), now: now)
        }
        #expect(leases.requestCancel(of: [lease(1).token, lease(9).token]).map(\.lease) == [lease(1)])
        #expect(leases.requestCancel(of: [lease(1).token]).isEmpty)
        #expect(leases.takeDue(at: now + .seconds(10)) == [lease(2)])
        _ = leases.remove(lease(2).token)
        #expect(leases.nextInstant(isRenewing: false) == now + .seconds(40))
        #expect(!leases.isIdle)
    }

    @Test("A renewal may go unanswered for a third of the shortest lease, but for a second in any case")
    func renewalLimit() {
        let now = ContinuousClock.now
        var leases = LeaseTable()
        #expect(leases.renewalLimit == nil)
        _ = leases.add(delivery(1, leaseMilliseconds: 60_000), now: now)
        _ = leases.add(delivery(2, leaseMilliseconds: 30_000), now: now)
        #expect(leases.renewalLimit == .seconds(10))
        _ = leases.add(delivery(3, leaseMilliseconds: 300), now: now)
        #expect(leases.renewalLimit == .seconds(1))
        #expect(leases.end { $0.leaseDuration < .seconds(60) }.count == 2)
        #expect(leases.renewalLimit == .seconds(20))
    }
}
