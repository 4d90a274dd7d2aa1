import NIOCore
import TQModel
import WireProtocol

/// One connection to a broker, from the hello to its end.
///
/// Belongs to the event loop of its channel, where all of it runs.
final class Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let address: BrokerAddress
    private let hello: Hello
    private let helloTimeout: TimeAmount
    private let keepAlive: TimeAmount
    /// Succeeds with the broker's answer to the hello.
    let ready: EventLoopPromise<HelloReply>

    /// What the session does with replies that nobody asked for by id, and with the end.
    var onDelivery: (UInt32, [Delivery]) -> Void = { _, _ in }
    var onCancelRequest: ([LeaseHandle]) -> Void = { _ in }
    var onAnswer: (Call, Reply) -> Void = { $0.finish(with: $1) }
    var onEnd: (TQError, [Call]) -> Void = { _, _ in }

    /// Whether its client has met a broker before: then silence is that of a halted broker, which may go on.
    var isWithBroker = false

    /// Whether it ended because nothing was heard: the next one had better be to another address.
    private(set) var fellSilent = false

    private var context: ChannelHandlerContext?
    private var reader = FrameReader()
    private var isReady = false
    private var unanswered: [UInt32: Call] = [:]
    private var lastID: UInt32 = 1
    private var endReason: TQError?
    private var timer: Scheduled<Void>?
    private var wasHeard = true

    init(address: BrokerAddress, hello: Hello, options: ClientOptions, eventLoop: any EventLoop) {
        self.address = address
        self.hello = hello
        self.helloTimeout = options.helloTimeout.timeAmount
        self.keepAlive = options.keepAlive.timeAmount
        self.ready = eventLoop.makePromise()
    }

    // MARK: Sending

    /// Writes the calls as one burst; a call beyond the limits is answered at once and not sent.
    func send(_ calls: some Sequence<Call>) {
        var bytes: [UInt8] = []
        let now = NIODeadline.now()
        for call in calls {
            let id = nextID()
            do throws(TQError) {
                try call.request.encode(id: id, into: &bytes)
            } catch {
                call.finish(.failure(error))
                continue
            }
            call.sent(at: now)
            unanswered[id] = call
            if let limit = call.answerLimit { expectAnswer(to: call, id, within: limit) }
        }
        write(bytes)
    }

    private func expectAnswer(to call: Call, _ id: UInt32, within limit: TimeAmount) {
        context?.eventLoop.assumeIsolated().scheduleTask(in: limit) { [weak self] in
            guard let self, self.unanswered[id] === call else { return }
            self.endSilent()
        }
    }

    /// Writes requests that have no reply but an error.
    func sendUnanswered(_ requests: some Sequence<Request>) {
        var bytes: [UInt8] = []
        // Such a request holds two integers: it is within every limit.
        for request in requests { try? request.encode(id: nextID(), into: &bytes) }
        write(bytes)
    }

    func close() { context?.close(promise: nil) }

    private func write(_ bytes: [UInt8]) {
        guard let context, !bytes.isEmpty else { return }
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    /// Ids go round; 0 is the broker's, and one that still waits for its reply is skipped.
    private func nextID() -> UInt32 {
        repeat { lastID &+= 1 } while lastID == 0 || unanswered[lastID] != nil
        return lastID
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { sayHello(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) { sayHello(context) }

    private func sayHello(_ context: ChannelHandlerContext) {
        // Added while the channel becomes active, the handler may hear of that too.
        guard timer == nil else { return }
        var bytes: [UInt8] = []
        do throws(TQError) {
            try hello.encode(id: lastID, into: &bytes)
        } catch {
            return end(because: error)
        }
        write(bytes)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: helloTimeout) { [weak self] in
            guard let self else { return }
            guard !self.isWithBroker else { return self.endSilent() }
            self.end(because: self.notABroker("it does not answer the hello"))
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { reader.append($0) }
        wasHeard = true
        do throws(TQError) {
            while let frame = try reader.next() { try receive(frame) }
        } catch {
            end(because: isReady ? error : refused(error))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(because: TQError(.connectionFailed, "The broker at \(address) closed the connection."))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(because: .connectionBroke(to: address, because: error))
    }

    // MARK: Receiving

    private func receive(_ frame: Frame) throws(TQError) {
        guard isReady else {
            let reply = try HelloReply.decode(frame)
            isReady = true
            timer?.cancel()
            scheduleKeepAlive()
            return ready.succeed(reply)
        }
        let (id, reply) = try Reply.decode(frame)
        switch reply {
        case .delivery(let stream, let deliveries): onDelivery(stream, deliveries)
        case .cancelRequested(let leases): onCancelRequest(leases)
        case .error(let error) where id == 0: endReason = error
        default:
            if let call = unanswered.removeValue(forKey: id) { onAnswer(call, reply) }
        }
    }

    /// A broker that vanished without closing (power, network) is noticed by its silence.
    private func scheduleKeepAlive() {
        guard let context else { return }
        wasHeard = false
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: keepAlive) { [weak self] in
            guard let self else { return }
            guard !self.wasHeard else { return self.scheduleKeepAlive() }
            self.send([Call(.ping, resend: .never, patience: .zero)])
            self.timer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: self.keepAlive) { [weak self] in
                guard let self else { return }
                guard !self.wasHeard else { return self.scheduleKeepAlive() }
                self.endSilent()
            }
        }
    }

    private func endSilent() {
        fellSilent = true
        end(because: TQError(.connectionFailed, "The broker at \(address) is silent."))
    }

    private func end(because reason: TQError) {
        timer?.cancel()
        let context = self.context
        // Only the first reason counts; closing calls back here.
        self.context = nil
        guard context != nil || !unanswered.isEmpty else { return }
        let reason = endReason ?? reason
        ready.fail(reason)
        let calls = unanswered.sorted { $0.key < $1.key }.map(\.value)
        unanswered = [:]
        onEnd(reason, calls)
        context?.close(promise: nil)
    }

    /// What a peer's first bytes say about it.
    private func refused(_ error: TQError) -> TQError {
        switch error.code {
        case .malformedFrame, .frameTooLarge, .unknownMessage, .notABroker: notABroker(error.message)
        default:
            TQError(
                error.code,
                "The broker at \(address) refuses the connection: \(error.message)",
                retryAfterMilliseconds: error.retryAfterMilliseconds
            )
        }
    }

    private func notABroker(_ why: String) -> TQError {
        TQError(.notABroker, "\(address) is not a tq broker: \(why). Check the address and the port.")
    }
}
