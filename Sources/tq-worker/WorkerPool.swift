import CommandLineSupport
import Glibc
import Logging
import TQClient
import TQModel

/// Worker processes, as many as the backlog asks for.
///
/// One task decides. Whatever happens elsewhere comes to it as an event.
struct WorkerPool {
    private typealias Instant = ContinuousClock.Instant

    private enum Event: Sendable {
        /// The broker was asked.
        case look(Result<PoolView, TQError>)
        case ended(pid_t, status: Int32)
        case stopSignal
        /// A time has come that was waited for.
        case time
    }

    private struct Worker {
        enum State: Equatable {
            case working
            /// It was told to end, and is killed at that time.
            case stopping(Instant)
            case killed
        }
        let member: PoolMember
        let start: Instant
        var state = State.working
    }

    private let launch: ProcessLaunch
    /// How long a worker may take to end before it is killed.
    private let grace: Duration
    private let logger: Logger
    private var size: PoolSize
    private var limit = StartLimit()
    private var workers: [pid_t: Worker] = [:]
    /// What the broker said last; `nil` while it says nothing.
    private var view: PoolView?
    private var isLost = false
    private var isStopping = false
    private let events: AsyncStream<Event>
    private let sender: AsyncStream<Event>.Continuation

    init(_ launch: ProcessLaunch, size: PoolSize, grace: Duration, logger: Logger) {
        self.launch = launch
        self.size = size
        self.grace = grace
        self.logger = logger
        (events, sender) = AsyncStream.makeStream()
    }

    /// Keeps workers running until a stop signal, and returns when all have ended.
    ///
    /// - Parameters:
    ///   - interval: The time between two looks at the broker.
    ///   - look: Asks the broker.
    mutating func run(
        every interval: Duration,
        look: @escaping @Sendable () async -> Result<PoolView, TQError>
    ) async {
        let sender = sender
        let looking = Task {
            while !Task.isCancelled {
                sender.yield(.look(await look()))
                try? await Task.sleep(for: interval)
            }
        }
        let listening = Task {
            while !Task.isCancelled {
                await StopSignals.next()
                sender.yield(.stopSignal)
            }
        }
        await adjust()
        for await event in events {
            take(event, at: .now)
            await adjust()
            if isStopping, workers.isEmpty { break }
        }
        looking.cancel()
        listening.cancel()
    }

    // MARK: What happens

    private mutating func take(_ event: Event, at now: Instant) {
        switch event {
        case .look(.success(let view)): see(view, at: now)
        case .look(.failure(let error)): lose(error, at: now)
        case .ended(let id, let status): end(id, status, at: now)
        case .stopSignal: stopOrKill(at: now)
        case .time: killOverdue(at: now)
        }
    }

    private mutating func see(_ view: PoolView, at now: Instant) {
        if isLost { logger.notice("the broker is back") }
        (self.view, isLost) = (view, false)
        limit.renew()
        let before = size.wanted
        size.observe(view.tasks, at: now)
        guard size.wanted != before else { return }
        logger.info(
            "the backlog asks for \(size.wanted > before ? "more" : "fewer") workers",
            metadata: [
                "tasks": .stringConvertible(view.tasks), "before": .stringConvertible(before),
                "wanted": .stringConvertible(size.wanted),
            ]
        )
    }

    private mutating func lose(_ error: TQError, at now: Instant) {
        if !isLost {
            logger.warning(
                "the broker does not say what the backlog is: the pool keeps its size",
                metadata: ["wanted": .stringConvertible(size.wanted), "reason": "\(error)"]
            )
        }
        (view, isLost) = (nil, true)
        limit.renew()
        size.observe(nil, at: now)
    }

    private mutating func end(_ id: pid_t, _ status: Int32, at now: Instant) {
        guard let worker = workers.removeValue(forKey: id) else { return }
        // The status word of waitpid: the low seven bits are the signal, the next byte is the exit code.
        let number = status & 0x7f
        let end = number == 0 ? "exit code \(status >> 8 & 0xff)" : "signal \(number)"
        guard worker.state == .working else {
            return logger.info("worker ended", metadata: ["process": .stringConvertible(id), "end": "\(end)"])
        }
        logger.warning("worker ended by itself", metadata: ["process": .stringConvertible(id), "end": "\(end)"])
        holdBack(after: worker.start, at: now)
    }

    /// Starts no workers for a while when one that was started then has ended too early.
    private mutating func holdBack(after start: Instant, at now: Instant) {
        guard let wait = limit.ended(startedAt: start, at: now) else { return }
        logger.warning(
            "no worker is started for a while",
            metadata: ["wait_ms": .stringConvertible(wait.wholeMilliseconds)]
        )
        wake(after: wait)
    }

    private mutating func stopOrKill(at now: Instant) {
        if isStopping {
            logger.warning("killing all workers", metadata: ["workers": .stringConvertible(workers.count)])
            for id in workers.keys { kill(id) }
        } else {
            logger.notice("stopping: workers may end what they run; a second signal kills them")
            isStopping = true
        }
    }

    private mutating func killOverdue(at now: Instant) {
        for (id, worker) in workers {
            guard case .stopping(let deadline) = worker.state, deadline <= now else { continue }
            logger.warning("worker does not end: killing it", metadata: ["process": .stringConvertible(id)])
            kill(id)
        }
    }

    private mutating func kill(_ id: pid_t) {
        workers[id]?.state = .killed
        workers[id]?.member.kill()
    }

    private func wake(after wait: Duration) {
        Task { [sender] in
            try? await Task.sleep(for: wait)
            sender.yield(.time)
        }
    }

    // MARK: What is done

    /// Starts or stops workers until there are as many as are wanted.
    private mutating func adjust() async {
        let now = Instant.now
        let working = workers.values.filter { $0.state == .working }
        let missing = (isStopping ? 0 : size.wanted) - working.count
        guard missing > 0 else { return stop(-missing, of: working, at: now) }
        // Those that are still ending count too: no more than the greatest number run at once.
        let room = size.bounds.upperBound - workers.count
        for _ in 0..<limit.take(min(missing, room), at: now) { await start() }
    }

    private mutating func start() async {
        let start = Instant.now
        do {
            let member = try await PoolMember.start(launch) { [sender] member, status in
                sender.yield(.ended(member.id, status: status))
            }
            workers[member.id] = Worker(member: member, start: start)
            logger.info(
                "worker started",
                metadata: ["process": .stringConvertible(member.id), "workers": .stringConvertible(workers.count)]
            )
        } catch {
            logger.error("cannot start a worker", metadata: ["reason": "\(error)"])
            holdBack(after: start, at: .now)
        }
    }

    /// Stops those that hold the fewest tasks, the youngest of them first.
    private mutating func stop(_ count: Int, of working: [Worker], at now: Instant) {
        guard count > 0 else { return }
        let leases = working.map { view?.leases(ofProcess: $0.member.id) ?? 0 }
        let order = zip(leases, working).sorted { ($0.0, $1.1.start) < ($1.0, $0.1.start) }
        let deadline = now + grace
        for (_, worker) in order.prefix(count) {
            workers[worker.member.id]?.state = .stopping(deadline)
            worker.member.stop()
        }
        wake(after: grace)
    }
}
