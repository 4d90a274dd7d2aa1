public import TQModel

extension QueueCore {
    // MARK: Requests

    mutating func claim(_ spec: ClaimSpec, _ asker: Asker) {
        do throws(TQError) {
            try checkDuration(spec.waitMilliseconds, "wait", longest: Limits.waitMillisecondsMax)
            var claim = try parkedClaim(spec, asker, stream: nil)
            claim.deadlineMilliseconds = now.monotonicMilliseconds + spec.waitMilliseconds
            let taken = take(&claim, limit: claim.credit)
            if !taken.isEmpty || spec.waitMilliseconds == 0 {
                deliver(taken, to: claim)
            } else if let error = tooManyWaits(asker) {
                reply(error, to: asker)
            } else {
                _ = session.park(.claim(claim))
            }
        } catch {
            reply(error, to: asker)
        }
    }

    mutating func openStream(_ stream: UInt32, _ spec: ClaimSpec, _ asker: Asker) {
        do throws(TQError) {
            guard let open = session.sessions[asker.session]?.streams else { return }
            guard open[stream] == nil else {
                throw TQError(.conflict, "Stream \(stream) is open already. Close it, or use another number.")
            }
            guard open.count < Limits.claimQueuesMax else {
                throw TQError(.limitExceeded, "A connection has at most \(Limits.claimQueuesMax) streams. Close one.")
            }
            let claim = try parkedClaim(spec, asker, stream: stream)
            let id = session.park(.claim(claim))
            session.sessions[asker.session]?.streams[stream] = id
            reply(.done, to: asker)
            serve(id)
        } catch {
            reply(error, to: asker)
        }
    }

    mutating func addCredit(_ stream: UInt32, _ count: UInt32, _ asker: Asker) {
        let id = session.sessions[asker.session]?.streams[stream]
        // Request 0 is the broker's own: it says nothing of the worker.
        if asker.request != 0, let id, case .claim(let claim)? = session.parked[id], let worker = claim.worker {
            _ = try? hear(WorkerSpec(name: worker.name), asker.principal, isFull: false)
        }
        guard let id, case .claim(var claim)? = session.parked[id] else {
            return reply(
                TQError(.invalidArgument, "Stream \(stream) is not open on this connection. Open it first."),
                to: asker
            )
        }
        claim.credit = UInt32(min(UInt64(claim.credit) + UInt64(count), UInt64(Limits.claimCountMax)))
        session.update(id, claim)
        serve(id)
    }

    mutating func closeStream(_ stream: UInt32, _ asker: Asker) {
        if let id = session.sessions[asker.session]?.streams.removeValue(forKey: stream) { session.unpark(id) }
        reply(.done, to: asker)
    }

    private mutating func parkedClaim(
        _ spec: ClaimSpec,
        _ asker: Asker,
        stream: UInt32?
    ) throws(TQError) -> ParkedClaim {
        if isDraining { throw TQError(.draining, "The broker is shutting down. Claim from another one or later.") }
        guard !spec.queues.isEmpty, spec.queues.count <= Limits.claimQueuesMax else {
            throw TQError(
                .invalidArgument,
                "A claim names \(spec.queues.count) queues; name 1 to \(Limits.claimQueuesMax)."
            )
        }
        // A worker that is busy everywhere opens its stream without credit.
        guard spec.count > 0 || stream != nil, spec.count <= configuration.claimCountMax else {
            throw TQError(
                .invalidArgument,
                "A claim takes 1 to \(configuration.claimCountMax) tasks (broker.max_batch_claim), not \(spec.count)."
            )
        }
        if let pattern = spec.types.first(where: { !$0.isValid }) {
            throw TQError(
                .invalidArgument,
                "'\(pattern)' is no task type: use a name, or a prefix followed by one '*'."
            )
        }
        try checkDuration(UInt64(spec.leaseMilliseconds), "lease")
        var queues: [UInt32] = []
        for name in spec.queues {
            let queue = try number(of: name, .queue, asker.principal.namespace)
            if !queues.contains(queue) { queues.append(queue) }
        }
        var worker: DurableIndex.ScopedName?
        if let name = spec.worker {
            let number = try hear(WorkerSpec(name: name), asker.principal, isFull: false)
            worker = index.workers[number].map { .init(namespace: $0.namespace, name: $0.spec.name) }
        }
        return ParkedClaim(
            session: asker.session,
            request: asker.request,
            stream: stream,
            queues: queues,
            accepted: AcceptedTypes(spec.types),
            credit: spec.count,
            worker: worker,
            leaseMilliseconds: spec.leaseMilliseconds,
            deadlineMilliseconds: .max
        )
    }

    // MARK: Serving

    /// Gives tasks that became pending to the claims that wait for them.
    mutating func serveWaiting() {
        let ready = index.takeReadyQueues()
        guard !ready.isEmpty, !session.waiting.isEmpty, !isDraining else { return }
        for queue in ready {
            guard let waiting = session.waiting[queue], !waiting.isEmpty else { continue }
            // One turn serves each claim once with its fair part; a claim that got some goes behind the others.
            let pending = index.queues[Int(queue)].counts.pending
            let share = UInt32(clamping: max(1, pending / UInt64(waiting.count)))
            for id in waiting.ids {
                guard index.queues[Int(queue)].counts.pending > 0 else { break }
                if serve(id, limit: share) { session.rotate(id, queue: queue) }
            }
            // What is left goes to whoever has credit, in the same order.
            for id in session.waiting[queue]?.ids ?? [] {
                guard index.queues[Int(queue)].counts.pending > 0 else { break }
                serve(id)
            }
        }
    }

    /// Gives tasks to one parked claim, and says whether it got any.
    @discardableResult
    mutating func serve(_ id: UInt64, limit: UInt32 = .max) -> Bool {
        var left = limit
        if case .claim(let claim)? = session.parked[id], claim.stream != nil, let worker = claim.worker {
            // Nobody may be there to take it; the stream goes on when its worker is heard again.
            guard present(worker) != nil else { return false }
        }
        // A stream may get several replies: large payloads do not fit into one.
        while left > 0, !isDraining, case .claim(var claim)? = session.parked[id], claim.credit > 0 {
            let taken = take(&claim, limit: min(left, claim.credit))
            claim.credit -= UInt32(taken.count)
            left -= UInt32(taken.count)
            session.update(id, claim)
            if taken.isEmpty { break }
            if claim.stream == nil { session.unpark(id) }
            deliver(taken, to: claim)
        }
        return left < limit
    }

    /// A task that was just claimed.
    struct Taken {
        var delivery: Delivery
        var place: PayloadPlace
        /// The group, by counter, that made the task claimable; 0 when it was recovered.
        var claimableSince: UInt64
    }

    private mutating func take(_ claim: inout ParkedClaim, limit: UInt32) -> [Taken] {
        var taken: [Taken] = []
        var byteCount = 0
        var lateCount = 0
        let worker = claim.worker.flatMap { present($0) } ?? 0
        guard session.orders.isEmpty || session.orders[worker] == nil else { return [] }
        while taken.count < Int(limit), let ready = firstReady(&claim) {
            let sequence = ready.entry.sequence
            let slot = index.tasks[sequence]
            if isLate(slot, sequence) {
                // The others that are late have their turn with the next tick, which serves the queue again.
                guard lateCount < Self.lateTasksPerClaim else {
                    index.announce(ready.queue)
                    break
                }
                lateCount += 1
                setAside(sequence)
                continue
            }
            byteCount += slot.payloadByteCountMax
            if !index.checkpoints.isEmpty { byteCount += index.checkpoints[sequence]?.count ?? 0 }
            if slot.hasOptions { byteCount += index.options[sequence]?.dependencies?.byteCount ?? 0 }
            if !taken.isEmpty, byteCount > Limits.replyPayloadBytesMax { break }
            index.removeFirst(ready)
            taken.append(lease(sequence, slot, for: claim, worker))
        }
        return taken
    }

    /// The best task over all queues and accepted types of a claim: O(queues x types) at worst, mostly O(1).
    private mutating func firstReady(_ claim: inout ParkedClaim) -> DurableIndex.Ready? {
        var best: DurableIndex.Ready?
        let isGated = !index.gates.isEmpty
        let hasGatedTypes = isGated && index.gates.hasTypes
        for queue in claim.queues where index.queues[Int(queue)].counts.pending > 0 {
            if isGated, !index.isOpen(queue: queue) { continue }
            let isUndivided = claim.accepted.isAll && !hasGatedTypes
            let first = isUndivided ? index.first(queue, type: nil) : firstReady(&claim, in: queue, hasGatedTypes)
            if let first, best.map(first.precedes) ?? true { best = first }
        }
        return best
    }

    /// The best task of a queue over the types that a claim accepts.
    private mutating func firstReady(
        _ claim: inout ParkedClaim,
        in queue: UInt32,
        _ hasGatedTypes: Bool
    ) -> DurableIndex.Ready? {
        var best: DurableIndex.Ready?
        let exact =
            claim.accepted.isAll ? nil : claim.accepted.exact(index.typeNames, index.queueNames.namespace(queue))
        for type in exact ?? pendingTypes(queue)
        where claim.accepted.isAll || claim.accepted.accepts(type, index.typeNames) {
            if hasGatedTypes, !index.isOpen(type: type, in: queue) { continue }
            guard let first = index.first(queue, type: type) else { continue }
            if best.map(first.precedes) ?? true { best = first }
        }
        return best
    }

    mutating func pendingTypes(_ queue: UInt32) -> [UInt32] {
        index.queues[Int(queue)].pendingTypes(tasks: index.tasks, queue: queue)
    }

    /// Leases one pending task.
    private mutating func lease(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        for claim: ParkedClaim,
        _ worker: UInt32
    ) -> Taken {
        let options = slot.hasOptions ? index.options[sequence] : nil
        let since = index.records[slot.transition == 0 ? slot.segment : slot.transition].group
        let duration = nonZero(claim.leaseMilliseconds) ?? leaseMilliseconds(sequence, slot)
        var transition = transition(.claim, to: .inProgress, sequence, slot, makeToken())
        transition.attempts = slot.attempts == .max ? .max : slot.attempts + 1
        transition.worker = worker
        transition.leaseMilliseconds = duration
        record(transition)
        index.pass(slot)
        totals.claimed += 1
        let place = index.tasks[sequence].link
        let timeout = timeoutMilliseconds(sequence, slot)
        index.leases.update(place) {
            $0.attemptDeadlineMilliseconds =
                now.monotonicMilliseconds + UInt64(timeout) + Defaults.timeoutGraceMilliseconds
            $0.extend(from: now.monotonicMilliseconds)
            $0.session = claim.session
        }
        let delivery = Delivery(
            lease: LeaseHandle(task: id(of: sequence, slot), token: transition.token),
            queue: index.queueNames.name(slot.queue),
            type: index.typeNames.name(slot.type),
            payload: [],
            content: index.content(slot.content),
            priority: slot.rank.priority,
            attempt: transition.attempts,
            retriesMax: retriesMax(sequence, slot),
            leaseMilliseconds: duration,
            timeoutMilliseconds: timeout,
            tickWallMilliseconds: options?.tick?.wallMilliseconds ?? 0,
            checkpoint: index.checkpoints.isEmpty ? [] : index.checkpoints[sequence] ?? [],
            dependencies: options?.dependencies.map { self.dependencies($0).tasks } ?? []
        )
        return Taken(
            delivery: delivery,
            place: PayloadPlace(segment: index.records[slot.segment].key, place: slot.place),
            claimableSince: since.epoch == epoch ? since.counter : 0
        )
    }

    /// Where the payload of a leased task is; `nil` when the lease has ended.
    ///
    /// A delivery that is on its way has an older place when the task's segment was cleaned up meanwhile.
    public func payloadPlace(of lease: LeaseHandle) -> PayloadPlace? {
        guard case .slot(_, let slot) = find(lease.task), slot.state == .inProgress,
            index.leases[slot.link].token == lease.token
        else { return nil }
        return PayloadPlace(segment: index.records[slot.segment].key, place: slot.place)
    }

    /// Answers a claim: its own group must be written, and whatever made its tasks claimable must be synced.
    private mutating func deliver(_ taken: [Taken], to claim: ParkedClaim) {
        let deliveries = taken.map(\.delivery)
        answers.append(
            Answer(
                session: claim.session,
                request: claim.request,
                reply: claim.stream.map { .delivery(stream: $0, deliveries) } ?? .claimed(deliveries),
                missing: taken.isEmpty ? .nothing : .payloads(taken.map(\.place)),
                writtenThrough: newestGroup,
                syncedThrough: taken.isEmpty ? newestGroup : taken.reduce(0) { max($0, $1.claimableSince) }
            )
        )
    }
}
