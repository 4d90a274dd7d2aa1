import FakeBroker
import NIOCore
import NIOPosix
import Synchronization
import TQModel
import Testing

@testable import TQClient

@Suite("Client", .timeLimit(.minutes(10)))
struct ClientTests {
    private let id = TaskID(high: 0x0197_f3a0_1c00_7000, low: 0x8000_0000_0000_0001)

    @Test("Many requests at once share one connection, and replies in any order find their callers")
    func pipelining() async throws {
        let held = Held()
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .result(let task, _) = request else { return }
            // All replies are sent when the last request is there, newest first.
            if let all = held.add((task, id), until: 100) {
                for (task, id) in all.reversed() {
                    peer.reply(.result(TaskResult(id: task, state: .completed)), to: id)
                }
            }
        }
        let client = try await TQClient.connect(to: broker.address)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<100 {
                let task = TaskID(high: 1, low: UInt64(number))
                group.addTask {
                    let result = try await client.waitForResult(task, within: .seconds(10))
                    #expect(result.id == task)
                }
            }
            try await group.waitForAll()
        }
        await client.close()
        await broker.stop()
    }

    @Test("A list of a damaged store has all tasks that can be read, and then says that it is not whole")
    func damagedList() async throws {
        let tasks = (0..<3).map { number in
            TaskStatus(
                id: TaskID(high: 1, low: UInt64(number)),
                queue: "q",
                type: "t",
                state: .pending,
                priority: .normal
            )
        }
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .tasks(let query) = request else { return }
            let isLast = query.cursor == [2]
            let page = isLast ? TaskPage(tasks: [tasks[2]]) : TaskPage(tasks: Array(tasks[..<2]), next: [2], damaged: 3)
            peer.reply(.tasks(page), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        var found: [TaskStatus] = []
        let error = await #expect(throws: TQError.self) {
            for try await task in client.tasks(matching: TaskFilter()) { found.append(task) }
        }
        #expect(found == tasks)
        #expect(error == .leavingOut(damaged: 3) && error?.code == .storageCorrupt)
        await client.close()
        await broker.stop()
    }

    @Test("A submit is sent again with the same key after a lost connection, and gets the first one's answer")
    func submitIsResent() async throws {
        let submits = Mutex<[TaskSpec]>([])
        let id = id
        let broker = try await FakeBroker.start { request, requestID, peer in
            guard case .submit(let tasks) = request else { return }
            let count = submits.withLock { all in
                all += tasks
                return all.count
            }
            guard count > 1 else { return peer.close() }
            peer.reply(.submitted([.success(Submission(id: id, isDuplicate: true))]), to: requestID)
        }
        let client = try await TQClient.connect(to: broker.address)
        #expect(try await client.submit(TaskSpec(type: "t", payload: [1])) == id)
        let sent = submits.withLock { $0 }
        #expect(sent.count == 2)
        #expect(sent[0] == sent[1])
        #expect(sent[0].idempotencyKey.count == 16)
        #expect(sent[0].idempotencyWindowMilliseconds == Defaults.automaticIdempotencyWindowMilliseconds)
        await client.close()
        await broker.stop()
    }

    @Test("A submit without a key is not sent again: its outcome is unknown")
    func submitWithoutKey() async throws {
        let broker = try await FakeBroker.start { request, _, peer in
            if case .submit = request { peer.close() }
        }
        var options = ClientOptions()
        options.makesIdempotencyKeys = false
        let client = try await TQClient.connect(to: broker.address, options: options)
        let error = await #expect(throws: TQError.self) { try await client.submit(TaskSpec(type: "t")) }
        #expect(error?.code == .outcomeUnknown)
        await client.close()
        await broker.stop()
    }

    @Test("A submit of unknown outcome is sent again with its key until the broker knows, also while it is read-only")
    func unknownSubmit() async throws {
        let submits = Mutex<[TaskSpec]>([])
        let id = id
        let broker = try await FakeBroker.start { request, requestID, peer in
            guard case .submit(let tasks) = request else { return }
            let count = submits.withLock { all in
                all += tasks
                return all.count
            }
            switch count {
            case 1: peer.reply(.error(TQError(.outcomeUnknown, "a write failed")), to: requestID)
            case 2: peer.reply(.error(TQError(.readOnly, "being rebuilt")), to: requestID)
            case 3: peer.close()
            default: peer.reply(.submitted([.success(Submission(id: id, isDuplicate: true))]), to: requestID)
            }
        }
        let client = try await TQClient.connect(to: broker.address)
        #expect(try await client.submit(TaskSpec(type: "t", payload: [1])) == id)
        let sent = submits.withLock { $0 }
        #expect(sent.count == 4)
        #expect(Set(sent).count == 1)
        #expect(sent[0].idempotencyKey.count == 16)
        await client.close()
        await broker.stop()
    }

    @Test(
        "A submit of unknown outcome is not sent again without a key, after its window, or beyond the patience",
        arguments: [
            (key: [], window: 0, patience: 30), (key: [1], window: 1, patience: 30), (key: [1], window: 0, patience: 0),
        ] as [(key: Bytes, window: UInt64, patience: Int)]
    )
    func unknownSubmitIsGivenUp(key: Bytes, window: UInt64, patience: Int) async throws {
        let submits = Atomic<Int>(0)
        let broker = try await FakeBroker.start { request, id, peer in
            if case .submit = request { submits.add(1, ordering: .relaxed) }
            peer.reply(.error(TQError(.outcomeUnknown, "a write failed")), to: id)
        }
        var options = ClientOptions()
        options.makesIdempotencyKeys = false
        options.submitPatience = .seconds(patience)
        let client = try await TQClient.connect(to: broker.address, options: options)
        let task = TaskSpec(type: "t", idempotencyKey: key, idempotencyWindowMilliseconds: window)
        await #expect(throws: TQError(.outcomeUnknown, "a write failed")) { try await client.submit(task) }
        #expect(submits.load(ordering: .relaxed) == 1)
        await client.close()
        await broker.stop()
    }

    @Test("A call that was sent before and is refused by a read-only broker has an unknown outcome")
    func readOnlyAfterResend() async throws {
        let submits = Atomic<Int>(0)
        let readOnly = TQError(.readOnly, "being rebuilt", retryAfterMilliseconds: 60_000)
        let broker = try await FakeBroker.start { _, id, peer in
            guard submits.add(1, ordering: .relaxed).newValue > 1 else { return peer.close() }
            peer.reply(.error(readOnly), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        let resent = await #expect(throws: TQError.self) { try await client.submit(TaskSpec(type: "t")) }
        #expect(resent?.code == .outcomeUnknown)
        #expect(resent?.message.contains("being rebuilt") == true)
        await #expect(throws: readOnly) { try await client.submit(TaskSpec(type: "t")) }
        await client.close()
        await broker.stop()
    }

    @Test("A close fails a call that would have been sent again")
    func closeWhileUnknown() async throws {
        let unknown = TQError(.outcomeUnknown, "a write failed", retryAfterMilliseconds: 20_000)
        let broker = try await FakeBroker.start { request, id, peer in
            if case .ping = request { return peer.reply(.done, to: id) }
            peer.reply(.error(unknown), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        let submit = Task { try await client.submit(TaskSpec(type: "t")) }
        _ = await broker.next { if case .submit = $0 { true } else { false } }
        // Its answer comes after the submit's.
        try await client.ping()
        await client.close()
        let error = await #expect(throws: TQError.self) { try await submit.value }
        #expect(error?.code == .outcomeUnknown)
        await broker.stop()
    }

    @Test("A submit whose key may be forgotten by now is not sent again: its outcome is unknown")
    func submitTooLate() async throws {
        let broker = try await FakeBroker.start { request, _, peer in
            if case .submit = request { peer.close() }
        }
        let client = try await TQClient.connect(to: broker.address)
        let task = TaskSpec(type: "t", idempotencyKey: [1], idempotencyWindowMilliseconds: 1)
        let error = await #expect(throws: TQError.self) { try await client.submit(task) }
        #expect(error?.code == .outcomeUnknown)
        await client.close()
        await broker.stop()
    }

    @Test("A span of time of any length is one for the event loop")
    func timeAmounts() {
        #expect(Duration.milliseconds(1500).timeAmount == .milliseconds(1500))
        #expect(Duration.seconds(-1).timeAmount == .zero)
        #expect(Duration.seconds(Int64.max).timeAmount == .nanoseconds(.max))
        #expect(Duration.seconds(Int64.min).timeAmount == .zero)
        #expect((Duration.seconds(9_223_372_036) + .milliseconds(999)).timeAmount == .nanoseconds(.max))
    }

    @Test("A request that finds no broker within its patience says that it was never sent")
    func neverSent() async throws {
        let broker = try await FakeBroker.start { _, _, _ in }
        await broker.stop()
        var options = ClientOptions()
        options.connectionPatience = .zero
        let client = TQClient(addresses: try BrokerAddress.list(broker.address), options: options)
        let error = await #expect(throws: TQError.self) { try await client.submit(TaskSpec(type: "t")) }
        #expect(error?.code == .connectionFailed)
        #expect(error?.message.contains(broker.address) == true)
        await client.close()
    }

    @Test("A request that is waiting for a broker is sent when one comes up")
    func brokerComesUp() async throws {
        let first = try await FakeBroker.start { _, _, _ in }
        let port = first.port
        await first.stop()
        var options = ClientOptions()
        options.reconnectDelayMin = .milliseconds(5)
        let client = TQClient(addresses: [BrokerAddress(host: "127.0.0.1", port: port)], options: options)
        async let ping: Void = client.ping()
        let second = try await FakeBroker.start(port: port) { _, id, peer in peer.reply(.done, to: id) }
        try await ping
        await client.close()
        await second.stop()
    }

    @Test("A full queue is tried again until there is room")
    func queueFull() async throws {
        let refusals = Atomic<Int>(3)
        let id = id
        let broker = try await FakeBroker.start { request, requestID, peer in
            guard case .submit(let tasks) = request else { return }
            let full = TQError(.queueFull, "full", retryAfterMilliseconds: 1)
            if refusals.subtract(1, ordering: .relaxed).oldValue > 0 {
                // One task finds room each time, the others do not.
                let entries = tasks.indices.map { index -> Result<Submission, TQError> in
                    index == 0 ? .success(Submission(id: id)) : .failure(full)
                }
                return peer.reply(.submitted(entries), to: requestID)
            }
            peer.reply(.submitted(tasks.map { _ in .success(Submission(id: id)) }), to: requestID)
        }
        let client = try await TQClient.connect(to: broker.address)
        let results = try await client.submit((0..<5).map { TaskSpec(type: "t", payload: [UInt8($0)]) })
        #expect(results == Array(repeating: .success(Submission(id: id)), count: 5))
        await client.close()
        await broker.stop()
    }

    @Test("Without patience the refusal is thrown as the broker said it")
    func noPatience() async throws {
        let full = TQError(.queueFull, "Queue 'default' holds 100000 tasks.", retryAfterMilliseconds: 250)
        let broker = try await FakeBroker.start { _, id, peer in peer.reply(.submitted([.failure(full)]), to: id) }
        var options = ClientOptions()
        options.submitPatience = .zero
        let client = try await TQClient.connect(to: broker.address, options: options)
        await #expect(throws: full) { try await client.submit(TaskSpec(type: "t")) }
        await client.close()
        await broker.stop()
    }

    @Test("What befalls the second sending of a part of a batch does not take the ids of the others along")
    func batchInParts() async throws {
        let submits = Atomic<Int>(0)
        let damaged = TQError(.storageCorrupt, "a table is damaged")
        let broker = try await FakeBroker.start { request, requestID, peer in
            guard case .submit = request else { return }
            guard submits.add(1, ordering: .relaxed).newValue == 1 else {
                return peer.reply(.error(damaged), to: requestID)
            }
            let full = TQError(.queueFull, "full", retryAfterMilliseconds: 1)
            peer.reply(.submitted([.success(Submission(id: id)), .failure(full)]), to: requestID)
        }
        let client = try await TQClient.connect(to: broker.address)
        let results = try await client.submit([TaskSpec(type: "a"), TaskSpec(type: "b")])
        #expect(results == [.success(Submission(id: id)), .failure(damaged)])
        await client.close()
        await broker.stop()
    }

    @Test("A cancel that is sent again and refused then has an unknown outcome")
    func cancelIsFenced() async throws {
        let cancels = Atomic<Int>(0)
        let ended = TQError(.notCancellable, "it has ended")
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .cancel(let ids) = request else { return }
            guard cancels.add(1, ordering: .relaxed).newValue > 1 else { return peer.close() }
            peer.reply(.cancellations(ids.map { _ in .failure(ended) }), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        guard case .failure(let resent)? = try await client.cancel([id]).first else {
            throw TQError(.internalError, "a cancel that was refused succeeded")
        }
        #expect(resent.code == .outcomeUnknown)
        #expect(try await client.cancel([id]) == [.failure(ended)])
        await client.close()
        await broker.stop()
    }

    @Test("A completion that is sent again and refused then has an unknown outcome")
    func completeIsFenced() async throws {
        let completes = Atomic<Int>(0)
        let lost = TQError(.leaseLost, "gone")
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .complete(let completions) = request else { return }
            guard completes.add(1, ordering: .relaxed).newValue > 1 else { return peer.close() }
            peer.reply(.outcomes(completions.map { _ in lost }), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        let lease = LeaseHandle(task: id, token: LeaseToken(rawValue: 1))
        let resent = try await client.complete([Completion(lease: lease)])
        #expect(resent.map { $0?.code } == [.outcomeUnknown])
        let fresh = try await client.complete([Completion(lease: lease)])
        #expect(fresh == [lost])
        await client.close()
        await broker.stop()
    }

    @Test("A completion of unknown outcome is sent again, and the second one's refusal settles nothing")
    func unknownCompletion() async throws {
        let completes = Atomic<Int>(0)
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .complete(let completions) = request else { return }
            guard completes.add(1, ordering: .relaxed).newValue > 1 else {
                return peer.reply(.error(TQError(.outcomeUnknown, "a write failed")), to: id)
            }
            peer.reply(.outcomes(completions.map { _ in TQError(.leaseLost, "gone") }), to: id)
        }
        let client = try await TQClient.connect(to: broker.address)
        let lease = LeaseHandle(task: id, token: LeaseToken(rawValue: 1))
        #expect(try await client.complete([Completion(lease: lease)]).map { $0?.code } == [.outcomeUnknown])
        #expect(completes.load(ordering: .relaxed) == 2)
        await client.close()
        await broker.stop()
    }

    @Test("A report that is not answered within its limit goes out again on a connection to the next address")
    func answerLimit() async throws {
        let mute = try await FakeBroker.start { _, _, _ in }
        let next = try await FakeBroker.start { _, id, peer in peer.reply(.outcomes([nil]), to: id) }
        let client = try await TQClient.connect(to: "\(mute.address),\(next.address)")
        let request = Request.renew([Renewal(lease: LeaseHandle(task: id, token: LeaseToken(rawValue: 1)))])
        let outcomes = await withCheckedContinuation { continuation in
            client.report(request, answerLimit: .milliseconds(100)) { continuation.resume(returning: $0) }
        }
        #expect(try outcomes.get() == [nil])
        #expect(await mute.next() == request)
        await client.close()
        await mute.stop()
        await next.stop()
    }

    @Test("A claim whose caller was cancelled gives back what it took")
    func cancelledClaim() async throws {
        let claims = Held()
        let delivery = delivery(1)
        let broker = try await FakeBroker.start { request, id, peer in
            switch request {
            case .claim: _ = claims.add((TaskID(high: 0, low: 0), id), until: 1)
            case .ping:
                if let id = claims.first { peer.reply(.claimed([delivery]), to: id) }
                peer.reply(.done, to: id)
            default: peer.reply(.outcomes([nil]), to: id)
            }
        }
        let client = try await TQClient.connect(to: broker.address)
        let claim = Task { try await client.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)) }
        _ = await broker.next { if case .claim = $0 { true } else { false } }
        claim.cancel()
        await #expect(throws: TQError.self) { try await claim.value }
        try await client.ping()
        let release = await broker.next { if case .release = $0 { true } else { false } }
        #expect(release == .release([Release(lease: delivery.lease)]))
        await client.close()
        await broker.stop()
    }

    @Test("A caller that is cancelled while there is no broker returns at once")
    func cancelledWithoutBroker() async throws {
        let broker = try await FakeBroker.start { _, _, _ in }
        await broker.stop()
        var options = ClientOptions()
        options.connectionPatience = nil
        let client = TQClient(addresses: try BrokerAddress.list(broker.address), options: options)
        let ping = Task { try await client.ping() }
        ping.cancel()
        let error = await #expect(throws: TQError.self) { try await ping.value }
        #expect(error?.code == .connectionFailed)
        await client.close()
    }

    @Test("A client that is dropped closes its connection")
    func dropped() async throws {
        let broker = try await FakeBroker.start { _, id, peer in peer.reply(.done, to: id) }
        var client: TQClient? = try await TQClient.connect(to: broker.address)
        try await client?.ping()
        client = nil
        await broker.waitUntilNoConnection()
        await broker.stop()
    }

    @Test("A stream gives credit back as tasks are taken, and opens again after a lost connection")
    func stream() async throws {
        let opened = Atomic<Int>(0)
        let broker = try await FakeBroker.start { request, id, peer in
            switch request {
            case .openStream(let stream, let claim):
                peer.reply(.done, to: id)
                let round = opened.add(1, ordering: .relaxed).newValue
                let deliveries = (0..<claim.count).map { delivery(UInt64(round) * 100 + UInt64($0)) }
                peer.reply(.delivery(stream: stream, deliveries), to: 0)
            default: break
            }
        }
        let client = try await TQClient.connect(to: broker.address)
        var taken: [UInt64] = []
        for try await delivery in client.deliveries(ClaimSpec(queues: ["q"]), credit: 3) {
            taken.append(delivery.lease.token.rawValue)
            if taken.count == 3 {
                let credit = await broker.next { if case .addCredit(_, 1...) = $0 { true } else { false } }
                #expect(credit != nil)
                await broker.closeConnections()
            }
            if taken.count == 4 { break }
        }
        #expect(taken == [100, 101, 102, 200])
        await client.close()
        await broker.stop()
    }

    @Test("What a stream delivered and nobody took is given back when the loop ends")
    func streamGivesBack() async throws {
        let broker = try await FakeBroker.start { request, id, peer in
            guard case .openStream(let stream, _) = request else { return }
            peer.reply(.done, to: id)
            peer.reply(.delivery(stream: stream, [delivery(1), delivery(2)]), to: 0)
        }
        let client = try await TQClient.connect(to: broker.address)
        for try await _ in client.deliveries(ClaimSpec(queues: ["q"]), credit: 2) { break }
        let release = await broker.next { if case .release = $0 { true } else { false } }
        #expect(release == .release([Release(lease: delivery(2).lease)]))
        await client.close()
        await broker.stop()
    }

    @Test("A typed task goes there as JSON and its result comes back as a value")
    func typedTask() async throws {
        let id = id
        let broker = try await FakeBroker.start { request, requestID, peer in
            switch request {
            case .submit(let tasks):
                let isRight = tasks[0].type == "double" && tasks[0].payload == Bytes(#"{"number":21}"#.utf8)
                peer.reply(
                    .submitted([isRight ? .success(Submission(id: id)) : .failure(.unexpectedReply)]),
                    to: requestID
                )
            default: peer.reply(.result(TaskResult(id: id, state: .completed, result: Bytes("42".utf8))), to: requestID)
            }
        }
        let client = try await TQClient.connect(to: broker.address)
        let handle = try await client.submit(Double.self, Double.Input(number: 21)) { $0.rank = Priority.high.rank }
        #expect(try await handle.result(within: .seconds(5)) == 42)
        await client.close()
        await broker.stop()
    }

    private enum Double: TaskDefinition {
        struct Input: Codable, Sendable { var number: Int }
        typealias Output = Int
        static let taskType = "double"
    }

    @Test("The blocking client works from a plain thread and refuses an event loop and a task")
    func blocking() async throws {
        let broker = try await FakeBroker.start { _, id, peer in
            peer.reply(.submitted([.success(Submission(id: TaskID(high: 1, low: 2)))]), to: id)
        }
        let address = broker.address
        let submitted = try await NIOThreadPool.singleton.runIfActive {
            let client = try BlockingClient(to: address)
            defer { try? client.close() }
            return try client.submit(TaskSpec(type: "t"))
        }
        #expect(submitted == TaskID(high: 1, low: 2))
        let onLoop = try await MultiThreadedEventLoopGroup.singleton.any().submit {
            Result { try BlockingClient(to: address) }
        }.get()
        #expect(throws: TQError.self) { try onLoop.get() }
        #expect(throws: TQError.self) { try BlockingClient(to: address) }
        await broker.stop()
    }
}

/// Requests kept until enough are there.
private final class Held: Sendable {
    private let all = Mutex<[(TaskID, UInt32)]>([])

    func add(_ one: (TaskID, UInt32), until count: Int) -> [(TaskID, UInt32)]? {
        all.withLock { all in
            all.append(one)
            return all.count == count ? all : nil
        }
    }

    var first: UInt32? { all.withLock { $0.first?.1 } }
}

private func delivery(_ number: UInt64) -> Delivery {
    Delivery(
        lease: LeaseHandle(task: TaskID(high: 1, low: number), token: LeaseToken(rawValue: number)),
        queue: "q",
        type: "t",
        payload: [],
        priority: .normal,
        attempt: 1,
        retriesMax: 3,
        leaseMilliseconds: 30_000,
        timeoutMilliseconds: 300_000
    )
}
