import FakeBroker
import NIOCore
import NIOPosix
import TQModel
import Testing

@testable import TQClient

@Suite("Connecting to something else", .timeLimit(.minutes(10)))
struct NotABrokerTests {
    @Test(
        "A server of another protocol is named in the error",
        arguments: [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"), ("-ERR unknown command\r\n", "Redis"),
            ("UNKNOWN_COMMAND\r\n", "text protocol"),
        ]
    )
    func otherProtocol(answer: String, name: String) async throws {
        let server = try await server { channel in
            channel.writeAndFlush(channel.allocator.buffer(string: answer), promise: nil)
        }
        let error = await #expect(throws: TQError.self) { try await TQClient.connect(to: address(of: server)) }
        #expect(error?.code == .notABroker)
        #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
        try await server.close().get()
    }

    @Test("A server that never answers is not taken for a broker")
    func silence() async throws {
        let server = try await server { _ in }
        var options = ClientOptions()
        options.helloTimeout = .milliseconds(50)
        let error = await #expect(throws: TQError.self) {
            try await TQClient.connect(to: address(of: server), options: options)
        }
        #expect(error?.code == .notABroker)
        try await server.close().get()
    }

    @Test("A stream from something that is no broker, or an incompatible one, throws that")
    func stream() async throws {
        let http = try await server { channel in
            channel.writeAndFlush(channel.allocator.buffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"), promise: nil)
        }
        #expect(await end(ofStreamFrom: address(of: http))?.code == .notABroker)
        try await http.close().get()
        let old = try await FakeBroker.start(refusal: TQError(.versionUnsupported, "too new")) { _, _, _ in }
        #expect(await end(ofStreamFrom: old.address)?.code == .versionUnsupported)
        await old.stop()
    }

    private func end(ofStreamFrom address: String) async -> TQError? {
        await #expect(throws: TQError.self) {
            let client = TQClient(addresses: try BrokerAddress.list(address))
            for try await _ in client.deliveries(ClaimSpec(queues: ["q"])) {}
        }
    }

    @Test("A stream waits for a broker that was there before and is silent now")
    func haltedBroker() async throws {
        let broker = try await FakeBroker.start(port: restartablePort()) { request, id, peer in
            if case .openStream = request { peer.reply(.done, to: id) }
        }
        var options = ClientOptions()
        options.helloTimeout = .milliseconds(1_500)
        options.reconnectDelayMin = .milliseconds(5)
        let client = try await TQClient.connect(to: broker.address, options: options)
        let stream = Task {
            for try await _ in client.deliveries(ClaimSpec(queues: ["q"])) {}
        }
        _ = await broker.next()
        await broker.stop()
        let (connections, continuation) = AsyncStream.makeStream(of: Void.self)
        let halted = try await server(port: broker.port) { _ in continuation.yield() }
        var tries = connections.makeAsyncIterator()
        for _ in 0..<2 { await tries.next() }
        await client.close()
        try await stream.value
        try await halted.close().get()
    }

    @Test("A request is given up when its patience is over, however long an attempt to connect takes")
    func patience() async throws {
        let mute = try await server { _ in }
        var options = ClientOptions()
        options.connectionPatience = .milliseconds(20)
        options.helloTimeout = .seconds(3600)
        let client = TQClient(addresses: try BrokerAddress.list(address(of: mute)), options: options)
        for _ in 0..<2 {
            let error = await #expect(throws: TQError.self) { try await client.submit(TaskSpec(type: "t")) }
            #expect(error?.code == .connectionFailed)
            #expect(error?.message.hasPrefix("Nobody answers yet at \(address(of: mute)). Start a broker") == true)
        }
        await client.close()
        try await mute.close().get()
    }

    @Test("Nothing at the address is a failed connection that names every address")
    func nothing() async throws {
        let server = try await server { _ in }
        let gone = address(of: server)
        try await server.close().get()
        let error = await #expect(throws: TQError.self) { try await TQClient.connect(to: "\(gone),\(gone)") }
        #expect(error?.code == .connectionFailed)
        let wayOut = "Start a broker with 'tq-broker', or name another address with --broker-addr or TQ_BROKER_ADDR."
        #expect(error?.message == "Nothing listens at \(gone). Nothing listens at \(gone). \(wayOut)")
    }

    @Test("A host that nobody knows is named in the error")
    func unknownHost() async throws {
        let error = await #expect(throws: TQError.self) { try await TQClient.connect(to: "no-such-host.invalid:1") }
        #expect(error?.code == .connectionFailed)
        #expect(error?.message.hasPrefix("The host name no-such-host.invalid cannot be looked up.") == true)
    }

    @Test("Of a list of brokers the first one that lives is connected to, and the next one when it dies")
    func deadBrokers() async throws {
        let first = try await FakeBroker.start { _, id, peer in peer.reply(.done, to: id) }
        let second = try await FakeBroker.start { _, id, peer in peer.reply(.done, to: id) }
        // Nobody listens at the second address of loopback.
        let list = "127.0.0.2:\(first.port),\(first.address),\(second.address)"
        let client = try await TQClient.connect(to: list)
        try await client.ping()
        #expect(await first.next() == .ping)
        await first.stop()
        try await client.ping()
        #expect(await second.next() == .ping)
        await client.close()
        await second.stop()
    }

    @Test("A host with several addresses of which the first refuses is connected to")
    func severalAddresses() async throws {
        let resolver = FixedResolver(ipv4: ["127.0.0.2", "127.0.0.1"], eventLoop: eventLoop)
        try await ping(brokerAt: "127.0.0.1", through: resolver)
    }

    @Test(
        "A host with an IPv6 and an IPv4 address is connected to at whichever its broker listens",
        .enabled("there is no IPv6 here") { (try? await FakeBroker.start(host: "::1") { _, _, _ in }.stop()) != nil },
        arguments: ["::1", "127.0.0.1"]
    )
    func bothFamilies(host: String) async throws {
        let resolver = FixedResolver(ipv4: ["127.0.0.1"], ipv6: ["::1"], eventLoop: eventLoop)
        try await ping(brokerAt: host, through: resolver)
    }

    private let eventLoop = MultiThreadedEventLoopGroup.singleton.any()

    /// Connects to a broker at that address under a name that the resolver looks up.
    private func ping(brokerAt host: String, through resolver: FixedResolver) async throws {
        let broker = try await FakeBroker.start(host: host) { _, id, peer in peer.reply(.done, to: id) }
        var options = ClientOptions()
        options.eventLoopGroup = eventLoop
        options.resolver = resolver
        let client = try await TQClient.connect(to: "broker:\(broker.port)", options: options)
        try await client.ping()
        #expect(await broker.next() == .ping)
        await client.close()
        await broker.stop()
    }

    private func address(of server: any Channel) -> String { "127.0.0.1:\(server.localAddress?.port ?? 0)" }

    private func server(
        port: Int = 0,
        onConnect: @escaping @Sendable (any Channel) -> Void
    ) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.execute { onConnect(channel) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: port).get()
    }
}

/// Gives every name the same addresses; those of a family are tried in their order.
private struct FixedResolver: Resolver, Sendable {
    let ipv4: [String]
    var ipv6: [String] = []
    let eventLoop: any EventLoop

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { answer(ipv4, port) }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { answer(ipv6, port) }

    private func answer(_ hosts: [String], _ port: Int) -> EventLoopFuture<[SocketAddress]> {
        eventLoop.makeCompletedFuture { try hosts.map { try SocketAddress(ipAddress: $0, port: port) } }
    }

    func cancelQueries() {}
}
