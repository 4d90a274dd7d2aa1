import HistoryChecker
import QueueCore
import Storage
import TQModel

/// What bulk operations have written: each goes forward from task to task, and changes those that it counts.
struct BulkOperations {
    private var known: [UInt32: BulkOperation] = [:]
    /// When each task was submitted, which is a part of its id.
    private var created: [TaskSequence: UInt64] = [:]

    /// Goes on with what a start has found.
    mutating func restart(from index: DurableIndex) {
        known = Dictionary(uniqueKeysWithValues: index.bulkInOrder.map { ($0.number, $0) })
    }

    /// Compares a group with those before it.
    ///
    /// - Returns: What operations did to single tasks, as if somebody had asked for it.
    mutating func check(
        _ effects: EffectBatch,
        _ cipher: TaskIDCipher,
        queue: (UInt32) -> QueueNumber
    ) throws(Broken) -> [Call] {
        for task in effects.tasks { created[task.sequence] = task.createdMilliseconds }
        var calls: [Call] = []
        var deleted: UInt64 = 0
        for operation in effects.bulkOperations {
            let before = known[operation.number]
            known[operation.number] = operation
            guard let before else { continue }
            try check(operation, before)
            if operation.change == .delete { deleted += operation.changed - before.changed }
            let found = Self.changes(by: operation, from: before.next, in: effects, queue)
            guard operation.change == .delete || UInt64(found.count) >= operation.changed - before.changed else {
                throw Broken(
                    "I20",
                    "Bulk operation \(operation.number) counts \(operation.changed - before.changed) changes where "
                        + "\(found.count) were made"
                )
            }
            for (sequence, call) in found {
                guard let createdMilliseconds = created[sequence] else { continue }
                calls.append(call(cipher.id(of: sequence, createdMilliseconds: createdMilliseconds)))
            }
        }
        for number in effects.removedBulk { known[number] = nil }
        return try calls + forgotten(effects, cipher, deleted: deleted, queue: queue)
    }

    /// Outcomes that are gone before their time: somebody deletes them, or their queue has too many.
    private func forgotten(
        _ effects: EffectBatch,
        _ cipher: TaskIDCipher,
        deleted: UInt64,
        queue: (UInt32) -> QueueNumber
    ) throws(Broken) -> [Call] {
        let gone = effects.transitions.filter { $0.operation == .forget }
        let capped = Cast.number(Simulation.cappedQueue)
        let mustBeDeleted = gone.count { queue($0.queue ?? 0) != capped }
        guard UInt64(mustBeDeleted) <= deleted, UInt64(gone.count) >= deleted else {
            throw Broken(
                "I14",
                "\(gone.count) outcomes are forgotten, \(mustBeDeleted) of queues without a bound, and \(deleted) were deleted"
            )
        }
        return gone.compactMap { transition in
            created[transition.sequence].map {
                .forget(cipher.id(of: transition.sequence, createdMilliseconds: $0))
            }
        }
    }

    private func check(_ operation: BulkOperation, _ before: BulkOperation) throws(Broken) {
        var same = operation
        (same.phase, same.endWallMilliseconds, same.next) = (before.phase, before.endWallMilliseconds, before.next)
        (same.changed, same.refused, same.problem) = (before.changed, before.refused, before.problem)
        guard same == before, before.phase == .running, operation.next >= before.next,
            operation.changed >= before.changed,
            operation.refused >= before.refused
        else { throw Broken("I20", "A bulk operation went from \(before) to \(operation)") }
    }

    /// Whatever was done in a group to the tasks that an operation passed in it, each as the call that asks for it.
    private static func changes(
        by operation: BulkOperation,
        from first: TaskSequence,
        in effects: EffectBatch,
        _ queue: (UInt32) -> QueueNumber
    ) -> [(TaskSequence, (TaskID) -> Call)] {
        func isPassed(_ sequence: TaskSequence) -> Bool {
            sequence >= first && sequence < operation.next && sequence <= operation.last
        }
        let transitions = effects.transitions.filter { isPassed($0.sequence) }
        switch operation.change {
        case .redrive:
            return effects.redrivenDeadLetters.filter { isPassed($0.sequence) }
                .map { ($0.sequence, { .redrive($0, payload: nil) }) }
        case .purge:
            return effects.outcomes.filter { isPassed($0.sequence) && $0.cancelReason == .purged }
                .map { ($0.sequence, { .purge($0) }) }
        // They come with all others that are forgotten.
        case .delete: return []
        case .cancel:
            return transitions.filter { [.cancel, .requestCancel].contains($0.operation) }
                .map { ($0.sequence, { .cancel($0) }) }
        case .move, .setPriority:
            return transitions.filter { $0.operation == .arrange }
                .map { transition in
                    let place = queue(transition.queue ?? 0)
                    let rank = transition.rank ?? Rank(rawValue: 0)
                    return (transition.sequence, { .arrange($0, queue: place, rank) })
                }
        }
    }
}

extension Simulation {
    /// Says in the history what bulk operations did; a crash may undo it.
    mutating func noteBulk(_ effects: EffectBatch) throws(Broken) {
        let index = broker.process.core.index
        let calls = try bulk.check(effects, TaskIDCipher(key: broker.identity.key)) {
            Cast.number(index.name(.queue, $0))
        }
        for call in calls {
            let operation = history.invoke(call, client: clients[Self.observer].number, at: now)
            history.record(.returned(operation, .unknown), client: clients[Self.observer].number, at: now)
            switch call {
            case .redrive: report.hits.count(.event(.redrivenInBulk))
            case .purge: report.hits.count(.event(.purgedInBulk))
            case .forget: report.hits.count(.event(.forgotten))
            case .cancel(let id):
                cancelled.insert(id)
                report.hits.count(.event(.cancelledInBulk))
            default: report.hits.count(.event(.arranged))
            }
        }
    }

    // MARK: Asking

    mutating func askForBulk(_ client: Int) {
        switch dice.below(10) {
        case 0: ask(client, .bulkOperations)
        case 1, 2:
            let known = broker.process.core.index.bulkInOrder.suffix(3).map(\.number)
            ask(client, .stopBulk(dice.pick(known) ?? 1))
            ask(client, .bulkOperations)
        case 3: arrangeAndReplace(client)
        default: ask(client, .startBulk(someBulk(someOpenFilter())))
        }
    }

    /// Moves tasks, and replaces one of them in the same group.
    private mutating func arrangeAndReplace(_ client: Int) {
        let wasCalm = isCalm
        isCalm = true
        defer { isCalm = wasCalm }
        let change: BulkChange = dice.oneIn(2) ? .move(to: dice.pick(Cast.queues) ?? "a") : .setPriority(.high)
        ask(client, .startBulk(BulkSpec(change, filter: TaskFilter(type: TypePattern(bytes: Cast.types[0].bytes)))))
        perform(.stepBulk, .stepBulk)
        let specs = (0..<Cast.uniqueScopes.count).map { replacement($0) }
        ask(client, .submit(specs), calls: specs.map { .submit(call(of: $0)) })
    }

    private mutating func someBulk(_ filter: TaskFilter) -> BulkSpec {
        let change: BulkChange =
            switch dice.below(10) {
            case 0...3: .redrive
            case 4: .purge
            case 5: .cancel
            case 8, 9: .delete
            case 6: .move(to: dice.pick(Cast.queues) ?? "a")
            default: .setPriority(dice.pick([.low, .normal, .high]) ?? .normal)
            }
        // Small steps begin and end within a record.
        let isSlow = change == .delete ? !dice.oneIn(3) : dice.oneIn(3)
        return BulkSpec(change, filter: filter, perSecond: isSlow ? UInt32(20 + dice.below(100)) : 0)
    }

    /// A filter that leaves most tasks alone.
    private mutating func someOpenFilter() -> TaskFilter {
        var filter = TaskFilter(queue: dice.pick(Cast.queues), type: dice.pick(Cast.patterns)?.last)
        if dice.oneIn(6) { filter.states = [.pending, .deadLetter, .completed] }
        if dice.oneIn(6) { filter.error = Bytes("e".utf8) }
        return filter
    }

    /// An operation that somebody was told of is known until long after its end.
    mutating func takeBulk(_ operations: [BulkStatus], asked request: UInt32) throws(Broken) {
        for operation in operations {
            if let (before, since) = toldBulk[operation.number] {
                // A reply that was overtaken by another one tells of earlier times.
                guard request >= since else { continue }
                guard operation.changed >= before.changed, before.phase == .running || operation == before else {
                    throw Broken("I20", "Bulk operation \(operation.number) was \(before) and is \(operation)")
                }
            }
            toldBulk[operation.number] = (operation, nextRequest)
        }
    }

    // MARK: Checking

    /// Lets an operation run while nothing else happens, over a crash perhaps: it changes what it is for, and nothing else.
    mutating func checkBulk() throws(Broken) {
        guard try finishBulk(), let before = try statuses() else { return }
        var filter = someFilter(storedIDs.compactMap { before[$0] })
        filter.states = []
        var spec = someBulk(filter)
        if dice.oneIn(2), before.values.contains(where: { $0.state == .failed }) {
            // What nobody said is in no error.
            filter = TaskFilter(error: Bytes("nobody says so".utf8))
            spec = BulkSpec(dice.oneIn(2) ? .cancel : .setPriority(.high), filter: filter)
        }
        guard try start(spec) else { return }
        guard try finishBulk(mayCrash: true), let after = try statuses() else { return }
        guard let operation = broker.process.core.index.bulkInOrder.last, operation.phase == .finished else { return }
        filter.states = spec.change.kind.states
        var changed: UInt64 = 0
        for (id, old) in before {
            let isMeant = filter.accepts(old)
            guard let new = after[id] else {
                if spec.change == .delete {
                    changed += 1
                    guard isMeant else { throw Broken("I20", "\(spec) deleted \(old)") }
                }
                continue
            }
            if new.isChanged(from: old, by: spec.change) { changed += 1 }
            let isSame = new.state == old.state || new.isReleased(from: old)
            guard isMeant || isSame && new.queue == old.queue && new.priority == old.priority else {
                throw Broken("I20", "\(spec) changed \(old) to \(new)")
            }
            guard
                !isMeant || new.isChanged(from: old, by: spec.change) || !old.canChange(by: spec.change)
                    || operation.refused > 0
            else { throw Broken("I20", "\(spec) left \(old) as it is") }
        }
        guard changed == operation.changed else {
            throw Broken("I20", "\(spec) counts \(operation.changed) changes and made \(changed)")
        }
        report.hits.count(.event(.bulkChecked))
        if spec.change == .delete, changed > 0 { report.hits.count(.event(.deletionChecked)) }
    }

    private mutating func start(_ spec: BulkSpec) throws(Broken) -> Bool {
        guard case .bulkOperations? = try reply(to: .startBulk(spec)) else { return false }
        guard !isReadOnly() else { return false }
        return try settle()
    }

    private mutating func statuses() throws(Broken) -> [TaskID: TaskStatus]? {
        var found: [TaskID: TaskStatus] = [:]
        for id in storedIDs {
            guard let reply = try reply(to: .status(id)) else { return nil }
            if case .status(let status) = reply { found[id] = status }
        }
        return found
    }

    /// Lets all operations come to their ends.
    ///
    /// - Returns: `false` when the disk failed on the way.
    mutating func finishBulk(mayCrash: Bool = false) throws(Broken) -> Bool {
        if isDiskLow { changeDiskSpace() }
        var steps = 0
        while broker.process.core.index.bulkInOrder.contains(where: { $0.phase == .running }) {
            steps += 1
            guard steps < 2_000 else { throw Broken("I13", "A bulk operation never ends") }
            if broker.process.core.isDraining { return false }
            if !broker.process.core.hasBulkWork { wait(50) }
            perform(.stepBulk, .stepBulk)
            if mayCrash, dice.oneIn(6) {
                try restart()
                report.hits.count(.event(.bulkResumed))
            }
            guard !isReadOnly(), try settle() else { return false }
        }
        return true
    }

    /// A crash while no client is under way.
    private mutating func restart() throws(Broken) {
        endConnections()
        history.record(.stopped(.kill), at: now)
        broker.kill()
        broker.healDisk()
        _ = try broker.start(at: now)
        noteRecovered()
        isDiskLow = false
        history.record(.serving, at: now)
    }
}

extension TaskStatus {
    fileprivate func canChange(by change: BulkChange) -> Bool {
        switch change {
        case .redrive, .purge, .delete: true
        case .cancel: !isCancelRequested
        case .move(let target): queue != target
        case .setPriority(let target): priority != target
        }
    }

    /// Whether it waited for others, and one of those was changed.
    fileprivate func isReleased(from old: TaskStatus) -> Bool {
        old.state == .blocked && (state == .pending || state == .scheduled)
    }

    fileprivate func isChanged(from old: TaskStatus, by change: BulkChange) -> Bool {
        switch change {
        case .redrive, .purge: old.state == .deadLetter && state != .deadLetter
        // One that is deleted has no status any more.
        case .delete: false
        case .cancel: state == .cancelled && old.state != .cancelled || isCancelRequested && !old.isCancelRequested
        case .move: queue != old.queue
        case .setPriority: priority != old.priority
        }
    }
}
