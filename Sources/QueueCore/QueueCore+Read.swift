public import TQModel

extension QueueCore {
    mutating func read(_ request: Request, _ asker: Asker) {
        switch request {
        case .status(let id): status(id, asker)
        case .result(let id, let wait): result(id, wait, asker)
        case .statistics: reply(.statistics(statistics), to: asker)
        case .queues: reply(.queues(queueStatistics(asker.principal.namespace)), to: asker)
        case .workers: reply(.workers(workerStatuses(asker.principal.namespace)), to: asker)
        case .deadLetters(let query): deadLetters(query, asker)
        case .health: reply(.health(health), to: asker)
        default: reply(.done, to: asker)
        }
    }

    // MARK: One task

    private mutating func status(_ id: TaskID, _ asker: Asker) {
        switch find(id) {
        case .nowhere: reply(notFound(id), to: asker)
        case .ended(let sequence):
            replyEnded(id, sequence, .anywhere(redrives: redriven.count), asResult: false, to: asker)
        case .slot(let sequence, let slot):
            guard slot.isLive else { return replyEnded(id, sequence, slot, asResult: false, to: asker) }
            let (hasHistory, isTagged) = (hasHistory(slot), tagCount(sequence, slot) > 0)
            reply(
                .status(status(id, sequence, slot)),
                to: asker,
                missing: hasHistory || isTagged
                    ? .details(sequence, hasHistory: hasHistory, isTagged: isTagged) : .nothing
            )
        }
    }

    func status(_ id: TaskID, _ sequence: TaskSequence, _ slot: TaskSlot) -> TaskStatus {
        let options = slot.hasOptions ? index.options[sequence] : nil
        let waitsForStart = slot.state == .scheduled || slot.state == .failed
        let lease = slot.state == .inProgress ? index.leases[slot.link] : nil
        return TaskStatus(
            id: id,
            queue: index.queueNames.name(slot.queue),
            type: index.typeNames.name(slot.type),
            state: slot.state,
            priority: slot.rank.priority,
            attempts: slot.attempts,
            crashes: slot.crashes,
            retriesMax: retriesMax(sequence, slot),
            startWallMilliseconds: waitsForStart
                ? (options?.start ?? .none).wallMilliseconds(wall: now.wallMilliseconds, store: clock.milliseconds) : 0,
            worker: lease.flatMap { index.workers[$0.worker]?.spec.name },
            payloadContent: index.content(slot.content),
            progress: index.progress[sequence],
            attemptStartWallMilliseconds: lease.map { wallMilliseconds(ofStore: $0.claimedStoreMilliseconds) } ?? 0,
            isCancelRequested: lease?.isCancelRequested ?? false,
            tick: options?.tick.map { tick($0, slot) },
            checkpoint: index.checkpoints[sequence] ?? [],
            sharing: options?.sharing ?? .none,
            dependencies: options?.dependencies.map { dependencies($0) }
        )
    }

    /// About when an instant of store time was on the wall clock.
    func wallMilliseconds(ofStore milliseconds: UInt64) -> UInt64 {
        let ago = clock.milliseconds - min(milliseconds, clock.milliseconds)
        return now.wallMilliseconds - min(ago, now.wallMilliseconds)
    }

    private mutating func result(_ id: TaskID, _ wait: UInt64, _ asker: Asker) {
        switch find(id) {
        case .nowhere: reply(notFound(id), to: asker)
        case .ended(let sequence):
            replyEnded(id, sequence, .anywhere(redrives: redriven.count), asResult: true, to: asker)
        case .slot(let sequence, let slot):
            guard slot.isLive else { return replyEnded(id, sequence, slot, asResult: true, to: asker) }
            guard wait > 0 else { return reply(notEnded(id), to: asker) }
            if let error = tooManyWaits(asker) { return reply(error, to: asker) }
            let deadline = now.monotonicMilliseconds + min(wait, Limits.waitMillisecondsMax)
            _ = session.park(
                .result(asker.session, request: asker.request, id, sequence, deadlineMilliseconds: deadline)
            )
        }
    }

    /// Whether a task that had ended is somewhere else than that by now: it came back, and may have ended anew.
    ///
    /// For replies that wait while things go on: nothing is found then where the core has sent them to look.
    public func isElsewhere(_ id: TaskID, than ended: Ended) -> Bool {
        switch find(id) {
        case .nowhere: false
        case .ended(let sequence):
            // One that was put back after it was looked for may have ended anew, which may still have to be written.
            if case .anywhere(let redrives) = ended {
                redriven[sequence].map { $0.number > redrives } ?? false
            } else {
                true
            }
        case .slot(_, let slot) where slot.isLive: true
        case .slot(_, let slot) where slot.state == .deadLetter: ended != index.burial(slot)
        case .slot(let sequence, let slot): index.outcomeLocation(slot, sequence).map { ended != .outcome($0) } ?? false
        }
    }

    /// The refusal of one more request that waits, where a session has as many as it may have.
    func tooManyWaits(_ asker: Asker) -> TQError? {
        guard session.sessions[asker.session]?.parked.count ?? 0 >= Limits.waitsMax else { return nil }
        return TQError(
            .limitExceeded,
            "\(Limits.waitsMax) requests of this connection wait already, its limit. Wait for some of them first."
        )
    }

    func notEnded(_ id: TaskID) -> TQError {
        TQError(.timedOut, "Task \(id) has not ended yet. Ask again, or wait longer.")
    }

    private mutating func replyEnded(
        _ id: TaskID,
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        asResult: Bool,
        to asker: Asker
    ) {
        if slot.state == .deadLetter {
            return replyEnded(id, sequence, index.burial(slot), asResult: asResult, to: asker)
        }
        guard let location = index.outcomeLocation(slot, sequence) else { return reply(notFound(id), to: asker) }
        replyEnded(id, sequence, .outcome(location), asResult: asResult, to: asker)
    }

    private mutating func replyEnded(
        _ id: TaskID,
        _ sequence: TaskSequence,
        _ ended: Ended,
        asResult: Bool,
        to asker: Asker
    ) {
        // The reply that stays when nothing is found there.
        reply(.error(notFound(id)), to: asker, missing: .ended(id, sequence, ended, asResult: asResult))
    }

    /// Answers whoever waits for the end of a task.
    mutating func tellWaiting(for sequence: TaskSequence, _ id: TaskID, _ ended: Ended) {
        guard let waits = session.resultWaits[sequence] else { return }
        for wait in waits.ids {
            guard case .result(let session, let request, _, _, _)? = session.unpark(wait) else { continue }
            let asker = Asker(session: session, request: request, principal: .anonymous)
            replyEnded(id, sequence, ended, asResult: true, to: asker)
        }
    }

    private mutating func deadLetters(_ query: DeadLetterQuery, _ asker: Asker) {
        guard (1...1000).contains(query.count) else {
            return reply(
                TQError(.invalidArgument, "A page has 1 to 1000 dead letters, not \(query.count)."),
                to: asker
            )
        }
        var after = TaskSequence(0)
        if let id = query.after {
            guard let sequence = cipher.sequence(of: id) else { return reply(notFound(id), to: asker) }
            after = sequence
        }
        reply(
            .deadLetters(DeadLetterPage(letters: [], hasMore: false)),
            to: asker,
            missing: .deadLetters(query, after: after)
        )
    }

    // MARK: Counters

    private var statistics: BrokerStatistics {
        BrokerStatistics(
            counts: index.counts,
            totals: totals,
            queues: UInt32(index.queueNames.count),
            workers: UInt32(index.workers.count),
            connections: UInt32(session.sessions.count),
            uptimeMilliseconds: now.monotonicMilliseconds - startMonotonicMilliseconds,
            syncIntervalMilliseconds: configuration.syncIntervalMilliseconds
        )
    }

    private func queueStatistics(_ namespace: UInt32) -> [QueueStatistics] {
        (1..<max(1, UInt32(index.queues.count)))
            .filter { index.queueNames.namespace($0) == namespace }
            .map {
                QueueStatistics(
                    name: index.queueNames.name($0),
                    counts: index.queues[Int($0)].counts,
                    policy: index.policies[$0] ?? QueuePolicy()
                )
            }
            .sorted { $0.name.bytes.lexicographicallyPrecedes($1.name.bytes) }
    }

    private func workerStatuses(_ namespace: UInt32) -> [WorkerStatus] {
        var leases: [UInt32: UInt32] = [:]
        for place in index.leases.places(where: { $0.worker != 0 }) {
            leases[index.leases[place].worker, default: 0] += 1
        }
        return index.workers.values
            .filter { $0.namespace == namespace }
            .sorted { $0.spec.name.bytes.lexicographicallyPrecedes($1.spec.name.bytes) }
            .map { row in
                let heard = session.heard[row.number] ?? now.monotonicMilliseconds
                return WorkerStatus(
                    spec: session.workerSpecs[row.number] ?? row.spec,
                    leases: leases[row.number] ?? 0,
                    silentMilliseconds: now.monotonicMilliseconds - min(heard, now.monotonicMilliseconds),
                    order: session.orders[row.number] ?? .work
                )
            }
    }

    private var health: Health {
        let (status, reason): (Health.Status, String) =
            if isDraining {
                (.draining, "The broker is shutting down.")
            } else if isDiskLow {
                (.refusingSubmits, "The disk is nearly full: free space.")
            } else {
                (.serving, "")
            }
        return Health(
            status: status,
            reason: reason,
            syncIntervalMilliseconds: configuration.syncIntervalMilliseconds,
            version: configuration.version
        )
    }

    /// Sessions that hold a lease, or wait for an answer: such connections are not idle.
    ///
    /// One pass over all leases.
    public var busySessions: Set<SessionID> {
        var busy = Set(session.parked.values.map(\.session))
        for place in index.leases.places(where: { $0.session != 0 }) { busy.insert(index.leases[place].session) }
        return busy
    }

    /// Whether a session is among ``busySessions``; for one, not for each.
    public func isBusy(_ id: SessionID) -> Bool {
        guard let open = session.sessions[id] else { return false }
        return !open.parked.isEmpty || !index.leases.places(where: { $0.session == id }).isEmpty
    }
}
