import NIOCore
public import TQModel

extension TQClient {
    /// Takes waiting tasks, or waits for some as long as the claim says; empty when that ran out.
    ///
    /// A payload that cannot be decompressed fails its attempt for good. What is more than memory should hold at once, when it
    /// is decompressed, is given back.
    /// - Throws: `outcomeUnknown` when the connection is lost: what it took comes back when its leases lapse.
    public func claim(_ claim: ClaimSpec) async throws(TQError) -> [Delivery] {
        let reply = try await session.call(.claim(claim), resend: .never, patience: options.connectionPatience)
        guard case .claimed(let deliveries) = reply else { throw .unexpectedReply }
        return decodedOrFailed(deliveries)
    }

    /// Tasks as they come, at most `credit` delivered and not yet taken by the loop.
    ///
    /// The stream opens again by itself after a lost connection. It throws what no waiting heals: `notABroker`,
    /// `versionUnsupported`, an invalid queue name. A payload that cannot be decompressed fails its attempt for good, and the
    /// next one comes.
    public func deliveries(_ claim: ClaimSpec, credit: UInt32 = 16) -> Deliveries {
        Deliveries(claim: claim, credit: credit, client: self)
    }

    /// Ends tasks with success; one entry per completion, `nil` is success.
    public func complete(_ completions: [Completion]) async throws(TQError) -> [TQError?] {
        var completions = completions
        try encode(&completions)
        return try await outcomes(.complete(completions), resend: .fenced)
    }

    /// Ends a task with success, and submits and cancels others with it: all of that happens, or nothing does.
    ///
    /// - Parameters:
    ///   - contentType: What the result is, such as `application/json`.
    ///   - followUps: Tasks to submit; when one is refused, nothing happens and the lease lasts.
    ///   - cancels: Tasks to cancel; those that have ended are left alone.
    /// - Returns: The follow-ups, in their order.
    /// - Throws: `leaseLost` when the lease had ended: the task runs elsewhere or will. What refuses a follow-up, such as
    ///   `invalidArgument`, `queueFull` and `diskFull`.
    @discardableResult
    public func complete(
        _ delivery: Delivery,
        result: Bytes = [],
        contentType: Name? = nil,
        followUps: [TaskSpec] = [],
        cancels: [TaskID] = []
    ) async throws(TQError) -> [Submission] {
        var completion = Completion(
            lease: delivery.lease,
            result: result,
            content: Content(type: contentType),
            followUps: followUps,
            cancels: cancels
        )
        guard completion.handsOver else {
            try await single(complete([completion]))
            return []
        }
        try encode(&completion)
        let request = Request.complete([completion])
        let reply = try await session.call(request, resend: .fenced, patience: options.connectionPatience)
        guard case .completed(let entries) = reply, let entry = entries.first else { throw .unexpectedReply }
        return try entry.get()
    }

    /// Ends attempts with failure; one entry per failure, `nil` is success.
    public func fail(_ failures: [Failure]) async throws(TQError) -> [TQError?] {
        try await outcomes(.fail(failures), resend: .fenced)
    }

    /// Ends an attempt with failure; the task is tried again later, or becomes a dead letter.
    public func fail(_ delivery: Delivery, error: String, isPermanent: Bool = false) async throws(TQError) {
        let failure = Failure(lease: delivery.lease, error: Bytes(error.utf8), isPermanent: isPermanent)
        try await single(fail([failure]))
    }

    /// Gives tasks back without counting an attempt; one entry per task, `nil` is success.
    public func release(_ releases: [Release]) async throws(TQError) -> [TQError?] {
        try await outcomes(.release(releases), resend: .fenced)
    }

    /// Pushes the ends of leases out; one entry per lease, `nil` is success.
    ///
    /// An entry `cancelRequested` says that somebody cancelled the task: stop the work and report how it ended.
    public func renew(_ renewals: [Renewal]) async throws(TQError) -> [TQError?] {
        try await outcomes(.renew(renewals), resend: .always)
    }

    // MARK: For workers

    /// Ends a worker, for as long as its broker is reachable.
    package func deregister(_ name: Name, patience: Duration) async throws(TQError) {
        _ = try await session.call(.deregisterWorker(name), resend: .always, patience: patience)
    }

    /// Connects, trying each address once.
    package func connect() async throws(TQError) { try await session.connect() }

    /// Runs `body` on the event loop, at once or after a while.
    package func schedule(after delay: Duration = .zero, _ body: @escaping @Sendable () -> Void) {
        guard delay > .zero else { return session.eventLoop.execute(body) }
        session.eventLoop.scheduleTask(in: delay.timeAmount, body)
    }

    /// Sends what a worker has to say about its leases, for as long as it takes to find a broker; `completion` is
    /// called on the event loop.
    ///
    /// - Parameter answerLimit: After how long without an answer it is sent on a new connection.
    package func report(
        _ request: Request,
        answerLimit: Duration? = nil,
        completion: @escaping @Sendable (Result<[TQError?], TQError>) -> Void
    ) {
        let resend: Call.Resend = if case .renew = request { .always } else { .fenced }
        let call = Call(request, resend: resend, patience: nil) { result in
            completion(
                result.flatMap { reply in
                    guard let errors = reply.outcomes else { return .failure(.unexpectedReply) }
                    return .success(errors)
                }
            )
        }
        call.answerLimit = answerLimit?.timeAmount
        session.queueUp(call)
    }

    /// Calls the closure on the event loop with leases whose attempts somebody wants to end.
    ///
    /// What is sent while there is no connection is not sent again: the next renewal is refused with `cancelRequested`.
    package func whenCancelRequested(_ body: @escaping @Sendable ([LeaseHandle]) -> Void) {
        session.eventLoop.execute { [session] in session.onCancelRequest = body }
    }

    /// Opens a stream that lasts over lost connections; the closures are called on the event loop.
    package func openStream(
        _ claim: ClaimSpec,
        credit: UInt32,
        onDeliveries: @escaping @Sendable ([Delivery]) -> Void,
        onEnd: @escaping @Sendable (TQError?) -> Void
    ) -> DeliveryStream {
        let stream = DeliveryStream(
            number: session.newStreamNumber(),
            claim: claim,
            credit: credit,
            onDeliveries: onDeliveries,
            onEnd: onEnd
        )
        session.open(stream)
        return stream
    }

    /// Lets a stream deliver that many tasks more.
    package func grant(_ stream: DeliveryStream, count: UInt32) { session.grant(stream: stream.number, count: count) }

    /// Ends a stream; what it delivers from now on is given back.
    package func closeStream(_ stream: DeliveryStream) { session.close(stream: stream.number) }

    /// Releases tasks that nobody will run, without waiting for the answer.
    package func giveBack(_ deliveries: [Delivery]) { session.giveBack(deliveries) }
}
