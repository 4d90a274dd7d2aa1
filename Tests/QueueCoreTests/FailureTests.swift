import TQModel
import Testing

@testable import QueueCore

@Suite("Failures, retries and dead letters")
struct FailureTests {
    /// Fails a task that often, and says how long it waited each time.
    private func waits(_ policy: RetryPolicy?, failures: Int, seed: UInt64 = 42) throws -> [UInt64] {
        var core = CoreHarness(CoreConfiguration(seed: seed))
        let spec = TaskSpec(queue: "q", type: "t", retriesMax: 100, retryPolicy: policy)
        let id = core.id(of: core.submit(spec))
        var waits: [UInt64] = []
        for attempt in 1...failures {
            #expect(core.fail(try core.lease(leaseMilliseconds: 100)) == nil)
            let status = try core.known(id)
            #expect(status.attempts == attempt)
            let wait = status.state == .pending ? 0 : status.startWallMilliseconds - core.now.wallMilliseconds
            waits.append(wait)
            guard wait > 0 else { continue }
            #expect(status.state == .failed)
            #expect(status.error.elementsEqual("broken".utf8))
            core.advance(milliseconds: wait - 1)
            #expect(core.state(id) == .failed)
            core.advance(milliseconds: 1)
            #expect(core.state(id) == .pending)
        }
        try core.checkIndex()
        return waits
    }

    @Test("The wait before a retry is anything up to 5 seconds, doubled each time up to an hour")
    func backoff() throws {
        var longest: UInt64 = 5_000
        let waits = try waits(nil, failures: 14)
        for wait in waits {
            #expect((1...longest).contains(wait))
            longest = min(longest * 2, 3_600_000)
        }
        // Tasks that failed together do not come back together.
        #expect(try self.waits(nil, failures: 14, seed: 43) != waits)
    }

    @Test("A task has the retry policy that it asks for")
    func policies() throws {
        for (text, expected) in [
            ("exponential,first=1s,factor=1.5,longest=3s,jitter=none", [1_000, 1_500, 2_250, 3_000, 3_000]),
            ("linear,first=1s,step=2s,longest=6s,jitter=none", [1_000, 3_000, 5_000, 6_000, 6_000]),
            ("fixed,7s", [7_000, 7_000, 7_000, 7_000, 7_000]),
            ("list,1s,0s,1m", [1_000, 0, 60_000, 60_000, 60_000]),
        ] as [(String, [UInt64])] {
            #expect(try waits(RetryPolicy(text.utf8), failures: 5) == expected)
        }
    }

    @Test("A list of waits brings its number of retries, unless the task says another")
    func retriesOfList() throws {
        var core = CoreHarness()
        let id = core.id(
            of: core.submit(TaskSpec(queue: "q", type: "t", retryPolicy: RetryPolicy(.list([0, 0, 0, 0, 0]))))
        )
        #expect(core.status(id)?.retriesMax == 5)
        let spec = TaskSpec(queue: "q", type: "t", retriesMax: 1, retryPolicy: RetryPolicy(.list([0, 0, 0])))
        #expect(core.status(core.id(of: core.submit(spec)))?.retriesMax == 1)
    }

    @Test("No policy traps, whatever its numbers are")
    func oddPolicies() throws {
        let most = Limits.durationMillisecondsMax
        for growth in [
            .exponential(first: 0, factorPercent: 101, longest: most),
            .exponential(first: most, factorPercent: 10_000, longest: most),
            .exponential(first: 10_000, factorPercent: 200, longest: 1_000),
            .linear(first: most, step: most, longest: most),
            .fixed(0), .fixed(most),
        ] as [RetryPolicy.Growth] {
            for isJittered in [true, false] {
                let policy = RetryPolicy(growth, isJittered: isJittered)
                #expect(try waits(policy, failures: 40).allSatisfy { $0 <= most && $0 >= policy.shortestWait })
            }
        }
    }

    @Test("The worker may say when to try again")
    func retryAfter() throws {
        var core = CoreHarness()
        let id = core.submit()
        #expect(core.fail(try core.lease(), retryAfter: 123_456) == nil)
        #expect(core.status(id)?.startWallMilliseconds == core.now.wallMilliseconds + 123_456)
        core.advance(milliseconds: 123_456)
        #expect(core.fail(try core.lease(), retryAfter: 0) == nil)
        #expect(core.state(id) == .pending)
        let lease = try core.lease()
        #expect(core.fail(lease, retryAfter: .max)?.code == .invalidArgument)
        #expect(core.complete(lease) == nil)
    }

    @Test("A permanent failure makes a dead letter at once, with error and payload")
    func permanent() throws {
        var core = CoreHarness()
        let id = try core.bury(error: "no such user", payload: "the body")
        let letter = try #require(core.letter(id))
        #expect(letter.row.reason == .permanentFailure)
        #expect(letter.row.attempts == 1)
        #expect(letter.error.elementsEqual("no such user".utf8))
        #expect(letter.payload.elementsEqual("the body".utf8))
        #expect(core.state(id) == .deadLetter)
        #expect(core.takeNotices() == [.deadLettered(id, .permanentFailure)])
        #expect(core.counts().deadLetter == 1)
        try core.checkIndex()
    }

    @Test("A task is a dead letter after one attempt more than its retries", arguments: [0, 1, 3, nil] as [UInt16?])
    func exhausted(retries: UInt16?) throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retriesMax: retries)))
        let attempts = Int(retries ?? Defaults.retriesMax) + 1
        try core.failAttempts(attempts - 1)
        #expect(core.state(id) == .pending)
        try core.failAttempts(1)
        core.settle()
        #expect(core.letter(id)?.row.reason == .retriesExhausted)
        #expect(core.letter(id)?.row.attempts == UInt16(attempts))
        let totals = try core.statistics().totals
        #expect(totals.failed == UInt64(attempts))
        #expect(totals.retried == UInt64(attempts - 1))
        #expect(totals.deadLettered == 1)
    }

    @Test("The third crash quarantines a task")
    func quarantine() throws {
        var core = CoreHarness()
        let id = core.submit()
        for crash in 1...3 {
            _ = try core.lease()
            core.advance(milliseconds: 30_000)
            #expect(core.status(id)?.crashes == UInt16(crash))
        }
        #expect(core.letter(id)?.row.reason == .quarantined)
        try core.checkIndex()
    }

    @Test("No number of crashes quarantines a task that asks for none, but its attempts end")
    func neverQuarantined() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(TaskSpec(queue: "q", type: "t", retriesMax: 5, crashesMax: 0)))
        for _ in 1...5 {
            _ = try core.lease()
            core.advance(milliseconds: 30_000)
            #expect(core.state(id) == .pending)
        }
        _ = try core.lease()
        core.advance(milliseconds: 30_000)
        core.settle()
        #expect(core.letter(id)?.row.reason == .retriesExhausted)
    }

    @Test("An error text is cut at a character")
    func longError() throws {
        var core = CoreHarness()
        let text = String(repeating: "é", count: 4000)
        let id = try core.bury(error: "x" + text)
        let error = try #require(core.letter(id)).error
        #expect(error.count == Limits.errorBytesMax - 1)
        #expect(String(validating: error, as: UTF8.self) != nil)
    }

    @Test("A damaged payload makes a dead letter that cannot be put back")
    func damagedPayload() throws {
        var core = CoreHarness()
        let id = core.submit(payload: "body")
        let lease = try core.lease()
        core.run(.damagedPayload(lease))
        core.settle()
        #expect(core.letter(id)?.row.reason == .payloadDamaged)
        #expect(core.redrive(id)?.code == .conflict)
        #expect(core.state(id) == .deadLetter)
    }

    // MARK: Redrive

    @Test("A redriven task has its id, its place and its payload again, and its attempts anew")
    func redrive() throws {
        var core = CoreHarness()
        let id = try core.bury(payload: "the body")
        let later = core.submit()
        #expect(core.redrive(id) == nil)
        #expect(core.redrive(id)?.code == .taskNotFound)
        try core.checkIndex()
        let answer = core.answer(.claim(ClaimSpec(queues: ["q"], count: 2)))
        guard case .claimed(let deliveries)? = answer?.reply, case .payloads(let places)? = answer?.missing else {
            Issue.record("no claim")
            return
        }
        #expect(deliveries.map(\.lease.task) == [id, later])
        #expect(deliveries.first?.attempt == 1)
        core.settle()
        #expect(core.store.payload(places[0])?.elementsEqual("the body".utf8) == true)
        #expect(core.counts().deadLetter == 0)
    }

    @Test("A task may be a dead letter and put back again and again, with its options")
    func redriveAgain() throws {
        var core = CoreHarness()
        let neighbour = core.submit(queue: "other")
        let spec = TaskSpec(queue: "q", type: "t", payload: [7], retriesMax: 0, retentionMilliseconds: 60_000)
        let id = core.id(of: core.submit(spec))
        for round in 0..<6 {
            try core.failAttempts(1)
            core.settle()
            #expect(core.letter(id)?.row.attempts == 1)
            if round == 2 { #expect(core.complete(try #require(core.claim(queues: ["other"]).first).lease) == nil) }
            if round == 4 { try core.restart() }
            #expect(core.redrive(id) == nil)
            try core.checkIndex()
        }
        #expect(core.state(neighbour) == .completed)
        #expect(core.complete(try core.lease()) == nil)
        #expect(core.state(id) == .completed)
        try core.checkIndex()
        try core.restart()
        #expect(core.state(id) == .completed)
        #expect(core.claim().isEmpty)
    }

    @Test(
        "A dead letter may come back with another payload, under its id, while its first segment is needed or when it is gone",
        arguments: [false, true],
        [false, true]
    )
    func editedRedrive(hasNeighbour: Bool, restarts: Bool) throws {
        var core = CoreHarness()
        let neighbour = TaskSpec(queue: "other", type: "t")
        core.send(.submit([TaskSpec(queue: "q", type: "t", payload: [1])] + (hasNeighbour ? [neighbour] : [])))
        let id = try core.lease().task
        core.advance(milliseconds: 30_000)
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        core.settle()
        if restarts { try core.restart() }
        for payload: Bytes in [[2, 3], [], Bytes(repeating: 4, count: 500)] {
            #expect(core.redrive(id, payload: payload) == nil)
            try core.checkIndex()
            if restarts { try core.restart() }
            let delivery = try #require(core.claim().first)
            #expect(delivery.lease.task == id && delivery.attempt == 1 && core.payload(of: delivery) == payload)
            #expect(core.fail(delivery.lease, isPermanent: true) == nil)
            core.settle()
            #expect(core.letter(id)?.payload == payload)
        }
        #expect(core.redrive(id, payload: [9]) == nil)
        #expect(core.complete(try core.lease()) == nil)
        #expect(core.state(id) == .completed)
        try core.restart()
        #expect(core.state(id) == .completed && core.claim().isEmpty)
        if hasNeighbour { #expect(core.complete(try #require(core.claim(queues: ["other"]).first).lease) == nil) }
        core.settle()
        try core.checkIndex()
        #expect(core.core.index.tasks.count == 0)
        let long = Bytes(repeating: 0, count: Limits.payloadBytesMax + 1)
        #expect(core.redrive(try core.bury(), payload: long)?.code == .payloadTooLarge)
    }

    @Test("A purged dead letter is cancelled for good, and what it held is free", arguments: [false, true])
    func purge(hasNeighbour: Bool) throws {
        var core = CoreHarness()
        var spec = TaskSpec(queue: "q", type: "t", payload: [1])
        spec.uniqueKey = UniqueKey([5], scope: .unfinished, onConflict: .refuse)
        core.send(.submit([spec] + (hasNeighbour ? [TaskSpec(queue: "other", type: "t")] : [])))
        let lease = try core.lease()
        #expect(core.purge(lease.task)?.code == .taskNotFound)
        #expect(core.fail(lease, isPermanent: true) == nil)
        core.settle()
        #expect(core.errorCode(.submit([spec])) == nil && core.counts().pending == 0, "the key is held")
        #expect(core.purge(lease.task) == nil)
        #expect(core.purge(lease.task)?.code == .taskNotFound && core.redrive(lease.task)?.code == .taskNotFound)
        for _ in 0..<2 {
            try core.checkIndex()
            let status = try core.known(lease.task)
            #expect(status.state == .cancelled && status.cancelReason == .purged && status.attempts == 1)
            #expect(core.counts().deadLetter == 0 && core.counts().cancelled == 1)
            try core.restart()
        }
        core.send(.submit([spec]))
        #expect(core.claim().count == 1, "the key is free")
    }

    @Test("A redriven task that completed stays completed after a restart, while its first segment is still needed")
    func redrivenAndCompleted() throws {
        var core = CoreHarness()
        core.send(.submit([TaskSpec(queue: "q", type: "t"), TaskSpec(queue: "other", type: "t")]))
        let id = try core.lease().task
        #expect(core.core.index.tasks[TaskSequence(1)].segment == core.core.index.tasks[TaskSequence(2)].segment)
        core.advance(milliseconds: 30_000)
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        #expect(core.redrive(id) == nil)
        #expect(core.complete(try core.lease()) == nil)
        try core.checkIndex()
        try core.restart()
        #expect(core.state(id) == .completed)
        #expect(core.claim().isEmpty)
    }

    @Test("A stale read of a dead letter puts nothing back")
    func staleRedrive() throws {
        var core = CoreHarness()
        let id = try core.bury()
        let sequence = try #require(core.core.cipher.sequence(of: id))
        let stale = core.store.read(.deadLetter(sequence))
        #expect(core.redrive(id) == nil)
        #expect(core.complete(try core.lease()) == nil)
        core.settle()
        let before = core.core.index.canonicalDump
        var copy = core.core
        let request = Command.request(1, id: 1, .anonymous, .redrive([Redrive(task: id)]))
        #expect(copy.decide(request, fetched: [.deadLetter(sequence): stale], now: core.now) == [])
        guard case .outcomes(let outcomes)? = copy.takeAnswers().first?.reply else {
            Issue.record("no outcomes")
            return
        }
        #expect(outcomes.map { $0?.code } == [.taskNotFound])
        #expect(copy.index.canonicalDump == before)
    }

    @Test("Only dead letters are put back")
    func redriveOthers() throws {
        var core = CoreHarness()
        let id = core.submit()
        #expect(core.redrive(id)?.code == .taskNotFound)
        let lease = try core.lease()
        #expect(core.redrive(id)?.code == .taskNotFound)
        #expect(core.complete(lease) == nil)
        #expect(core.redrive(id)?.code == .taskNotFound)
        #expect(core.redrive(TaskID(high: 0, low: 0))?.code == .taskNotFound)
    }

    @Test("Redrives, retries and reclaims pass a full queue")
    func fullQueue() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 2))
        let dead = try core.bury()
        core.submit()
        core.submit()
        #expect(throws: TQError.self) { try core.submit(TaskSpec(queue: "q", type: "t")).get() }
        #expect(core.redrive(dead) == nil)
        #expect(core.counts().waiting == 3)
    }

    // MARK: Listing

    @Test("A page of dead letters names where to go on, within its bounds")
    func pages() throws {
        var core = CoreHarness()
        let id = try core.bury()
        let sequence = try #require(core.core.cipher.sequence(of: id))
        let query = DeadLetterQuery(queue: "q", after: id, count: 10)
        guard case .deadLetters(let asked, let after)? = core.answer(.deadLetters(query))?.missing else {
            Issue.record("nothing is missing")
            return
        }
        #expect(asked == query)
        #expect(after == sequence)
        for count in [0, 1001, .max] as [UInt32] {
            #expect(core.errorCode(.deadLetters(DeadLetterQuery(count: count))) == .invalidArgument)
        }
        #expect(core.errorCode(.deadLetters(DeadLetterQuery(after: TaskID(high: 0, low: 0)))) == .taskNotFound)
    }
}
