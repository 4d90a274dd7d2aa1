import TQModel
import Testing

@testable import QueueCore

@Suite("Outcomes that go before their time") struct ForgettingTests {
    /// Submits tasks and completes them, one group each.
    private func complete(
        _ count: Int,
        _ core: inout CoreHarness,
        queue: Name = "q",
        result: String = ""
    ) throws -> [TaskID] {
        try (0..<count).map { _ in
            let id = core.submit(queue: queue)
            let delivery = try #require(core.claim(queues: [queue]).first)
            #expect(core.complete(delivery.lease, result: result) == nil)
            core.settle()
            return id
        }
    }

    /// Submits tasks that share a segment.
    private func submitTogether(_ count: Int, _ core: inout CoreHarness) throws -> [TaskID] {
        let specs = Array(repeating: TaskSpec(queue: "q", type: "t"), count: count)
        guard case .submitted(let results)? = core.reply(.submit(specs)) else { throw Unanswered() }
        return try results.map { try $0.get().id }
    }

    private func known(_ ids: [TaskID], _ core: inout CoreHarness) -> [TaskID] {
        ids.filter { core.status($0) != nil }
    }

    private func delete(_ core: inout CoreHarness, _ filter: TaskFilter = TaskFilter()) throws -> BulkStatus {
        guard case .bulkOperations(let started)? = core.reply(.startBulk(BulkSpec(.delete, filter: filter))) else {
            throw Unanswered()
        }
        while core.core.hasBulkWork { core.run(.stepBulk) }
        guard case .bulkOperations(let all)? = core.reply(.bulkOperations),
            let ended = all.first(where: { $0.number == started.first?.number })
        else { throw Unanswered() }
        return ended
    }

    // MARK: Too many

    @Test("A queue keeps so many outcomes and no more: those go first that would expire first")
    func capped() throws {
        var core = CoreHarness()
        let ids = try complete(20, &core)
        let others = try complete(3, &core, queue: "other")
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(outcomesMax: 7))) == .done)
        core.run(.tick)
        #expect(known(ids, &core) == Array(ids.suffix(7)) && known(others, &core) == others)
        #expect(core.counts().completed == 7 && core.core.totals.forgotten == 13)
        try core.checkIndex()
        // Also after a restart the next one takes the place of the oldest.
        try core.restart()
        let next = try complete(1, &core)
        core.run(.tick)
        #expect(known(ids + next, &core) == ids.suffix(6) + next)
        try core.checkIndex()
    }

    @Test("A queue keeps so many bytes of results and no more, counted over restarts")
    func cappedBytes() throws {
        var core = CoreHarness()
        let ids = try complete(6, &core, result: "0123456789")
        let empty = try complete(2, &core)
        try core.restart()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(resultBytesMax: 25))) == .done)
        core.run(.tick)
        #expect(known(ids + empty, &core) == ids.suffix(2) + empty)
        try core.checkIndex()
        core.run(.tick)
        #expect(core.counts().completed == 4)
    }

    @Test("A queue keeps so many bytes of dead letters and no more; one that was put back does not count")
    func cappedLetterBytes() throws {
        var core = CoreHarness()
        var ids: [TaskID] = []
        for _ in 0..<5 { ids.append(try core.bury(error: "12345", payload: "12345")) }
        #expect(core.redrive(ids[4]) == nil)
        core.settle()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(deadLetterBytesMax: 40))) == .done)
        core.run(.tick)
        #expect(core.counts().deadLetter == 4)
        try core.restart()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(deadLetterBytesMax: 39))) == .done)
        core.run(.tick)
        #expect(core.state(ids[0]) == .cancelled && core.counts().deadLetter == 3)
        try core.checkIndex()
    }

    @Test("What is left of a record is written again: results, and what lists find it by")
    func shared() throws {
        var core = CoreHarness()
        let ids = (["q", "r", "q", "r"] as [Name]).map { core.submit(queue: $0) }
        let leases = core.claim(4, queues: ["q", "r"]).map(\.lease)
        // One group, one record.
        for lease in leases {
            core.send(.complete([Completion(lease: lease, result: Bytes("\(lease.task)".utf8))]))
        }
        core.settle()
        #expect(core.store.outcomes.count == 1)
        for queue in ["q", "r"] as [Name] {
            #expect(core.reply(.putQueuePolicy(queue, QueuePolicy(outcomesMax: 1))) == .done)
        }
        core.run(.tick)
        let left = known(ids, &core)
        #expect(left == [ids[2], ids[3]])
        let results = core.store.outcomes.values.joined().map(\.result)
        #expect(Set(results) == Set(left.map { Bytes("\($0)".utf8) }))
        try core.checkIndex()
    }

    @Test("A task whose segment is there for others is forgotten for good when the segment goes")
    func segmentLater() throws {
        var core = CoreHarness()
        let ids = try submitTogether(3, &core)
        let leases = core.claim(3).map(\.lease)
        #expect(core.complete(leases[0]) == nil && core.complete(leases[1]) == nil)
        core.settle()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(outcomesMax: 1))) == .done)
        core.run(.tick)
        #expect(known(ids, &core) == [ids[1], ids[2]])
        try core.checkIndex()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy())) == .done)
        #expect(core.complete(leases[2]) == nil)
        core.settle()
        #expect(core.store.segments.isEmpty && known(ids, &core) == [ids[1], ids[2]])
        try core.checkIndex()
    }

    // MARK: Deleted

    @Test("A bulk deletion takes what it is for, with histories, tags and all that leads there, and leaves the rest")
    func deleted() throws {
        var core = CoreHarness()
        let tagged = core.submit { $0.tags = ["old"] }
        let lease = try core.lease()
        #expect(core.fail(lease, retryAfter: 0) == nil)
        #expect(core.complete(try core.lease()) == nil)
        core.settle()
        let plain = try complete(3, &core)
        let cancelled = core.submit()
        #expect(core.cancel(cancelled) == .success(.cancelled))
        let open = core.submit()
        core.settle()
        let first = try delete(&core, TaskFilter(tag: "old"))
        #expect(first.changed == 1 && first.phase == .finished && first.percent == 100)
        #expect(known([tagged] + plain + [cancelled, open], &core) == plain + [cancelled, open])
        #expect(core.store.histories.isEmpty && core.store.tags.isEmpty)
        try core.checkIndex()
        let second = try delete(&core, TaskFilter(states: [.completed]))
        #expect(second.changed == 3 && known(plain + [cancelled, open], &core) == [cancelled, open])
        let third = try delete(&core)
        #expect(third.changed == 1 && known([cancelled, open], &core) == [open])
        try core.checkIndex()
        #expect(core.store.outcomes.isEmpty && core.store.locators.isEmpty)
    }

    @Test("A bulk deletion goes on over restarts until nothing is left, and takes no task that came later")
    func resumed() throws {
        var core = CoreHarness()
        let ids = try complete(600, &core)
        guard case .bulkOperations? = core.reply(.startBulk(BulkSpec(.delete))) else { throw Unanswered() }
        let later = try complete(1, &core)
        core.run(.stepBulk)
        #expect((1...599).contains(known(ids, &core).count))
        try core.restart()
        while core.core.hasBulkWork { core.run(.stepBulk) }
        guard case .bulkOperations(let operations)? = core.reply(.bulkOperations) else { throw Unanswered() }
        #expect(operations.first?.changed == 600 && operations.first?.phase == .finished)
        #expect(known(ids, &core).isEmpty && known(later, &core) == later)
        try core.checkIndex()
    }

    @Test("What was read before something else was forgotten is read again")
    func stale() throws {
        var core = CoreHarness()
        let ids = try complete(4, &core)
        guard case .bulkOperations? = core.reply(.startBulk(BulkSpec(.delete))) else { throw Unanswered() }
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(outcomesMax: 3))) == .done)
        core.settle()
        let fetched = core.readEarly(.stepBulk)
        core.run(.tick)
        #expect(known(ids, &core).count == 3)
        core.run(.stepBulk, fetched: fetched)
        while core.core.hasBulkWork { core.run(.stepBulk) }
        #expect(known(ids, &core).isEmpty)
        try core.checkIndex()
    }

    @Test("A task that loses its row after what leads to it was read has another turn")
    func rowLost() throws {
        var core = CoreHarness()
        let ids = try submitTogether(2, &core)
        let leases = core.claim(2).map(\.lease)
        #expect(core.complete(leases[0]) == nil)
        core.settle()
        guard case .bulkOperations? = core.reply(.startBulk(BulkSpec(.delete))) else { throw Unanswered() }
        core.settle()
        let fetched = core.readEarly(.stepBulk)
        #expect(core.complete(leases[1]) == nil)
        core.settle()
        core.run(.stepBulk, fetched: fetched)
        while core.core.hasBulkWork { core.run(.stepBulk) }
        #expect(known(ids, &core).isEmpty)
        try core.checkIndex()
    }

    @Test("The same where there are too many: the next tick finds it, although others were forgotten behind it")
    func rowLostOfSurplus() throws {
        var core = CoreHarness()
        let ids = try submitTogether(2, &core)
        let leases = core.claim(2).map(\.lease)
        #expect(core.complete(leases[0]) == nil)
        core.settle()
        let others = try complete(2, &core)
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(outcomesMax: 1))) == .done)
        core.settle()
        let fetched = core.readEarly(.tick)
        #expect(core.complete(leases[1]) == nil)
        core.settle()
        core.run(.tick, fetched: fetched)
        core.run(.tick)
        #expect(known(ids + others, &core) == [ids[1]])
        try core.checkIndex()
    }

    @Test("A deleted task keeps its idempotency key until the window is over, and is known no more")
    func keys() throws {
        var core = CoreHarness()
        let id = core.submit { $0.idempotencyKey = [1] }
        #expect(core.complete(try core.lease()) == nil)
        core.settle()
        #expect(try delete(&core).changed == 1)
        #expect(core.submit { $0.idempotencyKey = [1] } == id)
        #expect(core.status(id) == nil)
        try core.checkIndex()
    }

    @Test("Deletion is for tasks that have ended, and a filter for others is refused")
    func refused() {
        var core = CoreHarness()
        let spec = BulkSpec(.delete, filter: TaskFilter(states: [.pending]))
        #expect(core.errorCode(.startBulk(spec)) == .invalidArgument)
    }
}
