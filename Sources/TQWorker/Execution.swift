import Logging
import Synchronization
import TQClient
import TQModel

/// Runs what is delivered: a Swift task per attempt, one timer for all leases and timeouts.
final class Execution: Sendable {
    private struct State {
        var leases = LeaseTable()
        var nextWake: ContinuousClock.Instant?
        var isRenewing = false
    }
    private let state = Mutex(State())
    private let client: TQClient
    private let handlers: Handlers
    private let reporter: Reporter
    private let logger: Logger
    /// Called when attempts ended, with their number.
    private let onFreed: @Sendable (UInt32) -> Void

    init(
        client: TQClient,
        handlers: Handlers,
        reporter: Reporter,
        logger: Logger,
        onFreed: @escaping @Sendable (UInt32) -> Void
    ) {
        self.client = client
        self.handlers = handlers
        self.reporter = reporter
        self.logger = logger
        self.onFreed = onFreed
    }

    var running: Int { state.withLock { $0.leases.count } }

    /// Whether nothing runs and the broker knows how everything ended.
    var isIdle: Bool { state.withLock { $0.leases.isIdle } && reporter.isIdle }

    func start(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            guard let handler = handlers.handler(for: delivery.type) else {
                logger.error("no handler for a delivered task", metadata: ["type": "\(delivery.type)"])
                reporter.add([.released(Release(lease: delivery.lease, delayMilliseconds: 1000))])
                onFreed(1)
                continue
            }
            start(delivery, handler)
        }
    }

    private func start(_ delivery: Delivery, _ handler: @escaping RawHandler) {
        let token = delivery.lease.token
        let entry = state.withLock { $0.leases.add(delivery, now: .now) }
        let context = TaskContext(delivery, deadline: entry.deadline, client: client)
        let task = Task {
            let end = await Self.run(handler, delivery, context, client)
            finish(token, end)
        }
        let mustEnd = state.withLock { $0.leases.setHandler(task, of: token) }
        if mustEnd { task.cancel() }
        wake(at: min(entry.renewAt, entry.deadline))
    }

    private func finish(_ token: LeaseToken, _ end: AttemptReport) {
        // Under the lock, so that nobody finds the worker idle between the two; so below.
        state.withLock { state in
            if state.leases.remove(token) != nil { reporter.add([end]) }
        }
        onFreed(1)
    }

    /// Runs the handler and says how its attempt ended.
    private static func run(
        _ handler: RawHandler,
        _ delivery: Delivery,
        _ context: TaskContext,
        _ client: TQClient
    ) async -> AttemptReport {
        do {
            let result = try await handler(try payload(of: delivery, client), context)
            guard result.count <= Limits.payloadBytesMax else {
                throw PermanentFailure(
                    "The result has \(result.count) bytes, the limit is \(Limits.payloadBytesMax). Store it elsewhere."
                )
            }
            var completion = context.handOver.completion(of: delivery.lease, result)
            try client.encode(&completion)
            return .completed(completion)
        } catch {
            var failure = Failure(lease: delivery.lease, error: text(of: error))
            failure.isPermanent = error is PermanentFailure
            failure.retryAfterMilliseconds = (error as? RetryLater)?.after.wholeMilliseconds
            failure.pausesKey = (error as? RetryLater)?.pausesKey ?? false
            return .failed(failure)
        }
    }

    /// The plain payload; one that there is not is no better next time.
    private static func payload(of delivery: Delivery, _ client: TQClient) throws(PermanentFailure) -> Bytes {
        do throws(TQError) { return try client.decoded(delivery).payload } catch {
            throw PermanentFailure(error.message)
        }
    }

    private static func text(of error: any Error) -> Bytes {
        let text = "\(error)"
        guard text.utf8.count > Limits.errorBytesMax else { return Bytes(text.utf8) }
        var cut = ""
        var bytes = 0
        for character in text {
            bytes += character.utf8.count
            guard bytes <= Limits.errorBytesMax else { break }
            cut.append(character)
        }
        return Bytes(cut.utf8)
    }

    // MARK: Leases and timeouts

    /// Makes sure that ``tick(_:)`` runs at that time.
    private func wake(at instant: ContinuousClock.Instant) {
        let isEarlier = state.withLock { state in
            if let next = state.nextWake, next <= instant { return false }
            state.nextWake = instant
            return true
        }
        guard isEarlier else { return }
        client.schedule(after: max(instant - .now, .milliseconds(1))) { [weak self] in self?.tick(instant) }
    }

    private func tick(_ instant: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        let work = state.withLock { state -> (late: [LeaseTable.Entry], due: [LeaseHandle])? in
            // An earlier wake-up took this one's place, and has made the next one itself.
            guard state.nextWake == instant else { return nil }
            state.nextWake = nil
            let late = state.leases.end { $0.deadline <= now }
            reporter.add(late.map { .failed(Failure(lease: $0.lease, error: Bytes("The attempt timed out.".utf8))) })
            // One renewal at a time: without a broker the next ones would only pile up.
            let due = state.isRenewing ? [] : state.leases.takeDue(at: now)
            if !due.isEmpty { state.isRenewing = true }
            return (late, due)
        }
        guard let work else { return }
        for entry in work.late { entry.handler?.cancel() }
        if !work.due.isEmpty { renew(work.due) }
        wakeForNext()
    }

    private func wakeForNext() {
        let next = state.withLock { $0.leases.nextInstant(isRenewing: $0.isRenewing) }
        if let next { wake(at: max(next, .now + .milliseconds(5))) }
    }

    private func renew(_ leases: [LeaseHandle]) {
        let limit = state.withLock { $0.leases.renewalLimit }
        client.report(.renew(leases.map { Renewal(lease: $0) }), answerLimit: limit) { [weak self] result in
            self?.renewed(leases, result)
        }
    }

    /// A lost lease ends its handler, whose task runs elsewhere; one of a cancelled task lets it say how it ended.
    private func renewed(_ leases: [LeaseHandle], _ result: Result<[TQError?], TQError>) {
        var lost: Set<LeaseToken> = []
        if case .success(let outcomes) = result {
            var cancelled: [LeaseHandle] = []
            for (lease, outcome) in zip(leases, outcomes) {
                guard let outcome else { continue }
                if outcome.endsLease { lost.insert(lease.token) }
                if outcome.code == .cancelRequested { cancelled.append(lease) }
            }
            if !cancelled.isEmpty { cancel(cancelled) }
        }
        let ended = state.withLock { state in
            state.isRenewing = false
            return lost.isEmpty ? [] : state.leases.end { lost.contains($0.lease.token) }
        }
        for entry in ended {
            logger.notice("lease lost", metadata: ["task": "\(entry.lease.task)"])
            entry.handler?.cancel()
        }
        wakeForNext()
    }

    /// Cancels the handlers of tasks that somebody cancelled; how they end is reported as ever, while their leases last.
    func cancel(_ leases: [LeaseHandle]) {
        let cancelled = state.withLock { $0.leases.requestCancel(of: Set(leases.map(\.token))) }
        for entry in cancelled {
            logger.notice("task cancelled while it runs", metadata: ["task": "\(entry.lease.task)"])
            entry.handler?.cancel()
        }
    }

    /// Cancels every handler and gives its task back.
    func releaseAll() {
        let ended = state.withLock { state in
            let ended = state.leases.end { _ in true }
            reporter.add(ended.map { .released(Release(lease: $0.lease)) })
            return ended
        }
        for entry in ended { entry.handler?.cancel() }
    }
}

extension TQError {
    /// Whether the refusal of a renewal means that the lease is gone for good.
    fileprivate var endsLease: Bool { code == .leaseLost || code == .taskNotFound }
}
