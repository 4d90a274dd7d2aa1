import NIOCore
import NIOPosix
import TQModel
import Testing
import WireProtocol

/// A connection that says what a test wants, well-formed or not.
final class RawPeer {
    private let channel: any Channel
    private var received: AsyncStream<[UInt8]>.AsyncIterator
    private var reader = FrameReader()

    /// Connects; `isReading` set to false leaves everything in the buffers of the system.
    static func connect(to port: Int, isReading: Bool = true) async throws -> RawPeer {
        let (received, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: isReading)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(continuation: continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawPeer(channel, received.makeAsyncIterator())
    }

    /// Connects and says hello, with the first requests right behind it.
    static func greet(
        _ port: Int,
        _ hello: Hello = Hello(clientName: "raw"),
        isReading: Bool = true,
        requests: [(id: UInt32, request: Request)] = []
    ) async throws -> RawPeer {
        let peer = try await connect(to: port, isReading: isReading)
        var bytes: [UInt8] = []
        try hello.encode(id: 1, into: &bytes)
        for (id, request) in requests { try request.encode(id: id, into: &bytes) }
        try await peer.send(bytes)
        if isReading { _ = try HelloReply.decode(try await peer.frame()) }
        return peer
    }

    private init(_ channel: any Channel, _ received: AsyncStream<[UInt8]>.AsyncIterator) {
        self.channel = channel
        self.received = received
    }

    /// Whether the broker has not closed the connection.
    var isOpen: Bool { channel.isActive }

    func send(_ bytes: [UInt8]) async throws {
        try await channel.writeAndFlush(channel.allocator.buffer(bytes: bytes)).get()
    }

    func send(_ requests: [(id: UInt32, request: Request)]) async throws {
        var bytes: [UInt8] = []
        for (id, request) in requests { try request.encode(id: id, into: &bytes) }
        try await send(bytes)
    }

    /// Reads from now on.
    func startReading() async throws { try await channel.setOption(.autoRead, value: true).get() }

    /// The next frame.
    func frame() async throws -> Frame {
        while true {
            if let frame = try reader.next() { return frame }
            let bytes = try #require(await received.next(), "the broker closed the connection")
            bytes.withUnsafeBytes { reader.append($0) }
        }
    }

    func reply() async throws -> (id: UInt32, reply: Reply) { try Reply.decode(try await frame()) }

    /// The next reply, which must be an error.
    func error() async throws -> (id: UInt32, code: TQError.Code) {
        let (id, reply) = try await reply()
        guard case .error(let error) = reply else { throw TQError(.internalError, "\(reply) is no error") }
        return (id, error.code)
    }

    /// Everything until the broker ends the connection.
    func rest() async -> [UInt8] {
        var all: [UInt8] = []
        while let bytes = await received.next() { all += bytes }
        return all
    }

    func close() async { try? await channel.close() }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let continuation: AsyncStream<[UInt8]>.Continuation

        init(continuation: AsyncStream<[UInt8]>.Continuation) { self.continuation = continuation }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            continuation.yield(Array(buffer: unwrapInboundIn(data)))
        }

        func channelInactive(context: ChannelHandlerContext) { continuation.finish() }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
