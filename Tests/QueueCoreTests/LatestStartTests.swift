import TQModel
import Testing

@testable import QueueCore

@Suite("Latest starts")
struct LatestStartTests {
    private static let wall = CoreHarness.start.wallMilliseconds

    /// Submits a task that must have started within ten seconds, on either clock.
    private func submit(_ core: inout CoreHarness, buriesLate: Bool = false, onWall: Bool = true) -> TaskID {
        let wall = core.now.wallMilliseconds + 10_000
        return core.submit(with: {
            let time: TaskSpec.Start = onWall ? .at(wallMilliseconds: wall) : .after(milliseconds: 10_000)
            $0.startBy = TaskSpec.StartBy(time, buriesLate: buriesLate)
            $0.payload = Bytes("p".utf8)
        })
    }

    @Test("A task that waits too long is cancelled, and says why", arguments: [false, true])
    func cancelled(onWall: Bool) throws {
        var core = CoreHarness()
        let id = submit(&core, onWall: onWall)
        core.advance(milliseconds: 9_999)
        #expect(core.state(id) == .pending)
        core.advance(milliseconds: 1)
        #expect(core.status(id)?.cancelReason == .tooLate)
        #expect(core.state(id) == .cancelled)
        #expect(core.claim().isEmpty)
        #expect(core.counts().cancelled == 1)
        try core.checkIndex()
    }

    @Test("It becomes a dead letter when it is asked for, and may start however late once it is put back")
    func buried() throws {
        for restarts in [false, true] {
            var core = CoreHarness()
            let id = submit(&core, buriesLate: true)
            core.submit(queue: "other")  // keeps the segment
            core.advance(milliseconds: 10_000)
            #expect(core.state(id) == .deadLetter)
            #expect(core.takeNotices().contains(.deadLettered(id, .tooLate)))
            if restarts { try core.restart() }
            #expect(core.redrive(id) == nil)
            if restarts { try core.restart() }
            core.advance(milliseconds: 50_000)
            #expect(core.state(id) == .pending)
            let lease = try core.lease()
            #expect(lease.task == id)
            #expect(core.fail(lease) == nil)
            core.advance(milliseconds: 50_000)
            #expect(core.state(id) == .pending)
            try core.checkIndex()
        }
    }

    @Test("No claim gets it in the moment before somebody looks", arguments: [false, true])
    func claim(buriesLate: Bool) throws {
        var core = CoreHarness()
        let late = submit(&core, buriesLate: buriesLate)
        let next = core.submit()
        core.wait(milliseconds: 10_000)
        #expect(core.claimIDs() == [next])
        core.advance(milliseconds: 0)
        #expect(core.state(late) == (buriesLate ? .deadLetter : .cancelled))
        try core.checkIndex()
    }

    @Test("An attempt that runs by then goes on; the next one does not begin", arguments: 0..<4)
    func running(_ way: Int) throws {
        var core = CoreHarness()
        let id = submit(&core)
        let lease = try core.lease(leaseMilliseconds: 20_000)
        core.advance(milliseconds: 15_000)
        #expect(core.state(id) == .inProgress)
        #expect(core.renew(lease) == nil)
        switch way {
        case 0: #expect(core.complete(lease) == nil)
        case 1: #expect(core.fail(lease) == nil)
        case 2: #expect(core.release(lease) == nil)
        default: core.advance(milliseconds: 20_000)
        }
        core.advance(milliseconds: 1)
        #expect(core.state(id) == (way == 0 ? .completed : .cancelled))
        try core.checkIndex()
    }

    @Test("A restart keeps it, also while the broker is off until then")
    func restart() throws {
        var core = CoreHarness()
        let ids = [submit(&core), submit(&core, buriesLate: true)]
        core.settle()
        core.wait(milliseconds: 60_000)
        try core.restart()
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1)
        #expect(ids.map { core.state($0) } == [.cancelled, .deadLetter])
        try core.checkIndex()
    }

    @Test("A clock that was set back in time makes nothing late")
    func clockSetBack() throws {
        var core = CoreHarness()
        let id = submit(&core, buriesLate: true)
        core.now.wallMilliseconds += 60_000
        #expect(core.claim().isEmpty)  // set aside
        core.now.wallMilliseconds -= 60_000
        core.advance(milliseconds: 1)
        #expect(core.state(id) == .pending)
        #expect(core.claimIDs() == [id])
        try core.checkIndex()
    }

    @Test("Thousands of dead letters that nobody asked for are made in several ticks")
    func many() throws {
        var core = CoreHarness()
        let most = QueueCore.lateTasksPerClaim
        for _ in 0..<most + 40 { _ = submit(&core, buriesLate: true) }
        core.advance(milliseconds: 10_000)
        #expect(core.counts().deadLetter == UInt64(most))
        core.advance(milliseconds: 1)
        #expect(core.counts().deadLetter == UInt64(most + 40))
        try core.checkIndex()
    }

    @Test("A claim that meets more late tasks than it may look at is served by the next tick")
    func manyBeforeAClaim() throws {
        var core = CoreHarness()
        let most = QueueCore.lateTasksPerClaim * 4
        for _ in 0..<most { _ = submit(&core) }
        let id = core.submit()
        core.wait(milliseconds: 10_000)
        let claim = core.send(.claim(ClaimSpec(queues: ["q"], count: 1, waitMilliseconds: 60_000)))
        #expect(core.counts().cancelled < UInt64(most))
        core.advance(milliseconds: 1)
        guard case .claimed(let deliveries)? = core.takeAnswer(claim)?.reply else { throw Unanswered() }
        #expect(deliveries.map(\.lease.task) == [id])
        try core.checkIndex()
    }

    @Test("A latest start that nothing can keep to is refused, and nothing is stored")
    func refusals() throws {
        var core = CoreHarness()
        for (start, startBy) in [
            (.now, .at(wallMilliseconds: Self.wall)), (.now, .at(wallMilliseconds: 5)), (.now, .now),
            (.now, .after(milliseconds: 0)), (.after(milliseconds: 50), .after(milliseconds: 50)),
            (.at(wallMilliseconds: Self.wall + 50), .after(milliseconds: 20)),
            (.now, .at(wallMilliseconds: 1 << 60)), (.now, .after(milliseconds: .max)),
        ] as [(TaskSpec.Start, TaskSpec.Start)] {
            var spec = TaskSpec(queue: "q", type: "t", start: start)
            spec.startBy = TaskSpec.StartBy(startBy)
            #expect(core.submit(spec).failureCode == .invalidArgument)
        }
        #expect(core.counts() == TaskCounts())
    }
}
