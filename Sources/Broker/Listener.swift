import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TQModel
import WireProtocol

/// Accepts connections of the native protocol.
final class Listener: Sendable {
    private let channel: any Channel
    private let gate: ConnectionGate

    /// The port that is listened on.
    let port: Int

    init(
        _ settings: BrokerSettings,
        connectionsMax: Int,
        engine: Engine,
        group: any EventLoopGroup,
        logger: Logger
    ) async throws {
        let gate = ConnectionGate(limit: connectionsMax)
        let unreadTimeout = SocketOptionValue(settings.unreadTimeoutMilliseconds)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            // A host that has lost its power or its network says nothing: its connection ends half a minute later, so that
            // nothing is delivered to it for longer than that.
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: 15)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: 5)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: 3)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: unreadTimeout)
            // Large reads are worth 1.4 times the throughput; see docs/decisions.
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 256 * 1024))
            .childChannelOption(.maxMessagesPerRead, value: 4)
            // Beyond the upper mark the peer is slow: no more is read from it, or from the store for it.
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 * 1024, high: 1024 * 1024))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard gate.enter(channel) else {
                        return try channel.pipeline.syncOperations.addHandler(Turnaway(limit: gate.limit))
                    }
                    let handler = ConnectionHandler(
                        engine: engine,
                        settings: settings,
                        logger: logger,
                        eventLoop: channel.eventLoop
                    )
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        channel = try await bootstrap.bind(host: settings.host, port: settings.port).get()
        port = channel.localAddress?.port ?? settings.port
        self.gate = gate
    }

    /// Takes no new connections.
    func stopAccepting() async { try? await channel.close() }

    /// Closes every connection.
    func closeConnections() async {
        for channel in gate.channels { try? await channel.close() }
    }
}

/// Counts connections and knows them all.
private final class ConnectionGate: Sendable {
    let limit: Int
    private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

    init(limit: Int) { self.limit = limit }

    var channels: [any Channel] { open.withLock { Array($0.values) } }

    func enter(_ channel: any Channel) -> Bool {
        let id = ObjectIdentifier(channel)
        let isIn = open.withLock { open in
            guard open.count < limit else { return false }
            open[id] = channel
            return true
        }
        if isIn { channel.closeFuture.whenComplete { [self] _ in open.withLock { $0[id] = nil } } }
        return isIn
    }
}

/// Tells a connection over the limit so, and closes it.
private final class Turnaway: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    func channelActive(context: ChannelHandlerContext) {
        let error = TQError(
            .tooManyConnections,
            "The broker has \(limit) connections, its limit. Close some, or raise broker.max_connections.",
            retryAfterMilliseconds: 1000
        )
        var bytes: [UInt8] = []
        // An error of one sentence fits into a frame.
        try? Reply.error(error).encode(id: 0, into: &bytes)
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
        context.channel.closeGently()
    }
}
