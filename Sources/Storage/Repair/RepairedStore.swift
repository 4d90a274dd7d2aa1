import ByteStore
import QueueCore
import TQModel

/// The store that a repair writes: whole tasks go in, batches of the ordinary commit log come out.
struct RepairedStore {
    private let log: CommitLog
    private let epoch: UInt32
    private let storeMilliseconds: UInt64
    private let nextSequence: UInt64
    private var counter: UInt64 = 0
    private var batch: EffectBatch
    private var nextPart = SegmentKey.firstMovedPart
    private var outcomeParts: [ExpiryBucket: UInt16] = [:]
    private var locations: [(sequence: UInt64, location: OutcomeLocation)] = []
    private var counters: [CounterKey: UInt64] = [:]
    /// How many places the histories have, by task.
    private var histories: [UInt64: UInt8] = [:]

    private static let batchByteCountMax = 4 << 20
    private static let segmentByteCountMax = 64 << 10
    private static let segmentTaskCountMax = 1000
    private static let locatorCountMax = 1000

    init(
        _ store: any ByteStore,
        _ identity: StoreIdentity,
        epoch: UInt32,
        storeMilliseconds: UInt64,
        nextSequence: UInt64
    ) throws(StorageError) {
        log = CommitLog(store: store, position: LogPosition())
        self.epoch = epoch
        self.storeMilliseconds = storeMilliseconds
        self.nextSequence = nextSequence
        var index = DurableIndex()
        index.beginRecovery(storeMilliseconds: storeMilliseconds, nextSequence: nextSequence)
        try log.begin(epoch: epoch, index: index, identity: identity)
        batch = EffectBatch(group: GroupID(epoch: epoch, counter: 0))
        openBatch()
    }

    /// The last batch.
    var position: LogPosition { log.synced }

    private mutating func openBatch() {
        counter += 1
        batch = EffectBatch(group: GroupID(epoch: epoch, counter: counter))
        batch.storeMilliseconds = storeMilliseconds
        batch.nextSequence = nextSequence
        nextPart = SegmentKey.firstMovedPart
        outcomeParts = [:]
    }

    private mutating func commitIfFull() throws(StorageError) {
        if batch.byteCount > Self.batchByteCountMax { try commit() }
    }

    private mutating func commit() throws(StorageError) {
        try log.commit(batch, sync: true)
        openBatch()
    }

    private mutating func text(_ bytes: Bytes) -> EffectBatch.Span {
        defer { batch.texts.append(contentsOf: bytes) }
        return EffectBatch.Span(offset: UInt32(batch.texts.count), count: UInt32(bytes.count))
    }

    // MARK: Adding

    mutating func add(_ name: NameRow) { batch.names.append(name) }
    mutating func add(_ row: QueuePolicyRow) { batch.queuePolicies.append(row) }

    mutating func add(_ row: GateRow) { batch.gates.append(row) }
    mutating func add(_ worker: WorkerRow) { batch.registeredWorkers.append(worker) }
    /// Adds a recurring task; of one whose state is gone ticks count from now on.
    mutating func add(_ row: RecurringRow, _ state: RecurringState?, wallMilliseconds: UInt64) {
        batch.recurring.append(row)
        let fresh = RecurringState(number: row.number, throughWallMilliseconds: wallMilliseconds)
        batch.recurringStates.append(state ?? fresh)
    }
    mutating func add(_ operation: BulkOperation) { batch.bulkOperations.append(operation) }
    mutating func add(_ key: KeyRow) throws(StorageError) {
        batch.keys.append(key)
        try commitIfFull()
    }

    /// Adds a task that waits, with the transition that says how, if it is not as it was submitted.
    mutating func add(
        _ row: TaskRow,
        payload: Bytes,
        _ transition: Transition?
    ) throws(StorageError) {
        let isFull = batch.segments.last.map {
            $0.bodyByteCount + payload.count > Self.segmentByteCountMax || $0.taskCount >= Self.segmentTaskCountMax
        }
        if isFull ?? true {
            let key = SegmentKey(group: batch.group, part: nextPart)
            batch.segments.append(
                SegmentSpan(
                    key: key,
                    firstTask: batch.tasks.count,
                    taskCount: 0,
                    firstBody: batch.bodies.count,
                    bodyByteCount: 0
                )
            )
            nextPart += 1
        }
        batch.segments[batch.segments.count - 1].taskCount += 1
        batch.segments[batch.segments.count - 1].bodyByteCount += payload.count
        batch.tasks.append(row)
        batch.bodies.append(contentsOf: payload)
        if var transition {
            transition.progress = nil
            transition.checkpoint = nil
            batch.transitions.append(transition)
        }
        try commitIfFull()
    }

    /// Adds a dead letter; its spans are replaced.
    mutating func add(_ letter: DeadLetterRow, error: Bytes, payload: Bytes) throws(StorageError) {
        var letter = letter
        letter.error = text(error)
        letter.payload = text(payload)
        letter.task.bodyByteCount = UInt32(payload.count)
        letter.task.options?.start = .none
        batch.deadLetters.append(letter)
        counters[.deadLetters(queue: letter.task.queue), default: 0] += 1
        counters[.deadLetterBytes(queue: letter.task.queue), default: 0] += UInt64(letter.byteCount)
        try commitIfFull()
    }

    /// Adds the outcomes of a record, which become a record again.
    mutating func add(_ entries: [OutcomeTable.Entry], in value: UnsafeRawBufferPointer) throws(StorageError) {
        guard let bucket = entries.first?.row.bucket else { return }
        let part = outcomeParts[bucket, default: 0]
        outcomeParts[bucket] = part + 1
        let location = OutcomeLocation(bucket: bucket, group: batch.group, part: part)
        for entry in entries {
            var row = entry.row
            row.part = part
            row.result = EffectBatch.Span(offset: UInt32(batch.results.count), count: UInt32(entry.result.count))
            batch.results.append(contentsOf: value[entry.result])
            batch.outcomes.append(row)
            locations.append((row.sequence.rawValue, location))
            counters[.outcomes(bucket: bucket, queue: row.queue, state: row.state), default: 0] += 1
            counters[.resultBytes(bucket: bucket, queue: row.queue), default: 0] += UInt64(row.result.count)
        }
        try commitIfFull()
    }

    /// Adds an attempt to the history of its task, which was added before; its spans are replaced.
    mutating func add(_ attempt: AttemptRow, worker: Bytes, error: Bytes) throws(StorageError) {
        var attempt = attempt
        attempt.worker = text(worker)
        attempt.error = text(error)
        batch.attempts.append(attempt)
        let sequence = attempt.sequence.rawValue
        histories[sequence] = max(histories[sequence] ?? 0, attempt.place + 1)
        try commitIfFull()
    }

    /// Adds the tags of a task, which was added before.
    mutating func add(_ tags: TagsRow) throws(StorageError) {
        batch.tags.append(tags)
        try commitIfFull()
    }

    // MARK: The end

    /// Writes what is left, the locators of all outcomes and the counters.
    mutating func finish() throws(StorageError) {
        try commit()
        locations.sort { $0.sequence < $1.sequence }
        for (sequence, location) in locations {
            guard let placeCount = histories[sequence] else { continue }
            let history = ExpiringRecord.Kind.history(TaskSequence(sequence), placeCount: placeCount)
            batch.endedHistories.append(ExpiringRecord(history, bucket: location.bucket))
        }
        var run: [(sequence: UInt64, location: OutcomeLocation)] = []
        for place in locations {
            if let last = run.last, place.sequence != last.sequence + 1 || run.count >= Self.locatorCountMax {
                try addLocator(of: run)
                run.removeAll(keepingCapacity: true)
            }
            run.append(place)
        }
        try addLocator(of: run)
        batch.derived.counters = counters.keys.sorted().map { CounterRow(key: $0, value: counters[$0] ?? 0) }
        try commit()
    }

    private mutating func addLocator(
        of run: [(sequence: UInt64, location: OutcomeLocation)]
    ) throws(StorageError) {
        guard let first = run.first else { return }
        let key = LocatorKey(sequence: TaskSequence(first.sequence), isSegment: true)
        batch.derived.locators.append(Locator(key: key, locations: run.map(\.location)))
        if batch.derived.locators.count >= Self.locatorCountMax { try commit() }
    }
}
