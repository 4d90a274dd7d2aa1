import Logging
import NIOCore
import QueueCore
import TQModel
import WireProtocol

/// One connection of the native protocol: bytes in, commands out; replies in, bytes out. It decides nothing.
///
/// All of a read burst enters the engine at once, and all replies of a commit group leave with one flush.
final class ConnectionHandler: ChannelInboundHandler, SessionSink, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    // Everything below is touched on the connection's event loop alone.

    private let engine: Engine
    private let settings: BrokerSettings
    private let logger: Logger
    private let eventLoop: any EventLoop
    private var reader = FrameReader()
    private var context: ChannelHandlerContext?
    private var session: SessionID?
    private var burst: [Command] = []
    private var output: [UInt8] = []
    /// Requests that were not answered yet.
    private var unanswered = 0
    private var lastActivity: NIODeadline = .now()
    private var idleCheck: Scheduled<Void>?
    private var isClosing = false

    init(engine: Engine, settings: BrokerSettings, logger: Logger, eventLoop: any EventLoop) {
        self.engine = engine
        self.settings = settings
        self.logger = logger
        self.eventLoop = eventLoop
    }

    // MARK: The connection

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        scheduleIdleCheck()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        idleCheck?.cancel()
        self.context = nil
        if let session { engine.closeSession(session) }
        session = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset by the peer and the like: the connection is of no use any more.
        logger.debug("connection lost", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    /// A client that does not read its replies may not send more requests.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        _ = context.channel.setOption(.autoRead, value: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    // MARK: Bytes in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        lastActivity = .now()
        unwrapInboundIn(data).withUnsafeReadableBytes { reader.append($0) }
        do throws(TQError) {
            while let frame = try reader.next() { try take(frame) }
            if let foreign = reader.foreignProtocol { return bounce(foreign) }
        } catch {
            refuse(error, id: 0)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !burst.isEmpty {
            let commands = burst
            burst.removeAll(keepingCapacity: true)
            engine.perform(commands)
        }
        flush()
        context.fireChannelReadComplete()
    }

    private func take(_ frame: Frame) throws(TQError) {
        guard let session else { return try takeHello(frame) }
        do throws(TQError) {
            let (id, request) = try Request.decode(frame)
            burst.append(.request(session, id: id, .anonymous, request))
            if case .addCredit = request { return }
            unanswered += 1
        } catch {
            guard !error.code.endsConnection else { throw error }
            write(.error(error), id: frame.requestID)
        }
    }

    private func takeHello(_ frame: Frame) throws(TQError) {
        let (id, hello) = try Hello.decode(frame)
        guard hello.credentials.isEmpty, hello.namespace == nil else {
            throw TQError(.invalidArgument, "This broker has no keys and no namespaces yet: connect without them.")
        }
        session = engine.openSession(self, hello.settings)
        try HelloReply(brokerVersion: settings.core.version).encode(id: id, into: &output)
    }

    // MARK: Bytes out

    func deliver(_ replies: [(request: UInt32, reply: Reply)]) {
        if eventLoop.inEventLoop {
            send(replies)
        } else {
            eventLoop.execute { [self] in send(replies) }
        }
    }

    private func send(_ replies: [(request: UInt32, reply: Reply)]) {
        for (id, reply) in replies {
            if case .delivery = reply {
                write(reply, id: 0)
            } else {
                unanswered -= 1
                write(reply, id: id)
            }
        }
        lastActivity = .now()
        flush()
    }

    private func write(_ reply: Reply, id: UInt32) {
        do throws(TQError) {
            try reply.encode(id: id, into: &output)
        } catch {
            // Too large for one frame: the request is told so, the others are not touched.
            do throws(TQError) {
                try Reply.error(error).encode(id: id, into: &output)
            } catch {
                logger.error("a reply cannot be encoded", metadata: ["error": "\(error)"])
            }
        }
    }

    private func flush() {
        guard !output.isEmpty, let context else { return }
        let buffer = context.channel.allocator.buffer(bytes: output)
        output.removeAll(keepingCapacity: output.capacity <= 1 << 20)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    // MARK: Ends

    func disconnect() {
        eventLoop.execute { [self] in context?.close(promise: nil) }
    }

    private func refuse(_ error: TQError, id: UInt32) {
        if let foreign = reader.foreignProtocol { return bounce(foreign) }
        logger.info("connection refused", metadata: ["error": "\(error)"])
        write(.error(error), id: id)
        closeAfterFlush()
    }

    private func bounce(_ foreign: ForeignProtocol) {
        logger.info("connection refused", metadata: ["protocol": "\(foreign.name)"])
        output.append(contentsOf: foreign.farewell)
        closeAfterFlush()
    }

    private func closeAfterFlush() {
        isClosing = true
        // What came before the bad frame is carried out: the client was promised its order.
        if !burst.isEmpty {
            let commands = burst
            burst.removeAll()
            engine.perform(commands)
        }
        guard let context else { return }
        let buffer = context.channel.allocator.buffer(bytes: output)
        output.removeAll()
        context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { [self] _ in self.context?.close(promise: nil) }
    }

    // MARK: Idle connections

    private func scheduleIdleCheck() {
        let wait = TimeAmount.milliseconds(settings.idleTimeoutMilliseconds)
        idleCheck = eventLoop.scheduleTask(deadline: lastActivity + wait) { [self] in closeIfIdle(after: wait) }
    }

    private func closeIfIdle(after wait: TimeAmount) {
        guard let context else { return }
        let isSilent = NIODeadline.now() - lastActivity >= wait
        let isBusy = unanswered > 0 || session.map(engine.isBusy) ?? false
        guard isSilent, !isBusy else {
            if isSilent { lastActivity = .now() }
            return scheduleIdleCheck()
        }
        logger.debug("idle connection closed")
        context.close(promise: nil)
    }
}
