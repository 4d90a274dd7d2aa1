import FakeBroker
import Synchronization
import TQClient
import TQModel
import Testing

@testable import TQWorker

@Suite("Worker", .timeLimit(.minutes(5)))
struct WorkerTests {
    @Test("A task is decoded, handled by its type's handler, and completed with the encoded result")
    func completes() async throws {
        let (broker, worker) = try await start(deliver: [delivery(1, type: "double", payload: "21")]) { worker in
            worker.register("double") { (number: Int, context) async throws -> Int in
                #expect(context.attempt == 1)
                #expect(context.type == "double")
                return number * 2
            }
        }
        let json = Content(type: "application/json")
        let completion = Completion(lease: lease(1), result: Bytes("42".utf8), content: json)
        #expect(await broker.nextEnd() == .complete([completion]))
        await finish(broker, worker)
    }

    @Test("What a handler hands over goes out with its completion, and not at all when it throws")
    func handOver() async throws {
        let next = TaskSpec(type: "next", payload: [7])
        let (broker, worker) = try await start(deliver: [delivery(1), delivery(2)], concurrency: 2) { worker in
            worker.register("t") { _, context in
                context.submitOnCompletion(next)
                context.cancelOnCompletion(context.id)
                if context.id == lease(2).task { throw TQError(.internalError, "no luck") }
                return Bytes([1])
            }
        }
        var ends = [await broker.nextEnd(), await broker.nextEnd()].compactMap { $0 }
        ends.sort { "\($0)" < "\($1)" }
        let completion = Completion(lease: lease(1), result: [1], followUps: [next], cancels: [lease(1).task])
        #expect(ends.first == .complete([completion]))
        #expect(ends.last == .fail([Failure(lease: lease(2), error: Bytes("internalError: no luck".utf8))]))
        await finish(broker, worker)
    }

    @Test("A hand-over that the broker refuses for good fails the attempt")
    func refusedHandOver() async throws {
        let refusal = TQError(.invalidArgument, "'no name' is no task type name")
        let broker = try await FakeBroker.start { request, id, peer in
            switch request {
            case .openStream(let stream, _):
                peer.reply(.done, to: id)
                peer.reply(.delivery(stream: stream, [delivery(1)]), to: 0)
            case .complete: peer.reply(.completed([.failure(refusal)]), to: id)
            default: peer.answer(request, id)
            }
        }
        let worker = try run(broker) { worker in
            worker.register("t") { _, context in
                context.submitOnCompletion(TaskSpec(type: "no name"))
                return Bytes([])
            }
        }
        var end = await broker.nextEnd()
        if case .complete = end { end = await broker.nextEnd() }
        guard case .fail(let failures)? = end else {
            Issue.record("the worker said \(String(describing: end))")
            return
        }
        let failure = try #require(failures.first)
        #expect(String(decoding: failure.error, as: UTF8.self).contains("no task type name"))
        #expect(!failure.isPermanent)
        await finish(broker, worker)
    }

    @Test("What a handler throws fails the attempt, with the intent that the error states")
    func failures() async throws {
        let (broker, worker) = try await start(
            deliver: [
                delivery(1, type: "plain"), delivery(2, type: "permanent"), delivery(3, type: "later"),
                delivery(4, type: "json", payload: "{"), delivery(5, type: "large"),
            ],
            concurrency: 5
        ) { worker in
            worker.register("plain", raw: { _, _ in throw TQError(.internalError, "no luck") })
            worker.register("permanent", raw: { _, _ in throw PermanentFailure("never") })
            worker.register("later", raw: { _, _ in throw RetryLater(after: .seconds(7)) })
            worker.register("json") { (_: [Int], _) async throws -> Void in }
            worker.register("large", raw: { _, _ in Bytes(repeating: 0, count: Limits.payloadBytesMax + 1) })
        }
        var failures: [UInt64: Failure] = [:]
        while failures.count < 5, case .fail(let batch)? = await broker.nextEnd() {
            for failure in batch { failures[failure.lease.token.rawValue] = failure }
        }
        #expect(failures[1] == Failure(lease: lease(1), error: Bytes("internalError: no luck".utf8)))
        #expect(failures[2] == Failure(lease: lease(2), error: Bytes("never".utf8), isPermanent: true))
        #expect(failures[3]?.retryAfterMilliseconds == 7000)
        #expect(failures[4]?.isPermanent == true)
        #expect(failures[5]?.isPermanent == true)
        await finish(broker, worker)
    }

    @Test(
        "A worker registers, opens a stream for its types with credit for its concurrency, and gives back a place per task"
    )
    func creditFollowsConcurrency() async throws {
        let (broker, worker) = try await start(deliver: [delivery(1), delivery(2)], concurrency: 3) { worker in
            worker.register("t", raw: { _, _ in [] })
        }
        var granted: UInt32 = 0
        var requests: [Request] = []
        while granted < 2, let request = await broker.next() {
            requests.append(request)
            if case .addCredit(_, let count) = request { granted += count }
        }
        #expect(granted == 2)
        guard case .registerWorker(let spec)? = requests.first else {
            Issue.record("the first request is \(String(describing: requests.first))")
            return
        }
        #expect(spec.name == worker.name)
        #expect(spec.concurrency == 3)
        #expect(spec.memoryBytes > 0)
        let claims = requests.compactMap { if case .openStream(_, let claim) = $0 { claim } else { nil } }
        #expect(claims == [ClaimSpec(queues: ["default"], types: ["t"], count: 3, worker: worker.name)])
        await finish(broker, worker)
    }

    @Test("Leases are renewed while handlers run, all in one frame")
    func renewal() async throws {
        let release = Signal()
        let deliveries = (1...3).map { delivery($0, leaseMilliseconds: 60) }
        let (broker, worker) = try await start(deliver: deliveries) { worker in
            worker.register("t") { _, _ in
                await release.wait()
                return []
            }
        }
        for _ in 0..<3 {
            guard case .renew(let renewals)? = await broker.next(where: \.isRenew) else { break }
            #expect(Set(renewals.map(\.lease)) == [lease(1), lease(2), lease(3)])
        }
        release.send()
        await finish(broker, worker)
    }

    @Test("A renewal that is not answered in time is sent on a new connection, to the next broker")
    func unansweredRenewal() async throws {
        let release = Signal()
        let mute = try await FakeBroker.start { request, id, peer in
            switch request {
            case .renew: break
            case .openStream(let stream, _):
                peer.reply(.done, to: id)
                peer.reply(.delivery(stream: stream, [delivery(1, leaseMilliseconds: 300)]), to: 0)
            default: peer.answer(request, id)
            }
        }
        let next = try await fakeBroker(deliver: [], renewal: nil)
        let worker = try Worker(brokers: "\(mute.address),\(next.address)")
        worker.register("t") { _, _ in
            await release.wait()
            return []
        }
        let run = Task { try await worker.run() }
        let renewal = await next.next(where: \.isRenew)
        #expect(renewal == .renew([Renewal(lease: lease(1))]))
        release.send()
        await finish(next, worker)
        try await run.value
        await mute.stop()
    }

    @Test("A lost lease cancels its handler, and nothing is reported for it")
    func lostLease() async throws {
        let cancelled = Signal()
        let (broker, worker) = try await start(
            deliver: [delivery(1, leaseMilliseconds: 30)],
            renewal: TQError(.leaseLost, "gone")
        ) { worker in
            worker.register("t", raw: { _, _ in try await Self.untilCancelled(cancelled) })
        }
        await cancelled.wait()
        await worker.shutdown()
        var requests: [Request] = []
        while let request = await broker.next(), !request.isDeregister { requests.append(request) }
        #expect(!requests.contains { $0.isEnd })
        await broker.stop()
    }

    @Test("A task that somebody cancels has its handler cancelled, which says how it ended", arguments: [false, true])
    func cancelRequest(byRenewal: Bool) async throws {
        let cancelled = Signal()
        let broker = try await FakeBroker.start { request, id, peer in
            switch request {
            case .openStream(let stream, _):
                peer.reply(.done, to: id)
                peer.reply(.delivery(stream: stream, [delivery(1, leaseMilliseconds: byRenewal ? 30 : 30_000)]), to: 0)
                if !byRenewal { peer.reply(.cancelRequested([lease(1), lease(2)]), to: 0) }
            case .renew(let renewals):
                peer.reply(.outcomes(renewals.map { _ in TQError(.cancelRequested, "stop") }), to: id)
            default: peer.answer(request, id)
            }
        }
        let worker = try run(broker) { worker in
            worker.register("t", raw: { _, _ in try await Self.untilCancelled(cancelled) })
        }
        await cancelled.wait()
        #expect(await broker.nextEnd() == .fail([Failure(lease: lease(1), error: Bytes("CancellationError()".utf8))]))
        await finish(broker, worker)
    }

    @Test("An attempt over its timeout is failed at once and its handler cancelled")
    func timeout() async throws {
        let cancelled = Signal()
        let (broker, worker) = try await start(deliver: [delivery(1, timeoutMilliseconds: 20)]) { worker in
            worker.register("t", raw: { _, _ in try await Self.untilCancelled(cancelled) })
        }
        #expect(
            await broker.nextEnd() == .fail([Failure(lease: lease(1), error: Bytes("The attempt timed out.".utf8))])
        )
        await cancelled.wait()
        await finish(broker, worker)
    }

    @Test("A shutdown closes the stream, lets running tasks finish, deregisters, and ends run")
    func gracefulShutdown() async throws {
        let started = Signal()
        let release = Signal()
        let (broker, worker) = try await start(deliver: [delivery(1)]) { worker in
            worker.register("t") { _, _ in
                started.send()
                await release.wait()
                return [1]
            }
        }
        await started.wait()
        let shutdown = Task { await worker.shutdown(grace: .seconds(50)) }
        _ = await broker.next { if case .closeStream = $0 { true } else { false } }
        release.send()
        #expect(await broker.nextEnd() == .complete([Completion(lease: lease(1), result: [1])]))
        _ = await broker.next(where: \.isDeregister)
        await shutdown.value
        await broker.stop()
    }

    @Test("What still runs when the grace is over is cancelled and given back")
    func graceIsOver() async throws {
        let started = Signal()
        let (broker, worker) = try await start(deliver: [delivery(1)]) { worker in
            worker.register("t") { _, _ in
                started.send()
                return try await Self.untilCancelled(Signal())
            }
        }
        await started.wait()
        await worker.shutdown(grace: .zero)
        #expect(await broker.nextEnd() == .release([Release(lease: lease(1))]))
        await broker.stop()
    }

    @Test("A second shutdown without grace does not wait for the end of the first one's")
    func hurriedShutdown() async throws {
        let started = Signal()
        let (broker, worker) = try await start(deliver: [delivery(1)]) { worker in
            worker.register("t") { _, _ in
                started.send()
                return try await Self.untilCancelled(Signal())
            }
        }
        await started.wait()
        let shutdown = Task { await worker.shutdown(grace: .seconds(3600)) }
        _ = await broker.next { if case .closeStream = $0 { true } else { false } }
        await worker.shutdown(grace: .zero)
        #expect(await broker.nextEnd() == .release([Release(lease: lease(1))]))
        await shutdown.value
        await broker.stop()
    }

    @Test("Over a restart of the broker a running task goes on and is completed with the same lease")
    func brokerRestart() async throws {
        let started = Signal()
        let release = Signal()
        let (first, worker) = try await start(deliver: [delivery(1)], concurrency: 2, port: restartablePort()) {
            worker in
            worker.register("t") { _, _ in
                started.send()
                await release.wait()
                return [7]
            }
        }
        await started.wait()
        await first.stop()
        let second = try await fakeBroker(port: first.port, deliver: [], renewal: nil)
        release.send()
        var completion: Request?
        var credit: UInt32 = 0
        while completion == nil || credit < 2, let request = await second.next() {
            if request.isEnd { completion = request }
            switch request {
            // The place of the running task is not offered again before the task has ended.
            case .openStream(_, let claim): credit += claim.count
            case .addCredit(_, let count): credit += count
            default: break
            }
        }
        #expect(completion == .complete([Completion(lease: lease(1), result: [7])]))
        #expect(credit == 2)
        await finish(second, worker)
    }

    @Test("A report that the broker cannot take for now is made again")
    func reportsAreRepeated() async throws {
        let refusals = Atomic<Int>(2)
        let broker = try await FakeBroker.start { request, id, peer in
            switch request {
            case .openStream(let stream, _):
                peer.reply(.done, to: id)
                peer.reply(.delivery(stream: stream, [delivery(1)]), to: 0)
            case .complete where refusals.subtract(1, ordering: .relaxed).oldValue > 0:
                peer.reply(.error(TQError(.readOnly, "a write failed")), to: id)
            default: peer.answer(request, id)
            }
        }
        let worker = try run(broker) { $0.register("t", raw: { _, _ in [] }) }
        for _ in 0..<3 { #expect(await broker.nextEnd() == .complete([Completion(lease: lease(1))])) }
        await finish(broker, worker)
    }

    @Test("Heartbeats tell how many tasks run and what the process uses")
    func heartbeats() async throws {
        let release = Signal()
        var options = WorkerOptions()
        options.heartbeatInterval = .milliseconds(10)
        let broker = try await fakeBroker(deliver: [delivery(1)], renewal: nil)
        let worker = try run(broker, options) { worker in
            worker.register("t") { _, _ in
                await release.wait()
                return []
            }
        }
        let heartbeat = await broker.next { if case .heartbeat(let spec) = $0 { spec.running == 1 } else { false } }
        guard case .heartbeat(let spec)? = heartbeat else {
            Issue.record("no heartbeat")
            return
        }
        #expect(spec.memoryBytes > 1_000_000)
        release.send()
        await finish(broker, worker)
    }

    @Test("run throws what no waiting heals")
    func refused() async throws {
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .openStream = request else { return peer.answer(request, id) }
            peer.reply(.error(TQError(.invalidArgument, "no such name")), to: id)
        }
        let worker = try Worker(brokers: broker.address)
        worker.register("t", raw: { _, _ in [] })
        await #expect(throws: TQError(.invalidArgument, "no such name")) { try await worker.run() }
        await broker.stop()
    }

    @Test("run throws what no waiting heals also when it comes after a reconnect")
    func refusedLater() async throws {
        let first = try await fakeBroker(port: restartablePort(), deliver: [], renewal: nil)
        var options = WorkerOptions()
        options.client.reconnectDelayMin = .milliseconds(5)
        let worker = try Worker(brokers: first.address, options: options)
        worker.register("t", raw: { _, _ in [] })
        let run = Task { try await worker.run() }
        _ = await first.next { if case .openStream = $0 { true } else { false } }
        await first.stop()
        let second = try await FakeBroker.start(
            port: first.port,
            refusal: TQError(.versionUnsupported, "too new")
        ) { _, _, _ in }
        let error = await #expect(throws: TQError.self) { try await run.value }
        #expect(error?.code == .versionUnsupported)
        await second.stop()
    }

    @Test("Cancelling run shuts the worker down")
    func cancellation() async throws {
        let broker = try await fakeBroker(deliver: [], renewal: nil)
        let worker = try Worker(brokers: broker.address)
        worker.register("t", raw: { _, _ in [] })
        let run = Task { try await worker.run() }
        _ = await broker.next { if case .openStream = $0 { true } else { false } }
        run.cancel()
        try await run.value
        _ = await broker.next(where: \.isDeregister)
        await broker.stop()
    }

    // MARK: Tools

    private static func untilCancelled(_ cancelled: Signal) async throws -> Bytes {
        await withTaskCancellationHandler {
            await cancelled.wait()
        } onCancel: {
            cancelled.send()
        }
        throw CancellationError()
    }

    private func start(
        deliver deliveries: [Delivery],
        concurrency: Int = 4,
        renewal: TQError? = nil,
        port: Int = 0,
        _ register: (Worker) -> Void
    ) async throws -> (FakeBroker, Worker) {
        let broker = try await fakeBroker(port: port, deliver: deliveries, renewal: renewal)
        var options = WorkerOptions()
        options.concurrency = concurrency
        return (broker, try run(broker, options, register))
    }

    private func run(
        _ broker: FakeBroker,
        _ options: WorkerOptions = .init(),
        _ register: (Worker) -> Void
    ) throws -> Worker {
        var options = options
        options.client.reconnectDelayMin = .milliseconds(5)
        let worker = try Worker(brokers: broker.address, options: options)
        register(worker)
        Task { try await worker.run() }
        return worker
    }

    private func finish(_ broker: FakeBroker, _ worker: Worker) async {
        await worker.shutdown(grace: .zero)
        await broker.stop()
    }

    /// Delivers once to every stream, and answers everything else with success.
    private func fakeBroker(port: Int = 0, deliver deliveries: [Delivery], renewal: TQError?) async throws -> FakeBroker
    {
        try await FakeBroker.start(port: port) { request, id, peer in
            switch request {
            case .openStream(let stream, _):
                peer.reply(.done, to: id)
                if !deliveries.isEmpty { peer.reply(.delivery(stream: stream, deliveries), to: 0) }
            case .renew(let renewals): peer.reply(.outcomes(renewals.map { _ in renewal }), to: id)
            default: peer.answer(request, id)
            }
        }
    }
}

extension Peer {
    /// Success, whatever was asked.
    func answer(_ request: Request, _ id: UInt32) {
        switch request {
        case .complete(let items): reply(.outcomes(items.map { _ in nil }), to: id)
        case .fail(let items): reply(.outcomes(items.map { _ in nil }), to: id)
        case .release(let items): reply(.outcomes(items.map { _ in nil }), to: id)
        case .renew(let items): reply(.outcomes(items.map { _ in nil }), to: id)
        case .addCredit: break
        default: reply(.done, to: id)
        }
    }
}

extension FakeBroker {
    /// The next completion, failure or release.
    func nextEnd() async -> Request? { await next(where: \.isEnd) }
}

extension Request {
    var isEnd: Bool {
        switch self {
        case .complete, .fail, .release: true
        default: false
        }
    }

    var isRenew: Bool { if case .renew = self { true } else { false } }
    var isDeregister: Bool { if case .deregisterWorker = self { true } else { false } }
}

extension TaskContext {
    static var example: TaskContext {
        TaskContext(delivery(1), deadline: .now, client: TQClient(addresses: []))
    }
}

func lease(_ number: UInt64) -> LeaseHandle {
    LeaseHandle(task: TaskID(high: 1, low: number), token: LeaseToken(rawValue: number))
}

func delivery(
    _ number: UInt64,
    type: Name = "t",
    payload: String = "",
    leaseMilliseconds: UInt32 = 30_000,
    timeoutMilliseconds: UInt32 = 300_000
) -> Delivery {
    Delivery(
        lease: lease(number),
        queue: "default",
        type: type,
        payload: Bytes(payload.utf8),
        priority: .normal,
        attempt: 1,
        retriesMax: 3,
        leaseMilliseconds: leaseMilliseconds,
        timeoutMilliseconds: timeoutMilliseconds
    )
}
