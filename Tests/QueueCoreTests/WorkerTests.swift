import TQModel
import Testing

@testable import QueueCore

@Suite("Workers")
struct WorkerTests {
    private func workers(_ core: inout CoreHarness, namespace: UInt32 = 0) -> [WorkerStatus] {
        guard case .workers(let workers)? = core.reply(.workers, namespace: namespace) else { return [] }
        return workers
    }

    /// What streams were given since somebody looked.
    private func streamed(_ core: inout CoreHarness) -> [LeaseHandle] {
        core.takeAnswers().flatMap { answer -> [LeaseHandle] in
            guard case .delivery(_, let deliveries) = answer.reply else { return [] }
            return deliveries.map(\.lease)
        }
    }

    @Test(
        "A worker that is to be quiet or to stop gets no tasks, hears of it, and goes on when it may",
        arguments: [.quiet, .stop] as [WorkerOrder]
    )
    func orders(order: WorkerOrder) throws {
        var core = CoreHarness()
        #expect(core.errorCode(.orderWorker("w", order)) == .workerNotFound)
        #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .done)
        #expect(core.reply(.orderWorker("w", order)) == .done)
        let id = core.submit()
        #expect(core.claim(worker: "w").isEmpty)
        let stream = core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], count: 1, worker: "w")))
        #expect(core.takeAnswer(stream)?.reply == .done)
        #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .workerOrder(order))
        guard case .workers(let workers)? = core.reply(.workers) else { throw Unanswered() }
        #expect(workers.map(\.order) == [order])
        #expect(core.claimIDs(1).isEmpty == false, "others get tasks")
        let next = core.submit()
        #expect(core.state(next) == .pending && core.state(id) == .inProgress)
        #expect(core.reply(.orderWorker("w", .work)) == .done)
        #expect(core.state(next) == .inProgress, "its stream is served")
        #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .done)
        #expect(core.reply(.orderWorker("w", order)) == .done)
        #expect(core.reply(.deregisterWorker("w")) == .done)
        #expect(core.reply(.registerWorker(WorkerSpec(name: "w"))) == .done, "the order went with the worker")
    }

    @Test("A worker is known from its registration, heartbeat or claim on, and says what it does")
    func known() throws {
        var core = CoreHarness()
        #expect(core.reply(.registerWorker(WorkerSpec(name: "b", metadata: [1], concurrency: 4))) == .done)
        #expect(core.reply(.heartbeat(WorkerSpec(name: "c", running: 1))) == .done)
        core.submit()
        #expect(core.claim(worker: "a").count == 1)
        core.advance(milliseconds: 1_000)
        #expect(core.reply(.heartbeat(WorkerSpec(name: "b", concurrency: 4, running: 3, memoryBytes: .max))) == .done)
        let all = workers(&core)
        #expect(all.map(\.spec.name) == ["a", "b", "c"])
        #expect(all.map(\.leases) == [1, 0, 0])
        #expect(all.map(\.silentMilliseconds) == [1_000, 0, 1_000])
        #expect(all.map(\.spec.running) == [0, 3, 1])
        #expect(workers(&core, namespace: 1).isEmpty)
        try core.checkIndex()
    }

    @Test("A worker silent for more than a minute is given up, and its tasks return with a crash")
    func silent() throws {
        var core = CoreHarness()
        let id = core.submit()
        _ = try core.lease(worker: "w", leaseMilliseconds: 3_600_000)
        core.advance(milliseconds: 60_000)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1)
        let status = try core.known(id)
        #expect(status.state == .pending)
        #expect(status.crashes == 1)
        #expect(workers(&core).isEmpty)
        #expect(core.takeNotices() == [.leaseLapsed(id, worker: "w", crashes: 1), .workerLost("w", leases: 1)])
        try core.checkIndex()
    }

    @Test("What a claim takes while its worker is silent is not taken back when the worker is given up")
    func silentClaim() throws {
        var core = CoreHarness()
        core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 600_000, worker: "w")))
        core.now.monotonicMilliseconds += 60_001
        let id = core.submit()
        core.advance(milliseconds: 0)
        #expect(core.takeNotices() == [.workerLost("w", leases: 0)])
        let status = try core.known(id)
        #expect(status.state == .inProgress)
        #expect(status.crashes == 0)
    }

    @Test("A stream gets nothing while its worker is silent, and goes on when it is heard again")
    func silentStream() throws {
        for isGivenUp in [false, true] {
            var core = CoreHarness()
            let kept = core.submit()
            core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], count: 3, worker: "w")))
            let held = try #require(streamed(&core).first)
            #expect(held.task == kept)
            core.now.monotonicMilliseconds += 60_001
            let late = [core.submit(), core.submit()]
            #expect(streamed(&core).isEmpty)
            if isGivenUp {
                core.advance(milliseconds: 0)
                #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .done)
            } else {
                #expect(core.renew(held) == nil)
            }
            let taken = streamed(&core).map(\.task)
            #expect(taken == (isGivenUp ? [kept, late[0]] : late))
            try core.checkIndex()
        }
    }

    @Test("Renewing a lease keeps its worker")
    func renewalHeard() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease(worker: "w", leaseMilliseconds: 3_600_000)
        for _ in 0..<3 {
            core.advance(milliseconds: 60_000)
            #expect(core.renew(lease) == nil)
        }
        #expect(core.status(id)?.crashes == 0)
    }

    @Test("A session has a limit of requests that wait, and ending them all takes no longer for each")
    func waits() {
        var core = CoreHarness()
        let id = core.submit(queue: "other")
        for _ in 0..<Limits.waitsMax { core.send(.result(id, waitMilliseconds: 60_000)) }
        #expect(core.errorCode(.result(id, waitMilliseconds: 60_000)) == .limitExceeded)
        #expect(core.errorCode(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 1))) == .limitExceeded)
        #expect(core.claim().isEmpty)
        core.run(.closeSession(CoreHarness.session))
        #expect(core.core.session.parked.isEmpty)
        #expect(core.core.session.resultWaits.isEmpty)
    }

    @Test("Credit for its stream keeps a worker, and brings one back that was given up")
    func creditHeard() throws {
        var core = CoreHarness()
        core.send(.openStream(stream: 1, ClaimSpec(queues: ["q"], count: 1, worker: "w")))
        for _ in 0..<3 {
            core.advance(milliseconds: 60_000)
            core.send(.addCredit(stream: 1, count: 1))
        }
        #expect(workers(&core).map(\.silentMilliseconds) == [0])
        core.advance(milliseconds: 60_001)
        #expect(workers(&core).isEmpty)
        core.submit()
        core.submit()
        core.submit()
        #expect(streamed(&core).isEmpty)
        core.send(.addCredit(stream: 1, count: 1))
        #expect(streamed(&core).count == 3)
        core.submit()
        core.submit()
        // The first credit, three of one each, and this one.
        #expect(streamed(&core).count == 2)
        #expect(workers(&core).map(\.leases) == [5])
        try core.checkIndex()
    }

    @Test("Heartbeats and claims keep a worker")
    func heartbeats() throws {
        var core = CoreHarness()
        core.submit()
        let lease = try core.lease(worker: "w", leaseMilliseconds: 3_600_000)
        for round in 0..<5 {
            core.advance(milliseconds: 60_000)
            if round % 2 == 0 {
                #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .done)
            } else {
                #expect(core.claim(worker: "w").isEmpty)
            }
        }
        #expect(core.renew(lease) == nil)
    }

    @Test("No inactivity is too long to be set")
    func unlimitedInactivity() throws {
        var core = CoreHarness(CoreConfiguration(workerInactivityMilliseconds: .max))
        #expect(core.reply(.heartbeat(WorkerSpec(name: "w"))) == .done)
        core.advance(milliseconds: 100_000_000)
        #expect(workers(&core).count == 1)
    }

    @Test("A worker that says good-bye gives its tasks back without a crash or an attempt")
    func deregister() throws {
        var core = CoreHarness()
        let ids = [core.submit(), core.submit()]
        #expect(core.claim(2, worker: "w").count == 2)
        #expect(core.reply(.deregisterWorker("w")) == .done)
        for id in ids {
            let status = try core.known(id)
            #expect(status.state == .pending)
            #expect(status.attempts == 0)
            #expect(status.crashes == 0)
        }
        #expect(core.errorCode(.deregisterWorker("w")) == .workerNotFound)
        try core.checkIndex()
    }

    @Test("A worker that returns in one group is known once, to a replica too")
    func sameGroup() throws {
        var core = CoreHarness()
        for _ in 0..<3 {
            #expect(core.reply(.registerWorker(WorkerSpec(name: "w"))) == .done)
            #expect(core.reply(.deregisterWorker("w")) == .done)
        }
        #expect(core.reply(.registerWorker(WorkerSpec(name: "w"))) == .done)
        try core.checkIndex()
        #expect(core.followerKnows(worker: "w"))
    }

    @Test("A restart gives workers and their leases the whole time again, and its losses are nobody's crash")
    func restart() throws {
        var core = CoreHarness()
        let id = core.submit()
        _ = try core.lease(worker: "w", leaseMilliseconds: 3_600_000)
        core.advance(milliseconds: 59_000)
        try core.restart()
        core.advance(milliseconds: 60_000)
        #expect(core.state(id) == .inProgress)
        core.advance(milliseconds: 1)
        let status = try core.known(id)
        #expect(status.state == .pending)
        #expect(status.crashes == 0)
        try core.checkIndex()
    }

    @Test("Names and metadata have their bounds")
    func bounds() {
        var core = CoreHarness()
        let long = Bytes(repeating: 65, count: Limits.errorBytesMax + 1)
        #expect(core.errorCode(.registerWorker(WorkerSpec(name: "a b"))) == .invalidArgument)
        #expect(core.errorCode(.heartbeat(WorkerSpec(name: ""))) == .invalidArgument)
        #expect(core.errorCode(.registerWorker(WorkerSpec(name: "w", metadata: long))) == .invalidArgument)
        #expect(core.errorCode(.deregisterWorker(Name(bytes: [0xff]))) == .workerNotFound)
        #expect(core.reply(.registerWorker(WorkerSpec(name: "w", metadata: long.dropLast()))) == .done)
    }
}
