import Broker
import NIOCore
import QueueCore
import TQClient
import TQModel
import Testing
import WireProtocol

@Suite("Connections", .timeLimit(.minutes(5)))
struct ConnectionTests {
    @Test("The connection over the limit is told so, and there is room again when another one ends")
    func limit() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory) { $0.connectionsMax = 2 }
        let first = try await RawPeer.greet(broker.port)
        let second = try await RawPeer.greet(broker.port)
        let third = try await RawPeer.connect(to: broker.port)
        #expect(try await third.error() == (0, .tooManyConnections))
        #expect(await third.rest().isEmpty)
        let refused = await #expect(throws: TQError.self) { try await broker.client() }
        #expect(refused?.code == .tooManyConnections)
        try await second.send([(2, .ping)])
        #expect(try await second.reply() == (2, .done))
        await first.close()
        // The client tries again until the broker has seen the end.
        let client = TQClient(addresses: try BrokerAddress.list(broker.address))
        try await client.ping()
        await client.close()
        await second.close()
        await broker.broker.stop()
    }

    @Test("A silent connection is told that its time is over; one that holds or waits for something stays")
    func idle() async throws {
        try await withBroker {
            $0.idleTimeoutMilliseconds = 400
        } _: { broker, client in
            let task = try await client.submit(TaskSpec(type: "t"))
            func busy(_ request: Request) async throws -> RawPeer {
                // On a busy machine the hello may come too late; nothing has happened then.
                while true {
                    do {
                        return try await RawPeer.greet(broker.port, requests: [(2, request)])
                    } catch is ChannelError {} catch let error as TQError where error.code == .timedOut {}
                }
            }
            let holder = try await busy(.claim(ClaimSpec(queues: ["default"], leaseMilliseconds: 3_600_000)))
            guard case (2, .claimed(let held)) = try await holder.reply() else {
                throw TQError(.internalError, "no claim")
            }
            let waiter = try await busy(.result(task, waitMilliseconds: 3_600_000))
            let claimer = try await busy(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 3_600_000)))
            let streamer = try await busy(.openStream(stream: 1, ClaimSpec(queues: ["s"])))
            #expect(try await streamer.reply() == (2, .done))
            let greeted = try await busy(.ping)
            #expect(try await greeted.reply() == (2, .done))
            let mute = try await RawPeer.connect(to: broker.port)
            #expect(try await greeted.error() == (0, .timedOut))
            #expect(await greeted.rest().isEmpty)
            #expect(try await mute.error() == (0, .timedOut))
            // By now the busy ones were as silent as those two, and then once more.
            let again = try await busy(.ping)
            #expect(try await again.reply() == (2, .done))
            #expect(try await again.error() == (0, .timedOut))
            try await holder.send([(3, .complete(held.map { Completion(lease: $0.lease, result: bytes("r")) }))])
            #expect(try await holder.reply() == (3, .outcomes([nil])))
            #expect(
                try await waiter.reply() == (2, .result(TaskResult(id: task, state: .completed, result: bytes("r"))))
            )
            try await client.submit(TaskSpec(queue: "q", type: "t"))
            guard case (2, .claimed(let claimed)) = try await claimer.reply() else {
                throw TQError(.internalError, "no claim")
            }
            #expect(claimed.count == 1)
            try await client.submit(TaskSpec(queue: "s", type: "t"))
            guard case (0, .delivery(1, _)) = try await streamer.reply() else {
                throw TQError(.internalError, "no delivery")
            }
            for peer in [holder, waiter, claimer, streamer] { await peer.close() }
        }
    }

    @Test("Bytes that drip in keep no connection open that has not said hello")
    func drip() async throws {
        try await withBroker {
            // Less than the bytes take, and more than a slow machine needs for the hello of the client.
            $0.idleTimeoutMilliseconds = 500
        } _: { broker, client in
            let peer = try await RawPeer.connect(to: broker.port)
            for byte in [0x00, 0xff, 0x00, 0x00] + [UInt8](repeating: 1, count: 3000) where peer.isOpen {
                // It may close in between.
                try? await peer.send([byte])
                try await client.ping()
            }
            #expect(try await peer.error() == (0, .timedOut))
            #expect(await peer.rest().isEmpty)
        }
    }

    @Test(
        "Leases end with their connection when its hello asked for that, and outlive it otherwise",
        arguments: [true, false]
    )
    func leasesOnClose(ends: Bool) async throws {
        try await withBroker { broker, client in
            let id = try await client.submit(TaskSpec(type: "t"))
            let settings = SessionSettings(endsLeasesOnClose: ends)
            let holder = try await RawPeer.greet(broker.port, Hello(settings: settings))
            try await holder.send([(2, .claim(ClaimSpec(queues: ["default"])))])
            guard case (2, .claimed(let held)) = try await holder.reply() else {
                throw TQError(.internalError, "no claim")
            }
            await holder.close()
            if ends {
                #expect(try await client.claimOne().lease.task == id)
            } else {
                #expect(try await client.complete(held.map { Completion(lease: $0.lease) }) == [nil])
            }
        }
    }

    @Test("A task that loses its worker while it is being stored keeps its payload")
    func lostWhileStored() async throws {
        try await withBroker { broker, client in
            let rounds = 40
            for round in 0..<rounds {
                let peer = try await RawPeer.greet(
                    broker.port,
                    Hello(settings: SessionSettings(endsLeasesOnClose: true))
                )
                let queue = Name("q\(round)")
                try await peer.send([
                    (2, .openStream(stream: 1, ClaimSpec(queues: [queue], count: 10))),
                    (3, .submit([TaskSpec(queue: queue, type: "t", payload: bytes("p\(round)"), crashesMax: 1)])),
                ])
                await peer.close()
            }
            var letters: [DeadLetter] = []
            while letters.count < rounds {
                letters = try await client.deadLetters(DeadLetterQuery(count: 1000)).letters
            }
            #expect(letters.allSatisfy { $0.reason == .quarantined && !$0.payload.isEmpty }, "\(letters.map(\.reason))")
        }
    }

    @Test("A peer that does not read takes little memory and disturbs nobody")
    func slowReader() async throws {
        try await withBroker {
            $0.payloadCacheBytes = 1 << 20
            $0.unreadTimeoutMilliseconds = 600_000
        } _: { broker, client in
            let payload = Bytes(repeating: 7, count: 1 << 20)
            for _ in 0..<8 {
                try await client.submit(TaskSpec(queue: "dead", type: "t", payload: payload))
                let delivery = try #require(try await client.claim(ClaimSpec(queues: ["dead"])).first)
                try await client.fail(delivery, error: "no", isPermanent: true)
            }
            let before = residentBytes()
            let slow = try await RawPeer.greet(broker.port, isReading: false)
            // Answers of eight megabytes each, 4 GB in all.
            try await slow.send((2..<514).map { ($0, .deadLetters(DeadLetterQuery())) })
            for _ in 0..<50 {
                let id = try await client.submit(TaskSpec(type: "t", payload: bytes("fast")))
                let delivery = try await client.claimOne()
                try await client.complete(delivery)
                #expect(try await client.waitForResult(id, within: .zero).state == .completed)
            }
            #expect(residentBytes() - before < 600 << 20)
            try await slow.startReading()
            guard case .helloReply? = MessageType(rawValue: try await slow.frame().type) else {
                throw TQError(.internalError, "no hello")
            }
            for _ in 0..<40 {
                guard case .deadLetters(let page) = try await slow.reply().reply else {
                    throw TQError(.internalError, "no page")
                }
                #expect(page.letters.count == 8)
            }
            await slow.close()
            try await client.ping()
        }
    }

    @Test("A stream of large payloads reaches a peer that reads late, whole")
    func lateReader() async throws {
        try await withBroker {
            $0.payloadCacheBytes = 1 << 20
            // On a machine that is slow the peer may be silent for long before the broker has read what it sent, and may
            // leave the first deliveries unread for long.
            $0.idleTimeoutMilliseconds = 600_000
            $0.unreadTimeoutMilliseconds = 600_000
        } _: { broker, client in
            let slow = try await RawPeer.greet(broker.port, isReading: false)
            try await slow.send([(2, .openStream(stream: 1, ClaimSpec(queues: ["default"], count: 200)))])
            // However long the peer does not read, no lease ends meanwhile.
            let task = TaskSpec(
                type: "t",
                payload: Bytes(repeating: 7, count: 1 << 20),
                leaseMilliseconds: 3_600_000,
                timeoutMilliseconds: 3_600_000
            )
            for _ in 0..<100 { try await client.submit(task) }
            #expect(try await client.statistics().counts.pending == 0)
            try await slow.startReading()
            _ = try HelloReply.decode(try await slow.frame())
            var leases: Set<LeaseHandle> = []
            while leases.count < 100 {
                guard case .delivery(1, let deliveries) = try await slow.reply().reply else { continue }
                for delivery in deliveries {
                    leases.insert(delivery.lease)
                    #expect(delivery.payload.count == task.payload.count)
                }
            }
            await slow.close()
        }
    }
}
