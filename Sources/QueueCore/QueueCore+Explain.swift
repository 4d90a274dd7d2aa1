import TQModel

// Why a task waits is read from the structures that make it wait, so that it is never a guess.
extension QueueCore {
    /// Tasks before a task that are counted; of more it is only said that there are so many.
    private static let countedMax = 10_000

    mutating func explain(_ id: TaskID, _ asker: Asker) {
        switch find(id) {
        case .slot(let sequence, let slot) where slot.isLive:
            reply(.explanation(Explanation(state: slot.state, reasons: reasons(sequence, slot))), to: asker)
        // What became of it is for its status to say.
        case .slot, .ended: reply(.explanation(Explanation(state: nil, reasons: [WaitReason(.ended)])), to: asker)
        case .nowhere: reply(notFound(id), to: asker)
        }
    }

    private func reasons(_ sequence: TaskSequence, _ slot: TaskSlot) -> [WaitReason] {
        switch slot.state {
        case .inProgress:
            let lease = index.leases[slot.link]
            return [
                WaitReason(
                    .running,
                    sinceWallMilliseconds: wallMilliseconds(ofStore: lease.claimedStoreMilliseconds),
                    worker: index.workers[lease.worker]?.spec.name
                )
            ]
        case .scheduled, .failed:
            let start = index.options[sequence]?.start ?? .none
            let until = start.wallMilliseconds(wall: now.wallMilliseconds, store: clock.milliseconds)
            let kind: WaitReason.Kind = slot.state == .failed ? .backoff : .notDue
            return [WaitReason(kind, untilWallMilliseconds: until)] + held(sequence, slot)
        case .blocked: return openDependencies(sequence) + held(sequence, slot)
        case .pending:
            return held(sequence, slot) + [behind(sequence, slot)].compactMap { $0 }
                + workers(slot.queue, type: slot.type)
        case .completed, .cancelled, .deadLetter: return [WaitReason(.ended)]
        }
    }

    mutating func explain(queue name: Name, _ asker: Asker) {
        guard let queue = index.queueNames.known(name, namespace: asker.principal.namespace) else {
            return reply(TQError(.queueNotFound, "There is no queue '\(name)'. See the list of them."), to: asker)
        }
        let waiting = index.queues[Int(queue)].counts.pending > 0 ? [] : [WaitReason(.empty)]
        let gates = index.closedGates(queue: queue, type: nil).map { reason($0) } + heldTypes(queue)
        let reasons = draining + gates + waiting + workers(queue, type: nil)
        reply(.explanation(Explanation(state: nil, reasons: reasons)), to: asker)
    }

    // MARK: Reasons

    /// What lets a task not through to workers.
    private func held(_ sequence: TaskSequence, _ slot: TaskSlot) -> [WaitReason] {
        let closed = index.closedGates(queue: slot.queue, type: slot.type).map { reason($0) }
        guard slot.link > 0 else { return draining + closed }
        let keys = index.closedGates(sharing: slot.link).map { gate in
            gate.isFull && !gate.row.isPaused ? holder(of: gate) : reason(gate)
        }
        return draining + closed + keys + [earlier(sequence, slot)].compactMap { $0 }
    }

    private var draining: [WaitReason] { isDraining ? [WaitReason(.draining)] : [] }

    /// The gates of types that hold tasks of a queue; a queue has few types.
    private mutating func heldTypes(_ queue: UInt32) -> [WaitReason] {
        guard index.gates.hasTypes else { return [] }
        return pendingTypes(queue).sorted().flatMap { type in
            index.closedGates(queue: queue, type: type).filter { $0.key.kind == .type }.map { reason($0) }
        }
    }

    private func reason(_ gate: DurableIndex.ClosedGate) -> WaitReason {
        let scope = scope(gate.key)
        if gate.row.isPaused {
            return WaitReason(
                .paused,
                scope: scope,
                sinceWallMilliseconds: gate.row.pausedSinceWallMilliseconds,
                untilWallMilliseconds: untilWallMilliseconds(gate.row)
            )
        }
        if let reason = reason(gate.row, scope) { return reason }
        if gate.isFull {
            return WaitReason(.limited, scope: scope, count: gate.running, countMax: UInt64(gate.row.runningMax))
        }
        let next = index.gates.nextMicroseconds(gate.row, of: gate.key) / 1_000
        let until = wallMilliseconds(after: next - min(next, now.monotonicMilliseconds))
        return WaitReason(.rateLimited, scope: scope, untilWallMilliseconds: until)
    }

    /// Who has a key that is at its limit: the task that runs the longest.
    ///
    /// Takes time in the number of leases.
    private func holder(of gate: DurableIndex.ClosedGate) -> WaitReason {
        guard let number = index.sharings.number(of: gate.key) else { return reason(gate) }
        let lease = oldestLease { $0.limit == number || $0.serial == number }
        return held(by: lease.map { id(of: $0.sequence, index.tasks[$0.sequence]) }, lease, reason(gate))
    }

    /// The task of the same serial key that goes before one.
    private func earlier(_ sequence: TaskSequence, _ slot: TaskSlot) -> WaitReason? {
        let serial = index.sharings[slot.link].serial
        guard serial > 0 else { return nil }
        let key = index.sharings.keys[Int(serial)]
        let running = key.serialRunning > 0 ? oldestLease { $0.serial == serial } : nil
        guard let first = running?.sequence ?? index.firstJoined(serial), first != sequence else { return nil }
        return held(by: id(of: first, index.tasks[first]), running, WaitReason(.serial, scope: scope(key.gateKey)))
    }

    private func oldestLease(where matches: (SharingTable.Entry) -> Bool) -> Lease? {
        index.leases.places { $0.sharing > 0 && matches(index.sharings[$0.sharing]) }
            .map { index.leases[$0] }
            .min { ($0.claimedStoreMilliseconds, $0.sequence) < ($1.claimedStoreMilliseconds, $1.sequence) }
    }

    /// A reason that names the task which it is about, and who has that since when, if somebody does.
    func held(by task: TaskID?, _ lease: Lease?, _ reason: WaitReason) -> WaitReason {
        var reason = reason
        reason.task = task
        guard let lease else { return reason }
        reason.sinceWallMilliseconds = wallMilliseconds(ofStore: lease.claimedStoreMilliseconds)
        reason.worker = index.workers[lease.worker]?.spec.name
        return reason
    }

    /// Tasks that are claimed before this one: of the same queue, or of the same line when it shares something.
    private func behind(_ sequence: TaskSequence, _ slot: TaskSlot) -> WaitReason? {
        let entry = ReadyLanes.Entry(rank: slot.rank, sequence: sequence)
        var scope: GateScope?
        let count: Int
        if slot.link > 0 {
            (count, scope) = index.countInLine(before: entry, slot, most: Self.countedMax)
        } else {
            count = index.queues[Int(slot.queue)].count(
                before: entry,
                most: Self.countedMax,
                tasks: index.tasks,
                queue: slot.queue
            )
        }
        let most = count == Self.countedMax ? UInt64(count) : 0
        return count == 0 ? nil : WaitReason(.behind, scope: scope, count: UInt64(count), countMax: most)
    }

    /// Whether somebody who is connected wants tasks of a queue, and of a type when one is named.
    private func workers(_ queue: UInt32, type: UInt32?) -> [WaitReason] {
        var streams: UInt64 = 0
        for case .claim(let claim) in session.parked.values where claim.queues.contains(queue) {
            var accepted = claim.accepted
            guard type.map({ accepted.isAll || accepted.accepts($0, index.typeNames) }) ?? true else { continue }
            if claim.credit > 0, claim.worker.map({ present($0) != nil }) ?? true { return [] }
            streams += 1
        }
        return [streams > 0 ? WaitReason(.workersBusy, count: streams) : WaitReason(.noWorker)]
    }
}
