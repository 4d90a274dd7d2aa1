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
            return [WaitReason(kind, untilWallMilliseconds: until)] + held(slot.queue, type: slot.type)
        case .pending, .blocked:
            return held(slot.queue, type: slot.type) + [behind(sequence, slot)].compactMap { $0 }
                + workers(slot.queue, type: slot.type)
        case .completed, .cancelled, .deadLetter: return [WaitReason(.ended)]
        }
    }

    mutating func explain(queue name: Name, _ asker: Asker) {
        guard let queue = index.queueNames.known(name, namespace: asker.principal.namespace) else {
            return reply(TQError(.queueNotFound, "There is no queue '\(name)'. See the list of them."), to: asker)
        }
        let waiting = index.queues[Int(queue)].counts.pending > 0 ? [] : [WaitReason(.empty)]
        let reasons = held(queue, type: nil) + heldTypes(queue) + waiting + workers(queue, type: nil)
        reply(.explanation(Explanation(state: nil, reasons: reasons)), to: asker)
    }

    // MARK: Reasons

    /// What lets nothing through to workers.
    private func held(_ queue: UInt32, type: UInt32?) -> [WaitReason] {
        let closed = index.closedGates(queue: queue, type: type).map { reason($0) }
        return isDraining ? closed + [WaitReason(.draining)] : closed
    }

    /// The gates of types that hold tasks of a queue; a queue has few types.
    private mutating func heldTypes(_ queue: UInt32) -> [WaitReason] {
        guard index.gates.hasTypes else { return [] }
        return pendingTypes(queue).sorted().flatMap { type in
            index.closedGates(queue: queue, type: type).filter { $0.key.kind == .type }.map { reason($0) }
        }
    }

    private func reason(_ row: GateRow) -> WaitReason {
        let scope = scope(row.key)
        if row.isPaused {
            return WaitReason(
                .paused,
                scope: scope,
                sinceWallMilliseconds: row.pausedSinceWallMilliseconds,
                untilWallMilliseconds: untilWallMilliseconds(row)
            )
        }
        if index.isFull(row) {
            let (running, most) = (index.running(row.key), UInt64(row.runningMax))
            return WaitReason(.limited, scope: scope, count: running, countMax: most)
        }
        let next = index.gates.nextMicroseconds(row) / 1_000
        let until = wallMilliseconds(after: next - min(next, now.monotonicMilliseconds))
        return WaitReason(.rateLimited, scope: scope, untilWallMilliseconds: until)
    }

    /// Tasks of the same queue that are claimed before this one.
    private func behind(_ sequence: TaskSequence, _ slot: TaskSlot) -> WaitReason? {
        let entry = ReadyLanes.Entry(rank: slot.rank, sequence: sequence)
        let count = index.queues[Int(slot.queue)].count(
            before: entry,
            most: Self.countedMax,
            tasks: index.tasks,
            queue: slot.queue
        )
        return count == 0
            ? nil : WaitReason(.behind, count: UInt64(count), countMax: count == Self.countedMax ? UInt64(count) : 0)
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
