import TQModel
import Testing

@testable import QueueCore

@Suite("Ends of tasks, and what is told of them")
struct TaskEndTests {
    private let forged = [
        TaskID(high: 0, low: 0),
        TaskID(high: .max, low: .max),
        TaskIDCipher(key: CoreHarness.storeKey).id(of: TaskSequence(1), createdMilliseconds: 5),
        TaskIDCipher(key: CoreHarness.storeKey).id(of: TaskSequence(0), createdMilliseconds: 0),
        TaskIDCipher(key: CoreHarness.storeKey).id(of: TaskSequence(1 << 61), createdMilliseconds: 0),
        TaskIDCipher(key: StoreKey(high: 1, low: 1)).id(of: TaskSequence(1), createdMilliseconds: 1_700_000_000_000),
    ]

    @Test("A waiting task is cancelled, whatever it waits for")
    func cancelWaiting() throws {
        var core = CoreHarness()
        let failed = core.submit()
        #expect(core.fail(try core.lease()) == nil)
        let pending = core.submit()
        let scheduled = core.submit(start: .after(milliseconds: 1_000))
        for id in [pending, scheduled, failed] {
            #expect(core.cancel(id) == .success(.cancelled))
            #expect(core.state(id) == .cancelled)
            #expect(core.cancel(id).failureCode == .notCancellable)
        }
        core.advance(milliseconds: 100_000)
        #expect(core.claim().isEmpty)
        #expect(core.counts().cancelled == 3)
        #expect(try core.statistics().totals.cancelled == 3)
        try core.checkIndex()
    }

    @Test("A task that has ended is not cancelled")
    func cancelEnded() throws {
        var core = CoreHarness()
        let dead = try core.bury()
        #expect(core.cancel(dead).failureCode == .notCancellable)
        let id = core.submit()
        #expect(core.complete(try core.lease()) == nil)
        #expect(core.cancel(id).failureCode == .notCancellable)
    }

    @Test("Unknown and forged ids are not found, for any request")
    func forgedIDs() {
        var core = CoreHarness()
        core.submit()
        for id in forged {
            let handle = LeaseHandle(task: id, token: LeaseToken(rawValue: 1))
            #expect(core.status(id) == nil)
            #expect(core.errorCode(.status(id)) == .taskNotFound)
            #expect(core.errorCode(.result(id, waitMilliseconds: .max)) == .taskNotFound)
            #expect(core.cancel(id).failureCode == .taskNotFound)
            #expect(core.redrive(id)?.code == .taskNotFound)
            #expect(core.complete(handle)?.code == .taskNotFound)
            #expect(core.fail(handle)?.code == .taskNotFound)
            #expect(core.release(handle)?.code == .taskNotFound)
            #expect(core.renew(handle)?.code == .taskNotFound)
        }
    }

    @Test("A status tells each state of a task")
    func states() throws {
        var core = CoreHarness()
        let spec = TaskSpec(
            queue: "q",
            type: "t",
            rank: Priority(7).rank,
            start: .after(milliseconds: 10),
            retriesMax: 9
        )
        let id = core.id(of: core.submit(spec))
        var status = try core.known(id)
        #expect(status.state == .scheduled)
        #expect(status.startWallMilliseconds == core.now.wallMilliseconds + 10)
        core.advance(milliseconds: 10)
        status = try core.known(id)
        #expect(
            status == TaskStatus(id: id, queue: "q", type: "t", state: .pending, priority: Priority(7), retriesMax: 9)
        )
        let lease = try core.lease(worker: "w")
        status = try core.known(id)
        #expect(status.state == .inProgress)
        #expect(status.worker == "w")
        #expect(status.attempts == 1)
        #expect(core.fail(lease, error: "why") == nil)
        status = try core.known(id)
        #expect(status.state == .failed)
        #expect(status.error.elementsEqual("why".utf8))
        core.advance(milliseconds: 10_000)
        #expect(core.complete(try core.lease(), result: "12345") == nil)
        status = try core.known(id)
        #expect(status.state == .completed)
        #expect(status.resultBytes == 5)
        #expect(status.attempts == 2)
        #expect(status.endWallMilliseconds == core.now.wallMilliseconds)
    }

    @Test("An ended task is found after its segment is gone, with its neighbours and after a restart")
    func locators() throws {
        var core = CoreHarness()
        core.send(.submit((0..<20).map { _ in TaskSpec(queue: "q", type: "t") }))
        let leases = core.claim(20).map(\.lease)
        for (number, lease) in leases.enumerated() {
            #expect(core.complete(lease, result: "\(number)") == nil)
            if number % 7 == 0 { core.settle() }
        }
        try core.checkIndex()
        #expect(core.store.segments.isEmpty)
        #expect(core.store.transitions.isEmpty)
        #expect(core.core.index.tasks.count == 0)
        try core.restart()
        for (number, lease) in leases.enumerated() {
            #expect(core.status(lease.task)?.resultBytes == UInt32("\(number)".count))
        }
    }

    // MARK: Results

    @Test("Whoever waits for a result is told when the task ends, however it does")
    func results() throws {
        var core = CoreHarness()
        func wait(_ id: TaskID) -> UInt32 { core.send(.result(id, waitMilliseconds: 60_000)) }
        func ended(_ request: UInt32) -> Ended? {
            guard case .ended(_, _, let ended, asResult: true)? = core.takeAnswer(request)?.missing else { return nil }
            return ended
        }
        let id = core.submit()
        let waits = [wait(id), wait(id)]
        let lease = try core.lease()
        #expect(core.takeAnswer(waits[0]) == nil)
        #expect(core.complete(lease) == nil)
        core.settle()
        for request in waits {
            let sequence = try #require(core.core.cipher.sequence(of: id))
            #expect(core.store.outcome(sequence, try #require(ended(request)))?.row.state == .completed)
        }
        let cancelled = core.submit()
        let cancelWait = wait(cancelled)
        #expect(core.cancel(cancelled) == .success(.cancelled))
        guard case .outcome? = ended(cancelWait) else {
            Issue.record("the cancelled task's wait was not answered")
            return
        }
        let dead = core.submit()
        let deadWait = wait(dead)
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        guard case .deadLetter? = ended(deadWait) else {
            Issue.record("the dead letter's wait was not answered")
            return
        }
        // Its segment went with it, so nothing in memory says where it is.
        #expect(ended(wait(dead)) == .anywhere(redrives: 0))
    }

    @Test("A dead letter that came back and ended before anybody found it is asked for again")
    func endedAnew() throws {
        var core = CoreHarness()
        let id = core.submit()
        func whereabouts() throws -> Ended {
            guard case .ended(_, _, let ended, _)? = core.answer(.status(id))?.missing else { throw Unanswered() }
            return ended
        }
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        core.settle()
        let first = try whereabouts()
        #expect(core.redrive(id) == nil)
        #expect(core.cancel(id) == .success(.cancelled))
        core.settle()
        // Nothing in memory says where it is, before and after.
        #expect(core.core.isElsewhere(id, than: first))
        let second = try whereabouts()
        #expect(!core.core.isElsewhere(id, than: second))
        #expect(first == .anywhere(redrives: 0) && second == .anywhere(redrives: 1))
    }

    @Test("A dead letter that came back and was buried anew is elsewhere than it was")
    func buriedAnew() throws {
        var core = CoreHarness()
        let id = core.submit()
        // Of the same group, so that the segment lives on.
        core.submit()
        func burial() throws -> Ended {
            guard case .ended(_, _, let ended, _)? = core.answer(.status(id))?.missing else { throw Unanswered() }
            return ended
        }
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        let first = try burial()
        #expect(!core.core.isElsewhere(id, than: first))
        #expect(core.redrive(id) == nil)
        #expect(core.core.isElsewhere(id, than: first))
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        #expect(core.core.isElsewhere(id, than: first))
        #expect(try !core.core.isElsewhere(id, than: burial()))
    }

    @Test("A wait for a result ends at its time, and takes no longer than an hour")
    func resultWaitEnds() {
        var core = CoreHarness()
        let id = core.submit()
        #expect(core.errorCode(.result(id, waitMilliseconds: 0)) == .timedOut)
        let short = core.send(.result(id, waitMilliseconds: 500))
        let long = core.send(.result(id, waitMilliseconds: .max))
        core.advance(milliseconds: 499)
        #expect(core.takeAnswer(short) == nil)
        core.advance(milliseconds: 1)
        guard case .error(let error)? = core.takeAnswer(short)?.reply else {
            Issue.record("the wait did not end")
            return
        }
        #expect(error.code == .timedOut)
        core.advance(milliseconds: Limits.waitMillisecondsMax - 501)
        #expect(core.takeAnswer(long) == nil)
        core.advance(milliseconds: 1)
        #expect(core.takeAnswer(long) != nil)
        #expect(core.core.session.resultWaits.isEmpty)
    }

    @Test("A result too large is refused, and the lease stays")
    func largeResult() throws {
        var core = CoreHarness()
        core.submit()
        let lease = try core.lease()
        let large = Completion(lease: lease, result: Bytes(repeating: 0, count: Limits.payloadBytesMax + 1))
        guard case .outcomes(let outcomes)? = core.reply(.complete([large])) else {
            Issue.record("no outcomes")
            return
        }
        #expect(outcomes.map { $0?.code } == [.payloadTooLarge])
        #expect(core.complete(lease) == nil)
    }

    // MARK: Retention

    @Test("An outcome is kept for its retention and gone after it, with its locator and its count")
    func retention() throws {
        var core = CoreHarness()
        let short = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retentionMilliseconds: 600_000)))
        let long = core.submit()
        for lease in core.claim(2).map(\.lease) { #expect(core.complete(lease) == nil) }
        core.advance(milliseconds: 600_000)
        #expect(core.state(short) == .completed)
        core.advance(milliseconds: 60_000)
        #expect(core.state(short) == nil)
        #expect(core.state(long) == .completed)
        #expect(core.counts().completed == 1)
        #expect(try core.statistics().totals.expired == 1)
        try core.checkIndex()
        core.advance(milliseconds: Defaults.retentionMilliseconds + 3_600_000)
        #expect(core.state(long) == nil)
        try core.checkIndex()
        #expect(core.store.outcomes.isEmpty)
        core.expireAll()
        #expect(core.store.locators.isEmpty)
        #expect(core.store.counters.isEmpty)
    }

    @Test("An outcome expires while a neighbour still pins the segment")
    func retentionOfNeighbour() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", retentionMilliseconds: 60_000)
        core.send(.submit([spec, spec]))
        let leases = core.claim(2, leaseMilliseconds: 10_000_000).map(\.lease)
        #expect(core.complete(leases[0]) == nil)
        core.advance(milliseconds: 180_000)
        #expect(core.state(leases[0].task) == nil)
        #expect(core.complete(leases[1]) == nil)
        #expect(core.state(leases[1].task) == .completed)
        try core.checkIndex()
        core.advance(milliseconds: 180_000)
        try core.checkIndex()
        core.expireAll()
        #expect(core.store.locators.isEmpty)
    }
}
