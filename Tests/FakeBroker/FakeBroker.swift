import NIOCore
import NIOPosix
import Synchronization
public import TQModel
import WireProtocol

/// A port to listen on twice: below the range from which the system takes the ports of outgoing connections, so
/// that no other test gets it between the two.
public func restartablePort() -> Int { Int.random(in: 10_000..<30_000) }

/// A broker made of a script: real sockets on loopback, answers that a test chooses.
public final class FakeBroker: Sendable {
    /// What the broker does with one request.
    public typealias Script = @Sendable (_ request: Request, _ id: UInt32, _ peer: Peer) -> Void

    public let port: Int
    private let listener: any Channel
    private let peers: PeerList
    private let received: AsyncStream<Request>

    public var address: String { "127.0.0.1:\(port)" }

    /// Listens on loopback; port 0 takes a free one.
    ///
    /// - Parameters:
    ///   - host: The IPv4 or IPv6 address to listen at.
    ///   - refusal: What every connection is refused with.
    public static func start(
        host: String = "127.0.0.1",
        port: Int = 0,
        refusal: TQError? = nil,
        _ script: @escaping Script
    ) async throws -> FakeBroker {
        let (received, continuation) = AsyncStream.makeStream(of: Request.self)
        let peers = PeerList()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let peer = Peer(channel: channel)
                    peers.add(peer)
                    let handler = PeerHandler(peer: peer, refusal: refusal) { request, id in
                        script(request, id, peer)
                        continuation.yield(request)
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: host, port: port).get()
        return FakeBroker(listener: listener, peers: peers, received: received)
    }

    private init(listener: any Channel, peers: PeerList, received: AsyncStream<Request>) {
        self.listener = listener
        self.port = listener.localAddress?.port ?? 0
        self.peers = peers
        self.received = received
    }

    /// Closes the listener and every connection at once, as a killed process does.
    public func stop() async {
        try? await listener.close().get()
        await closeConnections()
    }

    /// Cuts every connection and goes on listening; nothing more is received from them when it returns.
    public func closeConnections() async { for peer in peers.takeAll() { await peer.closed() } }

    /// Returns when every client has closed its connection.
    public func waitUntilNoConnection() async { for peer in peers.takeAll() { await peer.closedByClient() } }

    /// The next request that satisfies the condition; earlier ones are skipped.
    public func next(where condition: @Sendable (Request) -> Bool = { _ in true }) async -> Request? {
        for await request in received where condition(request) { return request }
        return nil
    }
}

/// One connection as the broker sees it.
public final class Peer: Sendable {
    private let channel: any Channel

    init(channel: any Channel) { self.channel = channel }

    /// Sends a reply; id 0 for deliveries.
    public func reply(_ reply: Reply, to id: UInt32) {
        var bytes: [UInt8] = []
        do throws(TQError) { try reply.encode(id: id, into: &bytes) } catch { return close() }
        channel.writeAndFlush(channel.allocator.buffer(bytes: bytes), promise: nil)
    }

    public func send(bytes: [UInt8]) { channel.writeAndFlush(channel.allocator.buffer(bytes: bytes), promise: nil) }

    public func close() { channel.close(promise: nil) }

    /// Waits until the connection is closed.
    func closedByClient() async { try? await channel.closeFuture.get() }

    /// Closes the connection and waits until it is.
    func closed() async { try? await channel.close().get() }
}

private final class PeerList: Sendable {
    private let peers = Mutex<[Peer]>([])

    func add(_ peer: Peer) { peers.withLock { $0.append(peer) } }

    func takeAll() -> [Peer] {
        peers.withLock { peers in
            defer { peers = [] }
            return peers
        }
    }
}

/// Answers the hello and hands every request to the script.
private final class PeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: Peer
    private let refusal: TQError?
    private let onRequest: (Request, UInt32) -> Void
    private var reader = FrameReader()
    private var hasSaidHello = false

    init(peer: Peer, refusal: TQError?, onRequest: @escaping (Request, UInt32) -> Void) {
        self.peer = peer
        self.refusal = refusal
        self.onRequest = onRequest
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { reader.append($0) }
        do throws(TQError) {
            while let frame = try reader.next() {
                guard hasSaidHello else {
                    try answerHello(frame)
                    continue
                }
                let (id, request) = try Request.decode(frame)
                onRequest(request, id)
            }
        } catch {
            peer.reply(.error(error), to: 0)
            peer.close()
        }
    }

    private func answerHello(_ frame: Frame) throws(TQError) {
        let id = try Hello.decode(frame).id
        if let refusal { throw refusal }
        hasSaidHello = true
        var bytes: [UInt8] = []
        try HelloReply(brokerVersion: "fake").encode(id: id, into: &bytes)
        peer.send(bytes: bytes)
    }
}
