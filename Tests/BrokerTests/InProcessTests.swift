import Broker
import QueueCore
import TQClient
import TQModel
import Testing

@Suite("A broker inside the process", .timeLimit(.minutes(5)))
struct InProcessTests {
    @Test("A session submits, claims and completes without a socket")
    func lifecycle() async throws {
        try await withBroker { broker, client in
            let session = try #require(broker.broker.session())
            guard
                case .submitted(let results) = try await session.perform(
                    .submit([TaskSpec(type: "t", payload: bytes("p"))])
                )
            else { throw TQError(.internalError, "no submission") }
            let id = try results[0].get().id
            async let result = session.perform(.result(id, waitMilliseconds: 60_000))
            guard case .claimed(let deliveries) = try await session.perform(.claim(ClaimSpec(queues: ["default"])))
            else { throw TQError(.internalError, "no claim") }
            #expect(deliveries.map(\.payload) == [bytes("p")])
            let completions = deliveries.map { Completion(lease: $0.lease, result: bytes("r")) }
            #expect(try await session.perform(.complete(completions)) == .outcomes([nil]))
            #expect(try await result == .result(TaskResult(id: id, state: .completed, result: bytes("r"))))
            #expect(
                await errorCode { _ = try await session.perform(.status(TaskID(high: 1, low: 2))) } == .taskNotFound
            )
        }
    }

    @Test("One request buries or puts back no more payloads at once than fit into memory, and says which to send again")
    func manyLargePayloads() async throws {
        try await withBroker { broker, client in
            let session = try #require(broker.broker.session())
            func outcomes(_ request: Request) async throws -> [TQError.Code?] {
                guard case .outcomes(let outcomes) = try await session.perform(request) else { return [] }
                return outcomes.map { $0?.code }
            }
            let payload = Bytes(repeating: 7, count: Limits.payloadBytesMax)
            for _ in 0..<4 { try await client.submit(TaskSpec(type: "t", payload: payload)) }
            var failures: [Failure] = []
            while failures.count < 4 {
                let delivery = try await client.claimOne()
                failures.append(Failure(lease: delivery.lease, error: [], isPermanent: true))
            }
            let ids = failures.map(\.lease.task)
            #expect(try await outcomes(.fail(failures)) == [nil, nil, .rateLimited, .rateLimited])
            #expect(try await outcomes(.fail(failures)) == [.leaseLost, .leaseLost, nil, nil])
            let redrives = ids.map { Redrive(task: $0) }
            #expect(try await outcomes(.redrive(redrives)) == [nil, nil, .rateLimited, .rateLimited])
            #expect(try await outcomes(.redrive(Array(redrives.suffix(2)))) == [nil, nil])
            #expect(try await client.claimOne().payload == payload)
        }
    }

    @Test("A stream delivers to the session's closure")
    func stream() async throws {
        try await withBroker { broker, client in
            let (deliveries, arrived) = AsyncStream.makeStream(of: Delivery.self)
            let session = try #require(
                broker.broker.session { reply in
                    guard case .delivery(stream: 5, let more) = reply else { return }
                    for delivery in more { arrived.yield(delivery) }
                }
            )
            #expect(try await session.perform(.openStream(stream: 5, ClaimSpec(queues: ["default"]))) == .done)
            try await client.submit(TaskSpec(type: "1"))
            try await client.submit(TaskSpec(type: "2"))
            var taken: [Name] = []
            for await delivery in deliveries {
                taken.append(delivery.type)
                if taken.count == 2 { break }
                #expect(try await session.perform(.addCredit(stream: 5, count: 1)) == .done)
            }
            #expect(taken == ["1", "2"])
        }
    }

    @Test("Whoever holds a task hears that somebody cancelled it")
    func cancelRequest() async throws {
        try await withBroker { broker, client in
            let (requests, arrived) = AsyncStream.makeStream(of: [LeaseHandle].self)
            let session = try #require(
                broker.broker.session { if case .cancelRequested(let leases) = $0 { arrived.yield(leases) } }
            )
            let id = try await client.submit(TaskSpec(type: "t"))
            let claimed = try await session.perform(.claim(ClaimSpec(queues: ["default"])))
            guard case .claimed(let held) = claimed, let lease = held.first?.lease else {
                throw TQError(.internalError, "no claim")
            }
            #expect(try await client.cancel(id) == .requested)
            var next = requests.makeAsyncIterator()
            #expect(await next.next() == [lease])
            #expect(try await client.status(id).isCancelRequested)
            #expect(try await session.perform(.fail([Failure(lease: lease, error: [])])) == .outcomes([nil]))
            #expect(try await client.status(id).state == .cancelled)
        }
    }

    @Test("A session that is let go ends its leases when it asked for that")
    func letGo() async throws {
        try await withBroker { broker, client in
            try await client.submit(TaskSpec(type: "t"))
            var session = broker.broker.session(SessionSettings(endsLeasesOnClose: true))
            let claimed = try await session?.perform(.claim(ClaimSpec(queues: ["default"])))
            guard case .claimed(let held)? = claimed, held.count == 1 else { throw TQError(.internalError, "no claim") }
            session = nil
            #expect(try await client.claimOne().lease.task == held[0].lease.task)
        }
    }

    @Test("A cancelled claim waits no longer, and what it would take goes to others")
    func cancelled() async throws {
        try await withBroker { broker, client in
            let session = try #require(broker.broker.session())
            let claim = Task {
                try await session.perform(.claim(ClaimSpec(queues: ["default"], waitMilliseconds: 3_600_000)))
            }
            claim.cancel()
            await #expect(throws: TQError.self) { try await claim.value }
            let id = try await client.submit(TaskSpec(type: "t"))
            #expect(try await client.claimOne().lease.task == id)
        }
    }

    @Test("A session outlives a rebuilt store, and is told when the broker has stopped")
    func endings() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let session = try #require(broker.broker.session())
        _ = try await session.perform(.submit([TaskSpec(type: "t")]))
        try FailingDevice.full.replaceOpenFile(in: "\(directory.path)/data/db", suffix: ".log")
        #expect(await errorCode { _ = try await session.perform(.submit([TaskSpec(type: "t")])) } == .outcomeUnknown)
        await broker.log.wait(for: "serving again")
        guard case .statistics(let statistics) = try await session.perform(.statistics) else {
            throw TQError(.internalError, "no statistics")
        }
        #expect(statistics.counts.pending >= 1)
        let claim = Task {
            try await session.perform(.claim(ClaimSpec(queues: ["none"], waitMilliseconds: 3_600_000)))
        }
        #expect(try await session.perform(.ping) == .done)
        await broker.broker.stop()
        await #expect(throws: TQError.self) { _ = try await claim.value }
        #expect(await errorCode { _ = try await session.perform(.submit([TaskSpec(type: "t")])) } == .readOnly)
        #expect(broker.broker.session() == nil)
    }
}
