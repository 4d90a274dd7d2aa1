import TQModel
import Testing

@testable import QueueCore

@Suite("Gates, and why tasks wait") struct GateTests {
    // MARK: Pauses

    @Test(
        "A pause of a queue, a type or everything lets no task through, over restarts too, and what runs goes on",
        arguments: [GateScope.queue("q"), .type("t"), .everything]
    )
    func paused(_ scope: GateScope) throws {
        var core = CoreHarness()
        core.submit()
        let running = try core.lease()
        let id = core.submit()
        let other = core.submit(queue: "other", type: "u")
        #expect(try change(GateChange(scope, isPaused: true), &core).isPaused)
        #expect(core.claim().isEmpty)
        let others = core.claimIDs(queues: ["other"])
        #expect(others == (scope == .everything ? [] : [other]))
        #expect(core.complete(running) == nil)
        try core.restart()
        #expect(core.claim().isEmpty)
        try core.checkIndex()
        #expect(try !change(GateChange(scope, isPaused: false), &core).isPaused)
        #expect(core.claimIDs(1) == [id])
        try core.checkIndex()
    }

    @Test("A pause with a duration ends by itself, and whoever waits gets the task then")
    func pauseEnds() throws {
        var core = CoreHarness()
        try change(GateChange(.queue("q"), isPaused: true, pauseMilliseconds: 5_000), &core)
        let id = core.submit()
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        core.advance(milliseconds: 4_000)
        #expect(claimed(by: request, &core) == nil)
        core.advance(milliseconds: 2_000)
        #expect(claimed(by: request, &core) == [id])
        #expect(core.reply(.gates) == .gates([]))
        try core.checkIndex()
    }

    @Test("Claims that name no types pass over a type that is paused, and take the next ones in their order")
    func passedOver() throws {
        var core = CoreHarness()
        try change(GateChange(.type("slow"), isPaused: true), &core)
        let slow = core.submit(type: "slow")
        let ids = [core.submit(type: "a"), core.submit(type: "b", priority: 200), core.submit(type: "a")]
        #expect(core.claimIDs() == [ids[1], ids[0], ids[2]])
        try change(GateChange(.type("slow"), isPaused: false), &core)
        #expect(core.claimIDs() == [slow])
    }

    // MARK: Limits

    @Test("As many tasks of a queue run as may, and each that ends lets one more through to whoever waits")
    func limitedQueue() throws {
        var core = CoreHarness()
        try change(GateChange(.queue("q"), runningMax: 2), &core)
        let ids = (0..<4).map { _ in core.submit() }
        let leases = core.claim(10).map(\.lease)
        #expect(leases.map(\.task) == Array(ids[..<2]))
        let request = core.send(.claim(ClaimSpec(queues: ["q"], count: 10, waitMilliseconds: 60_000)))
        #expect(claimed(by: request, &core) == nil)
        #expect(core.complete(leases[0]) == nil)
        #expect(claimed(by: request, &core) == [ids[2]])
        try core.restart()
        #expect(core.claim().isEmpty)
        #expect(try change(GateChange(.queue("q"), runningMax: 0), &core).running == 2)
        #expect(core.claimIDs() == [ids[3]])
        try core.checkIndex()
    }

    @Test("A type is counted over all queues, also tasks that ran before it had a limit; a failure frees a place")
    func limitedType() throws {
        var core = CoreHarness()
        let early = core.submit(queue: "a")
        #expect(core.claimIDs(queues: ["a"]) == [early])
        #expect(try change(GateChange(.type("t"), runningMax: 2), &core).running == 1)
        let ids = [core.submit(queue: "a"), core.submit(queue: "b")]
        let other = core.submit(queue: "b", type: "u")
        let lease = try #require(core.claim(queues: ["a"]).first).lease
        #expect(lease.task == ids[0])
        #expect(core.claimIDs(queues: ["b"]) == [other])
        let request = core.send(.claim(ClaimSpec(queues: ["b"], waitMilliseconds: 600_000)))
        #expect(core.fail(lease, isPermanent: true) == nil)
        core.settle()
        #expect(claimed(by: request, &core) == [ids[1]])
        try core.checkIndex()
    }

    // MARK: Rates

    @Test("Tasks begin at the rate of their gate, after a burst, and whoever waits gets each one when it is due")
    func rate() throws {
        var core = CoreHarness()
        let rate = StartRate(10, per: 1_000, burst: 3)
        #expect(try change(GateChange(.type("t"), rate: rate), &core).rate == rate)
        let ids = (0..<10).map { core.submit(queue: $0 % 2 == 0 ? "a" : "b") }
        let other = core.submit(queue: "a", type: "u")
        #expect(core.claimIDs(queues: ["a", "b"]) == Array(ids[..<3]) + [other])
        let reasons = try explain(ids[3], &core)
        #expect(reasons.first?.kind == .rateLimited && reasons.first?.scope == .type("t"))
        let request = core.send(.claim(ClaimSpec(queues: ["a", "b"], count: 5, waitMilliseconds: 60_000)))
        core.advance(milliseconds: 50)
        #expect(claimed(by: request, &core) == nil)
        core.advance(milliseconds: 50)
        #expect(claimed(by: request, &core) == [ids[3]])
        core.advance(milliseconds: 10_000)
        #expect(core.claimIDs(queues: ["a", "b"]) == Array(ids[4..<7]))
        // A restart has let none through.
        try core.restart()
        #expect(core.claimIDs(queues: ["a", "b"]) == Array(ids[7...]))
        try core.checkIndex()
    }

    @Test(
        "In no span of time do more begin than the rate and one burst allow, and no fewer where enough wait",
        arguments: 1...20
    )
    func rates(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var core = CoreHarness()
        let rate = StartRate(
            UInt32(1 + random.next() % 2_000),
            per: UInt32(100 + random.next() % 5_000),
            burst: UInt32(1 + random.next() % 20)
        )
        try change(GateChange(.queue("q"), rate: rate), &core)
        for _ in 0..<2_000 { core.submit() }
        var starts: [(at: UInt64, count: Int)] = []
        let began = core.now.monotonicMilliseconds
        for _ in 0..<100 {
            core.wait(milliseconds: random.next() % 50)
            starts.append((core.now.monotonicMilliseconds, core.claim(100).count))
        }
        let burst = max(Double(rate.burst), Double(rate.count) * 0.1 / (Double(rate.milliseconds) / 1_000), 1)
        let perMillisecond = Double(rate.count) / Double(rate.milliseconds)
        for first in starts.indices {
            var count = 0
            for last in starts[first...] {
                count += last.count
                let span = Double(last.at - starts[first].at)
                #expect(Double(count) <= span * perMillisecond * 1.01 + burst + 1, "\(rate), \(span) ms")
            }
        }
        let all = starts.reduce(0) { $0 + $1.count }
        let expected = Double(core.now.monotonicMilliseconds - began) * perMillisecond
        let enough = min(expected, 2_000) * 0.9 - Double(100 * 100)
        #expect(Double(all) >= enough)
    }

    @Test("The slowest rate with the largest burst, and the fastest one, stop nothing that they should not")
    func extremeRates() throws {
        var core = CoreHarness()
        for rate in [StartRate(1, per: .max, burst: .max), StartRate(.max, per: 1, burst: .max)] {
            try change(GateChange(.queue("q"), rate: rate), &core)
            let ids = (0..<50).map { _ in core.submit() }
            #expect(core.claimIDs() == ids)
        }
        try change(GateChange(.queue("q"), rate: StartRate(1, per: .max, burst: 1)), &core)
        let (first, last) = (core.submit(), core.submit())
        #expect(core.claimIDs() == [first])
        #expect(try explain(last, &core).first?.kind == .rateLimited)
    }

    @Test("Everything has no limit, and a pause that is too long is refused")
    func refused() {
        var core = CoreHarness()
        #expect(core.errorCode(.changeGate(GateChange(.everything, runningMax: 1))) == .invalidArgument)
        #expect(core.errorCode(.changeGate(GateChange(.everything, rate: StartRate(1)))) == .invalidArgument)
        let endless = GateChange(.queue("q"), isPaused: true, pauseMilliseconds: .max)
        #expect(core.errorCode(.changeGate(endless)) == .invalidArgument)
        #expect(core.errorCode(.explainQueue("nobody")) == .queueNotFound)
    }

    // MARK: Explanations

    @Test("An explanation names all that holds a task back")
    func explained() throws {
        var core = CoreHarness()
        let scheduled = core.submit(start: .after(milliseconds: 60_000))
        #expect(try explain(scheduled, &core).map(\.kind) == [.notDue])
        let first = core.submit()
        let second = core.submit()
        #expect(try explain(first, &core).map(\.kind) == [.noWorker])
        var reasons = try explain(second, &core)
        #expect(reasons.map(\.kind) == [.behind, .noWorker] && reasons[0].count == 1)
        try change(GateChange(.queue("q"), runningMax: 1), &core)
        let lease = try core.lease(worker: "w")
        reasons = try explain(lease.task, &core)
        #expect(reasons.map(\.kind) == [.running] && reasons[0].worker == "w")
        reasons = try explain(second, &core)
        #expect(reasons.map(\.kind) == [.limited, .noWorker])
        #expect(reasons[0].scope == .queue("q") && (reasons[0].count, reasons[0].countMax) == (1, 1))
        try change(GateChange(.type("t"), isPaused: true, pauseMilliseconds: 10_000), &core)
        try change(GateChange(.everything, isPaused: true), &core)
        reasons = try explain(second, &core)
        #expect(reasons.map(\.kind) == [.paused, .limited, .paused, .noWorker])
        #expect(reasons.compactMap(\.scope) == [.everything, .queue("q"), .type("t")])
        #expect(reasons[0].untilWallMilliseconds == 0 && reasons[2].untilWallMilliseconds > 0)
        #expect(core.fail(lease, retryAfter: 5_000) == nil)
        reasons = try explain(lease.task, &core)
        #expect(reasons.first?.kind == .backoff)
        #expect(core.cancel(second) == .success(.cancelled))
        #expect(try explain(second, &core).map(\.kind) == [.ended])
    }

    @Test("Whether somebody takes such tasks is told from the claims and streams that wait")
    func workers() throws {
        var core = CoreHarness()
        core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], types: ["mail.*"], count: 0)))
        let mail = core.submit(type: "mail.send")
        let image = core.submit(type: "image")
        var reasons = try explain(mail, &core)
        #expect(reasons.map(\.kind) == [.workersBusy] && reasons[0].count == 1)
        #expect(try explain(image, &core).map(\.kind) == [.behind, .noWorker])
        try change(GateChange(.queue("q"), isPaused: true), &core)
        core.send(.addCredit(stream: 1, count: 1))
        #expect(try explain(mail, &core).map(\.kind) == [.paused])
        guard case .explanation(let explanation)? = core.reply(.explainQueue("q")) else { throw Unanswered() }
        #expect(explanation.reasons.map(\.kind) == [.paused])
        try change(GateChange(.queue("q"), isPaused: false), &core)
        try change(GateChange(.type("image"), isPaused: true), &core)
        guard case .explanation(let types)? = core.reply(.explainQueue("q")) else { throw Unanswered() }
        reasons = types.reasons
        #expect(reasons.first?.scope == .type("image"))
    }
}
