import TQModel

/// What the broker knows of the store's contents: a function of the committed batches alone.
///
/// There is one way to change it, `apply`: the live core calls it as it decides, recovery with what it reads, a
/// follower with what it receives. Whatever may be lost in a restart is in ``SessionState`` instead.
public struct DurableIndex: Sendable {
    /// The sequence that the next task gets, from 1.
    public internal(set) var nextSequence: UInt64 = 1
    /// Milliseconds on which retention and windows run; see ``StoreClock``.
    public internal(set) var storeMilliseconds: UInt64 = 0
    /// The wall clock, in milliseconds since 1970; what waits is the more urgent the longer ago it was submitted, where a queue says so.
    var wallMilliseconds: UInt64 = 0

    var tasks = TaskTable()
    var records = RecordTable()
    var options: [TaskSequence: TaskOptions] = [:]
    var starts = StartTimes()
    /// When waiting tasks must have started at the latest.
    var latestStarts = StartTimes()
    var leases = LeaseTable()
    var queueNames = NameTable()
    var typeNames = NameTable()
    var retryPolicies = RetryPolicyTable()
    var contentTypes = NameTable()
    /// What queues say of their tasks, by their numbers.
    var policies: [UInt32: QueuePolicy] = [:]
    /// What holds tasks back on their way to workers.
    var gates = GateTable()
    /// What tasks share that wait or run.
    var sharings = SharingTable()
    /// Tasks that wait for others.
    var dependents = DependentTable()
    /// Those that keep so much of what is over and no more.
    var cappedQueues: Set<UInt32> = []
    var workers: [UInt32: WorkerRow] = [:]
    var workerNumbers: [ScopedName: UInt32] = [:]
    var nextWorker: UInt32 = 1
    var recurring: [UInt32: RecurringTask] = [:]
    var recurringNumbers: [ScopedName: UInt32] = [:]
    var nextRecurring: UInt32 = 1
    var bulkOperations: [UInt32: BulkOperation] = [:]
    var nextBulk: UInt32 = 1
    var keys = KeyTable()
    /// Segments with older rows of tasks that were replaced, whose newest rows must not go before them.
    var olderRows: [TaskSequence: [UInt32]] = [:]
    /// Unique keys that are held, dead letters' included.
    var uniqueKeys = UniqueKeyTable()
    /// By queue number; number 0 is none.
    var queues: ContiguousArray<QueueState> = [QueueState()]
    var counters: [CounterKey: UInt64] = [:]
    /// The counters of each bucket of outcomes, so that a tick looks at buckets alone.
    var bucketCounters: [ExpiryBucket: [CounterKey]] = [:]
    /// Outcomes up to this bucket are gone; it moves when the group closes that expires them.
    public internal(set) var expiredThrough = ExpiryBucket(rawValue: 0)
    /// The same with those that the open group expires.
    var expiringThrough = ExpiryBucket(rawValue: 0)
    /// Outcomes up to this bucket are gone, or go with the open group.
    var goneThrough: ExpiryBucket { max(expiredThrough, expiringThrough) }
    /// How far running attempts are whose workers said so.
    var progress: [TaskSequence: TaskProgress] = [:]
    /// What tasks that have not ended have saved for their next attempts.
    var checkpoints: [TaskSequence: Bytes] = [:]
    /// Groups of outcomes whose transition was carried to a later group.
    var carriedOutcomes: [TaskSequence: GroupID] = [:]

    /// The group that is being filled.
    private(set) var group = GroupID(rawValue: 0)
    private var openTransitions: UInt32 = 0
    private var openSegments: [UInt32] = []
    var touchedCounters: Set<CounterKey> = []
    var derived = EffectBatch.Derived()
    /// Queues that got a pending task since somebody looked, each once.
    private var readyQueues: [UInt32] = []
    /// Whether records are being read back: the order of pending tasks is made at the end.
    var isRecovering = false

    /// The name of a worker or a recurring task in its namespace.
    struct ScopedName: Hashable, Sendable {
        var namespace: UInt32
        var name: Name
    }

    /// Creates the index of an empty store.
    public init() {}

    // MARK: Groups

    /// Begins a group; every change up to ``closeGroup()`` belongs to it.
    mutating func openGroup(_ group: GroupID) { self.group = group }

    /// Ends a group and says what follows from its changes.
    mutating func closeGroup() -> EffectBatch.Derived {
        for handle in openSegments where records.removeEntry(handle) { buryRecord(handle) }
        openSegments.removeAll(keepingCapacity: true)
        if openTransitions != 0, records.removeEntry(openTransitions) { buryRecord(openTransitions) }
        openTransitions = 0
        dropExpiredLocations()
        // Rows and transitions come in another order in a replay; what follows from them must not.
        derived.deadSegments.sort()
        derived.deadTransitions.sort()
        derived.locators.sort { $0.key < $1.key }
        derived.counters = touchedCounters.sorted().map { CounterRow(key: $0, value: counters[$0] ?? 0) }
        touchedCounters.removeAll(keepingCapacity: true)
        defer { derived = EffectBatch.Derived() }
        return derived
    }

    /// Takes outcomes that are gone out of the locators that the group writes: whoever sweeps what expired with them
    /// has perhaps been there already.
    private mutating func dropExpiredLocations() {
        expiredThrough = max(expiredThrough, expiringThrough)
        derived.locators = derived.locators.compactMap { $0.droppingExpired(through: expiredThrough) }
    }

    /// Makes a segment of the open group; it is held until the group closes, however its tasks end.
    mutating func openSegment(part: UInt16, first: TaskSequence) -> UInt32 {
        let record = StoredRecord(group: group, part: part, isSegment: true, count: 0, live: 1, first: first)
        let handle = records.insert(record)
        openSegments.append(handle)
        return handle
    }

    private mutating func transitionRecord() -> UInt32 {
        if openTransitions == 0 {
            let record = StoredRecord(
                group: group,
                part: 0,
                isSegment: false,
                count: 0,
                live: 1,
                first: TaskSequence(0)
            )
            openTransitions = records.insert(record)
        }
        return openTransitions
    }

    // MARK: Tasks

    /// Stores the row of a task: a new one, one that a redrive brings back, or one whose segment is rewritten.
    ///
    /// - Parameter isNew: Whether it begins anew although it may be known; else one that is known only moves.
    mutating func apply(_ row: TaskRow, segment handle: UInt32, place: UInt16, isNew: Bool = false) {
        records.addEntry(handle, row.sequence)
        var slot = tasks[row.sequence]
        if slot.isLive || isPinned(row.sequence), !isNew, !isRecovering {
            let old = slot.segment
            slot.segment = handle
            // Of a task that has an outcome it says where that is.
            if !slot.state.isFinal { slot.place = place }
            tasks.set(row.sequence, slot)
            release(old)
            noteOlderRow(of: row.sequence, in: old, below: handle)
            return
        }
        if slot.stateValue != 0 { forget(slot, row.sequence, for: handle) }
        slot = TaskSlot()
        slot.createdMilliseconds = row.createdMilliseconds
        slot.setPayload(byteCount: row.bodyByteCount, row.content)
        slot.segment = handle
        slot.place = place
        slot.rank = row.rank
        slot.queue = row.queue
        slot.type = row.type
        if let asked = row.options, !asked.isEmpty {
            options[row.sequence] = asked
            slot.hasOptions = true
        }
        let start = row.options?.start ?? .none
        let isBlocked = row.options?.dependencies?.isBlocking ?? false
        slot.state = isBlocked ? .blocked : start != .none ? .scheduled : .pending
        nextSequence = max(nextSequence, row.sequence.rawValue + 1)
        slot.link = retainSharing(row.options, queue: row.queue)
        tasks.set(row.sequence, slot)
        enter(slot, row.sequence)
    }

    /// Changes a task's state; the transition's record is the open group's.
    mutating func apply(_ transition: Transition, texts: [UInt8]) {
        apply(transition, record: transitionRecord(), texts: texts)
    }

    /// - Parameter texts: Where the transition's message lies.
    mutating func apply(_ transition: Transition, record handle: UInt32, texts: [UInt8]) {
        let sequence = transition.sequence
        uncount(transition)
        var slot = tasks[sequence]
        // A replay takes a group's rows first: a task that ended may be freed by a row that came after this transition.
        guard slot.stateValue != 0 else { return }
        let wasLive = slot.isLive
        let old = slot.state
        let hold = slot.hasOptions ? options[sequence]?.uniqueKey : nil
        var sharing = sharing(of: slot)
        records.addEntry(handle, sequence)
        let oldRecord = slot.transition
        slot.transition = handle
        if transition.operation == .carry, !isRecovering {
            if let group = transition.outcomeGroup { carriedOutcomes[sequence] = group }
        } else {
            let isSettled = transition.operation == .settle && old == .blocked && transition.state == .blocked
            if isSettled { advance(sequence, to: TaskDependencies.Progress(rawValue: transition.blocker)) }
            leave(&slot, sequence, isStillBlocked: isSettled)
            note(transition.progress, of: sequence, texts)
            note(checkpoint: transition.checkpoint, of: sequence, texts)
            slot.attempts = transition.attempts
            slot.crashes = transition.crashes
            slot.rank = transition.rank ?? slot.rank
            slot.queue = transition.queue ?? slot.queue
            slot.isArranged = transition.arranges
            slot.isRedriven = transition.isRedriven
            slot.hasEarlierAttempts = transition.hasEarlierAttempts
            slot.state = transition.state
            if slot.hasOptions, !wasLive, slot.isLive {
                sharing = retainSharing(options[sequence], queue: slot.queue)
            }
            enter(&slot, sequence, transition, sharing, wasBlocked: isSettled)
        }
        tasks.set(sequence, slot)
        if let hold { update(hold, sequence, slot, from: old) }
        if !old.isWaiting || transition.operation == .replace { pushLatestStart(slot, sequence) }
        if slot.state == .pending, !isRecovering, transition.operation != .carry { pushReady(slot, sequence) }
        if sharing > 0 { settle(sharing, wasRunning: old == .inProgress && slot.state != old, isOver: !slot.isLive) }
        if oldRecord != 0 { release(oldRecord) }
        guard wasLive != slot.isLive, olderRows.isEmpty || !isPinned(sequence) else { return }
        if wasLive { release(slot.segment) } else { records.retainEntry(slot.segment) }
    }

    private mutating func leave(_ slot: inout TaskSlot, _ sequence: TaskSequence, isStillBlocked: Bool = false) {
        guard slot.isLive else { return }
        queues[Int(slot.queue)].counts[slot.state] -= 1
        switch slot.state {
        case .inProgress:
            sharings.countRunning(leases[slot.link].sharing, by: -1)
            leases.remove(slot.link)
            countRunning(slot, isBegin: false)
        case .scheduled, .failed: dropStart(&slot, sequence)
        case .blocked:
            if !isStillBlocked {
                unblock(sequence)
                note(.released, of: sequence)
            }
            dropStart(&slot, sequence)
        default: break
        }
    }

    /// Whether a task that has ended keeps its row, because an older one is still there.
    func isPinned(_ sequence: TaskSequence) -> Bool { olderRows[sequence] != nil }

    /// Puts the row of a submit in the place of one that waits; a transition that says so follows.
    mutating func apply(replacement row: TaskRow, segment handle: UInt32, place: UInt16) {
        let sequence = row.sequence
        records.addEntry(handle, sequence)
        var slot = tasks[sequence]
        let old = slot.segment
        // In a replay it may be a dead letter that is put back only by the transitions behind it.
        let isCounted = slot.isLive || isPinned(sequence)
        let sharing = sharing(of: slot)
        releaseUniqueKey(slot, sequence)
        slot.segment = handle
        slot.place = place
        if slot.isLive, slot.queue != row.queue {
            // Somebody had moved it to another queue.
            queues[Int(slot.queue)].counts[slot.state] -= 1
            queues[Int(row.queue)].counts[slot.state] += 1
        }
        slot.queue = row.queue
        slot.type = row.type
        slot.rank = row.rank
        slot.isArranged = false
        slot.setPayload(byteCount: row.bodyByteCount, row.content)
        if slot.state == .blocked { unblock(sequence) }
        options[sequence] = row.options
        slot.hasOptions = row.options != nil
        share(&slot, row)
        tasks.set(sequence, slot)
        takeUniqueKey(slot, sequence)
        if sharing > 0 { settle(sharing, wasRunning: false, isOver: true) }
        if isCounted { release(old) }
        noteOlderRow(of: sequence, in: old, below: handle)
    }

    // MARK: Older rows

    /// Notes that a task has an older row, unless its segment is gone: were the newer one deleted first, recovery would
    /// take the older one for the task.
    private mutating func noteOlderRow(of sequence: TaskSequence, in old: UInt32, below new: UInt32) {
        guard old != new, records[old].live > 0 else { return }
        olderRows[sequence, default: []].append(old)
    }

    /// Notes that a segment with an older row is gone, and says whether that was the last one.
    mutating func dropOlderRow(of sequence: TaskSequence, in segment: UInt32) -> Bool {
        guard var segments = olderRows[sequence], let place = segments.firstIndex(of: segment) else { return false }
        segments.remove(at: place)
        olderRows[sequence] = segments.isEmpty ? nil : segments
        return segments.isEmpty
    }

    // MARK: Unique keys

    private mutating func takeUniqueKey(_ slot: TaskSlot, _ sequence: TaskSequence) {
        guard slot.hasOptions, let hold = options[sequence]?.uniqueKey, hold.isHeld(in: slot.state) else { return }
        uniqueKeys.insert(hold.hash, .init(sequence: sequence, createdMilliseconds: slot.createdMilliseconds))
    }

    private mutating func releaseUniqueKey(_ slot: TaskSlot, _ sequence: TaskSequence) {
        guard slot.hasOptions, let hold = options[sequence]?.uniqueKey else { return }
        uniqueKeys.remove(hold.hash, sequence)
    }

    private mutating func update(_ hold: UniqueHold, _ sequence: TaskSequence, _ slot: TaskSlot, from old: TaskState) {
        guard hold.isHeld(in: slot.state) != hold.isHeld(in: old) else { return }
        if hold.isHeld(in: old) {
            uniqueKeys.remove(hold.hash, sequence)
        } else {
            takeUniqueKey(slot, sequence)
        }
    }

    /// Keeps what a transition says of the attempt's progress: nothing, mostly.
    private mutating func note(_ reported: Transition.Progress?, of sequence: TaskSequence, _ texts: [UInt8]) {
        if let reported {
            progress[sequence] = TaskProgress(
                percent: reported.percent,
                message: Bytes(Array(texts[reported.message.range]))
            )
        } else if !progress.isEmpty {
            progress[sequence] = nil
        }
    }

    /// Keeps what a transition says of the task's checkpoint; each one says it anew.
    private mutating func note(checkpoint saved: EffectBatch.Span?, of sequence: TaskSequence, _ texts: [UInt8]) {
        if let saved, saved.count > 0 {
            checkpoints[sequence] = Bytes(Array(texts[saved.range]))
        } else if !checkpoints.isEmpty {
            checkpoints[sequence] = nil
        }
    }

    /// Forgets a start time that has passed: a restart does not bring it back either.
    private mutating func dropStart(_ slot: inout TaskSlot, _ sequence: TaskSequence) {
        options[sequence]?.start = .none
        guard options[sequence]?.isEmpty ?? true else { return }
        options[sequence] = nil
        slot.hasOptions = false
    }

    /// Enters the state that a transition states.
    private mutating func enter(
        _ slot: inout TaskSlot,
        _ sequence: TaskSequence,
        _ transition: Transition,
        _ sharing: UInt32,
        wasBlocked: Bool
    ) {
        slot.link = slot.state.isWaiting ? sharing : 0
        switch slot.state {
        case .inProgress:
            var lease = Lease(
                sequence: sequence,
                token: transition.token,
                worker: transition.worker,
                durationMilliseconds: transition.leaseMilliseconds,
                claimedStoreMilliseconds: transition.claimedStoreMilliseconds
            )
            lease.isCancelRequested = transition.isCancelRequested
            lease.deadlineMilliseconds = UInt64.max
            lease.sharing = sharing
            slot.link = leases.insert(lease)
            sharings.countRunning(sharing, by: 1)
            queues[Int(slot.queue)].counts.inProgress += 1
            countRunning(slot, isBegin: true)
        case .scheduled, .failed:
            options[sequence, default: TaskOptions()].start = transition.start
            slot.hasOptions = true
            queues[Int(slot.queue)].counts[slot.state] += 1
            pushStart(slot, sequence)
        case .blocked:
            options[sequence]?.start = transition.start
            queues[Int(slot.queue)].counts[slot.state] += 1
            if !wasBlocked {
                note(TaskDependencies.Progress(rawValue: transition.blocker), of: sequence)
                block(sequence)
            }
        case .pending: queues[Int(slot.queue)].counts[slot.state] += 1
        case .completed, .cancelled:
            dropOptions(slot, sequence)
            guard transition.operation != .forget else { return carriedOutcomes[sequence] = nil }
            slot.link = transition.bucket.rawValue
            slot.place = transition.outcomePart
            if let group = transition.outcomeGroup { carriedOutcomes[sequence] = group }
            if transition.bucket > expiredThrough { count(ended: slot, transition) }
        // Its options stay as long as its row does: a redrive needs them again.
        case .deadLetter: count(ended: slot, transition)
        }
    }

    /// Lets the slot of an ended task say no more where its outcome is, which is gone before its time.
    mutating func forgetOutcome(of sequence: TaskSequence) {
        var slot = tasks[sequence]
        guard slot.state.isFinal else { return }
        slot.link = 0
        tasks.set(sequence, slot)
        carriedOutcomes[sequence] = nil
    }

    /// Enters the state that a row states.
    private mutating func enter(_ slot: TaskSlot, _ sequence: TaskSequence) {
        queues[Int(slot.queue)].counts[slot.state] += 1
        switch slot.state {
        case .pending: pushReady(slot, sequence)
        case .blocked: block(sequence)
        default: pushStart(slot, sequence)
        }
        pushLatestStart(slot, sequence)
        takeUniqueKey(slot, sequence)
    }

    /// Drops what only a task needs that can still run.
    mutating func dropOptions(_ slot: TaskSlot, _ sequence: TaskSequence) {
        if slot.hasOptions { options[sequence] = nil }
    }

    /// Makes room for a newer row of the same task: a redrive, or an older row met in recovery.
    private mutating func forget(_ old: TaskSlot, _ sequence: TaskSequence, for handle: UInt32) {
        var slot = old
        let isNeeded = slot.isLive || isPinned(sequence)
        let sharing = sharing(of: slot)
        releaseUniqueKey(slot, sequence)
        leave(&slot, sequence)
        dropOptions(slot, sequence)
        carriedOutcomes[sequence] = nil
        checkpoints[sequence] = nil
        tasks.remove(sequence)
        if sharing > 0 { settle(sharing, wasRunning: old.state == .inProgress, isOver: true) }
        if isNeeded { release(slot.segment) }
        if slot.transition != 0 { release(slot.transition) }
        noteOlderRow(of: sequence, in: slot.segment, below: handle)
    }

    mutating func pushReady(_ slot: TaskSlot, _ sequence: TaskSequence) {
        guard !isRecovering else { return }
        guard slot.link == 0 else { return pushShared(slot, sequence) }
        let queue = slot.queue
        queues[Int(queue)].push(
            .init(rank: slot.rank, sequence: sequence),
            type: slot.type,
            tasks: tasks,
            queue: queue
        )
        announce(queue)
    }

    /// Lets whoever serves waiting claims look at a queue.
    mutating func announce(_ queue: UInt32) {
        guard !queues[Int(queue)].isAnnounced else { return }
        queues[Int(queue)].isAnnounced = true
        readyQueues.append(queue)
    }

    /// Queues that got a pending task since the last call, in the order in which they did.
    mutating func takeReadyQueues() -> [UInt32] {
        guard !readyQueues.isEmpty else { return [] }
        defer { readyQueues = [] }
        for queue in readyQueues { queues[Int(queue)].isAnnounced = false }
        return readyQueues
    }

    mutating func pushStart(_ slot: TaskSlot, _ sequence: TaskSequence) {
        guard !isRecovering, slot.state == .scheduled || slot.state == .failed else { return }
        let start = options[sequence]?.start ?? .none
        starts.push(.init(start: start, sequence: sequence))
        // Every task that waits for its start has options, so this bounds the stale entries by the live ones.
        if starts.count > options.count * 2 + 1024 {
            let (tasks, options) = (tasks, options)
            starts.sweep { Self.holds($0, tasks, options) }
        }
    }

    mutating func pushLatestStart(_ slot: TaskSlot, _ sequence: TaskSequence) {
        guard !isRecovering, slot.hasOptions, slot.state.isWaiting, !slot.isRedriven,
            let latest = options[sequence]?.startBy, latest != .none
        else { return }
        latestStarts.push(.init(start: latest, sequence: sequence))
        if latestStarts.count > options.count * 2 + 1024 {
            let (tasks, options) = (tasks, options)
            latestStarts.sweep { tasks[$0.sequence].state.isWaiting && options[$0.sequence]?.startBy == $0.start }
        }
    }

    /// Whether a start time is still the one that its task waits for.
    static func holds(_ entry: StartTimes.Entry, _ tasks: TaskTable, _ options: [TaskSequence: TaskOptions]) -> Bool {
        let slot = tasks[entry.sequence]
        guard slot.stateValue == TaskState.scheduled.rawValue || slot.stateValue == TaskState.failed.rawValue
        else { return false }
        return options[entry.sequence]?.start == entry.start
    }

    // MARK: Everything else

    mutating func apply(_ row: NameRow) {
        switch row.kind {
        case .queue:
            queueNames.insert(row.name, namespace: row.namespace, number: row.number)
            while queues.count <= Int(row.number) { queues.append(QueueState()) }
        case .type:
            typeNames.insert(row.name, namespace: row.namespace, number: row.number)
        case .retryPolicy:
            // Checked where it comes from: a submit, or a store.
            if let policy = try? RetryPolicy(row.name.bytes) { retryPolicies.insert(policy, number: row.number) }
        case .contentType:
            contentTypes.insert(row.name, namespace: row.namespace, number: row.number)
        }
    }

    /// Names of a kind that have a number.
    func nameCount(_ kind: NameKind) -> Int {
        switch kind {
        case .queue: queueNames.count
        case .type: typeNames.count
        case .retryPolicy: retryPolicies.count
        case .contentType: contentTypes.count
        }
    }

    mutating func apply(_ row: WorkerRow) {
        workers[row.number] = row
        workerNumbers[ScopedName(namespace: row.namespace, name: row.spec.name)] = row.number
        nextWorker = max(nextWorker, row.number + 1)
    }

    mutating func apply(removedWorker number: UInt32) {
        guard let row = workers.removeValue(forKey: number) else { return }
        let name = ScopedName(namespace: row.namespace, name: row.spec.name)
        // A replay takes a group's removals last: the name may belong to a newer worker already.
        if workerNumbers[name] == number { workerNumbers[name] = nil }
    }

    mutating func apply(_ row: KeyRow) { keys.insert(row) }

    mutating func apply(expiredKeys bucket: ExpiryBucket) { keys.expire(bucket) }
}
