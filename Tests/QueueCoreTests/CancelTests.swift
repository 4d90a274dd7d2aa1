import TQModel
import Testing

@testable import QueueCore

@Suite("Cancelling a task that runs")
struct CancelTests {
    /// A core with a task in progress whose cancel was requested.
    private func cancelled(_ spec: (inout TaskSpec) -> Void = { _ in }) throws -> (CoreHarness, TaskID, LeaseHandle) {
        var core = CoreHarness()
        let id = core.submit(with: spec)
        let lease = try core.lease()
        #expect(core.cancel(id) == .success(.requested))
        return (core, id, lease)
    }

    @Test("The session that holds the lease is told once the request is stored")
    func push() throws {
        let (core, id, lease) = try cancelled()
        let answer = try #require(core.unasked.first)
        #expect(core.unasked.count == 1)
        #expect(answer.session == CoreHarness.session)
        #expect(answer.reply == .cancelRequested([lease]))
        #expect(answer.syncedThrough > 0 && lease.task == id)
    }

    @Test("Asked again, it is requested still, and nobody is told twice")
    func again() throws {
        var (core, id, _) = try cancelled()
        #expect(core.cancel(id) == .success(.requested))
        #expect(core.unasked.count == 1)
    }

    @Test("Its lease is not renewed any more, and the task is over when it lapses")
    func lapse() throws {
        var (core, id, lease) = try cancelled { $0.leaseMilliseconds = 10_000 }
        core.advance(milliseconds: 9_000)
        #expect(core.renew(lease)?.code == .cancelRequested)
        #expect(core.renew(lease, progress: TaskProgress(percent: 5))?.code == .cancelRequested)
        #expect(core.status(id)?.isCancelRequested == true)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1_500)
        #expect(core.state(id) == .cancelled)
        #expect(core.claim().isEmpty)
        #expect(try core.statistics().totals.cancelled == 1)
        try core.checkIndex()
    }

    @Test("Whatever its worker says but a completion ends it as cancelled", arguments: 0..<5)
    func ends(_ way: Int) throws {
        var (core, id, lease) = try cancelled { $0.retriesMax = way == 1 ? 0 : 3 }
        switch way {
        case 0: #expect(core.fail(lease) == nil)
        case 1: #expect(core.fail(lease) == nil)  // its last attempt
        case 2: #expect(core.fail(lease, isPermanent: true) == nil)
        case 3: #expect(core.release(lease) == nil)
        default: #expect(core.release(lease, delay: 5_000) == nil)
        }
        #expect(core.state(id) == .cancelled)
        core.advance(milliseconds: 100_000)
        #expect(core.claim().isEmpty)
        #expect(core.counts().deadLetter == 0)
        try core.checkIndex()
    }

    @Test("Work that was done before its worker heard of it counts")
    func completed() throws {
        var (core, id, lease) = try cancelled()
        #expect(core.complete(lease, result: "done") == nil)
        #expect(core.state(id) == .completed)
        #expect(core.cancel(id).failureCode == .notCancellable)
    }

    @Test("It is over with the session, the worker or a good-bye that ends its lease", arguments: 0..<3)
    func lost(_ way: Int) throws {
        var core = CoreHarness()
        core.open(7, endsLeasesOnClose: true)
        let id = core.submit()
        #expect(core.claim(worker: "w1", session: 7).count == 1)
        #expect(core.cancel(id) == .success(.requested))
        switch way {
        case 0: core.run(.closeSession(7))
        case 1: core.send(.deregisterWorker("w1"))
        default: core.advance(milliseconds: core.core.configuration.workerInactivityMilliseconds + 1_000)
        }
        #expect(core.state(id) == .cancelled)
        try core.checkIndex()
    }

    @Test("A restart keeps the request: the lease has its duration again, and no renewal")
    func restart() throws {
        var (core, id, lease) = try cancelled { $0.leaseMilliseconds = 10_000 }
        core.advance(milliseconds: 6_000)
        try core.restart()
        core.advance(milliseconds: 9_000)
        #expect(core.state(id) == .inProgress)
        #expect(core.renew(lease)?.code == .cancelRequested)
        core.advance(milliseconds: 1_500)
        #expect(core.state(id) == .cancelled)
        try core.checkIndex()
    }

    @Test("Cleaning carries the request along")
    func cleaned() throws {
        var core = CoreHarness()
        for _ in 0..<40 { core.submit() }
        let leases = core.claim(40).map(\.lease)
        #expect(core.cancel(leases[0].task) == .success(.requested))
        for lease in leases.dropFirst() { #expect(core.complete(lease) == nil) }
        core.ageRecords()
        core.run(.clean)
        try core.restart()
        #expect(core.renew(leases[0])?.code == .cancelRequested)
        #expect(core.status(leases[0].task)?.isCancelRequested == true)
    }
}
