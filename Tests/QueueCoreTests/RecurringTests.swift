import Recurrence
import TQModel
import Testing

@testable import QueueCore

@Suite("Recurring tasks")
struct RecurringTests {
    /// 2023-11-14 22:13:20.
    private static let start = CoreHarness.start.wallMilliseconds

    private func spec(
        _ recurrence: String,
        catchUpMax: UInt32 = 1,
        overlap: RecurringSpec.Overlap = .allow,
        _ change: (inout TaskSpec) -> Void = { _ in }
    ) -> RecurringSpec {
        var task = TaskSpec(queue: "q", type: "t", payload: [5])
        change(&task)
        return RecurringSpec(
            name: "r",
            recurrence: Bytes(recurrence.utf8),
            task: task,
            catchUpMax: catchUpMax,
            overlap: overlap
        )
    }

    private func put(_ core: inout CoreHarness, _ spec: RecurringSpec) throws -> RecurringStatus {
        guard case .recurring(let page)? = core.reply(.putRecurring(spec)), let status = page.tasks.first else {
            throw Unanswered()
        }
        return status
    }

    private func status(_ core: inout CoreHarness) throws -> RecurringStatus {
        guard case .recurring(let page)? = core.reply(.recurring(after: nil, count: 10)), let status = page.tasks.first
        else { throw Unanswered() }
        return status
    }

    /// The ticks of the pending tasks, in their order, in seconds after the start; each is completed.
    private func takeTicks(_ core: inout CoreHarness) -> [Int64] {
        core.claim(1000).map { delivery in
            #expect(core.complete(delivery.lease) == nil)
            return (Int64(delivery.tickWallMilliseconds) - Int64(Self.start)) / 1000
        }
    }

    @Test("Each tick submits one task at its time, over restarts none twice and none lost")
    func ticks() throws {
        var core = CoreHarness()
        let status = try put(&core, spec("every:10s"))
        #expect(status.upcoming == (1...5).map { Self.start + $0 * 10_000 })
        var seen: [Int64] = []
        for second in 1...60 {
            core.advance(milliseconds: 1_000)
            if second % 7 == 0 { try core.restart() }
            core.run(.tick)
            seen += takeTicks(&core)
            #expect(seen.count == second / 10)
        }
        #expect(seen == [10, 20, 30, 40, 50, 60])
        let end = try self.status(&core)
        #expect(end.submitted == 6 && end.skipped == 0)
        #expect(end.lastTickWallMilliseconds == Self.start + 60_000)
        try core.checkIndex()
    }

    @Test("A task tells the tick and the recurring task that it is for")
    func tellsTick() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10s") { $0.rank = Priority.high.rank })
        core.advance(milliseconds: 10_000)
        let id = try #require(try status(&core).lastTask)
        let status = try core.known(id)
        #expect(status.tick == Tick(recurring: "r", wallMilliseconds: Self.start + 10_000))
        #expect(status.priority == .high && status.state == .pending)
        let delivery = try #require(core.claim().first)
        #expect(core.payload(of: delivery) == [5])
        #expect(core.reply(.removeRecurring("r")) == .done)
        #expect(try core.known(id).tick == Tick(recurring: "", wallMilliseconds: Self.start + 10_000))
    }

    @Test(
        "Of ticks that passed unseen the last so many are made up for",
        arguments: [UInt32(1), 3, 1000]
    )
    func catchUp(countMax: UInt32) throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:5s", catchUpMax: countMax))
        try core.restart()
        core.wait(milliseconds: 98_000)
        core.run(.tick)
        let passed = Array(stride(from: Int64(5), through: 95, by: 5))
        #expect(takeTicks(&core) == Array(passed.suffix(Int(countMax))))
        let status = try status(&core)
        #expect(status.submitted + status.skipped == 19)
        try core.checkIndex()
    }

    @Test("Without catching up, a tick that is noticed more than a minute late is left out")
    func grace() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10m from 2023-11-14T22:13:20Z", catchUpMax: 0))
        core.wait(milliseconds: 10 * 60_000 + 59_000)
        core.run(.tick)
        #expect(takeTicks(&core) == [600])
        core.wait(milliseconds: 10 * 60_000 + 2_000)
        core.run(.tick)
        #expect(takeTicks(&core) == [])
        #expect(try status(&core).skipped == 1)
    }

    @Test("While the task of the tick before has not ended, the next is submitted, left out, or takes its place")
    func overlap() throws {
        for (overlap, pending, skipped) in [
            (.allow, 3, 0), (.skip, 1, 2), (.replace, 1, 0),
        ] as [(RecurringSpec.Overlap, UInt64, UInt64)] {
            var core = CoreHarness()
            _ = try put(&core, spec("every:10s", overlap: overlap))
            for _ in 0..<3 { core.advance(milliseconds: 10_000) }
            #expect(core.counts().pending == pending, "\(overlap)")
            #expect(try status(&core).skipped == skipped, "\(overlap)")
            #expect(core.counts().cancelled == (overlap == .replace ? 2 : 0))
            let lease = try core.lease()
            core.advance(milliseconds: 10_000)
            #expect(try core.known(lease.task).isCancelRequested == (overlap == .replace))
            #expect(core.complete(lease) == nil)
            core.advance(milliseconds: 10_000)
            #expect(core.counts().pending > 0)
            try core.checkIndex()
        }
    }

    @Test("A paused one is not due, also after a restart; what passed meanwhile is left out")
    func pausing() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10s", catchUpMax: 10))
        core.advance(milliseconds: 10_000)
        guard case .recurring(let page)? = core.reply(.pauseRecurring("r", isPaused: true)) else { throw Unanswered() }
        #expect(page.tasks.first?.isPaused == true && page.tasks.first?.upcoming == [])
        core.advance(milliseconds: 30_000)
        try core.restart()
        core.advance(milliseconds: 5_000)
        #expect(takeTicks(&core) == [10])
        #expect(try put(&core, spec("every:10s", catchUpMax: 10)).isPaused, "a deployment does not resume it")
        core.advance(milliseconds: 0)
        #expect(takeTicks(&core) == [])
        _ = core.reply(.pauseRecurring("r", isPaused: false))
        core.advance(milliseconds: 5_000)
        #expect(takeTicks(&core) == [50])
        try core.checkIndex()
    }

    @Test("It runs when somebody asks for it, besides its ticks")
    func running() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10s"))
        guard case .submitted(let results)? = core.reply(.runRecurring("r")) else { throw Unanswered() }
        let id = core.id(of: try #require(results.first))
        #expect(core.state(id) == .pending)
        #expect(try status(&core).submitted == 1 && status(&core).lastTask == nil, "it is no tick's task")
        let delivery = try #require(core.claim().first)
        #expect(delivery.tickWallMilliseconds == 0)
        core.advance(milliseconds: 10_000)
        #expect(takeTicks(&core) == [10])
        try core.checkIndex()
    }

    @Test("A clock that is set back brings no tick again, one that is set forward is made up for once")
    func clockSteps() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10m from 2023-11-14T22:13:20Z"))
        core.advance(milliseconds: 600_000)
        #expect(takeTicks(&core) == [600])
        core.jumpWall(byMilliseconds: 3_600_000)
        #expect(takeTicks(&core) == [4200])
        core.jumpWall(byMilliseconds: -3_600_000)
        for _ in 0..<6 { core.advance(milliseconds: 600_000) }
        #expect(takeTicks(&core) == [])
        _ = core.reply(.pauseRecurring("r", isPaused: true))
        _ = core.reply(.pauseRecurring("r", isPaused: false))
        core.advance(milliseconds: 600_000)
        #expect(takeTicks(&core) == [4800])
        try core.checkIndex()
    }

    @Test("Put again it goes on where it was; with another recurrence from now on; removed it is gone")
    func puttingAgain() throws {
        var core = CoreHarness()
        _ = try put(&core, spec("every:10s"))
        core.wait(milliseconds: 10_000)
        _ = try put(&core, spec("every:10s") { $0.payload = [6] })
        core.run(.tick)
        let delivery = try #require(core.claim().first)
        #expect(delivery.tickWallMilliseconds == Self.start + 10_000, "a deployment loses no tick")
        #expect(core.payload(of: delivery) == [6])
        #expect(core.complete(delivery.lease) == nil)
        core.wait(milliseconds: 10_000)
        _ = try put(&core, spec("every:7s"))
        core.run(.tick)
        #expect(core.claim().isEmpty)
        #expect(core.reply(.removeRecurring("r")) == .done)
        #expect(core.errorCode(.removeRecurring("r")) == .recurringNotFound)
        core.advance(milliseconds: 60_000)
        #expect(core.claim().isEmpty)
        try core.checkIndex()
        try core.restart()
        guard case .recurring(let page)? = core.reply(.recurring(after: nil, count: 10)) else { throw Unanswered() }
        #expect(page.tasks.isEmpty)
    }

    @Test("A broker that drains, or whose disk is nearly full, submits later what is due")
    func postponed() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 1))
        core.submit()
        _ = try put(&core, spec("every:10s"))
        core.run(.disk(isLow: true))
        core.advance(milliseconds: 10_000)
        #expect(core.counts().pending == 1)
        core.run(.disk(isLow: false))
        core.run(.tick)
        #expect(core.counts().pending == 2, "a full queue takes it")
        core.run(.drain)
        core.advance(milliseconds: 10_000)
        #expect(core.counts().pending == 2)
        #expect(core.errorCode(.runRecurring("r")) == .draining)
        try core.restart()
        core.run(.tick)
        #expect(core.counts().pending == 3)
    }

    @Test("Zones come from their files, which are read again: what is due next follows them")
    func zones() throws {
        var core = CoreHarness()
        let line = "daily:12:00 Test/Zone"
        guard case .ticks(let ticks)? = core.reply(.upcomingTicks(recurrence: Bytes(line.utf8))) else {
            throw Unanswered()
        }
        #expect(try put(&core, spec(line)).upcoming == ticks)
        core.store.zones["Test/Zone"] = nil
        try core.restart()
        core.run(.tick)
        let lost = try status(&core)
        #expect(lost.upcoming == [] && String(decoding: lost.problem, as: UTF8.self).contains("no such file"))
        core.store.zones["Test/Zone"] = .utc
        core.advance(milliseconds: 30_000)
        #expect(try status(&core).upcoming == [], "not before a minute has passed")
        core.advance(milliseconds: 31_000)
        #expect(try status(&core).upcoming == ticks)
        core.store.zones["Test/Zone"] = nil
        core.advance(milliseconds: 3_700_000)
        #expect(try status(&core).upcoming == ticks, "what was known is good enough")
    }

    @Test("What cannot recur is refused by name, and nothing is stored")
    func refusals() throws {
        var core = CoreHarness()
        let cases: [(RecurringSpec, String)] = [
            (spec("every:500ms"), "500 ms is too short"), (spec("cron:0 0 30 2 *"), "never runs"),
            (spec("at:2001-01-01T00:00:00Z"), "never due any more"), (spec("daily:9:00 No/Zone"), "No/Zone"),
            (spec("cron:0 0 * * * 2026"), "has five fields"), (spec("often"), "often"),
            (spec("every:1m", catchUpMax: 1001), "1001"),
            (spec("every:1m") { $0.payload = Bytes(repeating: 1, count: 65_537) }, "65537 bytes"),
            (spec("every:1m") { $0.start = .after(milliseconds: 5) }, "start time"),
            (spec("every:1m") { $0.idempotencyKey = [1] }, "idempotency key"),
            (spec("every:1m") { $0.uniqueKey = UniqueKey([1]) }, "unique key"),
            (spec("every:1m") { $0.startBy = .init(.at(wallMilliseconds: 1 << 45)) }, "Give a span"),
            (spec("every:1m") { $0.queue = "" }, "queue name"),
            (RecurringSpec(name: "no name", recurrence: Bytes("every:1m".utf8), task: TaskSpec(type: "t")), "no name"),
        ]
        for (wrong, part) in cases {
            guard case .error(let error)? = core.reply(.putRecurring(wrong)) else {
                Issue.record("\(String(decoding: wrong.recurrence, as: UTF8.self)) was taken")
                continue
            }
            #expect(error.message.contains(part), "\(error)")
            #expect(error.code == .invalidArgument || error.code == .payloadTooLarge)
        }
        guard case .recurring(let page)? = core.reply(.recurring(after: nil, count: 10)) else { throw Unanswered() }
        #expect(page.tasks.isEmpty)
        #expect(core.errorCode(.recurring(after: nil, count: 0)) == .invalidArgument)
        #expect(core.errorCode(.runRecurring("r")) == .recurringNotFound)
        try core.checkIndex()
    }
}
