import TQModel
import Testing

@testable import QueueCore

@Suite("Bulk operations") struct BulkTests {
    private func start(_ core: inout CoreHarness, _ spec: BulkSpec) throws -> BulkStatus {
        guard case .bulkOperations(let operations)? = core.reply(.startBulk(spec)), let operation = operations.first
        else { throw Unanswered() }
        return operation
    }

    private func operation(_ core: inout CoreHarness, _ number: UInt32) throws -> BulkStatus {
        guard case .bulkOperations(let operations)? = core.reply(.bulkOperations),
            let operation = operations.first(where: { $0.number == number })
        else { throw Unanswered() }
        return operation
    }

    /// Takes steps as long as there is something to do.
    private func finish(_ core: inout CoreHarness) { while core.core.hasBulkWork { core.run(.stepBulk) } }

    private func run(_ core: inout CoreHarness, _ spec: BulkSpec) throws -> BulkStatus {
        let number = try start(&core, spec).number
        finish(&core)
        return try operation(&core, number)
    }

    @Test(
        "Each change is made to the tasks in states that allow it, and to no others",
        arguments: BulkChange.Kind.allCases
    )
    func changes(_ kind: BulkChange.Kind) throws {
        var core = CoreHarness()
        let dead = try core.bury()
        let failed = core.submit()
        #expect(core.fail(try core.lease(), retryAfter: 60_000) == nil)
        let running = core.submit()
        _ = try core.lease()
        let scheduled = core.submit(start: .after(milliseconds: 60_000))
        let completed = core.submit()
        #expect(core.complete(try core.lease()) == nil)
        let pending = core.submit()
        let change: BulkChange =
            switch kind {
            case .redrive: .redrive
            case .purge: .purge
            case .cancel: .cancel
            case .delete: .delete
            case .move: .move(to: "other")
            case .setPriority: .setPriority(Priority(7))
            }
        let all = [dead, failed, running, scheduled, completed, pending]
        let before = all.compactMap { core.status($0) }
        let ended = try run(&core, BulkSpec(change))
        let meant = zip(all, before).filter { kind.states.contains($0.1.state) }.map(\.0)
        #expect(ended.phase == .finished && ended.changed == UInt64(meant.count) && ended.refused == 0)
        for (id, old) in zip(all, before) {
            guard change != .delete || !meant.contains(id) else {
                #expect(core.status(id) == nil)
                continue
            }
            let new = try core.known(id)
            guard meant.contains(id) else {
                #expect((new.state, new.queue, new.priority) == (old.state, old.queue, old.priority))
                continue
            }
            switch change {
            case .redrive: #expect(new.state == .pending)
            case .purge: #expect(new.state == .cancelled && new.cancelReason == .purged)
            case .cancel: #expect(new.state == .cancelled || new.isCancelRequested)
            case .delete: Issue.record("It is still there")
            case .move(let queue): #expect(new.queue == queue && new.state == old.state)
            case .setPriority(let priority): #expect(new.priority == priority && new.state == old.state)
            }
        }
        try core.checkIndex()
    }

    @Test("A moved task is claimed from its new queue, as urgent as it was, and stays there over restarts and attempts")
    func moved() throws {
        var core = CoreHarness()
        let id = core.submit(priority: 200)
        let scheduled = core.submit(start: .after(milliseconds: 1_000))
        #expect(try run(&core, BulkSpec(.move(to: "other"), filter: TaskFilter(queue: "q"))).changed == 2)
        #expect(core.claim().isEmpty && core.counts().waiting == 0 && core.counts("other").waiting == 2)
        try core.restart()
        core.submit(queue: "other")
        #expect(core.claimIDs(1, queues: ["other"]) == [id])
        try core.restart()
        #expect(try core.known(id).queue == "other")
        core.advance(milliseconds: 60_000)
        #expect(try core.known(id).priority == Priority(200))
        #expect(core.claimIDs(queues: ["other"]).contains(scheduled))
        try core.checkIndex()
    }

    @Test("A submit that replaces a moved task brings it back to its own queue")
    func replacedAfterMove() throws {
        var core = CoreHarness()
        func submit(_ core: inout CoreHarness) -> TaskID {
            core.submit { $0.uniqueKey = UniqueKey([1], scope: .waiting, onConflict: .replace) }
        }
        let id = submit(&core)
        _ = try run(&core, BulkSpec(.move(to: "other")))
        #expect(submit(&core) == id)
        #expect(core.counts().pending == 1 && core.counts("other").pending == 0)
        try core.checkIndex()
        #expect(core.claimIDs() == [id])
    }

    @Test("More urgent tasks go first from then on")
    func priorities() throws {
        var core = CoreHarness()
        let first = core.submit()
        let raised = core.submit(type: "urgent")
        _ = try run(&core, BulkSpec(.setPriority(.high), filter: TaskFilter(type: "urg*")))
        try core.checkIndex()
        #expect(core.claimIDs() == [raised, first])
    }

    @Test("It goes on where it was after a restart, and meets no task twice")
    func resumed() throws {
        var core = CoreHarness()
        let ids = try (0..<600).map { _ in try core.bury() }
        let number = try start(&core, BulkSpec(.redrive)).number
        core.run(.stepBulk)
        let changed = try operation(&core, number).changed
        #expect(changed > 0 && changed < 600)
        // Those that it has put back die again, and are not its business any more.
        for delivery in core.claim(1000) { #expect(core.fail(delivery.lease, isPermanent: true) == nil) }
        try core.restart()
        #expect(try operation(&core, number).phase == .running)
        finish(&core)
        let ended = try operation(&core, number)
        #expect(ended.phase == .finished && ended.changed == 600 && ended.percent == 100)
        #expect(core.counts().deadLetter == changed && core.counts().pending == UInt64(ids.count) - changed)
        try core.checkIndex()
    }

    @Test("Tasks that are submitted after its start are left alone")
    func laterTasks() throws {
        var core = CoreHarness()
        let early = core.submit()
        _ = try start(&core, BulkSpec(.cancel))
        let late = core.submit()
        finish(&core)
        #expect(core.state(early) == .cancelled && core.state(late) == .pending)
    }

    @Test("A filter says which tasks are meant, their errors included")
    func filters() throws {
        var core = CoreHarness()
        let (refused, other) = (core.submit(), core.submit())
        #expect(core.fail(try core.lease(), error: "refused by 10.0.0.1", retryAfter: 60_000) == nil)
        #expect(core.fail(try core.lease(), error: "timeout", retryAfter: 60_000) == nil)
        let ended = try run(&core, BulkSpec(.cancel, filter: TaskFilter(error: Bytes("refused".utf8))))
        #expect(ended.changed == 1 && core.state(refused) == .cancelled && core.state(other) == .failed)
        _ = try core.bury(error: "timeout")
        let kept = try run(&core, BulkSpec(.purge, filter: TaskFilter(error: Bytes("refused".utf8))))
        #expect(kept.phase == .finished && kept.changed == 0)
    }

    @Test("With a rate it changes so many a second, however often it has its turn")
    func rate() throws {
        var core = CoreHarness()
        for _ in 0..<1_000 { core.submit() }
        let number = try start(&core, BulkSpec(.cancel, perSecond: 50)).number
        for _ in 0..<100 {
            core.advance(milliseconds: 50)
            finish(&core)
        }
        let changed = try operation(&core, number).changed
        #expect((240...270).contains(changed), "5 seconds at 50 a second")
    }

    @Test("A stopped operation changes nothing more, and what it changed stays changed")
    func stopped() throws {
        var core = CoreHarness()
        for _ in 0..<600 { core.submit() }
        let number = try start(&core, BulkSpec(.cancel)).number
        core.run(.stepBulk)
        guard case .bulkOperations(let stopped)? = core.reply(.stopBulk(number)) else { throw Unanswered() }
        #expect(stopped.first?.phase == .stopped && stopped.first?.endWallMilliseconds ?? 0 > 0)
        #expect(!core.core.hasBulkWork)
        try core.restart()
        #expect(try operation(&core, number) == stopped.first)
        #expect(core.counts().pending == 600 - (stopped.first?.changed ?? 0))
        #expect(core.errorCode(.stopBulk(number + 1)) == .bulkNotFound)
    }

    @Test("What cannot be changed is counted and passed over, with the reason of the first one")
    func refusals() throws {
        var core = CoreHarness()
        let holder = { (core: inout CoreHarness) in
            core.submit { $0.uniqueKey = UniqueKey([1], scope: .active) }
        }
        let dead = holder(&core)
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        let other = try core.bury()
        let living = holder(&core)
        let ended = try run(&core, BulkSpec(.redrive))
        #expect(ended.phase == .finished && ended.changed == 1 && ended.refused == 1)
        #expect(String(decoding: ended.problem, as: UTF8.self).contains("\(living)"))
        #expect(core.state(dead) == .deadLetter && core.state(other) == .pending)
    }

    @Test("Several operations have turns")
    func turns() throws {
        var core = CoreHarness()
        for _ in 0..<600 {
            core.submit(queue: "a")
            core.submit(queue: "b")
        }
        let first = try start(&core, BulkSpec(.cancel, filter: TaskFilter(queue: "a"))).number
        let second = try start(&core, BulkSpec(.cancel, filter: TaskFilter(queue: "b"))).number
        for _ in 0..<2 { core.run(.stepBulk) }
        #expect(try operation(&core, first).changed > 0)
        #expect(try operation(&core, second).changed > 0)
    }

    @Test("What cannot be meant is refused with the way out, and nothing is kept")
    func badInput() throws {
        var core = CoreHarness()
        core.submit()
        let cases: [(BulkSpec, String)] = [
            (BulkSpec(.cancel, filter: TaskFilter(queue: "qq")), "'qq'"),
            (BulkSpec(.cancel, filter: TaskFilter(type: "u")), "'u'"),
            (BulkSpec(.redrive, filter: TaskFilter(states: [.pending])), "deadLetter"),
            (BulkSpec(.move(to: "a b")), "'a b'"),
            (BulkSpec(.cancel, filter: TaskFilter(error: Bytes(repeating: 1, count: 300))), "300"),
        ]
        for (spec, part) in cases {
            guard case .error(let error)? = core.reply(.startBulk(spec)) else { throw Unanswered() }
            #expect(error.code == .invalidArgument && error.message.contains(part), "\(error)")
        }
        for _ in 0..<Limits.bulkRunningMax { _ = try start(&core, BulkSpec(.cancel)) }
        #expect(core.errorCode(.startBulk(BulkSpec(.cancel))) == .limitExceeded)
        finish(&core)
        #expect(core.errorCode(.startBulk(BulkSpec(.cancel))) == nil)
    }

    @Test("Of those that have ended the last hundred are known")
    func ended() throws {
        var core = CoreHarness()
        for _ in 0..<Limits.bulkEndedMax + 20 { _ = try run(&core, BulkSpec(.cancel)) }
        guard case .bulkOperations(let operations)? = core.reply(.bulkOperations) else { throw Unanswered() }
        #expect(operations.map(\.number) == (21...120).map { UInt32($0) })
        try core.checkIndex()
    }

    @Test("Redrives wait while the disk is nearly full, and everything waits while the broker shuts down")
    func pauses() throws {
        var core = CoreHarness()
        _ = try core.bury()
        core.submit()
        _ = try start(&core, BulkSpec(.redrive))
        core.run(.disk(isLow: true))
        #expect(!core.core.hasBulkWork)
        _ = try start(&core, BulkSpec(.cancel))
        #expect(core.core.hasBulkWork)
        core.run(.drain)
        #expect(!core.core.hasBulkWork && core.errorCode(.startBulk(BulkSpec(.cancel))) == .draining)
        try core.restart()
        finish(&core)
        #expect(core.counts().deadLetter == 0)
    }

    @Test("Counters tell how many tasks of queues and states there are, other filters are counted as far as one looks")
    func counts() throws {
        var core = CoreHarness()
        func count(_ core: inout CoreHarness, _ filter: TaskFilter) throws -> Answer {
            guard let answer = core.answer(.tasks(TaskQuery(filter: filter, isCount: true))) else { throw Unanswered() }
            return answer
        }
        for _ in 0..<3 { core.submit() }
        core.submit(type: "other")
        _ = try core.lease()
        let all = try count(&core, TaskFilter(states: [.pending, .inProgress]))
        #expect(all.reply == .tasks(TaskPage(count: 4)))
        guard case .nothing = all.missing else { throw Unanswered() }
        guard case .tasks(let some) = try count(&core, TaskFilter(type: "t")).reply else { throw Unanswered() }
        #expect(some.count == 3 && some.tasks.isEmpty && some.scanned > 0)
    }
}
