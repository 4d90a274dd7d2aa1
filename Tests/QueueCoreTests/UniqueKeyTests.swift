import TQModel
import Testing

@testable import QueueCore

@Suite("Unique keys")
struct UniqueKeyTests {
    private static let key: Bytes = [7, 7]

    private func spec(
        _ scope: UniqueKey.Scope = .active,
        _ onConflict: UniqueKey.OnConflict = .refuse,
        payload: Bytes = [1],
        queue: Name = "q"
    ) -> TaskSpec {
        TaskSpec(
            queue: queue,
            type: "t",
            payload: payload,
            uniqueKey: UniqueKey(Self.key, scope: scope, onConflict: onConflict)
        )
    }

    /// Whether another submit with the key is taken; it is not stored.
    private func isFree(_ core: CoreHarness, _ scope: UniqueKey.Scope = .active) -> Bool {
        var copy = core
        return copy.submit(spec(scope)).failureCode == nil
    }

    @Test("Another submit gets the id that is there, is refused, or takes its place")
    func conflicts() throws {
        var core = CoreHarness()
        let first = core.id(of: core.submit(spec()))
        #expect(core.submit(spec(.active, .existing)) == .success(Submission(id: first, isDuplicate: true)))
        #expect(core.submit(spec()).failureCode == .conflict)
        let replacement = core.submit(spec(.active, .replace, payload: [9, 9]))
        #expect(replacement == .success(Submission(id: first, isReplacement: true)))
        #expect(core.counts().pending == 1)
        core.settle()
        let delivery = try #require(core.claim(9).first)
        #expect(delivery.lease.task == first)
        #expect(core.payload(of: delivery) == [9, 9])
        #expect(try core.statistics().totals.submitted == 1)
        #expect(try core.statistics().totals.replaced == 1)
        try core.checkIndex()
    }

    @Test("Keys of another queue, namespace or kind are other keys")
    func others() {
        var core = CoreHarness()
        core.submit(spec())
        #expect(core.submit(spec(queue: "r")).failureCode == nil)
        #expect(core.submit(spec(), namespace: 3).failureCode == nil)
        var keyed = TaskSpec(queue: "q", type: "t")
        keyed.idempotencyKey = Self.key
        #expect(core.submit(keyed).failureCode == nil)
        #expect(core.submit(spec()).failureCode == .conflict)
    }

    @Test("A key is held while its task waits, while it is active, or until it is over", arguments: [false, true])
    func scopes(restarts: Bool) throws {
        /// What a task goes through, and whether its key is held then: waiting, active, unfinished.
        let steps: [(String, [Bool], (inout CoreHarness) throws -> Void)] = [
            ("waits", [true, true, true], { _ in }),
            ("runs", [false, true, true], { _ = try $0.lease() }),
            ("is released", [true, true, true], { _ = $0.release(try $0.lease(), delay: 9_000) }),
            ("waits for a retry", [true, true, true], { _ = $0.fail(try $0.lease()) }),
            ("is a dead letter", [false, false, true], { _ = $0.fail(try $0.lease(), isPermanent: true) }),
            ("is completed", [false, false, false], { _ = $0.complete(try $0.lease()) }),
        ]
        for (name, held, step) in steps {
            for (scope, isHeld) in zip([UniqueKey.Scope.waiting, .active, .unfinished], held) {
                var core = CoreHarness()
                core.submit(spec(scope))
                try step(&core)
                if restarts { try core.restart() }
                #expect(isFree(core, scope) == !isHeld, "\(scope), the task \(name)")
                try core.checkIndex()
            }
        }
    }

    @Test("A dead letter holds its key when its slot is gone, over a restart, until it is put back and over")
    func deadLetters() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(spec(.unfinished)))
        #expect(try core.fail(core.lease(), isPermanent: true) == nil)
        core.settle()
        #expect(core.core.find(id).isEnded, "its slot has gone with its segment")
        for _ in 0..<2 {
            #expect(core.submit(spec(.unfinished, .existing)) == .success(Submission(id: id, isDuplicate: true)))
            #expect(core.submit(spec(.unfinished, .replace)).failureCode == .conflict)
            try core.restart()
        }
        #expect(core.redrive(id) == nil)
        try core.restart()
        #expect(!isFree(core, .unfinished))
        #expect(try core.complete(core.lease()) == nil)
        #expect(isFree(core, .unfinished))
        try core.restart()
        #expect(isFree(core, .unfinished))
        try core.checkIndex()
    }

    @Test("A dead letter is not put back while another task holds its key")
    func redrives() throws {
        var core = CoreHarness()
        let dead = core.id(of: core.submit(spec()))
        #expect(try core.fail(core.lease(), isPermanent: true) == nil)
        let next = core.id(of: core.submit(spec()))
        #expect(core.redrive(dead)?.code == .conflict)
        #expect(core.state(dead) == .deadLetter)
        #expect(try core.complete(core.lease()) == nil)
        #expect(core.state(next) == .completed)
        #expect(core.redrive(dead) == nil)
        #expect(!isFree(core))
        try core.checkIndex()
    }

    @Test("A window holds its key whatever becomes of the task, and no longer")
    func windows() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(spec(.window(milliseconds: 30_000))))
        #expect(try core.complete(core.lease()) == nil)
        try core.restart()
        #expect(core.submit(spec(.active, .existing)) == .success(Submission(id: id, isDuplicate: true)))
        #expect(core.submit(spec(.active, .replace)).failureCode == .conflict)
        core.advance(milliseconds: 32_000)
        #expect(isFree(core))
        core.settle()
        try core.checkIndex()
    }

    @Test("What takes the place of another has its own time, priority and policies; attempts stay counted")
    func replacements() throws {
        var core = CoreHarness()
        let id = core.id(of: core.submit(spec()))
        #expect(try core.fail(core.lease(), retryAfter: 0) == nil)
        var later = spec(.active, .replace, payload: [3])
        later.start = .after(milliseconds: 60_000)
        later.type = "u"
        later.rank = Priority.high.rank
        later.retriesMax = 1
        #expect(core.id(of: core.submit(later)) == id)
        try core.checkIndex()
        for _ in 0..<2 {
            let status = try core.known(id)
            #expect(status.state == .scheduled && status.type == "u" && status.priority == .high)
            #expect(status.attempts == 1 && status.retriesMax == 1)
            #expect(core.claim().isEmpty)
            try core.restart()
        }
        core.advance(milliseconds: 61_000)
        #expect(core.claim(types: ["t"]).isEmpty)
        let delivery = try #require(core.claim(types: ["u"]).first)
        #expect(core.payload(of: delivery) == [3])
        #expect(core.fail(delivery.lease) == nil)
        #expect(core.state(id) == .deadLetter, "its second attempt was the last one")
        try core.checkIndex()
    }

    @Test("A task that is put off again and again is run once, with the last payload")
    func debounce() throws {
        var core = CoreHarness()
        var id: TaskID?
        for number in 0..<20 {
            var next = spec(.waiting, .replace, payload: [UInt8(number)])
            next.start = .after(milliseconds: 5_000)
            let submission = try core.submit(next).get()
            id = id ?? submission.id
            #expect(submission.id == id)
            if number % 3 == 0 { core.settle() }
            if number % 7 == 6 { try core.restart() }
            core.advance(milliseconds: 1_000)
        }
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 5_000)
        let deliveries = core.claim(9)
        #expect(deliveries.map(\.lease.task) == [id])
        let delivery = try #require(deliveries.first)
        #expect(core.payload(of: delivery) == [19])
        #expect(core.core.index.recordCount < 6, "what was replaced is not kept")
        try core.checkIndex()
    }

    @Test("Cleaning moves the row that counts, when an older one of the same task lies beside it")
    func cleaning() throws {
        var core = CoreHarness()
        let waiting = core.id(of: core.submit(spec()))
        for _ in 0..<40 { core.submit(queue: "other") }
        core.settle()
        _ = core.submit(spec(.active, .replace, payload: [5]))
        for _ in 0..<40 { _ = core.submit(spec(.active, .replace, payload: [6])) }
        core.ageRecords()
        core.run(.clean)
        try core.checkIndex()
        let delivery = try #require(core.claim().first)
        #expect(delivery.lease.task == waiting)
        #expect(core.payload(of: delivery) == [6])
    }

    @Test("A follow-up may hold the key of the task that ends; two cannot hold one")
    func followUps() throws {
        var core = CoreHarness()
        core.submit(spec())
        let lease = try core.lease()
        let twins = Completion(lease: lease, followUps: [spec(), spec()])
        guard case .completed(let refused)? = core.reply(.complete([twins])) else { throw Unanswered() }
        #expect(refused.first?.failureCode == .conflict)
        guard case .completed(let done)? = core.reply(.complete([Completion(lease: lease, followUps: [spec()])])) else {
            throw Unanswered()
        }
        #expect(try done.first?.get().count == 1)
        #expect(core.counts().pending == 1)
        #expect(!isFree(core))
        try core.checkIndex()
    }

    @Test("A key without bytes, of too many, or with a window of nothing is refused by name")
    func limits() {
        var core = CoreHarness()
        for (key, scope) in [
            ([], .active), (Bytes(repeating: 1, count: 256), .active), ([1], .window(milliseconds: 0)),
            ([1], .window(milliseconds: .max)),
        ] as [(Bytes, UniqueKey.Scope)] {
            var wrong = TaskSpec(queue: "q", type: "t")
            wrong.uniqueKey = UniqueKey(key, scope: scope)
            guard case .failure(let error) = core.submit(wrong) else {
                Issue.record("\(key.count) bytes, \(scope) were taken")
                continue
            }
            #expect(error.code == .invalidArgument && error.message.contains("unique key"), "\(error)")
        }
        #expect(core.counts().pending == 0)
    }
}

extension QueueCore.Whereabouts {
    fileprivate var isEnded: Bool { if case .ended = self { true } else { false } }
}
