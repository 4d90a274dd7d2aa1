import NIOCore
import Synchronization
import TQModel

/// A client's talk with its brokers across connections: queues requests, sends them in bursts, connects again,
/// sends again what may be, and opens streams anew.
///
/// Callers of any thread leave what they want in ``outbox``; everything else belongs to the event loop.
final class Session: @unchecked Sendable {
    let eventLoop: any EventLoop
    let options: ClientOptions
    let addresses: [BrokerAddress]

    /// What callers want done; one wake-up of the event loop takes all that came until then.
    private struct Outbox {
        var calls: [Call] = []
        var abandoned: [Call] = []
        var grants: [(stream: UInt32, count: UInt32)] = []
        var isScheduled = false
    }
    private let outbox = Mutex(Outbox())
    private let lastStream = Atomic<UInt32>(0)

    // The rest is the event loop's; Session+Streams and Session+Connecting work on it too.
    var connection: Connection?
    var isConnecting = false
    var hasBeenConnected = false
    var isClosed = false
    /// Calls that wait for a connection, oldest first.
    var waiting: [Call] = []
    /// Calls of unknown outcome that will be sent again together, oldest first.
    var unknown: [Call] = []
    /// When the first of them is given up.
    var patienceEnd = NIODeadline.distantFuture
    /// Why the last round of attempts found no broker.
    var lastFailure: TQError?
    var streams: [UInt32: DeliveryStream] = [:]
    /// Takes the leases whose attempts somebody wants to end.
    var onCancelRequest: @Sendable ([LeaseHandle]) -> Void = { _ in }
    var backoff: Backoff
    var firstAddress = 0

    init(addresses: [BrokerAddress], options: ClientOptions) {
        self.addresses = addresses
        self.options = options
        self.eventLoop = options.eventLoopGroup.any()
        self.backoff = Backoff(first: options.reconnectDelayMin, longest: options.reconnectDelayMax)
    }

    deinit {
        if let connection { eventLoop.execute { connection.close() } }
    }

    // MARK: From any thread

    /// Sends the request when there is a connection and waits for its reply.
    ///
    /// - Parameters:
    ///   - patience: How long to wait for a connection; `nil` for ever.
    ///   - persistence: How long an unknown outcome is met by sending it again; `nil` as long as `patience`.
    func call(
        _ request: Request,
        resend: Call.Resend,
        patience: Duration?,
        persistence: Duration? = nil
    ) async throws(TQError) -> Reply {
        let call = Call(
            request,
            resend: resend,
            patience: patience?.timeAmount,
            persistence: persistence?.timeAmount
        )
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                call.completion = { continuation.resume(returning: $0) }
                queueUp(call)
            }
        } onCancel: {
            post { $0.abandoned.append(call) }
        }
        return try result.get()
    }

    /// Sends the request when there is a connection; its completion is called on the event loop.
    func queueUp(_ call: Call) { post { $0.calls.append(call) } }

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
            self.queueUp(Call(.closeStream(stream: stream), resend: .never, patience: .zero))
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
                self.takeUnknown()
                self.failWaiting(because: reason)
                self.endStreams(because: nil)
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
        watchPatience(of: box.calls)
        // First what was done, then the credit for more.
        sendWaiting()
        sendGrants(box.grants)
    }

    func sendWaiting() {
        waiting.removeAll(where: giveUpIfAbandoned)
        guard !waiting.isEmpty else { return }
        guard let connection else { return connectAgain() }
        let now = NIODeadline.now()
        let (old, calls) = waiting.stablySplit { $0.isTooOldToResend(at: now) }
        waiting = []
        for call in old {
            call.fail(becauseOf: TQError(.connectionFailed, "Sent again so late, it might be stored twice."))
        }
        connection.send(calls)
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

    func giveUpIfAbandoned(_ call: Call) -> Bool {
        guard call.isAbandoned else { return false }
        call.fail(becauseOf: TQError(.connectionFailed, "The caller was cancelled before the answer came."))
        return true
    }

    func failWaiting(because reason: TQError) {
        let calls = waiting
        waiting = []
        for call in calls { call.fail(becauseOf: reason) }
    }

    func answer(_ call: Call, _ reply: Reply) {
        if call.isAbandoned, case .claimed(let deliveries) = reply { return giveBack(deliveries) }
        if let doubt = call.doubt(in: reply), sendLater(call, after: doubt) { return }
        call.finish(with: reply)
    }

    /// Releases deliveries that nobody waits for any more, so that others get them before their leases lapse.
    func giveBack(_ deliveries: [Delivery]) {
        guard !deliveries.isEmpty else { return }
        queueUp(Call(.release(deliveries.map { Release(lease: $0.lease) }), resend: .fenced, patience: .zero))
    }
}
