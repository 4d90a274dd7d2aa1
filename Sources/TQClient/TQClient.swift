import Compression
public import TQModel

/// A connection to a tq broker: submits tasks, waits for results, claims and completes tasks, asks for states.
///
/// One client is enough for a process: requests of all tasks are pipelined on one connection, which comes back by itself. A
/// request waits for a lost connection to come back (``ClientOptions/connectionPatience``) and is sent again
/// where that cannot do its work twice; otherwise it throws `outcomeUnknown`. A write that failed in the broker is like a
/// lost connection.
public final class TQClient: Sendable {
    let session: Session
    let coding: ContentCoding

    /// What the client was made with.
    public var options: ClientOptions { session.options }

    /// A client that connects when it is first used.
    public init(addresses: [BrokerAddress], options: ClientOptions = .init()) {
        self.session = Session(addresses: addresses, options: options)
        self.coding = ContentCoding(options.compression, dictionaries: options.dictionaries)
    }

    /// Connects to the first of `host:port[,host:port]` that answers.
    ///
    /// - Throws: `connectionFailed`, `notABroker`, `invalidArgument` or what the broker refuses the connection with.
    public static func connect(
        to addresses: String,
        options: ClientOptions = .init()
    ) async throws(TQError) -> TQClient {
        let client = TQClient(addresses: try BrokerAddress.list(addresses), options: options)
        try await client.session.connect()
        return client
    }

    /// Closes the connection; requests without an answer throw.
    public func close() async { await session.close() }

    /// A round trip to the broker.
    public func ping() async throws(TQError) { _ = try await call(.ping) }

    /// Takes results whose time has come and gives their disk space back; returns when that is done, perhaps minutes later.
    public func compact() async throws(TQError) -> Compaction {
        guard case .compacted(let compaction) = try await call(.compact) else { throw .unexpectedReply }
        return compaction
    }

    /// Whether the broker can do its work.
    public func health() async throws(TQError) -> Health {
        guard case .health(let health) = try await call(.health) else { throw .unexpectedReply }
        return health
    }

    /// Counters of the broker.
    public func statistics() async throws(TQError) -> BrokerStatistics {
        guard case .statistics(let statistics) = try await call(.statistics) else { throw .unexpectedReply }
        return statistics
    }

    /// Counters and policy of every queue, by name.
    public func queues() async throws(TQError) -> [QueueStatistics] {
        guard case .queues(let queues) = try await call(.queues) else { throw .unexpectedReply }
        return queues
    }

    /// Says what the tasks of a queue get where they say nothing themselves, in the place of what was said before.
    ///
    /// An empty policy ends that. ``queues()`` shows what is said.
    /// - Throws: `invalidArgument` for a value out of its range, among others.
    public func setPolicy(_ policy: QueuePolicy, of queue: Name) async throws(TQError) {
        _ = try await call(.putQueuePolicy(queue, policy))
    }

    /// The workers that the broker knows, by name.
    public func workers() async throws(TQError) -> [WorkerStatus] {
        guard case .workers(let workers) = try await call(.workers) else { throw .unexpectedReply }
        return workers
    }

    // MARK: Single tasks

    /// Where a task is in its life.
    ///
    /// - Throws: `taskNotFound` among others.
    public func status(_ id: TaskID) async throws(TQError) -> TaskStatus {
        guard case .status(let status) = try await call(.status(id)) else { throw .unexpectedReply }
        return status
    }

    /// How a task ended, waiting for its end that long.
    ///
    /// - Throws: `timedOut` when it has not ended by then, `taskNotFound`, `invalidArgument` when the result is compressed and
    ///   cannot be decompressed, among others.
    public func waitForResult(_ id: TaskID, within limit: Duration) async throws(TQError) -> TaskResult {
        let deadline = ContinuousClock.now + limit
        while true {
            let rest = deadline - ContinuousClock.now
            // Short waits, so that one that is sent again after a lost connection does not begin from its full length.
            let wait = min(max(rest, .zero), .seconds(30)).wholeMilliseconds
            do throws(TQError) {
                guard case .result(var result) = try await call(.result(id, waitMilliseconds: wait)) else {
                    throw .unexpectedReply
                }
                try decode(&result)
                return result
            } catch {
                guard error.code == .timedOut, ContinuousClock.now < deadline, !Task.isCancelled else { throw error }
            }
        }
    }

    /// Stops tasks, running ones through their workers; one entry per id.
    public func cancel(_ ids: [TaskID]) async throws(TQError) -> [Result<Cancellation, TQError>] {
        let reply = try await session.call(.cancel(ids), resend: .fenced, patience: options.connectionPatience)
        guard case .cancellations(let entries) = reply else { throw .unexpectedReply }
        return entries
    }

    /// Stops a task that waits, or lets its worker stop it.
    ///
    /// - Returns: Whether it is over, or its worker is told; then ``waitForResult(_:within:)`` says how it ended.
    /// - Throws: `notCancellable` when it has ended.
    @discardableResult
    public func cancel(_ id: TaskID) async throws(TQError) -> Cancellation {
        guard let entry = try await cancel([id]).first else { throw .unexpectedReply }
        return try entry.get()
    }

    // MARK: Dead letters

    /// A page of dead letters in order of sequence.
    ///
    /// Their payloads are as they are stored; ``payload(of:)`` makes one plain.
    public func deadLetters(_ query: DeadLetterQuery = .init()) async throws(TQError) -> DeadLetterPage {
        guard case .deadLetters(let page) = try await call(.deadLetters(query)) else { throw .unexpectedReply }
        return page
    }

    /// Puts dead letters back as pending; one entry per id, `nil` is success.
    ///
    /// The broker moves so many bytes of payloads at once; what it leaves out is sent again.
    public func redrive(_ ids: [TaskID]) async throws(TQError) -> [TQError?] {
        try await inParts(ids) { .redrive($0.map { Redrive(task: $0) }) }
    }

    /// Puts a dead letter back with another payload, under the id that it has.
    ///
    /// - Throws: `taskNotFound` when it is no dead letter, `conflict` when another task holds its unique key.
    public func redrive(_ id: TaskID, payload: Bytes, contentType: Name? = nil) async throws(TQError) {
        var redrive = Redrive(task: id, payload: payload, content: Content(type: contentType))
        try encode(&redrive)
        let errors = try await outcomes(.redrive([redrive]), resend: .fenced)
        guard let outcome = errors.first else { throw .unexpectedReply }
        if let error = outcome { throw error }
    }

    /// Ends dead letters for good: they are cancelled, and their payloads go; one entry per id, `nil` is success.
    public func purge(_ ids: [TaskID]) async throws(TQError) -> [TQError?] { try await inParts(ids) { .purge($0) } }

    /// Sends again what the broker leaves out of a request because the payloads are too much at once.
    private func inParts(_ ids: [TaskID], _ request: ([TaskID]) -> Request) async throws(TQError) -> [TQError?] {
        var errors = try await outcomes(request(ids), resend: .fenced)
        while true {
            let left = errors.indices.filter { errors[$0]?.code == .rateLimited }
            guard !left.isEmpty else { return errors }
            let again = try await outcomes(request(left.map { ids[$0] }), resend: .fenced)
            guard again.contains(where: { $0?.code != .rateLimited }) else { return errors }
            for (place, error) in zip(left, again) { errors[place] = error }
        }
    }

    // MARK: Workers

    /// Makes a worker known.
    public func registerWorker(_ worker: WorkerSpec) async throws(TQError) {
        _ = try await call(.registerWorker(worker))
    }

    /// Says that a worker lives; an unknown one is registered.
    ///
    /// - Returns: What somebody wants of it.
    @discardableResult
    public func heartbeat(_ worker: WorkerSpec) async throws(TQError) -> WorkerOrder {
        guard case .workerOrder(let order) = try await call(.heartbeat(worker)) else { return .work }
        return order
    }

    /// Lets a worker take tasks, keeps them from it while it finishes what runs, or lets it end.
    ///
    /// It gets no tasks from then on; that it is to end it hears with its next heartbeat. The broker forgets the order when
    /// the worker ends, and when it restarts itself.
    ///
    /// - Throws: `workerNotFound` when no such worker is registered.
    public func order(_ order: WorkerOrder, worker name: Name) async throws(TQError) {
        _ = try await call(.orderWorker(name, order))
    }

    /// Ends a worker: its leases end at once.
    public func deregisterWorker(_ name: Name) async throws(TQError) { _ = try await call(.deregisterWorker(name)) }

    // MARK: Plumbing

    /// Sends a request that may be sent again.
    func call(_ request: Request) async throws(TQError) -> Reply {
        try await session.call(request, resend: .always, patience: options.connectionPatience)
    }

    func outcomes(_ request: Request, resend: Call.Resend) async throws(TQError) -> [TQError?] {
        let reply = try await session.call(request, resend: resend, patience: options.connectionPatience)
        guard let errors = reply.outcomes else { throw .unexpectedReply }
        return errors
    }

    /// The one outcome of a request about one thing.
    func single(_ outcomes: [TQError?]) throws(TQError) {
        guard let outcome = outcomes.first else { throw .unexpectedReply }
        if let outcome { throw outcome }
    }
}

extension TQError {
    static var unexpectedReply: TQError {
        TQError(.malformedFrame, "The broker's reply does not belong to the request.")
    }
}

extension Reply {
    /// What became of each item of a request: an error or nothing; `nil` when the reply does not say.
    var outcomes: [TQError?]? {
        switch self {
        case .outcomes(let errors): errors
        case .completed(let entries): entries.map { if case .failure(let error) = $0 { error } else { nil } }
        default: nil
        }
    }
}
