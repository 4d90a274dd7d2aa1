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
}
