import Broker
import QueueCore
import Synchronization
import TQClient
import TQModel
import TQWorker
import Testing

@Suite("Tasks over TCP", .timeLimit(.minutes(5)))
struct LifecycleTests {
    enum Double: TaskDefinition {
        static let taskType = "double"
        typealias Input = Int
        typealias Output = Int
    }

    @Test("A task is submitted, claimed, completed, and its result reaches whoever waits")
    func lifecycle() async throws {
        try await withBroker { broker, client in
            let id = try await client.submit(TaskSpec(type: "t", payload: bytes("in"), rank: Priority.high.rank))
            #expect(try await client.status(id).state == .pending)
            async let result = client.waitForResult(id, within: .seconds(60))
            let delivery = try await client.claimOne()
            #expect(delivery.lease.task == id)
            #expect(delivery.payload == bytes("in"))
            #expect(delivery.priority == .high)
            #expect(delivery.attempt == 1)
            #expect(try await client.status(id).state == .inProgress)
            try await client.complete(delivery, result: bytes("out"))
            #expect(try await result == TaskResult(id: id, state: .completed, result: bytes("out")))
            let status = try await client.status(id)
            #expect(status.state == .completed)
            #expect(status.resultBytes == 3)
            #expect(await errorCode { try await client.complete(delivery) } == .leaseLost)
        }
    }

    @Test("A worker runs typed and raw tasks and the submitter gets what they return")
    func worker() async throws {
        try await withBroker { broker, client in
            let worker = try broker.worker()
            worker.register(Double.self) { number, _ in number * 2 }
            worker.register("raw.*", raw: { payload, _ in Bytes(payload.reversed()) })
            let run = Task { try await worker.run() }
            let typed = try await client.submit(Double.self, 21)
            let raw = try await client.submit(TaskSpec(type: "raw.reverse", payload: bytes("abc")))
            #expect(try await typed.result(within: .seconds(60)) == 42)
            #expect(try await client.waitForResult(raw, within: .seconds(60)).result == bytes("cba"))
            await worker.shutdown()
            try await run.value
            #expect(try await client.workers().isEmpty)
        }
    }

    @Test("Many tasks go in one frame, are claimed at once and completed at once")
    func batches() async throws {
        try await withBroker { broker, client in
            let specs = (0..<500).map { TaskSpec(type: "t", payload: bytes("\($0)")) }
            let ids = try await client.submit(specs).map { try $0.get().id }
            #expect(Set(ids).count == 500)
            let deliveries = try await client.claim(ClaimSpec(queues: ["default"], count: 1000))
            #expect(deliveries.map(\.lease.task) == ids)
            #expect(deliveries.map(\.payload) == specs.map(\.payload))
            let outcomes = try await client.complete(deliveries.map { Completion(lease: $0.lease, result: $0.payload) })
            #expect(outcomes.allSatisfy { $0 == nil })
            for (id, spec) in zip(ids, specs).prefix(20) {
                #expect(try await client.waitForResult(id, within: .zero).result == spec.payload)
            }
            #expect(try await client.statistics().counts.completed == 500)
        }
    }

    @Test("A stream delivers no more than its credit, and goes on when it gets more")
    func credit() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.greet(broker.port)
            try await peer.send([(2, .openStream(stream: 9, ClaimSpec(queues: ["default"], count: 2)))])
            #expect(try await peer.reply() == (2, .done))
            _ = try await client.submit((0..<5).map { _ in TaskSpec(type: "t") })
            var deliveries: [Delivery] = []
            while deliveries.count < 2, case (0, .delivery(9, let more)) = try await peer.reply() { deliveries += more }
            #expect(deliveries.count == 2)
            #expect(try await client.statistics().counts.pending == 3)
            try await peer.send([(3, .addCredit(stream: 9, count: 2))])
            while deliveries.count < 4, case (0, .delivery(9, let more)) = try await peer.reply() { deliveries += more }
            #expect(Set(deliveries.map(\.lease)).count == 4)
            try await peer.send([(4, .closeStream(stream: 9))])
            #expect(try await peer.reply() == (4, .done))
            #expect(try await client.statistics().counts.pending == 1)
            await peer.close()
        }
    }

    @Test("Two streams share a backlog fairly")
    func fairness() async throws {
        try await withBroker { broker, client in
            let peers = [try await RawPeer.greet(broker.port), try await RawPeer.greet(broker.port)]
            for peer in peers {
                try await peer.send([(2, .openStream(stream: 1, ClaimSpec(queues: ["default"], count: 100)))])
                #expect(try await peer.reply() == (2, .done))
            }
            _ = try await client.submit((0..<100).map { _ in TaskSpec(type: "t") })
            for peer in peers {
                var count = 0
                while count < 50, case (0, .delivery(1, let more)) = try await peer.reply() { count += more.count }
                #expect(count == 50)
                await peer.close()
            }
        }
    }

    @Test("A failed task is retried, becomes a dead letter with its payload, and runs again after a redrive")
    func retries() async throws {
        try await withBroker { broker, client in
            let task = TaskSpec(
                type: "t",
                payload: bytes("keep me"),
                retriesMax: 1,
                retryPolicy: RetryPolicy(.fixed(1))
            )
            let id = try await client.submit(task)
            try await client.fail(try await client.claimOne(), error: "first")
            let second = try await client.claimOne()
            #expect(second.attempt == 2)
            try await client.fail(second, error: "second")
            let result = try await client.waitForResult(id, within: .seconds(60))
            #expect(result == TaskResult(id: id, state: .deadLetter, error: bytes("second")))
            let letter = try #require(try await client.deadLetters().letters.first)
            #expect(letter.reason == .retriesExhausted)
            #expect(letter.payload == bytes("keep me"))
            #expect(letter.status.id == id)
            #expect(try await client.redrive([id]) == [nil])
            let third = try await client.claimOne()
            #expect(third.lease.task == id)
            #expect(third.attempt == 1)
            #expect(third.payload == bytes("keep me"))
            #expect(third.lease.token > second.lease.token)
            try await client.complete(third)
            #expect(try await client.deadLetters().letters.isEmpty)
        }
    }

    @Test("A permanent failure is a dead letter at once")
    func permanent() async throws {
        try await withBroker { broker, client in
            let id = try await client.submit(TaskSpec(type: "t"))
            try await client.fail(try await client.claimOne(), error: "no", isPermanent: true)
            #expect(try await client.waitForResult(id, within: .seconds(60)).state == .deadLetter)
            #expect(try await client.deadLetters().letters.map(\.reason) == [.permanentFailure])
        }
    }

    @Test("A waiting task is cancelled at once, a running one with its attempt, one that ended never")
    func cancel() async throws {
        try await withBroker { broker, client in
            let first = try await client.submit(TaskSpec(type: "t"))
            #expect(try await client.cancel(first) == .cancelled)
            #expect(try await client.waitForResult(first, within: .zero).state == .cancelled)
            let second = try await client.submit(TaskSpec(type: "t"))
            let delivery = try await client.claimOne()
            #expect(delivery.lease.task == second)
            #expect(try await client.cancel(second) == .requested)
            #expect(try await client.renew([Renewal(lease: delivery.lease)]).first??.code == .cancelRequested)
            try await client.fail(delivery, error: "stopped")
            #expect(try await client.waitForResult(second, within: .zero).state == .cancelled)
            #expect(await errorCode { try await client.cancel(second) } == .notCancellable)
        }
    }

    @Test("A released task comes back with a higher token and the same attempt; the old lease is lost")
    func release() async throws {
        try await withBroker { broker, client in
            _ = try await client.submit(TaskSpec(type: "t", payload: bytes("p")))
            let first = try await client.claimOne()
            #expect(try await client.release([Release(lease: first.lease)]) == [nil])
            let second = try await client.claimOne()
            #expect(second.lease.task == first.lease.task)
            #expect(second.lease.token > first.lease.token)
            #expect(second.attempt == 1)
            #expect(await errorCode { try await client.complete(first) } == .leaseLost)
            #expect(try await client.renew([Renewal(lease: first.lease)]).map { $0?.code } == [.leaseLost])
            try await client.complete(second)
        }
    }

    @Test("A lease lasts as long as it is renewed, lapses without a word, and the task goes to somebody else")
    func renewAndLapse() async throws {
        try await withBroker { broker, client in
            let id = try await client.submit(TaskSpec(type: "t"))
            let first = try await client.claimOne(lease: 60_000)
            #expect(try await client.renew([Renewal(lease: first.lease, leaseMilliseconds: 300)]) == [nil])
            let second = try await client.claimOne()
            #expect(second.lease.task == id)
            #expect(second.attempt == 2)
            #expect(try await client.status(id).crashes == 1)
            #expect(await errorCode { try await client.complete(first) } == .leaseLost)
            try await client.complete(second)
        }
    }

    @Test("A delayed task waits for its time")
    func delayed() async throws {
        try await withBroker { broker, client in
            let later = try await client.submit(TaskSpec(type: "later", start: .after(milliseconds: 3_600_000)))
            let soon = try await client.submit(TaskSpec(type: "soon", start: .after(milliseconds: 150)))
            #expect(try await client.status(later).state == .scheduled)
            #expect(try await client.claimOne().lease.task == soon)
            #expect(try await client.status(later).state == .scheduled)
        }
    }

    @Test("A submit that is repeated with its key on another connection gets the same id")
    func idempotency() async throws {
        try await withBroker { broker, client in
            let task = TaskSpec(type: "t", payload: bytes("p"), idempotencyKey: bytes("order-1"))
            let id = try await client.submit(task)
            let other = try await broker.client()
            let repeated = try await other.submit([task])
            #expect(repeated == [.success(Submission(id: id, isDuplicate: true))])
            var changed = task
            changed.payload = bytes("q")
            let conflict = try await other.submit([changed])
            #expect(throws: TQError.self) { try conflict[0].get() }
            #expect(try await client.statistics().counts.pending == 1)
            await other.close()
        }
    }

    @Test("Tasks of every state are listed, also while they change and after a restart of the broker")
    func lists() async throws {
        try await withBroker { broker, client in
            // No lease and no wait is over before the test, however busy the machine is.
            let specs = (0..<6).map { number in
                TaskSpec(
                    queue: "q",
                    type: Name("t\(number)"),
                    leaseMilliseconds: 3_600_000,
                    timeoutMilliseconds: 3_600_000,
                    retryPolicy: RetryPolicy(.fixed(3_600_000))
                )
            }
            let ids = try await client.submit(specs).map { try $0.get().id }
            let deliveries = try await client.claim(ClaimSpec(queues: ["q"], count: 4))
            try await client.complete(deliveries[0], result: [1])
            try await client.fail(deliveries[1], error: "broken for good", isPermanent: true)
            try await client.fail(deliveries[2], error: "broken for now")
            try await client.cancel(ids[5])
            let states: [TaskState] = [.completed, .deadLetter, .failed, .inProgress, .pending, .cancelled]
            for (id, state) in zip(ids, states) {
                for isNewestFirst in [false, true] {
                    let page = try await client.tasks(
                        TaskQuery(filter: TaskFilter(states: [state]), isNewestFirst: isNewestFirst)
                    )
                    #expect(page.tasks.map(\.id) == [id] && page.next.isEmpty, "\(state.name)")
                }
            }
            var found: [TaskID] = []
            for try await task in client.tasks(matching: TaskFilter(error: Bytes("broken".utf8))) {
                found.append(task.id)
            }
            #expect(found == [ids[2], ids[1]])
            var query = TaskQuery(count: 1)
            var listed: [TaskState] = []
            repeat {
                let page = try await client.tasks(query)
                listed += page.tasks.map(\.state)
                query.cursor = page.next
            } while !query.cursor.isEmpty
            #expect(Set(listed) == Set(states) && listed.count == 6)
            #expect(await errorCode { _ = try await client.tasks(TaskQuery(cursor: [1, 2])) } == .invalidArgument)
        }
    }

    @Test("Tasks are listed by a tag whatever became of them, and a submit that replaces one brings its own tags")
    func tags() async throws {
        try await withBroker { broker, client in
            let specs = (0..<6).map { number in
                TaskSpec(queue: "q", type: "t", tags: number % 2 == 0 ? ["even", "all"] : ["all"])
            }
            let ids = try await client.submit(specs).map { try $0.get().id }
            let deliveries = try await client.claim(ClaimSpec(queues: ["q"], count: 3))
            try await client.complete(deliveries[0], result: [1])
            try await client.fail(deliveries[2], error: "broken for good", isPermanent: true)
            func found(_ tag: TaskTag) async throws -> [TaskID] {
                var found: [TaskID] = []
                for try await task in client.tasks(matching: TaskFilter(tag: tag)) {
                    #expect(task.tags.contains(tag))
                    found.append(task.id)
                }
                return found
            }
            #expect(try await found("all") == ids)
            #expect(try await found("even") == [ids[0], ids[2], ids[4]])
            #expect(try await client.status(ids[0]).tags == ["even", "all"])
            let unique = UniqueKey([1], onConflict: .replace)
            var spec = TaskSpec(queue: "other", type: "t", uniqueKey: unique, tags: ["old"])
            let replaced = try await client.submit(spec)
            spec.tags = ["new"]
            #expect(try await client.submit(spec) == replaced)
            #expect(try await found("old") == [])
            #expect(try await found("new") == [replaced])
            let query = TaskQuery(filter: TaskFilter(tag: TaskTag(bytes: [0x20])))
            #expect(await errorCode { _ = try await client.tasks(query) } == .invalidArgument)
        }
    }

    @Test("A full queue makes the client wait until there is room")
    func queueFull() async throws {
        try await withBroker {
            $0.core.queueDepthThreshold = 2
        } _: { broker, client in
            _ = try await client.submit([TaskSpec(type: "t"), TaskSpec(type: "t")])
            let impatient = try await broker.client { $0.submitPatience = .zero }
            #expect(await errorCode { try await impatient.submit(TaskSpec(type: "t")) } == .queueFull)
            async let third = client.submit(TaskSpec(type: "t"))
            try await client.complete(try await client.claimOne())
            let id = try await third
            #expect(try await client.status(id).state == .pending)
            await impatient.close()
        }
    }

    @Test("A script's blocking calls do the same")
    func blocking() async throws {
        try await withBroker { broker, client in
            let address = broker.address
            let finished = Task { _ = try await client.complete(try await client.claimOne(), result: bytes("r")) }
            let result = try await withCheckedThrowingContinuation { continuation in
                Thread.start {
                    continuation.resume(
                        with: Result {
                            let blocking = try BlockingClient(to: address)
                            let id = try blocking.submit(TaskSpec(type: "t"))
                            let result = try blocking.waitForResult(id, within: .seconds(60))
                            try blocking.close()
                            return result
                        }
                    )
                }
            }
            try await finished.value
            #expect(result.result == bytes("r"))
        }
    }

    @Test("A result that was not there in time says so, and an unknown task is not found")
    func waiting() async throws {
        try await withBroker { broker, client in
            let id = try await client.submit(TaskSpec(type: "t"))
            #expect(await errorCode { _ = try await client.waitForResult(id, within: .milliseconds(60)) } == .timedOut)
            let forged = TaskID(high: id.high, low: id.low ^ 1)
            #expect(await errorCode { _ = try await client.status(forged) } == .taskNotFound)
            #expect(try await client.claim(ClaimSpec(queues: ["empty"], waitMilliseconds: 60)).isEmpty)
        }
    }
}
