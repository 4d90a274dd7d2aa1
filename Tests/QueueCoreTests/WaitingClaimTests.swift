import TQModel
import Testing

@testable import QueueCore

@Suite("Claims that wait, and streams")
struct WaitingClaimTests {
    private func waiting(_ milliseconds: UInt64, count: UInt32 = 1, types: [TypePattern] = []) -> Request {
        .claim(ClaimSpec(queues: ["q"], types: types, count: count, waitMilliseconds: milliseconds))
    }

    private func ids(_ answer: Answer?) -> [TaskID]? {
        switch answer?.reply {
        case .claimed(let deliveries), .delivery(_, let deliveries): deliveries.map(\.lease.task)
        default: nil
        }
    }

    // MARK: Long poll

    @Test("A claim that does not wait is answered at once, with nothing")
    func noWait() {
        var core = CoreHarness()
        #expect(ids(core.answer(waiting(0))) == [])
    }

    @Test("A waiting claim gets a task as soon as there is one, and only once")
    func wakeUp() {
        var core = CoreHarness()
        let claim = core.send(waiting(1000))
        #expect(core.takeAnswer(claim) == nil)
        core.submit(queue: "other")
        #expect(core.takeAnswer(claim) == nil)
        let id = core.submit()
        #expect(ids(core.takeAnswer(claim)) == [id])
        core.submit()
        core.advance(milliseconds: 2000)
        #expect(core.takeAnswer(claim) == nil)
    }

    @Test("A wait ends with nothing exactly at its time")
    func waitEnds() {
        var core = CoreHarness()
        let claim = core.send(waiting(1000))
        core.advance(milliseconds: 999)
        #expect(core.takeAnswer(claim) == nil)
        core.advance(milliseconds: 1)
        #expect(ids(core.takeAnswer(claim)) == [])
        let id = core.submit()
        #expect(core.claimIDs() == [id])
    }

    @Test("Waiting claims are served in the order in which they came")
    func orderOfClaims() {
        var core = CoreHarness()
        let claims = (0..<3).map { _ in core.send(waiting(1000)) }
        let tasks = (0..<3).map { _ in core.submit() }
        #expect(claims.map { ids(core.takeAnswer($0)) } == tasks.map { [$0] })
    }

    @Test("A waiting claim is woken by tasks that return, become due, lapse or are redriven")
    func reasonsToWake() throws {
        var core = CoreHarness()
        let dead = try core.bury()
        core.submit()
        let released = try core.lease()
        var claim = core.send(waiting(10_000))
        #expect(core.release(released) == nil)
        #expect(ids(core.takeAnswer(claim)) == [released.task])
        claim = core.send(waiting(60_000))
        core.advance(milliseconds: 30_000)
        #expect(ids(core.takeAnswer(claim)) == [released.task])
        claim = core.send(waiting(10_000))
        let due = core.submit(start: .after(milliseconds: 5_000))
        core.advance(milliseconds: 5_000)
        #expect(ids(core.takeAnswer(claim)) == [due])
        claim = core.send(waiting(10_000))
        #expect(core.redrive(dead) == nil)
        #expect(ids(core.takeAnswer(claim)) == [dead])
    }

    @Test("A waiting claim takes only its types, those that are new to the broker included")
    func types() {
        var core = CoreHarness()
        let exact = core.send(waiting(1000, types: ["new"]))
        let prefix = core.send(waiting(1000, types: ["pre.*"]))
        core.submit(type: "other")
        #expect(core.takeAnswers().isEmpty)
        let second = core.submit(type: "pre.fix")
        let first = core.submit(type: "new")
        #expect(ids(core.takeAnswer(exact)) == [first])
        #expect(ids(core.takeAnswer(prefix)) == [second])
    }

    @Test("A closed connection's claims take nothing")
    func closedSession() {
        var core = CoreHarness()
        core.open(2)
        core.send(waiting(10_000), session: 2)
        core.run(.closeSession(2))
        let id = core.submit()
        #expect(core.claimIDs() == [id])
    }

    @Test("Claims that were answered in time leave no deadlines behind")
    func deadlines() {
        var core = CoreHarness()
        for _ in 0..<5000 {
            core.send(waiting(3_600_000))
            core.submit()
        }
        #expect(core.core.session.deadlineCount <= 1024)
    }

    // MARK: Streams

    private func open(_ stream: UInt32, credit: UInt32, queues: [Name] = ["q"]) -> Request {
        .openStream(stream: stream, ClaimSpec(queues: queues, count: credit))
    }

    @Test("A stream delivers at once what is there, then what comes, within its credit")
    func credit() {
        var core = CoreHarness()
        let first = core.submit()
        let stream = core.send(open(1, credit: 2))
        #expect(core.takeAnswer(stream)?.reply == .done)
        #expect(ids(core.takeAnswer(stream)) == [first])
        let second = core.submit()
        #expect(ids(core.takeAnswer(stream)) == [second])
        let third = core.submit()
        let fourth = core.submit()
        #expect(core.takeAnswer(stream) == nil)
        core.send(.addCredit(stream: 1, count: 5))
        #expect(ids(core.takeAnswer(stream)) == [third, fourth])
        let fifth = core.submit()
        #expect(ids(core.takeAnswer(stream)) == [fifth])
    }

    @Test("Credit stops at its limit, whatever is added")
    func creditLimit() {
        var core = CoreHarness()
        let stream = core.send(open(1, credit: 5))
        core.send(.addCredit(stream: 1, count: .max))
        core.send(.addCredit(stream: 1, count: .max))
        #expect(core.takeAnswers().map(\.reply) == [.done])
        core.send(.submit((0..<1100).map { _ in TaskSpec(queue: "q", type: "t") }))
        let taken = core.takeAnswers().filter { $0.request == stream }.compactMap { ids($0) }.joined()
        #expect(taken.count == Limits.claimCountMax)
    }

    @Test("Two streams get equal parts of a batch, and take turns with single tasks")
    func fairness() {
        var core = CoreHarness()
        core.open(2)
        let first = core.send(open(1, credit: 100))
        let second = core.send(open(1, credit: 100), session: 2)
        core.send(.submit((0..<20).map { _ in TaskSpec(queue: "q", type: "t") }))
        func takenCounts() -> [Int] {
            let answers = core.takeAnswers()
            return [first, second].map { stream in
                answers.filter { $0.request == stream }.compactMap { ids($0)?.count }.reduce(0, +)
            }
        }
        #expect(takenCounts() == [10, 10])
        for _ in 0..<10 { core.submit() }
        #expect(takenCounts() == [5, 5])
    }

    @Test("What one stream has no credit for goes to the other")
    func creditOfOthers() {
        var core = CoreHarness()
        core.open(2)
        let small = core.send(open(1, credit: 1))
        let large = core.send(open(1, credit: 100), session: 2)
        core.send(.submit((0..<10).map { _ in TaskSpec(queue: "q", type: "t") }))
        let answers = core.takeAnswers()
        #expect(answers.filter { $0.request == small }.compactMap { ids($0)?.count }.reduce(0, +) == 1)
        #expect(answers.filter { $0.request == large }.compactMap { ids($0)?.count }.reduce(0, +) == 9)
    }

    @Test("Streams without credit stand in no line")
    func noCreditNoLine() {
        var core = CoreHarness()
        core.send(open(1, credit: 1))
        core.submit()
        #expect(core.core.session.waiting.isEmpty)
        core.send(.addCredit(stream: 1, count: 1))
        #expect(core.core.session.waiting.count == 1)
    }

    @Test("A stream opened without credit waits for some, and then stands in line once")
    func openedWithoutCredit() {
        var core = CoreHarness()
        let id = core.submit()
        let stream = core.send(open(1, credit: 0))
        #expect(core.core.session.waiting.isEmpty)
        #expect(core.takeAnswers().map(\.reply) == [.done])
        core.send(.addCredit(stream: 1, count: 2))
        #expect(ids(core.takeAnswer(stream)) == [id])
        #expect(core.core.session.waiting.values.map(\.count) == [1])
    }

    @Test("A closed stream delivers nothing, and its leases stay")
    func closeStream() throws {
        var core = CoreHarness()
        core.submit()
        let stream = core.send(open(1, credit: 2))
        #expect(core.reply(.closeStream(stream: 1)) == .done)
        #expect(core.reply(.closeStream(stream: 1)) == .done)
        core.submit()
        let delivered = core.takeAnswers().filter { $0.request == stream }.compactMap { ids($0) }.joined()
        #expect(delivered.count == 1)
        let id = try #require(delivered.first)
        #expect(core.state(id) == .inProgress)
    }

    @Test("The number of a stream is one of a kind, and streams have a limit")
    func streamNumbers() {
        var core = CoreHarness()
        #expect(core.reply(open(1, credit: 1)) == .done)
        #expect(core.errorCode(open(1, credit: 1)) == .conflict)
        for number in 2...UInt32(Limits.claimQueuesMax) { #expect(core.reply(open(number, credit: 1)) == .done) }
        #expect(core.errorCode(open(1000, credit: 1)) == .limitExceeded)
        #expect(core.errorCode(.addCredit(stream: 1000, count: 1)) == .invalidArgument)
    }

    // MARK: Bounds

    @Test("A claim needs queues, a count and types within the bounds")
    func bounds() {
        var core = CoreHarness()
        func code(_ change: (inout ClaimSpec) -> Void) -> TQError.Code? {
            var spec = ClaimSpec(queues: ["q"])
            change(&spec)
            return core.errorCode(.claim(spec))
        }
        #expect(code { $0.queues = [] } == .invalidArgument)
        #expect(code { $0.queues = (0...Limits.claimQueuesMax).map { Name("q\($0)") } } == .invalidArgument)
        #expect(code { $0.queues = ["a b"] } == .invalidArgument)
        #expect(code { $0.count = 0 } == .invalidArgument)
        #expect(code { $0.count = 1001 } == .invalidArgument)
        #expect(code { $0.count = .max } == .invalidArgument)
        #expect(code { $0.types = ["a*b"] } == .invalidArgument)
        #expect(code { $0.waitMilliseconds = .max } == .invalidArgument)
        #expect(code { $0.waitMilliseconds = Limits.waitMillisecondsMax + 1 } == .invalidArgument)
        #expect(code { $0.worker = "*" } == .invalidArgument)
        #expect(code { $0.leaseMilliseconds = .max } == nil)
    }
}
