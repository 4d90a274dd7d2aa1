import Logging
import Synchronization
public import TQClient
public import TQModel

/// Runs tasks: takes them from a broker, calls the handler of their type, reports how they ended.
///
/// Leases are renewed while handlers run. A lost connection or a restarted broker interrupts nothing: handlers go on, and
/// what they return is reported when the broker is back.
///
/// ```swift
/// let worker = try Worker(brokers: "localhost:6379")
/// worker.register("send_email") { (email: Email, context) async throws -> Receipt in try await send(email) }
/// try await worker.run()
/// ```
public final class Worker: Sendable {
    /// What the worker was made with.
    public let options: WorkerOptions
    /// The name under which the broker lists it.
    public var name: Name { options.name }
    /// The worker's own connection.
    public let client: TQClient

    private struct State {
        var handlers = Handlers()
        var isRunning = false
        var execution: Execution?
        var stream: DeliveryStream?
        var freed: UInt32 = 0
        var grace: Duration?
        var failure: TQError?
    }
    private let state = Mutex(State())
    private let stop = Signal()
    private let idle = Signal()
    /// The worker is idle, or what still runs shall be given back.
    private let graceOver = Signal()
    private let finished = Signal()

    /// A worker that connects when it runs.
    ///
    /// - Parameter brokers: `host:port[,host:port]`.
    /// - Throws: `invalidArgument` when that is no list of addresses, or for an option out of range.
    public init(brokers: String, options: WorkerOptions = .init()) throws(TQError) {
        guard (1...Limits.claimCountMax).contains(options.concurrency) else {
            throw TQError(
                .invalidArgument,
                "A concurrency of \(options.concurrency) is out of range; choose 1 to \(Limits.claimCountMax)."
            )
        }
        self.options = options
        self.client = TQClient(addresses: try BrokerAddress.list(brokers), options: options.client)
    }

    // MARK: Handlers

    /// Handles a task type, or every type with a prefix (`image.*`), in bytes; an exact name wins over a prefix.
    public func register(_ types: TypePattern, raw handler: @escaping RawHandler) {
        state.withLock { state in
            precondition(!state.isRunning, "handlers are registered before the worker runs")
            state.handlers.add(types, handler)
        }
    }

    /// Handles a task type whose payload and result are JSON.
    public func register<Input: Decodable & Sendable, Output: Encodable & Sendable>(
        _ types: TypePattern,
        _ handler: @escaping @Sendable (Input, TaskContext) async throws -> Output
    ) {
        register(types) { payload, context in
            context.setResultType(JSONPayload.contentType)
            return try JSONPayload.encode(try await handler(try Self.input(from: payload), context))
        }
    }

    /// Handles a task type whose payload is JSON and whose result is empty.
    public func register<Input: Decodable & Sendable>(
        _ types: TypePattern,
        _ handler: @escaping @Sendable (Input, TaskContext) async throws -> Void
    ) {
        register(types) { payload, context in
            try await handler(try Self.input(from: payload), context)
            return []
        }
    }

    /// Handles the tasks of a definition.
    public func register<Definition: TaskDefinition>(
        _: Definition.Type,
        _ handler: @escaping @Sendable (Definition.Input, TaskContext) async throws -> Definition.Output
    ) {
        register(TypePattern(Definition.taskType), handler)
    }

    /// A payload that is not what the handler reads will not become so by another attempt.
    private static func input<Input: Decodable & Sendable>(from payload: Bytes) throws -> Input {
        do throws(TQError) { return try JSONPayload.decode(Input.self, from: payload) } catch {
            throw PermanentFailure(error.message)
        }
    }

    // MARK: Running

    /// Runs tasks until ``shutdown(grace:)`` or cancellation, then lets running ones finish within the grace.
    ///
    /// Waits for a broker that does not answer yet.
    /// - Throws: What no waiting heals, then or after a lost connection: `notABroker`, `unauthenticated`, an invalid queue
    ///   name.
    public func run() async throws(TQError) {
        let handlers = state.withLock { state in
            precondition(!state.isRunning, "a worker runs once")
            state.isRunning = true
            return state.handlers
        }
        defer { finished.send() }
        precondition(!handlers.isEmpty, "a worker needs a handler")
        guard try await connect() else { return await client.close() }
        let execution = begin(handlers)
        let heartbeats = Task { await sendHeartbeats(execution) }
        await withTaskCancellationHandler {
            await stop.wait()
        } onCancel: {
            stop.send()
        }
        // Draining goes on in a task of its own, which the cancellation of this one does not reach.
        await Task { await drain(execution) }.value
        heartbeats.cancel()
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Takes no more tasks, lets running ones finish within the grace, gives the rest back, and returns when
    /// ``run()`` has ended.
    ///
    /// - Parameter grace: ``WorkerOptions/shutdownGrace`` unless said otherwise; a second shutdown can shorten it.
    public func shutdown(grace: Duration? = nil) async {
        let isRunning = state.withLock { state in
            if let grace { state.grace = grace }
            return state.isRunning
        }
        stop.send()
        if let grace { endGrace(after: grace) }
        if isRunning { await finished.wait() }
    }

    /// Waits for a broker; `false` when the worker was stopped meanwhile.
    private func connect() async throws(TQError) -> Bool {
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(5))
        while !stop.isSent, !Task.isCancelled {
            do throws(TQError) {
                try await client.connect()
                _ = try await client.registerWorker(spec(running: 0, cpuPermille: 0))
                return true
            } catch {
                guard error.retryable else { throw error }
                options.logger.warning("waiting for a broker", metadata: ["reason": "\(error)"])
                try? await Task.sleep(for: backoff.next(atLeastMilliseconds: error.retryAfterMilliseconds))
            }
        }
        return false
    }

    private func begin(_ handlers: Handlers) -> Execution {
        let reporter = Reporter(client: client, logger: options.logger) { [weak self] in self?.checkIdle() }
        let execution = Execution(client: client, handlers: handlers, reporter: reporter, logger: options.logger) {
            [weak self] count in
            self?.free(count)
        }
        let claim = ClaimSpec(
            queues: options.queues,
            types: handlers.patterns,
            worker: name,
            leaseMilliseconds: UInt32(clamping: options.lease?.wholeMilliseconds ?? 0)
        )
        client.whenCancelRequested { [weak execution] in execution?.cancel($0) }
        let stream = client.openStream(
            claim,
            credit: UInt32(options.concurrency),
            onDeliveries: { execution.start($0) },
            onEnd: { [weak self] error in self?.streamEnded(error) }
        )
        state.withLock { state in
            state.execution = execution
            state.stream = stream
        }
        return execution
    }

    /// Attempts ended: their places are offered to the broker, once for all that end in the same turn.
    private func free(_ count: UInt32) {
        let isFirst = state.withLock { state in
            defer { state.freed += count }
            return state.freed == 0
        }
        guard isFirst else { return }
        client.schedule {
            let (freed, stream) = self.state.withLock { state in
                defer { state.freed = 0 }
                return (state.freed, state.stream)
            }
            if let stream { self.client.grant(stream, count: freed) }
            self.checkIdle()
        }
    }

    private func streamEnded(_ error: TQError?) {
        state.withLock { $0.failure = error }
        stop.send()
    }

    private func checkIdle() {
        guard stop.isSent, let execution = state.withLock({ $0.execution }), execution.isIdle else { return }
        idle.send()
        graceOver.send()
    }

    private func endGrace(after grace: Duration) {
        client.schedule(after: grace) { [graceOver] in graceOver.send() }
    }

    // MARK: Ending

    private func drain(_ execution: Execution) async {
        let (stream, grace) = state.withLock { state in
            defer { state.stream = nil }
            return (state.stream, state.grace ?? options.shutdownGrace)
        }
        if let stream { client.closeStream(stream) }
        checkIdle()
        endGrace(after: grace)
        await graceOver.wait()
        if !idle.isSent {
            options.logger.notice("giving back what still runs", metadata: ["tasks": "\(execution.running)"])
            execution.releaseAll()
            checkIdle()
            // Without an answer the leases lapse.
            _ = await idle.wait(atMost: .seconds(5))
        }
        await deregister()
        await client.close()
    }

    private func deregister() async {
        do throws(TQError) { try await client.deregister(name, patience: .seconds(2)) } catch {
            options.logger.notice("could not deregister", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: Heartbeats

    private func sendHeartbeats(_ execution: Execution) async {
        var usage = ProcessUsage()
        _ = usage.cpuPermille()
        while !Task.isCancelled {
            do { try await Task.sleep(for: options.heartbeatInterval) } catch { return }
            let spec = spec(running: execution.running, cpuPermille: usage.cpuPermille())
            do throws(TQError) { obey(try await client.heartbeat(spec)) } catch {
                options.logger.debug("heartbeat failed", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func obey(_ order: WorkerOrder) {
        guard order == .stop, !stop.isSent else { return }
        options.logger.notice("somebody told the broker to stop this worker")
        stop.send()
    }

    private func spec(running: Int, cpuPermille: UInt32) -> WorkerSpec {
        WorkerSpec(
            name: name,
            metadata: Bytes(options.metadata.utf8.prefix(Limits.errorBytesMax)),
            concurrency: UInt32(options.concurrency),
            running: UInt32(clamping: running),
            cpuPermille: cpuPermille,
            memoryBytes: ProcessUsage.memoryBytes()
        )
    }
}
