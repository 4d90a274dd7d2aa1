import Logging
import NIOCore
import QueueCore
import Synchronization
import TQModel
import WireProtocol

/// One connection of the native protocol: bytes in, commands out; replies in, bytes out.
///
/// It decides nothing. All of a read burst enters the engine at once, and all replies of a commit group leave with one flush.
final class ConnectionHandler: ChannelInboundHandler, SessionSink, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Replies on their way to the event loop, and whether the peer takes what is sent; both show congestion.
    private let repliesUnderWay = Atomic(0)
    private let isWritable = Atomic(true)
    private static let repliesUnderWayMax = 8
    /// What a peer may send before its hello is complete.
    private static let helloBytesMax = 4096

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
    /// Whether the connection was found silent once: what lies in its socket is read before it is believed.
    private var seemsIdle = false
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
        isClosing = true
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset by the peer and the like: the connection is of no use any more.
        logger.debug("connection lost", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    /// A client that does not read its replies may not send more requests.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        self.isWritable.store(isWritable, ordering: .sequentiallyConsistent)
        _ = context.channel.setOption(.autoRead, value: isWritable)
        if isWritable, let session { engine.resume(session) }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Bytes in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        // Before the hello only time counts: bytes that drip in keep no connection open.
        if session != nil { lastActivity = .now() }
        unwrapInboundIn(data).withUnsafeReadableBytes { reader.append($0) }
        do throws(TQError) {
            while !isClosing, let frame = try reader.next() { take(frame) }
            guard session == nil, !isClosing else { return }
            if let foreign = reader.foreignProtocol { return bounce(foreign) }
            guard reader.unreadByteCount <= Self.helloBytesMax else {
                throw TQError(.frameTooLarge, "A hello has at most \(Self.helloBytesMax) bytes.")
            }
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

    private func take(_ frame: Frame) {
        do throws(TQError) {
            guard let session else { return try takeHello(frame) }
            let (id, request) = try Request.decode(frame)
            burst.append(.request(session, id: id, .anonymous, request))
            if case .addCredit = request { return }
            unanswered += 1
        } catch {
            guard session != nil, !error.code.endsConnection else { return refuse(error, id: frame.requestID) }
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
        if eventLoop.inEventLoop { return send(replies) }
        repliesUnderWay.add(1, ordering: .sequentiallyConsistent)
        eventLoop.execute { [self] in
            send(replies)
            let before = repliesUnderWay.subtract(1, ordering: .sequentiallyConsistent).oldValue
            if before == Self.repliesUnderWayMax, let session { engine.resume(session) }
        }
    }

    var isCongested: Bool {
        !isWritable.load(ordering: .sequentiallyConsistent)
            || repliesUnderWay.load(ordering: .sequentiallyConsistent) >= Self.repliesUnderWayMax
    }

    private func send(_ replies: [(request: UInt32, reply: Reply)]) {
        for (id, reply) in replies {
            if reply.isUnasked {
                write(reply, id: 0)
            } else {
                // An error for `addCredit` answers what does not count as a request.
                unanswered = max(0, unanswered - 1)
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
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        context.channel.closeGently()
    }

    // MARK: Idle connections

    private func scheduleIdleCheck() {
        let wait = TimeAmount.milliseconds(settings.idleTimeoutMilliseconds)
        let deadline = seemsIdle ? .now() + Self.secondLook : lastActivity + wait
        idleCheck = eventLoop.scheduleTask(deadline: deadline) { [self] in closeIfIdle(after: wait) }
    }

    /// Between two looks at a silent connection the event loop reads its sockets, however long it was busy before.
    private static let secondLook = TimeAmount.milliseconds(20)

    private func closeIfIdle(after wait: TimeAmount) {
        guard context != nil, !isClosing else { return }
        let isSilent = NIODeadline.now() - lastActivity >= wait
        let isBusy = unanswered > 0 || session.map(engine.isBusy) ?? false
        guard isSilent, !isBusy, seemsIdle else {
            seemsIdle = isSilent && !isBusy
            if isSilent, isBusy { lastActivity = .now() }
            return scheduleIdleCheck()
        }
        refuse(
            TQError(
                .timedOut,
                "The connection was silent for \(settings.idleTimeoutMilliseconds) ms and holds nothing. "
                    + "Connect again, and send a ping now and then."
            ),
            id: 0
        )
    }
}

extension Channel {
    /// Ends our side when everything is sent, and leaves the peer a moment to read it and to end its own.
    ///
    /// A connection that is closed while bytes of the peer are unread is reset, and the last frame may get lost.
    func closeGently() {
        close(mode: .output, promise: nil)
        eventLoop.scheduleTask(in: .seconds(1)) { [weak self] in self?.close(promise: nil) }
    }
}
