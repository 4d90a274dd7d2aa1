import Logging
import NIOCore
import NIOPosix
import Synchronization
import TQModel
import WireProtocol

/// A client's talk with its brokers across connections: queues requests, sends them in bursts, connects again,
/// sends again what may be, and opens streams anew.
///
/// Callers of any thread leave what they want in ``outbox``; everything else belongs to the event loop.
final class Session: @unchecked Sendable {
    let eventLoop: any EventLoop
    let options: ClientOptions
    private let addresses: [BrokerAddress]

    /// What callers want done; one wake-up of the event loop takes all that came until then.
    private struct Outbox {
        var calls: [Call] = []
        var abandoned: [Call] = []
        var grants: [(stream: UInt32, count: UInt32)] = []
        var isScheduled = false
    }
    private let outbox = Mutex(Outbox())
    private let lastStream = Atomic<UInt32>(0)

    private var connection: Connection?
    private var isConnecting = false
    private var isClosed = false
    /// Calls that wait for a connection, oldest first.
    private var waiting: [Call] = []
    private var streams: [UInt32: DeliveryStream] = [:]
    private var backoff: Backoff
    private var firstAddress = 0

    init(addresses: [BrokerAddress], options: ClientOptions) {
        self.addresses = addresses
        self.options = options
        self.eventLoop = options.eventLoopGroup.any()
        self.backoff = Backoff(first: options.reconnectDelayMin, longest: options.reconnectDelayMax)
    }

    // MARK: From any thread

    /// Sends the request when there is a connection and waits for its reply.
    ///
    /// - Parameter patience: How long to wait for a connection; `nil` for ever.
    func call(
        _ request: Request,
        resend: Call.Resend,
        patience: Duration?
    ) async throws(TQError) -> Reply {
        let call = Call(request, resend: resend, patience: patience?.timeAmount)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                call.completion = { continuation.resume(returning: $0) }
                enqueue(call)
            }
        } onCancel: {
            post { $0.abandoned.append(call) }
        }
        return try result.get()
    }

    /// Sends the request when there is a connection; its completion is called on the event loop.
    func enqueue(_ call: Call) { post { $0.calls.append(call) } }

    /// Lets a stream deliver that many tasks more.
    func grant(stream: UInt32, count: UInt32) { post { $0.grants.append((stream, count)) } }

    func newStreamNumber() -> UInt32 { lastStream.add(1, ordering: .relaxed).newValue }

    func open(_ stream: DeliveryStream) {
        eventLoop.execute { self.begin(stream) }
    }

    /// Ends a stream; what it delivers from now on is given back.
    func close(stream: UInt32) {
        eventLoop.execute {
            guard self.streams.removeValue(forKey: stream) != nil, self.connection != nil else { return }
            self.enqueue(Call(.closeStream(stream: stream), resend: .never, patience: .zero))
        }
    }

    /// Connects, trying each address once.
    func connect() async throws(TQError) {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, TQError>, Never>) in
            eventLoop.execute { self.connect { continuation.resume(returning: $0) } }
        }
        try result.get()
    }

    /// Closes the connection and fails every call that has no answer yet.
    func close() async {
        await withCheckedContinuation { continuation in
            eventLoop.execute {
                self.isClosed = true
                let reason = TQError(.connectionFailed, "The client was closed.")
                self.failWaiting(because: reason)
                for stream in self.streams.values { stream.onEnd(nil) }
                self.streams = [:]
                self.connection?.close()
                self.connection = nil
                continuation.resume()
            }
        }
    }

    private func post(_ change: (inout Outbox) -> Void) {
        let isFirst = outbox.withLock { outbox in
            change(&outbox)
            defer { outbox.isScheduled = true }
            return !outbox.isScheduled
        }
        if isFirst { eventLoop.execute { self.drain() } }
    }

    // MARK: On the event loop

    private func drain() {
        let box = outbox.withLock { outbox in
            defer { outbox = Outbox() }
            return outbox
        }
        for call in box.abandoned { abandon(call) }
        let now = NIODeadline.now()
        for call in box.calls { call.wait(from: now) }
        waiting.append(contentsOf: box.calls)
        if isClosed { return failWaiting(because: TQError(.connectionFailed, "The client was closed.")) }
        // First what was done, then the credit for more.
        sendWaiting()
        sendGrants(box.grants)
    }

    private func sendWaiting() {
        guard let connection else {
            if !waiting.isEmpty { connectAgain() }
            return
        }
        let calls = waiting
        waiting = []
        connection.send(calls.filter { !giveUpIfAbandoned($0) })
    }

    private func sendGrants(_ grants: [(stream: UInt32, count: UInt32)]) {
        guard !grants.isEmpty else { return }
        var counts: [UInt32: UInt32] = [:]
        for grant in grants {
            guard let stream = streams[grant.stream] else { continue }
            stream.credit += grant.count
            counts[grant.stream, default: 0] += grant.count
        }
        // Without a connection the streams are opened anew with all of their credit.
        connection?.sendUnanswered(
            counts.sorted { $0.key < $1.key }.map { .addCredit(stream: $0.key, count: $0.value) }
        )
    }

    private func abandon(_ call: Call) {
        call.isAbandoned = true
        if call.sends > 0 { _ = giveUpIfAbandoned(call) }
    }

    private func giveUpIfAbandoned(_ call: Call) -> Bool {
        guard call.isAbandoned else { return false }
        call.fail(becauseOf: TQError(.connectionFailed, "The caller was cancelled before the request was sent."))
        return true
    }

    private func failWaiting(because reason: TQError) {
        let calls = waiting
        waiting = []
        for call in calls { call.fail(becauseOf: reason) }
    }

    private func answer(_ call: Call, _ reply: Reply) {
        if call.isAbandoned, case .claimed(let deliveries) = reply { return giveBack(deliveries) }
        call.finish(with: reply)
    }

    /// Releases deliveries that nobody waits for any more, so that others get them before their leases lapse.
    func giveBack(_ deliveries: [Delivery]) {
        guard !deliveries.isEmpty else { return }
        enqueue(Call(.release(deliveries.map { Release(lease: $0.lease) }), resend: .fenced, patience: .zero))
    }

    // MARK: Streams

    private func begin(_ stream: DeliveryStream) {
        guard !isClosed else { return stream.onEnd(TQError(.connectionFailed, "The client was closed.")) }
        streams[stream.number] = stream
        guard let connection else { return connectAgain() }
        connection.send([openCall(stream)])
    }

    private func openCall(_ stream: DeliveryStream) -> Call {
        var claim = stream.claim
        claim.count = stream.credit
        // Every connection opens the stream itself, so the call dies with its connection.
        return Call(.openStream(stream: stream.number, claim), resend: .never, patience: .zero) { [weak self] result in
            guard let self, case .failure(let error) = result else { return }
            self.openFailed(stream, error)
        }
    }

    private func openFailed(_ stream: DeliveryStream, _ error: TQError) {
        guard streams[stream.number] === stream, connection != nil else { return }
        guard error.retryable else {
            streams[stream.number] = nil
            return stream.onEnd(error)
        }
        guard error.code != .outcomeUnknown else { return }
        let wait = stream.backoff.next(atLeastMilliseconds: error.retryAfterMilliseconds)
        eventLoop.scheduleTask(in: wait.timeAmount) {
            guard self.streams[stream.number] === stream, let connection = self.connection else { return }
            connection.send([self.openCall(stream)])
        }
    }

    private func deliver(_ number: UInt32, _ deliveries: [Delivery]) {
        guard let stream = streams[number] else { return giveBack(deliveries) }
        stream.credit -= min(stream.credit, UInt32(clamping: deliveries.count))
        stream.onDeliveries(deliveries)
    }

    // MARK: Connecting

    private func connect(_ completion: @escaping @Sendable (Result<Void, TQError>) -> Void) {
        guard !isClosed else { return completion(.failure(TQError(.connectionFailed, "The client was closed."))) }
        guard connection == nil, !isConnecting else { return completion(.success(())) }
        isConnecting = true
        attempt(0, failures: []) { result in
            self.isConnecting = false
            completion(result.map { self.connected($0.connection, $0.reply) })
        }
    }

    /// Tries the address at that offset from the one that worked last, then the next ones.
    private func attempt(
        _ offset: Int,
        failures: [TQError],
        _ completion: @escaping @Sendable (Result<(connection: Connection, reply: HelloReply), TQError>) -> Void
    ) {
        guard offset < addresses.count else { return completion(.failure(Self.summary(failures))) }
        let index = (firstAddress + offset) % addresses.count
        let address = addresses[index]
        let hello = Hello(clientName: String(options.clientName.prefix(60)), settings: options.settings)
        let connection = Connection(address: address, hello: hello, options: options, eventLoop: eventLoop)
        open(connection, at: address).whenComplete { result in
            switch result {
            case .success(let reply):
                self.firstAddress = index
                completion(.success((connection, reply)))
            case .failure(let error):
                let failure =
                    error as? TQError
                    ?? TQError(.connectionFailed, "No connection to \(address): \(error).")
                self.attempt(offset + 1, failures: failures + [failure], completion)
            }
        }
    }

    private func open(_ connection: Connection, at address: BrokerAddress) -> EventLoopFuture<HelloReply> {
        let opened = ClientBootstrap(group: eventLoop)
            .connectTimeout(options.connectTimeout.timeAmount)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 262_144)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) }
            }
            .connect(host: address.host, port: address.port)
        opened.whenFailure { connection.ready.fail(TQError(.connectionFailed, "No connection to \(address): \($0).")) }
        return connection.ready.futureResult
    }

    private func connected(_ connection: Connection, _ reply: HelloReply) {
        guard !isClosed else { return connection.close() }
        options.logger.debug("connected", metadata: ["broker_version": "\(reply.brokerVersion)"])
        self.connection = connection
        backoff.reset()
        connection.onDelivery = { [weak self] in self?.deliver($0, $1) }
        connection.onAnswer = { [weak self] in self?.answer($0, $1) }
        connection.onEnd = { [weak self, weak connection] reason, calls in
            self?.lost(connection, because: reason, unanswered: calls)
        }
        connection.send(streams.values.sorted { $0.number < $1.number }.map(openCall))
        sendWaiting()
    }

    private func lost(_ connection: Connection?, because reason: TQError, unanswered: [Call]) {
        if self.connection === connection { self.connection = nil }
        options.logger.info("connection lost", metadata: ["reason": "\(reason)"])
        let (again, never) = unanswered.stablySplit { !isClosed && $0.resend != .never && !$0.isAbandoned }
        for call in never { call.fail(becauseOf: reason) }
        let now = NIODeadline.now()
        for call in again { call.wait(from: now) }
        waiting = again + waiting
        if !waiting.isEmpty || !streams.isEmpty { connectAgain() }
    }

    /// Connects now, and after growing waits until it works or nothing waits for it.
    private func connectAgain() {
        guard !isConnecting, connection == nil, !isClosed else { return }
        connect { result in
            guard case .failure(let error) = result, !self.isClosed else { return }
            self.giveUpOverdue(because: error)
            guard !self.waiting.isEmpty || !self.streams.isEmpty else { return }
            self.isConnecting = true
            let wait = self.backoff.next(atLeastMilliseconds: error.retryAfterMilliseconds)
            self.eventLoop.scheduleTask(in: wait.timeAmount) {
                self.isConnecting = false
                self.connectAgain()
            }
        }
    }

    /// Fails the calls whose patience is over; all of them when waiting cannot help.
    private func giveUpOverdue(because error: TQError) {
        let now = NIODeadline.now()
        let (over, rest) = waiting.stablySplit { call in
            guard let deadline = call.deadline else { return false }
            return deadline <= now || !error.retryable
        }
        waiting = rest
        for call in over { call.fail(becauseOf: error) }
    }

    private static func summary(_ failures: [TQError]) -> TQError {
        guard let first = failures.first else { return TQError(.invalidArgument, "There is no broker address.") }
        guard failures.count > 1 else { return first }
        let code = failures.contains { $0.code == .connectionFailed } ? TQError.Code.connectionFailed : first.code
        return TQError(code, failures.map(\.message).joined(separator: " "))
    }
}

extension Array {
    /// The elements that satisfy the condition and the others, both in their order.
    func stablySplit(_ condition: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
        var matching: [Element] = []
        var others: [Element] = []
        for element in self {
            if condition(element) { matching.append(element) } else { others.append(element) }
        }
        return (matching, others)
    }
}
