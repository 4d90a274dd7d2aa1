import TQModel
import Testing

@testable import QueueCore

@Suite("Submits")
struct SubmitTests {
    private func spec(_ key: String = "", payload: Bytes = [1], window: UInt64 = 0, queue: Name = "q") -> TaskSpec {
        TaskSpec(
            queue: queue,
            type: "t",
            payload: payload,
            idempotencyKey: Bytes(Array(key.utf8)),
            idempotencyWindowMilliseconds: window
        )
    }

    private func code(_ result: Result<Submission, TQError>) -> TQError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    private func submission(_ result: Result<Submission, TQError>) -> Submission? { try? result.get() }

    // MARK: Idempotency

    @Test("A second submit with one key gets the first one's id, whatever became of the task")
    func duplicate() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(spec("k")))
        #expect(submission(core.submit(spec("k"))) == Submission(id: id, isDuplicate: true))
        #expect(core.complete(try core.lease()) == nil)
        #expect(submission(core.submit(spec("k"))) == Submission(id: id, isDuplicate: true))
        try core.restart()
        #expect(submission(core.submit(spec("k"))) == Submission(id: id, isDuplicate: true))
        #expect(core.claim().isEmpty)
        try core.checkIndex()
    }

    @Test("A key inside one batch counts from its first task on")
    func duplicateInBatch() {
        var core = CoreHarness()
        guard case .submitted(let results)? = core.reply(.submit([spec("k"), spec("k"), spec("l")])) else {
            Issue.record("no answer")
            return
        }
        #expect(results.map { submission($0)?.isDuplicate } == [false, true, false])
        #expect(core.counts().pending == 2)
    }

    @Test("A key belongs to its content: another payload, type or priority is a conflict")
    func conflict() {
        var core = CoreHarness()
        core.submit(spec("k"))
        #expect(code(core.submit(spec("k", payload: [2]))) == .conflict)
        #expect(code(core.submit(spec("k", payload: [1, 0]))) == .conflict)
        var other = spec("k")
        other.type = "u"
        #expect(code(core.submit(other)) == .conflict)
        other = spec("k")
        other.rank = Priority.high.rank
        #expect(code(core.submit(other)) == .conflict)
        other = spec("k")
        other.start = .after(milliseconds: 5)
        #expect(submission(core.submit(other))?.isDuplicate == true)
    }

    @Test("A key is one of a kind in its queue and namespace only")
    func scope() {
        var core = CoreHarness()
        core.submit(spec("k"))
        #expect(submission(core.submit(spec("k", queue: "other")))?.isDuplicate == false)
        #expect(submission(core.submit(spec("k"), namespace: 1))?.isDuplicate == false)
        #expect(submission(core.submit(spec("k"), namespace: 1))?.isDuplicate == true)
    }

    @Test("Where a queue's name ends and its key begins makes a difference")
    func keyBoundary() {
        var core = CoreHarness()
        core.submit(spec("bc", queue: "a"))
        #expect(submission(core.submit(spec("c", queue: "ab")))?.isDuplicate == false)
    }

    @Test("A key is remembered for its window, and free after it")
    func window() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(spec("k", window: 600_000)))
        core.advance(milliseconds: 600_000)
        #expect(submission(core.submit(spec("k")))?.id == id)
        core.advance(milliseconds: 60_000)
        let second = try #require(submission(core.submit(spec("k", payload: [9]))))
        #expect(!second.isDuplicate)
        #expect(second.id != id)
        core.advance(milliseconds: Defaults.idempotencyWindowMilliseconds)
        #expect(submission(core.submit(spec("k", payload: [9])))?.isDuplicate == true)
        try core.checkIndex()
        core.advance(milliseconds: 2 * 3_600_000)
        try core.checkIndex()
        #expect(core.store.keys.isEmpty)
        #expect(core.core.index.keys.count == 0)
    }

    @Test("A key whose window has passed is free before a tick has swept it")
    func expiredBeforeTick() {
        var core = CoreHarness()
        core.submit(spec("k", window: 60_000))
        core.now.monotonicMilliseconds += 200_000
        core.now.wallMilliseconds += 200_000
        #expect(submission(core.submit(spec("k", payload: [2])))?.isDuplicate == false)
        core.advance(milliseconds: 1)
        #expect(submission(core.submit(spec("k", payload: [2])))?.isDuplicate == true)
    }

    @Test(
        "Keys are hashed as SipHash-2-4 says",
        arguments: [
            (0, 0x726f_db47_dd0e_0e31), (1, 0x74f8_39c5_93dc_67fd), (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] as [(Int, UInt64)]
    )
    func sipHash(count: Int, expected: UInt64) {
        var hash = SipHash(key: StoreKey(high: 0x0f0e_0d0c_0b0a_0908, low: 0x0706_0504_0302_0100))
        for byte in 0..<count { hash.combine(UInt8(byte)) }
        #expect(hash.finish() == expected)
    }

    @Test("A hash does not depend on where its bytes lie")
    func sipHashSlices() {
        for offset in 0..<9 {
            for count in [0, 1, 7, 8, 9, 63, 64, 65] {
                let bytes = (0..<(offset + count)).map { UInt8($0) }
                var whole = SipHash(key: CoreHarness.storeKey)
                var single = SipHash(key: CoreHarness.storeKey)
                for byte in bytes.prefix(offset) {
                    whole.combine(byte)
                    single.combine(byte)
                }
                whole.combine(bytes[offset...])
                single.combine(UInt32(count))
                for byte in bytes[offset...] { single.combine(byte) }
                #expect(whole.finish() == single.finish())
            }
        }
    }

    // MARK: Refusals

    @Test("A full queue refuses submits alone, and says when to try again")
    func queueFull() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 3))
        core.submit(spec("k"))
        core.submit(start: .after(milliseconds: 100_000))
        core.submit()
        let refused = core.submit(spec())
        #expect(code(refused) == .queueFull)
        if case .failure(let error) = refused { #expect(error.retryAfterMilliseconds != nil) }
        #expect(submission(core.submit(spec("k")))?.isDuplicate == true)
        #expect(code(core.submit(spec(queue: "other"))) == nil)
        let lease = try core.lease()
        #expect(code(core.submit(spec())) == nil)
        #expect(core.release(lease) == nil)
        #expect(core.counts().waiting == 4)
    }

    @Test("A nearly full disk refuses submits alone")
    func diskLow() throws {
        var core = CoreHarness()
        core.submit(spec("k"))
        core.run(.disk(isLow: true))
        #expect(code(core.submit(spec())) == .diskFull)
        #expect(submission(core.submit(spec("k")))?.isDuplicate == true)
        #expect(core.health()?.status == .refusingSubmits)
        #expect(core.complete(try core.lease()) == nil)
        core.run(.disk(isLow: false))
        #expect(code(core.submit(spec())) == nil)
        #expect(core.health()?.status == .serving)
    }

    @Test("A broker that leaves refuses submits and claims, and lets running tasks end")
    func drain() throws {
        var core = CoreHarness()
        core.submit()
        core.submit()
        let lease = try core.lease()
        core.send(.openStream(stream: 1, ClaimSpec(queues: ["idle"], count: 1)))
        let waiting = core.send(.claim(ClaimSpec(queues: ["idle"], waitMilliseconds: 10_000)))
        let result = core.send(.result(lease.task, waitMilliseconds: 10_000))
        core.run(.drain)
        guard case .error(let error)? = core.takeAnswer(waiting)?.reply else {
            Issue.record("the waiting claim was not answered")
            return
        }
        #expect(error.code == .draining)
        #expect(code(core.submit(spec())) == .draining)
        #expect(core.errorCode(.claim(ClaimSpec(queues: ["q"]))) == .draining)
        #expect(core.errorCode(.openStream(stream: 2, ClaimSpec(queues: ["q"]))) == .draining)
        #expect(core.renew(lease) == nil)
        #expect(core.complete(lease) == nil)
        #expect(core.takeAnswer(result) != nil)
        #expect(core.health()?.status == .draining)
    }

    @Test("A stream gets nothing from a broker that leaves, not even for new credit")
    func drainStream() throws {
        var core = CoreHarness()
        core.submit()
        let stream = core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], count: 1)))
        let taken = core.takeAnswers().filter { $0.request == stream }
        guard case .delivery(_, let deliveries)? = taken.last?.reply, let delivery = deliveries.first else {
            Issue.record("nothing was delivered")
            return
        }
        core.run(.drain)
        core.send(.addCredit(stream: 1, count: 5))
        #expect(core.release(delivery.lease) == nil)
        core.send(.addCredit(stream: 1, count: 5))
        #expect(core.takeAnswers().isEmpty)
        #expect(core.state(delivery.lease.task) == .pending)
    }

    // MARK: Bounds

    @Test("No value of a task traps, and each out of bounds is refused by name")
    func bounds() {
        var core = CoreHarness()
        func code(_ change: (inout TaskSpec) -> Void) -> TQError.Code? {
            var spec = TaskSpec(queue: "q", type: "t")
            change(&spec)
            return self.code(core.submit(spec))
        }
        #expect(code { $0.queue = "" } == .invalidArgument)
        #expect(code { $0.queue = Name(bytes: [0xff]) } == .invalidArgument)
        #expect(code { $0.type = "a*" } == .invalidArgument)
        #expect(code { $0.type = Name(String(repeating: "x", count: 256)) } == .invalidArgument)
        #expect(code { $0.payload = Bytes(repeating: 0, count: Limits.payloadBytesMax + 1) } == .payloadTooLarge)
        #expect(code { $0.idempotencyKey = Bytes(repeating: 0, count: 256) } == .invalidArgument)
        #expect(code { $0.idempotencyWindowMilliseconds = .max } == .invalidArgument)
        #expect(code { $0.retentionMilliseconds = .max } == .invalidArgument)
        #expect(code { $0.start = .after(milliseconds: .max) } == .invalidArgument)
        #expect(code { $0.start = .at(wallMilliseconds: .max) } == .invalidArgument)
        #expect(code { $0.retriesMax = .max } == .invalidArgument)
        #expect(code { $0.leaseMilliseconds = .max } == nil)
        #expect(code { $0.timeoutMilliseconds = .max } == nil)
        #expect(code { $0.crashesMax = .max } == .invalidArgument)
        #expect(code { $0.crashesMax = Limits.crashesMax } == nil)
        #expect(code { $0.retryPolicy = RetryPolicy(.fixed(.max)) } == .invalidArgument)
        #expect(code { $0.retryPolicy = RetryPolicy(.list([])) } == .invalidArgument)
        #expect(code { $0.retryPolicy = RetryPolicy(.fixed(Limits.durationMillisecondsMax)) } == nil)
        #expect(code { $0.rank = Rank(rawValue: .max) } == nil)
        #expect(code { $0.start = .at(wallMilliseconds: 0) } == nil)
        #expect(code { $0.retentionMilliseconds = 100 * 366 * 86_400_000 } == nil)
        core.advance(milliseconds: 1_000_000)
    }

    @Test("A broker keeps only so many different retry policies")
    func policyLimit() throws {
        var core = CoreHarness()
        for wait in 0..<Limits.retryPoliciesMax {
            #expect(
                code(core.submit(TaskSpec(queue: "q", type: "t", retryPolicy: RetryPolicy(.fixed(UInt64(wait))))))
                    == nil
            )
        }
        let one = TaskSpec(queue: "q", type: "t", retryPolicy: RetryPolicy(.fixed(UInt64(Limits.retryPoliciesMax))))
        #expect(code(core.submit(one)) == .limitExceeded)
        #expect(code(core.submit(TaskSpec(queue: "q", type: "t", retryPolicy: RetryPolicy(.fixed(7))))) == nil)
        try core.checkIndex()
    }

    @Test("One bad task of a batch does not keep the others out")
    func partialBatch() {
        var core = CoreHarness()
        let specs = [spec(), TaskSpec(queue: "", type: "t"), spec()]
        guard case .submitted(let results)? = core.reply(.submit(specs)) else {
            Issue.record("no answer")
            return
        }
        #expect(results.map { code($0) } == [nil, .invalidArgument, nil])
        #expect(core.reply(.submit([])) == .submitted([]))
    }

    // MARK: Delays

    @Test("A delayed task is claimable at its time and not before")
    func delayed() throws {
        var core = CoreHarness()
        let after = core.submit(start: .after(milliseconds: 1_000))
        let at = core.submit(start: .at(wallMilliseconds: core.now.wallMilliseconds + 2_000))
        let past = core.submit(start: .at(wallMilliseconds: core.now.wallMilliseconds))
        #expect(core.counts().scheduled == 2)
        #expect(core.claimIDs() == [past])
        core.advance(milliseconds: 999)
        #expect(core.claimIDs() == [])
        try core.checkIndex()
        core.advance(milliseconds: 1)
        #expect(core.claimIDs() == [after])
        try core.restart()
        core.advance(milliseconds: 1_000)
        #expect(core.claimIDs() == [at])
        try core.checkIndex()
    }

    // MARK: Segments

    @Test("Large payloads make segments of their own, and every payload is found")
    func segments() throws {
        var core = CoreHarness()
        let sizes = [10, 70_000, 20, 40_000, 40_000, 0, 65_536, 1]
        core.send(.submit(sizes.map { spec(payload: Bytes(repeating: UInt8($0 % 251), count: $0)) }))
        try core.checkIndex()
        #expect(core.store.segments.count > 3)
        guard case .payloads(let places)? = core.answer(.claim(ClaimSpec(queues: ["q"], count: 100)))?.missing else {
            Issue.record("nothing was claimed")
            return
        }
        #expect(places.map { core.store.payload($0)?.count } == sizes)
    }
}
