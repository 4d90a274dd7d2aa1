import TQModel
import Testing

@testable import QueueCore

@Suite("What an answer waits for")
struct AnswerTests {
    private func claim(_ core: inout CoreHarness) -> Answer? { core.answer(.claim(ClaimSpec(queues: ["q"]))) }

    @Test("A change waits until its own group is synced")
    func change() {
        var core = CoreHarness()
        let first = core.answer(.submit([TaskSpec(queue: "q", type: "t")]))
        #expect(first?.syncedThrough == 1)
        #expect(first?.writtenThrough == 1)
        core.settle()
        #expect(core.answer(.submit([TaskSpec(queue: "q", type: "t")]))?.syncedThrough == 2)
    }

    @Test("A read, an error and a duplicate wait for everything before them")
    func reads() {
        var core = CoreHarness()
        #expect(core.answer(.ping)?.syncedThrough == 0)
        let spec = TaskSpec(queue: "q", type: "t", idempotencyKey: [1])
        core.send(.submit([spec]))
        for request in [.ping, .statistics, .submit([spec]), .status(TaskID(high: 0, low: 0)), .cancel([])] as [Request]
        {
            #expect(core.answer(request)?.syncedThrough == 1)
        }
        core.settle()
        #expect(core.answer(.ping)?.syncedThrough == 1)
    }

    @Test("A claim of a task that is not synced yet waits for the task's group")
    func claimOfUnsynced() {
        var core = CoreHarness()
        core.submit()
        let answer = claim(&core)
        #expect(answer?.writtenThrough == 1)
        #expect(answer?.syncedThrough == 1)
    }

    @Test("A claim waits for the group that made its task claimable, and for its own only until it is written")
    func claimOfOlder() throws {
        var core = CoreHarness()
        core.submit()
        core.settle()
        core.submit(queue: "other")
        core.settle()
        var answer = claim(&core)
        #expect(answer?.writtenThrough == 3)
        #expect(answer?.syncedThrough == 1)
        core.settle()
        core.advance(milliseconds: 30_000)
        core.settle()
        answer = claim(&core)
        #expect(answer?.writtenThrough == 5)
        #expect(answer?.syncedThrough == 4)
    }

    @Test("A claim of a redriven task waits for the redrive")
    func claimOfRedriven() throws {
        var core = CoreHarness()
        let id = try core.bury()
        #expect(core.redrive(id) == nil)
        let redriveGroup = core.core.newestGroup
        core.settle()
        #expect(claim(&core)?.syncedThrough == redriveGroup)
    }

    @Test("A claim of a recovered task waits for nothing before this start")
    func claimOfRecovered() throws {
        var core = CoreHarness()
        core.submit()
        try core.restart()
        let answer = claim(&core)
        #expect(answer?.syncedThrough == 0)
        #expect(answer?.writtenThrough == 1)
    }

    @Test("A claim that gets nothing waits for everything before it")
    func emptyClaim() {
        var core = CoreHarness()
        core.submit(queue: "other")
        #expect(claim(&core)?.syncedThrough == 1)
    }

    @Test("Whoever waited for a result is told when the end is synced")
    func resultWait() throws {
        var core = CoreHarness()
        let id = core.submit()
        core.settle()
        let wait = core.send(.result(id, waitMilliseconds: 1_000))
        let lease = try core.lease()
        core.settle()
        #expect(core.complete(lease) == nil)
        #expect(core.takeAnswer(wait)?.syncedThrough == 3)
    }

    @Test("A command that needs stored bytes changes nothing before it has them")
    func fetching() throws {
        var core = CoreHarness()
        core.submit()
        let lease = try core.lease()
        core.settle()
        var copy = core.core
        let failure = Command.request(
            1,
            id: 9,
            .anonymous,
            .fail([Failure(lease: lease, error: [], isPermanent: true)])
        )
        let missing = copy.decide(failure, now: core.now)
        #expect(missing.count == 1)
        #expect(!copy.hasEffects)
        #expect(copy.takeAnswers().isEmpty)
        let fetched = Dictionary(uniqueKeysWithValues: missing.map { ($0, core.store.read($0)) })
        #expect(copy.decide(failure, fetched: fetched, now: core.now).isEmpty)
        #expect(copy.takeAnswers().count == 1)
    }

    @Test("The same commands give the same effects")
    func determinism() throws {
        func play() throws -> [String] {
            var core = CoreHarness(CoreConfiguration(seed: 7))
            core.open(2)
            for stream in 1...3 {
                core.send(.openStream(stream: UInt32(stream), ClaimSpec(queues: ["q", "r"], types: ["a*"], count: 5)))
                core.send(.openStream(stream: UInt32(stream), ClaimSpec(queues: ["r"], count: 5)), session: 2)
            }
            for number in 0..<30 { core.submit(queue: number % 2 == 0 ? "q" : "r", type: Name("a\(number % 5)")) }
            core.advance(milliseconds: 30_000)
            core.run(.closeSession(2))
            core.settle()
            return core.core.index.canonicalDump + core.takeAnswers().map { "\($0)" }
        }
        #expect(try play() == play())
    }
}
