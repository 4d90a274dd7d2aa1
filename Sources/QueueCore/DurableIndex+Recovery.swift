import TQModel

// Replay and recovery: the two ways to an index that come from stored bytes.
extension DurableIndex {
    /// Applies a committed batch: what a follower does, and what the replay test compares.
    ///
    /// - Returns: What follows from the batch; equal to the batch's own, or the two have diverged.
    public mutating func apply(_ batch: EffectBatch) -> EffectBatch.Derived {
        openGroup(batch.group)
        batch.names.forEach { apply($0) }
        batch.registeredWorkers.forEach { apply($0) }
        batch.recurring.forEach { apply($0) }
        batch.recurringStates.forEach { apply($0) }
        batch.bulkOperations.forEach { apply($0) }
        batch.queuePolicies.forEach { apply($0) }
        batch.gates.forEach { apply($0) }
        // A row may let the segment of such a task go, and its locator must not lead to what is forgotten.
        for transition in batch.transitions where transition.operation == .forget {
            forgetOutcome(of: transition.sequence)
        }
        let redriven = Set(batch.redrivenDeadLetters.map(\.sequence))
        let replaced = Set(batch.transitions.lazy.filter { $0.operation == .replace }.map(\.sequence))
        for segment in batch.segments {
            let rows = batch.tasks[segment.firstTask..<segment.firstTask + segment.taskCount]
            let handle = openSegment(part: segment.key.part, first: rows.first?.sequence ?? TaskSequence(0))
            for (place, row) in rows.enumerated() {
                if replaced.contains(row.sequence), tasks[row.sequence].stateValue != 0 {
                    apply(replacement: row, segment: handle, place: UInt16(place))
                } else {
                    // The dead letter may still have its slot, which the core freed before it was put back.
                    let isNew = redriven.contains(row.sequence) && !tasks[row.sequence].isLive
                    apply(row, segment: handle, place: UInt16(place), isNew: isNew)
                }
            }
        }
        batch.redrivenDeadLetters.forEach { apply(redriven: $0.sequence) }
        batch.transitions.forEach { apply($0, texts: batch.texts) }
        batch.removedWorkers.forEach { apply(removedWorker: $0) }
        batch.removedRecurring.forEach { apply(removedRecurring: $0) }
        batch.removedBulk.forEach { apply(removedBulk: $0) }
        batch.keys.forEach { apply($0) }
        batch.expiredOutcomes.forEach { apply(expiredOutcomes: $0) }
        batch.expiredKeys.forEach { apply(expiredKeys: $0) }
        nextSequence = max(nextSequence, batch.nextSequence)
        storeMilliseconds = batch.storeMilliseconds
        _ = takeReadyQueues()
        dropDoomed()
        return closeGroup()
    }

    /// Begins to take what a store holds: names, workers, keys and counters first, then segments in order of their
    /// keys, then transitions in order of their groups.
    public mutating func beginRecovery(storeMilliseconds: UInt64, nextSequence: UInt64) {
        isRecovering = true
        self.storeMilliseconds = storeMilliseconds
        self.nextSequence = nextSequence
    }

    /// Takes a name; those of a kind come in order of their numbers.
    ///
    /// - Throws: A sentence when a name before it is missing.
    public mutating func recover(_ row: NameRow) throws(RecoveryError) {
        let known = nameCount(row.kind)
        guard Int(row.number) == known + 1 else {
            throw RecoveryError("the \(row.kind) name with number \(row.number) follows number \(known)")
        }
        if row.kind == .retryPolicy {
            do throws(TQError) { _ = try RetryPolicy(row.name.bytes) } catch { throw RecoveryError("\(error.message)") }
        }
        apply(row)
    }

    /// Takes a worker.
    ///
    /// - Throws: A sentence when no further worker could get a number.
    public mutating func recover(_ row: WorkerRow) throws(RecoveryError) {
        guard row.number < .max else { throw RecoveryError("a worker has the last number, \(row.number)") }
        apply(row)
    }

    /// Takes an idempotency key.
    public mutating func recover(_ row: KeyRow) { apply(row) }

    /// Takes the unique key that a dead letter holds.
    public mutating func recover(_ hold: DeadHold) {
        uniqueKeys.insert(hold.hash, .init(sequence: hold.sequence, createdMilliseconds: hold.createdMilliseconds))
    }

    /// Takes a counter.
    ///
    /// - Throws: A sentence when the counter is of a queue that the store does not know.
    public mutating func recover(_ row: CounterRow) throws(RecoveryError) {
        guard Int(row.key.queue) < queues.count else {
            throw RecoveryError("a counter names queue \(row.key.queue), which is unknown")
        }
        set(row)
    }

    /// Takes a segment's table.
    ///
    /// - Throws: A sentence when a row names a queue or a sequence that the store does not know.
    public mutating func recover(segment key: SegmentKey, rows: [TaskRow]) throws(RecoveryError) {
        let first = rows.first?.sequence ?? TaskSequence(0)
        let record = StoredRecord(
            group: key.group,
            part: key.part,
            isSegment: true,
            count: 0,
            live: 1,
            first: first
        )
        let handle = records.insert(record)
        for (place, row) in rows.enumerated() {
            guard row.queue > 0, Int(row.queue) < queues.count else {
                throw RecoveryError("task \(row.sequence) of segment \(key) names queue \(row.queue), which is unknown")
            }
            if let policy = row.options?.retryPolicy, policy > retryPolicies.count {
                throw RecoveryError(
                    "task \(row.sequence) of segment \(key) names retry policy \(policy), which is unknown"
                )
            }
            guard knows(row.content) else {
                throw RecoveryError(
                    "task \(row.sequence) of segment \(key) names content type \(row.content.type), which is unknown"
                )
            }
            let isInOrder = key.isMoved || row.sequence.rawValue == first.rawValue &+ UInt64(place)
            guard row.sequence.rawValue > 0, row.sequence.rawValue < nextSequence, isInOrder else {
                throw RecoveryError("segment \(key) holds task \(row.sequence) at place \(place)")
            }
            apply(row, segment: handle, place: UInt16(place))
        }
        release(handle)
    }

    /// Takes a group's transitions: the last one of each task, unless its row is gone or newer.
    ///
    /// - Throws: A sentence when a transition names a queue that the store does not know.
    public mutating func recover(
        transitions rows: [Transition],
        group: GroupID,
        texts: [UInt8]
    ) throws(RecoveryError) {
        let record = StoredRecord(
            group: group,
            part: 0,
            isSegment: false,
            count: 0,
            live: 1,
            first: TaskSequence(0)
        )
        let handle = records.insert(record)
        for row in rows.reversed() {
            let slot = tasks[row.sequence]
            if let queue = row.queue, queue == 0 || Int(queue) >= queues.count {
                throw RecoveryError("a transition of task \(row.sequence) names queue \(queue), which is unknown")
            }
            // One before the last may be of the task's life before a redrive in the same group.
            guard slot.stateValue != 0, slot.transition != handle, records[slot.segment].group <= group else {
                continue
            }
            apply(row, record: handle, texts: texts)
        }
        records.setCount(handle, UInt32(rows.count))
        release(handle)
    }

    /// Ends recovery: puts pending and scheduled tasks in their order.
    ///
    /// - Returns: Records that were found dead; a store that was closed or killed at any instant has none.
    public mutating func endRecovery() -> EffectBatch.Derived {
        isRecovering = false
        let tasks = tasks
        tasks.forEach { sequence, slot in
            switch slot.state {
            case .pending: pushReady(slot, sequence)
            case .scheduled, .failed: pushStart(slot, sequence)
            default: break
            }
            let serial = sharings[sharing(of: slot)].serial
            if serial > 0, slot.state == .failed || slot.state == .inProgress { join(sequence, serial) }
            pushLatestStart(slot, sequence)
        }
        _ = takeReadyQueues()
        // With one another may go.
        for handle in records.dead where records[handle].group.rawValue != 0 { buryRecord(handle) }
        records.findSparse()
        // Buckets up to now of which nothing is counted; later ones may still be filled.
        let oldest = bucketCounters.keys.min()?.rawValue ?? .max
        expiredThrough = ExpiryBucket(rawValue: min(max(oldest, 1) - 1, UInt32(clamping: storeMilliseconds / 1000)))
        touchedCounters.removeAll()
        defer { derived = EffectBatch.Derived() }
        return derived
    }
}

/// What a store says that cannot be.
public struct RecoveryError: Error, Sendable, CustomStringConvertible {
    /// What contradicts what, as a clause without a full stop.
    public let description: String

    /// Creates an error that says so.
    public init(_ description: String) { self.description = description }
}
