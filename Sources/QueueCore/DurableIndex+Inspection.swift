public import TQModel

/// What the index knows of a task whose row is stored.
public struct IndexedTask: Sendable {
    /// Where it is in its life.
    public var state: TaskState
    /// The queue's number.
    public var queue: UInt32
    /// The task type's number.
    public var type: UInt32
    /// Its order in the queue.
    public var rank: Rank
    /// Attempts begun so far.
    public var attempts: UInt16
    /// Leases that were lost.
    public var crashes: UInt16
    /// When a scheduled or failed task may start; 0 otherwise.
    public var startWallMilliseconds: UInt64
    /// The worker that holds the lease; `nil` when none does, or one without a name.
    public var worker: Name?
    /// How far the running attempt is; `nil` when its worker has not said.
    public var progress: TaskProgress?
    /// Where the outcome is; `nil` for a task that has none, or whose outcome expired.
    public var outcome: OutcomeLocation?
}

/// Where a task waits or runs, and what it shares.
public struct IndexedPlace: Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// Where it is in its life.
    public var state: TaskState
    /// The queue's number.
    public var queue: UInt32
    /// The task type's number.
    public var type: UInt32
    /// Its order in the queue.
    public var rank: Rank
    /// When it was submitted, in milliseconds since 1970.
    public var createdMilliseconds: UInt64
    /// How it shares the workers with others.
    public var sharing: Sharing
}

/// A task that depends on others.
public struct IndexedDependent: Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// What it depends on.
    public var dependencies: TaskDependencies
    /// What is known of those; `nil` for one that is not in memory.
    public var parents: [Parent?]

    /// A task that another one depends on.
    public struct Parent: Sendable {
        /// Where it is in its life.
        public var state: TaskState
        /// Whether it can still run without a redrive.
        public var isLive: Bool
        /// Whether it has been a dead letter.
        public var wasDead: Bool

        init(_ slot: TaskSlot) { (state, isLive, wasDead) = (slot.state, slot.isLive, slot.hasEarlierAttempts) }
    }
}

/// What inspectors ask of a recovered index.
extension DurableIndex {
    /// The task of a stored row; `nil` when the task is unknown or has a newer row, which may be in the same segment.
    public func task(_ sequence: TaskSequence, in segment: SegmentKey, place: Int) -> IndexedTask? {
        let slot = tasks[sequence]
        guard slot.stateValue != 0, records[slot.segment].key == segment else { return nil }
        // Of a task that has an outcome nobody knows the place, and its older rows say nothing of it.
        guard slot.state.isFinal || Int(slot.place) == place else { return nil }
        let waitsForStart = slot.state == .scheduled || slot.state == .failed
        return IndexedTask(
            state: slot.state,
            queue: slot.queue,
            type: slot.type,
            rank: slot.rank,
            attempts: slot.attempts,
            crashes: slot.crashes,
            startWallMilliseconds: waitsForStart ? options[sequence]?.start.milliseconds ?? 0 : 0,
            worker: slot.state == .inProgress ? workers[leases[slot.link].worker]?.spec.name : nil,
            progress: progress[sequence],
            outcome: outcomeLocation(slot, sequence)
        )
    }

    /// The tasks that run, found by their leases.
    public var runningTasks: [IndexedPlace] { leases.places { _ in true }.map { place(leases[$0].sequence) } }

    /// The tasks that wait or run and share something, in order of their sequences; takes time in the number of all with options.
    public var sharedTasks: [IndexedPlace] {
        guard !sharesNothing else { return [] }
        let sharing = options.lazy.filter { !$0.value.sharing.isNone && tasks[$0.key].isLive }
        return sharing.map(\.key).sorted().map { place($0) }
    }

    /// The tasks that can be claimed or wait for a turn, in order of their sequences; takes time in the number of all tasks.
    public var pendingTasks: [IndexedPlace] {
        var found: [IndexedPlace] = []
        tasks.forEach { sequence, slot in if slot.state == .pending { found.append(place(sequence)) } }
        return found
    }

    private func place(_ sequence: TaskSequence) -> IndexedPlace {
        let slot = tasks[sequence]
        let sharing = slot.hasOptions ? options[sequence]?.sharing ?? .none : .none
        return IndexedPlace(
            sequence: sequence,
            state: slot.state,
            queue: slot.queue,
            type: slot.type,
            rank: slot.rank,
            createdMilliseconds: slot.createdMilliseconds,
            sharing: sharing
        )
    }

    /// Tasks that wait for others, in order of their sequences; none that is to end because those failed.
    public var blockedTasks: [IndexedDependent] { dependents.waiting.compactMap { dependent($0) } }

    /// Tasks that run and waited for others; none that was a dead letter meanwhile, and runs for that reason.
    public var runningDependents: [IndexedDependent] {
        leases.places { tasks[$0.sequence].hasOptions && !tasks[$0.sequence].hasEarlierAttempts }
            .compactMap { dependent(leases[$0].sequence) }
    }

    private func dependent(_ sequence: TaskSequence) -> IndexedDependent? {
        guard let dependencies = options[sequence]?.dependencies else { return nil }
        let parents = dependencies.parents.map { parent in
            let slot = tasks[parent.sequence]
            return slot.stateValue == 0 ? nil : IndexedDependent.Parent(slot)
        }
        return IndexedDependent(sequence: sequence, dependencies: dependencies, parents: parents)
    }

    /// Whether no task that waits or runs has a key or a group.
    public var sharesNothing: Bool { sharings.isEmpty }

    /// How many tasks run of each key and group that some task names, as it is counted.
    public var keysRunning: [(key: GateKey, running: UInt64)] {
        sharings.sortedKeys.map { ($0.gateKey, $0.running) }
    }

    /// The bulk operations in order of their numbers.
    public var bulkInOrder: [BulkOperation] { bulkOperations.keys.sorted().compactMap { bulkOperations[$0] } }

    /// The recurring tasks in order of their numbers.
    public var recurringTasks: [(row: RecurringRow, state: RecurringState)] {
        recurring.keys.sorted().compactMap { recurring[$0] }.map { ($0.row, $0.state) }
    }

    /// The tasks of ticks that have not ended, in order of their sequences.
    public var tickTasks: [(sequence: TaskSequence, createdMilliseconds: UInt64, tick: TaskTick)] {
        options.compactMap { sequence, options in options.tick.map { (sequence, tasks[sequence], $0) } }
            .filter { $0.1.isLive }
            .map { ($0.0, $0.1.createdMilliseconds, $0.2) }
            .sorted { $0.0 < $1.0 }
    }

    /// How many tags a task carries that waits or runs.
    public func tagCount(of sequence: TaskSequence) -> UInt8 { options[sequence]?.tagCount ?? 0 }

    /// Whether a task waits or runs.
    public func isLive(_ sequence: TaskSequence) -> Bool { tasks[sequence].isLive }

    /// Where the outcome of a task is; `nil` for one that has none, or whose row is gone.
    public func outcome(of sequence: TaskSequence) -> OutcomeLocation? {
        let slot = tasks[sequence]
        return slot.stateValue == 0 ? nil : outcomeLocation(slot, sequence)
    }

    /// The name that a number stands for; empty for an unknown number.
    public func name(_ kind: NameKind, _ number: UInt32) -> Name {
        switch kind {
        case .queue: queueNames.name(number)
        case .type: typeNames.name(number)
        case .retryPolicy: retryPolicies.policy(number).map { Name($0.description) } ?? Name(bytes: [])
        case .contentType: contentTypes.name(number)
        }
    }

    /// Names of queues.
    public var queueCount: Int { queueNames.count }

    /// Stored counters, in order of their keys.
    public var storedCounters: [CounterRow] {
        counters.keys.sorted().compactMap { key in counters[key].map { CounterRow(key: key, value: $0) } }
    }
}
