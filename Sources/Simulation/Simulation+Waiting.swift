import HistoryChecker
import QueueCore
import TQModel

/// Promises about what must happen in the end, or must not: clients would have to wait for ever to miss it.
extension Simulation {
    /// No task waits while a stream waits for tasks.
    mutating func checkStreams() throws(Broken) {
        guard !isReadOnly(), !broker.process.core.isDraining else { return }
        assignClaims()
        let waiting = clients.first { client in
            guard let session = client.session, !isUnderWay(session) else { return false }
            return client.streams.contains { isWaiting($0) }
        }
        guard let waiting else { return }
        let (index, gates) = (broker.process.core.index, broker.process.gates)
        let open = (0..<UInt32(index.queueCount)).map { $0 + 1 }.filter { !gates.mayHoldBack(queue: $0) }
        let pending = gates.free(in: open, index)
        guard pending == 0 else {
            throw Broken(
                "I13",
                "\(pending) tasks are pending, and a stream of client \(waiting.number) gets none of them"
            )
        }
    }

    /// Whether a stream would take any task, and nobody's silence keeps it from doing so.
    private func isWaiting(_ stream: Client.Stream) -> Bool {
        stream.worker == nil && stream.types.isEmpty && !stream.claims.isEmpty && !stream.isClosing
    }

    /// Whether something of a connection's streams or credit is still on the way.
    private func isUnderWay(_ session: SessionID) -> Bool {
        network.parcels.contains { $0.session == session }
            || asked.contains { key, asked in key.session == session && asked.request.kind == .openStream }
    }

    /// A broker that shuts down takes nothing and hands out nothing.
    func checkDrain(_ request: Asked, _ reply: Reply) throws(Broken) {
        guard request.arrival?.isDraining == true else { return }
        switch reply {
        case .submitted(let results):
            for case .success(let submission) in results where !submission.isDuplicate {
                throw Broken("drain", "Task \(submission.id) was taken after the broker began to shut down")
            }
        case .claimed(let deliveries):
            guard let delivery = deliveries.first else { return }
            throw Broken("drain", "Task \(delivery.lease.task) was leased after the broker began to shut down")
        default: return
        }
    }

    /// Looks at tasks whose ends are not acknowledged yet: what is told of them must be true after a power cut.
    mutating func askAtTheLastMoment() throws(Broken) {
        guard !isReadOnly() else { return }
        let wasCalm = isCalm
        isCalm = true
        defer { isCalm = wasCalm }
        let unsure = asked.keys.sorted().flatMap { key -> [TaskID] in
            switch asked[key]?.request {
            case .complete(let items): items.map(\.lease.task)
            case .cancel(let ids): ids
            default: []
            }
        }
        if clients[Self.observer].session == nil { connect(Self.observer) }
        if dice.oneIn(3) {
            let everything = TaskQuery(isNewestFirst: true, count: Limits.taskPageMax)
            ask(Self.observer, .tasks(everything), calls: unsure.suffix(8).map { .status($0) })
        } else {
            for id in unsure.suffix(8) { ask(Self.observer, .status(id), calls: [.status(id)]) }
        }
        for _ in 0..<50 where !broker.process.errands.isEmpty { runErrand() }
        try deliver()
    }

    /// A lapsed lease is a crash, and the last one that a task may have makes it a dead letter at once.
    func checkCrashes(of task: TaskID, _ crashes: UInt16, _ notices: [Notice]) throws(Broken) {
        let isDead = notices.contains { if case .deadLettered(task, _) = $0 { true } else { false } }
        guard let max = stored[task]?.crashesMax, !isDead else { return }
        guard crashes > 0, max == 0 || crashes < max else {
            throw Broken("I7", "Task \(task) lives on after crash \(crashes) of at most \(max)")
        }
    }

    /// At rest, just after a tick: what is over is over.
    mutating func checkRest() throws(Broken) {
        for key in asked.keys.sorted() {
            guard let request = asked[key], let arrival = request.arrival, !isOnTheWay(key),
                request.request.kind != .addCredit,
                arrival.milliseconds + request.waitMilliseconds <= now.monotonicMilliseconds
            else { continue }
            throw Broken("I13", "\(request.request) of session \(key.session) is never answered")
        }
        if let overlong = broker.process.core.overlongLeases.first {
            throw Broken("I13", "The lease of task \(overlong) lapses later than it may")
        }
        if case .workers(let workers)? = try reply(to: .workers) {
            for worker in workers where worker.silentMilliseconds > Self.workerInactivityMilliseconds {
                throw Broken(
                    "I13",
                    "Worker \(worker.spec.name) is silent for \(worker.silentMilliseconds) ms and not given up"
                )
            }
        }
        try checkCleaning()
    }

    private func isOnTheWay(_ key: AskedKey) -> Bool {
        network.replies.contains { $0.answer.session == key.session && $0.answer.request == key.request }
    }

    /// A few tasks that stay do not keep the records of all those around them.
    private mutating func checkCleaning() throws(Broken) {
        for _ in 0..<100 where !isReadOnly() && broker.process.core.hasSparseRecords {
            perform(.clean, .clean)
            guard try settle() else { return }
        }
        guard !isReadOnly() else { return }
        let count = broker.process.core.index.sparseRecordCount(before: broker.process.core.epoch)
        guard count == 0 else { throw Broken("I14", "\(count) records with few tasks are never rewritten") }
    }
}
