import TQModel
import Testing

@testable import QueueCore

@Suite("How long dead letters are kept")
struct DeadLetterExpiryTests {
    /// Makes a task of the queue `q` a dead letter that is kept so long.
    private func bury(_ core: inout CoreHarness, kept milliseconds: UInt64 = 10_000) throws -> TaskID {
        let id = core.submit { $0.deadLetterRetentionMilliseconds = milliseconds }
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        core.settle()
        return id
    }

    /// Ticks until nothing is due any more.
    private func advance(_ core: inout CoreHarness, _ milliseconds: UInt64) {
        core.advance(milliseconds: milliseconds)
        core.expireAll()
    }

    @Test("A dead letter is over when its time is, and not before")
    func inTime() throws {
        var core = CoreHarness()
        let id = try bury(&core)
        advance(&core, 9_000)
        #expect(core.state(id) == .deadLetter)
        advance(&core, 2_001)
        let status = try core.known(id)
        #expect(status.state == .cancelled && status.cancelReason == .expired)
        #expect(core.counts().deadLetter == 0 && core.counts().cancelled == 1)
        #expect(core.letter(id) == nil)
        try core.checkIndex()
        // Then it is as any other task that has ended.
        advance(&core, Defaults.retentionMilliseconds + 3_600_000)
        #expect(core.state(id) == nil)
        #expect(core.store.histories.isEmpty && core.store.endedHistories.isEmpty)
        try core.checkIndex()
    }

    @Test("Without a time it is kept until somebody decides")
    func kept() throws {
        var core = CoreHarness()
        let id = try core.bury()
        advance(&core, 400 * 86_400_000)
        #expect(core.state(id) == .deadLetter)
    }

    @Test("What the task says goes before what its queue says, and that before the broker's setting")
    func whoSays() throws {
        var core = CoreHarness(CoreConfiguration(deadLetterRetentionMilliseconds: 30_000))
        let mine = try bury(&core)
        let brokers = try bury(&core, kept: 0)
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(deadLetterRetentionMilliseconds: 20_000))) == .done)
        let queues = try bury(&core, kept: 0)
        advance(&core, 11_001)
        #expect(core.state(mine) == .cancelled)
        #expect(core.state(queues) == .deadLetter && core.state(brokers) == .deadLetter)
        advance(&core, 10_000)
        #expect(core.state(queues) == .cancelled && core.state(brokers) == .deadLetter)
        advance(&core, 10_000)
        #expect(core.state(brokers) == .cancelled)
        try core.checkIndex()
    }

    @Test("The time counts over a restart, and while the broker does not run it stands still")
    func restart() throws {
        var core = CoreHarness()
        let id = try bury(&core)
        core.wait(milliseconds: 5_000)
        core.submit(queue: "other")
        try core.restart()
        advance(&core, 1_000)
        #expect(core.state(id) == .deadLetter)
        advance(&core, 5_001)
        #expect(core.state(id) == .cancelled)
        try core.restart()
        advance(&core, 60_000)
        #expect(core.counts().cancelled == 1)
        try core.checkIndex()
    }

    @Test("One that was put back does not expire, and has its whole time when it is buried again")
    func redriven() throws {
        var core = CoreHarness()
        let id = try bury(&core)
        core.advance(milliseconds: 9_000)
        #expect(core.redrive(id) == nil)
        let lease = try core.lease(leaseMilliseconds: 60_000)
        advance(&core, 20_000)
        #expect(core.state(id) == .inProgress)
        #expect(core.fail(lease, isPermanent: true) == nil)
        advance(&core, 9_000)
        #expect(core.state(id) == .deadLetter)
        advance(&core, 2_001)
        #expect(core.state(id) == .cancelled)
        try core.checkIndex()
    }

    @Test("One that is put back while a tick reads it stays alive")
    func race() throws {
        var core = CoreHarness()
        let id = try bury(&core)
        core.wait(milliseconds: 11_001)
        // What a tick has read is old when it comes to decide.
        var fetched: [Fetch: Fetched] = [:]
        for _ in 0..<2 {
            for fetch in core.reads(.tick) { fetched[fetch] = core.store.read(fetch) }
            core.run(.tick, fetched: fetched)
            if core.state(id) != .deadLetter { break }
        }
        #expect(core.state(id) == .cancelled)
        let other = try bury(&core)
        core.wait(milliseconds: 11_001)
        fetched = [:]
        for fetch in core.reads(.tick) { fetched[fetch] = core.store.read(fetch) }
        #expect(core.redrive(other) == nil)
        core.run(.tick, fetched: fetched)
        #expect(core.state(other) == .pending)
        try core.checkIndex()
    }

    @Test("A tick ends so many, and the next ones the others")
    func bounded() throws {
        var core = CoreHarness()
        for _ in 0..<600 { _ = try bury(&core) }
        core.advance(milliseconds: 11_001)
        core.run(.tick)
        #expect((1...599).contains(core.counts().deadLetter))
        core.expireAll()
        #expect(core.counts().deadLetter == 0 && core.counts().cancelled == 600)
        try core.checkIndex()
    }

    @Test("A dead letter that is over frees its unique key")
    func uniqueKey() throws {
        var core = CoreHarness()
        func spec() -> TaskSpec {
            TaskSpec(
                queue: "q",
                type: "t",
                deadLetterRetentionMilliseconds: 10_000,
                uniqueKey: UniqueKey(Bytes("k".utf8), scope: .unfinished, onConflict: .refuse)
            )
        }
        _ = core.id(of: core.submit(spec()))
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        #expect(core.submit(spec()).failureCode == .conflict)
        advance(&core, 11_001)
        _ = core.id(of: core.submit(spec()))
        try core.checkIndex()
    }

    @Test("Where nothing goes by itself, a compaction that is asked for takes them")
    func onRequest() throws {
        var core = CoreHarness(CoreConfiguration(expiresOutcomes: false))
        let id = try bury(&core)
        advance(&core, 60_000)
        #expect(core.state(id) == .deadLetter)
        core.send(.compact)
        core.expireAll()
        #expect(core.state(id) == .cancelled)
        try core.checkIndex()
    }

    @Test("A queue that has more dead letters than it keeps loses the oldest, some in each tick")
    func capped() throws {
        var core = CoreHarness()
        var ids: [TaskID] = []
        for _ in 0..<100 { ids.append(try bury(&core, kept: 0)) }
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(deadLettersMax: 3))) == .done)
        core.run(.tick)
        #expect((4...99).contains(core.counts().deadLetter))
        for _ in 0..<10 { core.run(.tick) }
        #expect(core.counts().deadLetter == 3)
        for id in ids.suffix(3) { #expect(core.state(id) == .deadLetter) }
        let status = try core.known(ids[96])
        #expect(status.state == .cancelled && status.cancelReason == .displaced)
        // The one that comes in takes the place of the oldest, over restarts too.
        try core.restart()
        let newest = try bury(&core, kept: 0)
        core.run(.tick)
        #expect(core.state(newest) == .deadLetter && core.state(ids[97]) == .cancelled)
        #expect(core.counts().deadLetter == 3)
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy())) == .done)
        _ = try bury(&core, kept: 0)
        core.run(.tick)
        #expect(core.counts().deadLetter == 4)
        try core.checkIndex()
    }

    @Test("One that is put back while a tick reads the oldest stays alive, and no other goes in its place")
    func cappedRace() throws {
        var core = CoreHarness()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(deadLettersMax: 1))) == .done)
        let ids = [try bury(&core, kept: 0), try bury(&core, kept: 0)]
        let fetched = core.readEarly(.tick)
        #expect(core.redrive(ids[0]) == nil)
        core.run(.tick, fetched: fetched)
        #expect(core.state(ids[0]) == .pending && core.state(ids[1]) == .deadLetter)
        try core.checkIndex()
    }

    @Test("A time that is too long is refused")
    func refused() {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", deadLetterRetentionMilliseconds: .max)
        #expect(core.submit(spec).failureCode == .invalidArgument)
        let policy = QueuePolicy(deadLetterRetentionMilliseconds: .max)
        #expect(core.errorCode(.putQueuePolicy("q", policy)) == .invalidArgument)
    }
}
