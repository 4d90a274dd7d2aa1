import NIOCore
import TQModel
import WireProtocol

/// One connection under load: requests out, replies in, all on one event loop.
///
/// The load is made without the client library, so that what is measured is the broker. Submits carry no keys unless
/// that is what is measured; the report says so.
class LoadConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let run: LoadRun
    private var reader = FrameReader()
    private var output: [UInt8] = []
    private var context: ChannelHandlerContext?
    private var nextID: UInt32 = 1

    init(_ run: LoadRun) { self.run = run }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        do throws(TQError) {
            try Hello(clientName: "tq-bench").encode(id: 0xffff_ffff, into: &output)
        } catch {
            run.fail(error.description)
        }
        flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { reader.append($0) }
        do throws(TQError) {
            while let frame = try reader.next() {
                if frame.type == MessageType.helloReply.rawValue {
                    _ = try HelloReply.decode(frame)
                    begin()
                } else {
                    let (id, reply) = try Reply.decode(frame)
                    if case .error(let error) = reply { return run.fail(error.description) }
                    take(reply, id: id)
                }
            }
        } catch {
            run.fail(error.description)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        endOfBurst()
        flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        run.connectionClosed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { run.fail("\(error)") }

    /// Sends a request with the next id.
    @discardableResult
    func send(_ request: Request) -> UInt32 {
        let id = nextID
        nextID = nextID == 0x7fff_ffff ? 1 : nextID + 1
        do throws(TQError) {
            try request.encode(id: id, into: &output)
        } catch {
            run.fail(error.description)
        }
        return id
    }

    func flush() {
        guard !output.isEmpty, let context else { return }
        let buffer = context.channel.allocator.buffer(bytes: output)
        output.removeAll(keepingCapacity: true)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    func close() { context?.close(promise: nil) }

    var eventLoop: (any EventLoop)? { context?.eventLoop }

    // MARK: What a kind of connection does

    /// The connection is ready.
    func begin() {}
    /// A reply has come.
    func take(_ reply: Reply, id: UInt32) {}
    /// All replies of one read have been taken.
    func endOfBurst() {}
}

/// Submits tasks: as fast as a window of unanswered ones allows, or at a fixed rate.
final class Producer: LoadConnection, @unchecked Sendable {
    private let window: Int
    /// Nanoseconds between two requests of this connection; 0 for as fast as the window allows.
    private let interval: Int64
    /// Tasks in one request.
    private let batch: Int
    private let extras: TaskExtras
    /// Where what each task has beyond a payload comes from.
    private var random: SplitMix64
    private var sentAt: [UInt32: NIODeadline] = [:]
    private var nextSend = NIODeadline.now()
    private var payload: [UInt8]
    private var isTimerSet = false

    init(_ run: LoadRun, window: Int, interval: Int64, batch: Int = 1, extras: TaskExtras = .plain) {
        self.window = window
        self.interval = interval
        self.batch = batch
        self.extras = extras
        // No two connections, and no two runs, make the same keys.
        self.random = SplitMix64(seed: .random(in: 0 ... .max))
        var random = SplitMix64(seed: 1)
        // Half of the payload does not compress; the first 16 bytes are the time of the submit.
        payload = (0..<max(16, run.payloadByteCount)).map {
            $0 % 2 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0x61
        }
        super.init(run)
    }

    override func begin() {
        nextSend = .now()
        sendMore()
        flush()
    }

    override func take(_ reply: Reply, id: UInt32) {
        guard case .submitted(let results) = reply, let sent = sentAt.removeValue(forKey: id) else { return }
        for case .failure(let error) in results { return run.fail(error.description) }
        run.submitted(results.count, after: NIODeadline.now() - sent)
    }

    override func endOfBurst() { sendMore() }

    private func sendMore() {
        guard interval == 0 else { return sendDue() }
        while sentAt.count < window, submit(at: .now()) {}
    }

    /// Sends what is due by the clock; latency counts from when a submit was due, not from when it could be sent.
    private func sendDue() {
        let now = NIODeadline.now()
        while nextSend <= now, sentAt.count < window {
            guard submit(at: nextSend) else { return }
            nextSend = nextSend + .nanoseconds(interval)
        }
        guard !run.isOver, !isTimerSet else { return }
        isTimerSet = true
        eventLoop?.scheduleTask(deadline: max(nextSend, now + .microseconds(200))) { [self] in
            isTimerSet = false
            sendDue()
            flush()
        }
    }

    /// Sends one request, unless all tasks are sent.
    private func submit(at due: NIODeadline) -> Bool {
        let count = run.takeSubmits(batch)
        guard count > 0 else { return false }
        let stamp = due.uptimeNanoseconds.bigEndian
        withUnsafeBytes(of: stamp) { payload.replaceSubrange(0..<8, with: $0) }
        let id = send(.submit((0..<count).map { _ in makeTask() }))
        sentAt[id] = due
        return true
    }

    private func makeTask() -> TaskSpec {
        var task = TaskSpec(queue: run.queue, type: run.type, payload: payload[...])
        switch extras {
        case .plain: break
        case .keyed:
            task.idempotencyKey = makeKey()
            task.uniqueKey = UniqueKey(makeKey(), scope: .active)
        case .sharing: task.sharing = TaskExtras.sharings[Int(random.next() % UInt64(TaskExtras.limitKeys))]
        }
        return task
    }

    /// 16 bytes, as many as a UUID has.
    private func makeKey() -> Bytes {
        var key: Bytes = []
        for _ in 0..<2 { withUnsafeBytes(of: random.next()) { key.append(contentsOf: $0) } }
        return key
    }
}

/// Claims tasks through a stream and completes each with a result.
class Consumer: LoadConnection, @unchecked Sendable {
    private let window: UInt32
    private let completes: Bool
    private var finished: [Completion] = []
    private var sentAt: [UInt32: (time: NIODeadline, count: Int)] = [:]
    private let result: Bytes

    init(_ run: LoadRun, window: Int, completes: Bool) {
        self.window = UInt32(window)
        self.completes = completes
        self.result = Bytes(repeating: 0x72, count: run.resultByteCount)
        super.init(run)
    }

    override func begin() {
        send(.openStream(stream: 1, ClaimSpec(queues: [run.queue], count: window)))
        flush()
    }

    override func take(_ reply: Reply, id: UInt32) {
        switch reply {
        case .delivery(_, let deliveries):
            let now = NIODeadline.now()
            for delivery in deliveries {
                run.claimed(after: wait(of: delivery, until: now))
                if completes { finished.append(Completion(lease: delivery.lease, result: result)) }
            }
            if !completes { send(.addCredit(stream: 1, count: UInt32(deliveries.count))) }
        case .outcomes(let outcomes):
            guard let sent = sentAt.removeValue(forKey: id) else { return }
            if let error = outcomes.lazy.compactMap({ $0 }).first { return run.fail(error.description) }
            run.completed(sent.count, after: NIODeadline.now() - sent.time)
        default: break
        }
    }

    /// How long a task waited for its delivery.
    func wait(of delivery: Delivery, until now: NIODeadline) -> TimeAmount {
        now - NIODeadline.uptimeNanoseconds(delivery.payload.stamp)
    }

    /// What one read delivered is completed by one request.
    override func endOfBurst() {
        guard !finished.isEmpty else { return }
        let id = send(.complete(finished))
        sentAt[id] = (.now(), finished.count)
        send(.addCredit(stream: 1, count: UInt32(finished.count)))
        finished.removeAll(keepingCapacity: true)
    }
}

extension Bytes {
    /// The number that the first eight bytes are.
    var stamp: UInt64 { prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
