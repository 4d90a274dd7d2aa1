import TQModel
import Testing

@testable import QueueCore

@Suite("Policies of queues")
struct PolicyTests {
    private static let full = QueuePolicy(
        retryPolicy: RetryPolicy(.fixed(7_000)),
        retriesMax: 1,
        crashesMax: 1,
        leaseMilliseconds: 2_000,
        timeoutMilliseconds: 9_000,
        retentionMilliseconds: 120_000
    )

    private func put(_ policy: QueuePolicy, of queue: Name = "q", _ core: inout CoreHarness) {
        let reply = core.reply(.putQueuePolicy(queue, policy))
        #expect(reply == .done)
    }

    private func policy(_ core: inout CoreHarness, _ queue: Name = "q") -> QueuePolicy? {
        guard case .queues(let queues)? = core.reply(.queues) else { return nil }
        return queues.first { $0.name == queue }?.policy
    }

    @Test("A queue's tasks get what it says where they say nothing, and tasks of other queues do not")
    func values() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        core.submit(queue: "q")
        core.submit(queue: "other")
        let delivery = try #require(core.claim().first)
        #expect(delivery.leaseMilliseconds == 2_000 && delivery.timeoutMilliseconds == 9_000)
        #expect(delivery.retriesMax == 1)
        let other = try #require(core.claim(queues: ["other"]).first)
        #expect(other.leaseMilliseconds == Defaults.leaseMilliseconds)
        #expect(other.timeoutMilliseconds == Defaults.timeoutMilliseconds && other.retriesMax == Defaults.retriesMax)
        try core.checkIndex()
    }

    @Test("What a task says goes before what its queue says")
    func taskFirst() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        let id = core.submit {
            $0.retryPolicy = RetryPolicy(.fixed(1_000))
            $0.retriesMax = 5
            $0.leaseMilliseconds = 3_000
            $0.timeoutMilliseconds = 4_000
            $0.retentionMilliseconds = 30_000
        }
        let delivery = try #require(core.claim().first)
        #expect(delivery.leaseMilliseconds == 3_000 && delivery.timeoutMilliseconds == 4_000)
        #expect(delivery.retriesMax == 5)
        #expect(core.fail(delivery.lease) == nil)
        #expect(try core.known(id).startWallMilliseconds == core.now.wallMilliseconds + 1_000)
        core.advance(milliseconds: 1_000)
        #expect(core.complete(try core.lease()) == nil)
        core.advance(milliseconds: 32_000)
        #expect(core.state(id) == nil)
    }

    @Test("A change reaches tasks that wait: their waits, their retries and how long their results are kept")
    func reachesWaiting() throws {
        var core = CoreHarness()
        let id = core.submit()
        let kept = core.submit(queue: "kept")
        #expect(core.fail(try core.lease(), retryAfter: 0) == nil)
        put(Self.full, &core)
        put(Self.full, of: "kept", &core)
        #expect(try core.known(id).retriesMax == 1)
        #expect(core.fail(try core.lease()) == nil)
        #expect(core.state(id) == .deadLetter)
        #expect(core.complete(try #require(core.claim(queues: ["kept"]).first).lease) == nil)
        core.advance(milliseconds: 119_000)
        #expect(core.state(kept) == .completed)
        core.advance(milliseconds: 62_000)
        #expect(core.state(kept) == nil)
        try core.checkIndex()
    }

    @Test("A queue's crashes quarantine its tasks")
    func crashes() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        let id = core.submit()
        _ = try core.lease()
        core.advance(milliseconds: 2_001)
        #expect(core.state(id) == .deadLetter)
        #expect(try #require(core.letter(id)).row.reason == .quarantined)
    }

    @Test("A list of waits brings its number of retries to the queue, unless the queue says another")
    func listedRetries() throws {
        var core = CoreHarness()
        put(QueuePolicy(retryPolicy: RetryPolicy(.list([0, 0, 0, 0, 0]))), &core)
        let id = core.submit()
        #expect(try core.known(id).retriesMax == 5)
        put(QueuePolicy(retryPolicy: RetryPolicy(.list([0, 0])), retriesMax: 9), &core)
        #expect(try core.known(id).retriesMax == 9)
    }

    @Test("A task that waits in its own way has not as many retries as its queue's list has waits")
    func listOfQueueIsForItsOwnWaits() throws {
        var core = CoreHarness()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(retryPolicy: RetryPolicy(.list([1, 1]))))) == .done)
        let id = core.submit { $0.retryPolicy = RetryPolicy(.fixed(1)) }
        #expect(try core.known(id).retriesMax == Defaults.retriesMax)
        #expect(try core.known(core.submit()).retriesMax == 2)
    }

    @Test("A restart forgets no policy, and an empty one takes the defaults again")
    func restarts() throws {
        var core = CoreHarness()
        core.submit()
        put(Self.full, &core)
        put(Self.full, of: "new", &core)
        try core.restart()
        #expect(policy(&core) == Self.full && policy(&core, "new") == Self.full)
        let lease = try #require(core.claim().first)
        #expect(lease.timeoutMilliseconds == 9_000)
        // A lease has its full duration after a restart, and that is the one that its queue said.
        core.advance(milliseconds: 1_000)
        try core.restart()
        core.advance(milliseconds: 1_999)
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1)
        #expect(core.claim().first?.attempt == 1)
        put(QueuePolicy(), &core)
        put(QueuePolicy(), of: "unknown", &core)
        #expect(policy(&core)?.isEmpty == true && policy(&core, "unknown") == nil)
        try core.restart()
        #expect(policy(&core)?.isEmpty == true && policy(&core, "new") == Self.full)
        try core.checkIndex()
    }

    @Test("Of several changes in one write the last one holds")
    func lastOneHolds() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        put(QueuePolicy(), &core)
        put(QueuePolicy(retriesMax: 2), &core)
        try core.restart()
        #expect(policy(&core) == QueuePolicy(retriesMax: 2))
        put(QueuePolicy(retriesMax: 3), &core)
        put(QueuePolicy(), &core)
        try core.restart()
        #expect(policy(&core) == QueuePolicy())
    }

    @Test("What is said again writes nothing")
    func again() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        core.settle()
        put(Self.full, &core)
        #expect(!core.core.hasEffects)
    }

    @Test("A policy out of range is refused, and the one before it stays")
    func refused() throws {
        var core = CoreHarness()
        put(Self.full, &core)
        for wrong in [
            QueuePolicy(retriesMax: Limits.retriesMax + 1), QueuePolicy(crashesMax: Limits.crashesMax + 1),
            QueuePolicy(retentionMilliseconds: .max),
            QueuePolicy(retryPolicy: RetryPolicy(.fixed(.max))),
        ] {
            #expect(core.errorCode(.putQueuePolicy("q", wrong)) == .invalidArgument)
        }
        #expect(core.errorCode(.putQueuePolicy("no name", Self.full)) == .invalidArgument)
        #expect(policy(&core) == Self.full)
        #expect(policy(&core, "no name") == nil)
    }
}
