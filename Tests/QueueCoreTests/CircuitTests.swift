import TQModel
import Testing

@testable import QueueCore

@Suite("Circuit breakers") struct CircuitTests {
    private static let breaker = CircuitBreaker(
        failurePercent: 50,
        attemptsMin: 4,
        windowMilliseconds: 10_000,
        openMilliseconds: 2_000,
        probes: 2
    )

    /// A broker with a breaker, and with tasks that wait.
    private func core(_ scope: GateScope = .type("t"), tasks: Int = 40) throws -> CoreHarness {
        var core = CoreHarness()
        #expect(try change(GateChange(scope, breaker: Self.breaker), &core).circuit == CircuitStatus(Self.breaker))
        for _ in 0..<tasks { core.submit { $0.retryPolicy = RetryPolicy(.fixed(1_000_000)) } }
        return core
    }

    private func circuit(_ core: inout CoreHarness) throws -> CircuitStatus {
        guard case .gates(let gates)? = core.reply(.gates) else { throw Unanswered() }
        return try #require(gates.first?.circuit)
    }

    private func run(_ outcomes: [Bool], _ core: inout CoreHarness) throws {
        for hasFailed in outcomes {
            let lease = try core.lease()
            #expect((hasFailed ? core.fail(lease) : core.complete(lease)) == nil)
        }
    }

    @Test(
        "It opens when as many have failed as it says, and not before so many attempts",
        arguments: [GateScope.queue("q"), .type("t")]
    )
    func opens(_ scope: GateScope) throws {
        var core = try core(scope)
        try run([true, true, true], &core)
        #expect(try circuit(&core).state == .closed)
        try run([true], &core)
        let open = try circuit(&core)
        #expect(open.state == .open && open.untilWallMilliseconds == open.sinceWallMilliseconds + 2_000)
        #expect(core.claim().isEmpty)
        let id = core.submit(queue: "q", type: "t")
        let reasons = try explain(id, &core)
        #expect(reasons.first?.kind == .circuitOpen && reasons.first?.scope == scope)
        #expect(reasons.first?.untilWallMilliseconds == open.untilWallMilliseconds)
        try core.restart()
        #expect(core.claim().isEmpty)
        #expect(try circuit(&core).state == .open)
        try core.checkIndex()
    }

    @Test("Fewer failures than it says leave it closed, and those that are long over count no more")
    func staysClosed() throws {
        var core = try core()
        try run([true, false, false, false, true], &core)
        let closed = try circuit(&core)
        #expect(closed.state == .closed && closed.attempts == 5 && closed.failures == 2)
        core.advance(milliseconds: 9_000)
        #expect(try circuit(&core).attempts == 5)
        core.advance(milliseconds: 1_000)
        #expect(try circuit(&core).attempts == 0)
        try run([true, true, true], &core)
        #expect(try circuit(&core).state == .closed)
        try run([true], &core)
        #expect(try circuit(&core).state == .open)
    }

    @Test("After a while it lets some through, and closes when they succeed; who waits gets the next task at once")
    func closes() throws {
        var core = try core()
        try run([true, true, true, true], &core)
        core.advance(milliseconds: 1_900)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 200)
        #expect(try circuit(&core).state == .halfOpen)
        let probes = core.claim(10).map(\.lease)
        #expect(probes.count == 2)
        let id = core.submit(queue: "q", type: "t")
        #expect(try explain(id, &core).first == WaitReason(.circuitOpen, scope: .type("t"), count: 2, countMax: 2))
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        #expect(core.complete(probes[0]) == nil)
        #expect(claimed(by: request, &core) == nil)
        #expect(core.complete(probes[1]) == nil)
        #expect(claimed(by: request, &core)?.count == 1)
        #expect(try circuit(&core).state == .closed)
        #expect(core.claim(10).count == 10)
        try core.checkIndex()
    }

    @Test("What begins in the group in which the circuit turned counts, however long that is open already")
    func sameGroup() throws {
        var core = try core()
        try run([true, true, true, true], &core)
        let requests = (0..<2).map { _ in core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000))) }
        core.settle()
        core.wait(milliseconds: 1_995)
        // The group begins with this one, before the circuit turns.
        core.submit(queue: "other", type: "u")
        #expect(core.claim(queues: ["other"]).count == 1)
        core.advance(milliseconds: 10)
        #expect(try circuit(&core).state == .halfOpen)
        for request in requests {
            guard case .claimed(let deliveries)? = core.takeAnswer(request)?.reply else { throw Unanswered() }
            #expect(core.complete(try #require(deliveries.first).lease) == nil)
        }
        #expect(try circuit(&core).state == .closed)
    }

    @Test("When one of those fails it stays open for as long again")
    func staysOpen() throws {
        var core = try core()
        try run([true, true, true, true], &core)
        core.advance(milliseconds: 2_100)
        try run([false, true], &core)
        #expect(try circuit(&core).state == .open)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1_900)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 200)
        #expect(core.claim(10).count == 2)
    }

    @Test("Lost workers and timeouts are failures; releases and cancels are not")
    func kinds() throws {
        var core = try core()
        for _ in 0..<8 { #expect(core.release(try core.lease()) == nil) }
        let cancelled = try core.lease()
        _ = core.cancel(cancelled.task)
        #expect(core.fail(cancelled) == nil)
        #expect(try circuit(&core).attempts == 0)
        for _ in 0..<4 { _ = try core.lease(leaseMilliseconds: 1_000) }
        core.advance(milliseconds: 1_100)
        #expect(try circuit(&core).state == .open)
        try core.checkIndex()
    }

    @Test("What began before it opened says nothing of how it is since")
    func earlierAttempts() throws {
        var core = try core()
        let early = core.claim(6).map(\.lease)
        for lease in early[..<4] { #expect(core.fail(lease) == nil) }
        core.advance(milliseconds: 2_100)
        #expect(core.fail(early[4]) == nil)
        #expect(try circuit(&core).state == .halfOpen)
        #expect(core.complete(early[5]) == nil)
        #expect(core.complete(try core.lease()) == nil)
        #expect(try circuit(&core).state == .halfOpen)
        #expect(core.complete(try core.lease()) == nil)
        #expect(try circuit(&core).state == .closed)
    }

    @Test("Attempts that are let through and given back do not hold it half-open for ever, and neither does a restart")
    func renewed() throws {
        var core = try core()
        try run([true, true, true, true], &core)
        core.advance(milliseconds: 2_100)
        for lease in core.claim(10).map(\.lease) { #expect(core.release(lease) == nil) }
        #expect(core.claim().isEmpty)
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        core.advance(milliseconds: 1_900)
        #expect(claimed(by: request, &core) == nil)
        core.advance(milliseconds: 200)
        #expect(claimed(by: request, &core)?.count == 1)
        #expect(core.claim(10).count == 1)
        try core.restart()
        #expect(try circuit(&core).state == .halfOpen)
        #expect(core.claim(10).count == 2)
        try core.checkIndex()
    }

    @Test("Somebody may open and close it, and what happened before is forgotten then; without a breaker it is no more")
    func turned() throws {
        var core = try core()
        try run([true, true, true], &core)
        #expect(try change(GateChange(.type("t"), circuit: .closed), &core).circuit?.attempts == 0)
        try run([true, true, true], &core)
        #expect(try change(GateChange(.type("t"), circuit: .open), &core).circuit?.state == .open)
        #expect(core.claim().isEmpty)
        #expect(try change(GateChange(.type("t"), circuit: .halfOpen), &core).circuit?.state == .halfOpen)
        #expect(core.claim(10).count == 2)
        #expect(try change(GateChange(.type("t"), circuit: .closed), &core).circuit?.state == .closed)
        #expect(core.claim(10).count == 10)
        #expect(try change(GateChange(.type("t"), circuit: .open), &core).circuit?.state == .open)
        #expect(try change(GateChange(.type("t"), breaker: CircuitBreaker.none), &core).circuit == nil)
        #expect(core.claim(10).count == 10)
        #expect(core.reply(.gates) == .gates([]))
        try core.checkIndex()
    }

    @Test("What makes no sense is refused, and nothing is stored")
    func refused() {
        var core = CoreHarness()
        let breaker = CircuitBreaker(failurePercent: 50)
        var wrong: [GateChange] = [
            GateChange(.everything, breaker: breaker), GateChange(.key("k"), breaker: breaker),
            GateChange(.group("g"), breaker: breaker), GateChange(.queue("q"), circuit: .open),
            GateChange(.queue("q"), breaker: CircuitBreaker.none, circuit: .closed),
            GateChange(.queue("q"), breaker: CircuitBreaker(failurePercent: 101)),
            GateChange(.queue("q"), breaker: CircuitBreaker(failurePercent: 1, attemptsMin: 0)),
            GateChange(.queue("q"), breaker: CircuitBreaker(failurePercent: 1, windowMilliseconds: 9)),
            GateChange(.queue("q"), breaker: CircuitBreaker(failurePercent: 1, openMilliseconds: 0)),
        ]
        wrong.append(GateChange(.queue("q"), breaker: CircuitBreaker(failurePercent: 1, probes: 0)))
        for change in wrong { #expect(core.errorCode(.changeGate(change)) == .invalidArgument, "\(change)") }
        #expect(core.reply(.gates) == .gates([]))
    }
}
