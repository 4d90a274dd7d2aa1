import TQModel

extension QueueCore {
    /// Tasks that one step changes at most: less than a millisecond.
    private static let changesPerStep = 256
    /// Places of the task table that one step looks at: about half a millisecond.
    private static let placesPerStep = 200_000

    mutating func answerBulk(_ request: Request, _ asker: Asker) {
        do throws(TQError) {
            let operations =
                switch request {
                case .startBulk(let spec): [try start(spec, asker)]
                case .stopBulk(let number): [try stop(bulk: number, asker)]
                default: index.bulkInOrder.filter { $0.selection.namespace == asker.principal.namespace }
                }
            reply(.bulkOperations(operations.map { status($0) }), to: asker)
        } catch {
            reply(error, to: asker)
        }
    }

    // MARK: Starting and stopping

    private mutating func start(_ spec: BulkSpec, _ asker: Asker) throws(TQError) -> BulkOperation {
        if isDraining { throw TQError(.draining, "The broker is shutting down. Start it when it is back.") }
        let running = index.bulkOperations.values.count { $0.phase == .running }
        guard running < Limits.bulkRunningMax else {
            throw TQError(
                .limitExceeded,
                "\(running) bulk operations are running, as many as may. Wait for one of them, or stop it."
            )
        }
        guard index.nextBulk < .max else { throw TQError(.limitExceeded, "There is no number left for another one.") }
        let kind = spec.change.kind
        guard var selection = try selection(spec.filter, asker.principal) else {
            throw TQError(
                .invalidArgument,
                "No task has ever had the queue\(spec.filter.queue.map { " '\($0)'" } ?? "") or the type"
                    + "\(spec.filter.type.map { " '\($0)'" } ?? "") of this filter. Look for a slip in the names."
            )
        }
        selection.states = try kind.states(among: selection.states)
        let target: UInt32 =
            switch spec.change {
            case .redrive, .purge, .cancel, .delete: 0
            case .move(let queue): try number(of: queue, .queue, asker.principal.namespace)
            case .setPriority(let priority): UInt32(priority.rawValue)
            }
        let operation = BulkOperation(
            number: index.nextBulk,
            change: kind,
            target: target,
            selection: selection,
            perSecond: spec.perSecond,
            last: TaskSequence(index.nextSequence - 1),
            startWallMilliseconds: now.wallMilliseconds
        )
        record(operation)
        notices.append(.bulkStarted(status(operation)))
        return operation
    }

    private mutating func stop(bulk number: UInt32, _ asker: Asker) throws(TQError) -> BulkOperation {
        guard var operation = index.bulkOperations[number],
            operation.selection.namespace == asker.principal.namespace
        else {
            throw TQError(
                .bulkNotFound,
                "There is no bulk operation \(number), or it ended long ago. See the list of them."
            )
        }
        if operation.phase == .running { end(&operation, .stopped) }
        return operation
    }

    private mutating func end(_ operation: inout BulkOperation, _ phase: BulkPhase) {
        operation.phase = phase
        operation.endWallMilliseconds = now.wallMilliseconds
        record(operation)
        session.bulkPaces.forget(operation.number)
        session.deletions[operation.number] = nil
        notices.append(.bulkEnded(status(operation)))
        let ended = index.bulkInOrder.filter { $0.phase != .running }
        for old in ended.dropLast(Limits.bulkEndedMax) {
            index.apply(removedBulk: old.number)
            batch.removedBulk.append(old.number)
        }
    }

    private mutating func record(_ operation: BulkOperation) {
        index.apply(operation)
        batch.bulkOperations.append(operation)
    }

    func status(_ operation: BulkOperation) -> BulkStatus {
        let selection = operation.selection
        let change: BulkChange =
            switch operation.change {
            case .redrive: .redrive
            case .purge: .purge
            case .cancel: .cancel
            case .delete: .delete
            case .move: .move(to: index.queueNames.name(operation.target))
            case .setPriority: .setPriority(Priority(UInt8(clamping: operation.target)))
            }
        let type = selection.type.map { TypePattern(bytes: index.typeNames.name($0).bytes) }
        let filter = TaskFilter(
            states: selection.states,
            queue: selection.queue.map { index.queueNames.name($0) },
            type: type ?? selection.types,
            priorities: selection.ranks.upperBound.priority...selection.ranks.lowerBound.priority,
            createdFrom: selection.created.lowerBound,
            createdBefore: selection.created.upperBound,
            error: selection.error,
            tag: selection.tag
        )
        return BulkStatus(
            number: operation.number,
            spec: BulkSpec(change, filter: filter, perSecond: operation.perSecond),
            phase: operation.phase,
            changed: operation.changed,
            refused: operation.refused,
            problem: operation.problem,
            percent: percent(operation),
            startWallMilliseconds: operation.startWallMilliseconds,
            endWallMilliseconds: operation.endWallMilliseconds
        )
    }

    /// How much an operation has behind it: of the sequences, or of the outcomes.
    private func percent(_ operation: BulkOperation) -> UInt8 {
        if operation.phase == .finished { return 100 }
        let (behind, all): (UInt64, UInt64) =
            if operation.change == .delete {
                outcomesBehind(operation)
            } else {
                (operation.next.rawValue - min(1, operation.next.rawValue), operation.last.rawValue)
            }
        return UInt8(Double(min(behind, all)) / Double(max(1, all)) * 100)
    }

    // MARK: Steps

    /// Whether a bulk operation can take a step now.
    public var hasBulkWork: Bool { bulkTurn != nil }

    /// The operation whose turn it is: each has one after the other.
    private var bulkTurn: BulkOperation? {
        guard !index.bulkOperations.isEmpty, !isDraining else { return nil }
        let ready = index.bulkInOrder.filter { operation in
            operation.phase == .running
                // Payloads are stored again, for which there may be no room.
                && !(isDiskLow && operation.change == .redrive)
                && session.bulkPaces.isDue(operation, monotonicMilliseconds: now.monotonicMilliseconds)
        }
        return ready.first { $0.number > session.bulkPaces.turn } ?? ready.first
    }

    /// What the next step needs of the store: of tasks that are found by a tag it is known only then which errors matter.
    func bulkReads(_ fetched: [Fetch: Fetched]) -> [Fetch] {
        guard let operation = bulkTurn else { return [] }
        switch operation.change {
        case .redrive, .purge: return [letterRead(operation)]
        case .delete: return [outcomeRead(operation)]
        case .cancel, .move, .setPriority:
            let tagged = [taggedRead(operation)].compactMap { $0 }
            guard !operation.selection.error.isEmpty, let found = candidates(operation, fetched) else { return tagged }
            return tagged + found.sequences.map { .lastError($0) }
        }
    }

    /// Takes one step of one operation, and writes how far it is in the same group.
    mutating func stepBulk(_ fetched: [Fetch: Fetched]) {
        guard var operation = bulkTurn else { return }
        let before = operation
        switch operation.change {
        case .redrive, .purge: changeDeadLetters(&operation, fetched)
        case .delete: deleteOutcomes(&operation, fetched)
        case .cancel, .move, .setPriority: changeOpenTasks(&operation, fetched)
        }
        let count = Int(operation.changed + operation.refused - before.changed - before.refused)
        session.bulkPaces.step(operation, count: count, monotonicMilliseconds: now.monotonicMilliseconds)
        if operation.phase == .stopped {
            end(&operation, .stopped)
        } else if operation.next > operation.last {
            end(&operation, .finished)
        } else if operation != before {
            record(operation)
        }
    }

    private func letterRead(_ operation: BulkOperation) -> Fetch {
        .deadLetters(
            operation.selection,
            from: operation.next,
            through: operation.last,
            limit: stepCount(operation)
        )
    }

    private mutating func changeDeadLetters(_ operation: inout BulkOperation, _ fetched: [Fetch: Fetched]) {
        let read = fetched[letterRead(operation)]
        giveUp(&operation, after: read)
        guard case .deadLetters(let letters, let unreadable, let next)? = read else { return }
        for problem in unreadable { operation.refuse(because: Bytes(problem.utf8)) }
        // Of others somebody else was faster.
        for (row, payload) in letters where isDead(row) {
            guard !hasSettledMuch else { return operation.next = row.task.sequence }
            do throws(TQError) {
                if operation.change == .redrive {
                    let id = cipher.id(of: row.task.sequence, createdMilliseconds: row.task.createdMilliseconds)
                    try redrive(row, payload: payload, Redrive(task: id))
                } else {
                    end(row, .purged)
                }
                operation.changed += 1
            } catch {
                operation.refuse(because: Bytes(error.message.utf8))
            }
        }
        operation.next = next ?? TaskSequence(operation.last.rawValue + 1)
    }

    /// Ends an operation that cannot go on: what leads to its tasks is damaged, and there is no way past it.
    func giveUp(_ operation: inout BulkOperation, after read: Fetched?) {
        guard case .damaged(let problem)? = read else { return }
        operation.refuse(because: Bytes(problem.utf8))
        operation.phase = .stopped
    }

    private func taggedRead(_ operation: BulkOperation) -> Fetch? {
        let limit = stepCount(operation)
        return operation.selection.tag.map { .tagged($0, from: operation.next, isDescending: false, limit: limit) }
    }

    func stepCount(_ operation: BulkOperation) -> Int {
        session.bulkPaces.stepCount(operation, of: Self.changesPerStep)
    }

    /// The tasks of the next step that have not ended, as far as the core can tell, and where others follow; `nil` while
    /// those with a tag are not read.
    private func candidates(
        _ operation: BulkOperation,
        _ fetched: [Fetch: Fetched]
    ) -> (sequences: [TaskSequence], next: TaskSequence?)? {
        let selection = operation.selection
        guard let read = taggedRead(operation) else {
            let found = find(
                selection,
                from: operation.next,
                isDescending: false,
                count: stepCount(operation),
                limit: Self.placesPerStep
            )
            return (found.sequences, found.next)
        }
        guard case .tagged(let sequences)? = fetched[read] else { return nil }
        let next = sequences.count < stepCount(operation) ? nil : sequences.last.map { TaskSequence($0.rawValue + 1) }
        return (sequences.filter { isMeant(index.tasks[$0], by: selection) }, next)
    }

    private mutating func changeOpenTasks(_ operation: inout BulkOperation, _ fetched: [Fetch: Fetched]) {
        giveUp(&operation, after: taggedRead(operation).flatMap { fetched[$0] })
        guard let found = candidates(operation, fetched) else { return }
        for sequence in found.sequences where sequence <= operation.last {
            guard !hasSettledMuch else { return operation.next = sequence }
            if !operation.selection.error.isEmpty {
                guard case .lastError(let error)? = fetched[.lastError(sequence)] else { continue }
                guard operation.selection.matches(error: error) else { continue }
            }
            if change(sequence, operation) { operation.changed += 1 }
        }
        operation.next = found.next ?? TaskSequence(operation.last.rawValue + 1)
    }

    /// Changes a task that has not ended, and says whether there was something to change.
    private mutating func change(_ sequence: TaskSequence, _ operation: BulkOperation) -> Bool {
        let slot = index.tasks[sequence]
        switch operation.change {
        case .redrive, .purge, .delete: return false
        case .cancel:
            guard slot.state != .inProgress || !index.leases[slot.link].isCancelRequested else { return false }
            return (try? cancel(id(of: sequence, slot)).get()) != nil
        case .move:
            guard slot.queue != operation.target else { return false }
            arrange(sequence, slot, queue: operation.target, slot.rank)
        case .setPriority:
            let rank = Priority(UInt8(clamping: operation.target)).rank
            guard slot.rank != rank else { return false }
            arrange(sequence, slot, queue: slot.queue, rank)
        }
        return true
    }

    /// Lets a task wait elsewhere.
    private mutating func arrange(_ sequence: TaskSequence, _ slot: TaskSlot, queue: UInt32, _ rank: Rank) {
        var arranged = transition(.arrange, to: slot.state, sequence, slot, LeaseToken(rawValue: 0))
        arranged.start = slot.hasOptions ? index.options[sequence]?.start ?? .none : .none
        arranged.queue = queue
        arranged.rank = rank
        record(arranged)
    }
}
