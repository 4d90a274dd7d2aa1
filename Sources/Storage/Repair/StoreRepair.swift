public import ByteStore
import QueueCore
import TQModel

/// Makes a store that a broker serves out of what is left of a damaged one.
///
/// The damaged store is read, whatever can be read of it, and every task that is whole is written into a new store through
/// the ordinary commit log: the result is consistent because nothing else can be written that way. docs/damage.md says
/// what becomes of a task of which something is gone.
public struct StoreRepair {
    private let salvaged: SalvagedStore
    private var report: RepairReport
    private var target: RepairedStore
    private let cipher: TaskIDCipher
    private let wallMilliseconds: UInt64
    /// Tasks that are in the new store, or are in a list of the report.
    private var accounted: Set<UInt64> = []
    /// How many ended attempts the tasks have that wait in the new store: it knows of no others.
    private var countedAttempts: [UInt64: UInt16] = [:]
    /// When tasks were submitted that have an idempotency key.
    private var created: [UInt64: UInt64] = [:]
    private var highestName: [NameKind: UInt32] = [:]

    /// Repairs a data directory that no broker uses into another one; the first is never changed.
    ///
    /// - Parameters:
    ///   - source: The data directory of a broker.
    ///   - target: The new data directory, which must not exist; `.repairing` behind its name is used meanwhile.
    ///   - wallMilliseconds: Milliseconds since 1970.
    ///   - acceptsLoss: Whether the new directory is kept; without it the report alone is made, in the same way.
    /// - Throws: Why there is nothing to repair, or why the new store cannot be written.
    public static func run(
        source: String,
        target: String,
        wallMilliseconds: UInt64,
        acceptsLoss: Bool
    ) throws(StorageError) -> RepairReport {
        guard !Salvage.exists(target) else {
            throw StorageError(.invalid, "\(target) exists: name a directory that does not", path: target)
        }
        let work = target + ".repairing"
        guard !Salvage.exists(work) else {
            throw StorageError(.invalid, "\(work) is left from a repair that was stopped: remove it", path: work)
        }
        try Salvage.makeDirectory(work)
        defer { Salvage.removeTree(work) }
        let report = try write(source: source, work: work, wallMilliseconds: wallMilliseconds)
        if acceptsLoss { try Salvage.rename(work + "/data", to: target) }
        return report
    }

    private static func write(
        source: String,
        work: String,
        wallMilliseconds: UInt64
    ) throws(StorageError) -> RepairReport {
        var report = RepairReport()
        var mark: Mark?
        do { mark = try HighWaterMark.read(source + "/mark") } catch { report.notes.append(error.description) }
        let traces = try FileTraces(directory: source + "/db", storeID: mark?.storeID)
        let store = try Salvage.open(path: source + "/db", options: .numbered, scratch: work + "/salvage") {
            report.notes.append($0)
            report.hasLostFiles = true
        }
        defer { store.close() }
        let salvaged = try SalvagedStore(store, traces, mark: mark, report: report)
        let data = work + "/data"
        try Salvage.makeDirectory(data)
        let new = try RocksDBStorage.open(path: data + "/db", options: .numbered)
        defer { new.close() }
        var repair = try StoreRepair(salvaged, into: new, wallMilliseconds)
        let written = try repair.write()
        _ = try HighWaterMark(data + "/mark", initial: written.mark)
        try new.flush()
        try verify(new, written.mark)
        return written.report
    }

    private static func verify(_ store: any ByteStoreReader, _ mark: Mark) throws(StorageError) {
        var first: StoreVerification.Problem?
        let report = StoreVerification.verify(store, mark: mark) { first = first ?? $0 }
        guard let first else { return }
        throw StorageError(
            .corruption,
            "the repaired store has \(report.problems) problems, the first at \(first.place): \(first.message). "
                + "Please report this; the damaged store is as it was."
        )
    }

    /// Epochs that are left out when nothing tells how often the store was started after its last trace.
    private static let unknownStartsMax: UInt32 = 1000

    private let identity: StoreIdentity

    private init(
        _ salvaged: SalvagedStore,
        into store: any ByteStore,
        _ wallMilliseconds: UInt64
    ) throws(StorageError) {
        self.salvaged = salvaged
        self.wallMilliseconds = wallMilliseconds
        report = salvaged.report
        report.hasNewIDs = salvaged.identity == nil
        report.epoch = salvaged.epoch + (report.markBatch == nil ? Self.unknownStartsMax : 1)
        guard report.epoch < GroupID.epochMax else {
            throw StorageError(.invalid, "Epoch \(report.epoch) is beyond the limit of \(GroupID.epochMax) starts.")
        }
        var random = SystemRandomNumberGenerator()
        identity = StoreIdentity(
            id: .random(in: 1 ... .max, using: &random),
            key: salvaged.identity?.key ?? StoreKey(high: random.next(), low: random.next()),
            createdWallMilliseconds: salvaged.identity?.createdWallMilliseconds ?? wallMilliseconds
        )
        cipher = TaskIDCipher(key: identity.key)
        for row in salvaged.keys { created[row.sequence.rawValue] = row.createdMilliseconds }
        target = try RepairedStore(
            store,
            identity,
            epoch: report.epoch,
            storeMilliseconds: salvaged.storeMilliseconds == 0 ? wallMilliseconds : salvaged.storeMilliseconds,
            nextSequence: salvaged.nextSequence
        )
    }

    private mutating func write() throws(StorageError) -> (report: RepairReport, mark: Mark) {
        try writeOutcomes()
        try writeDeadLetters()
        try writeTasks()
        try buryTablelessBodies()
        try writeHistories()
        try writeTags()
        listLosses()
        try writeKeys()
        for row in salvaged.recurring {
            use(row.task)
            target.add(row, salvaged.recurringStates[row.number], wallMilliseconds: wallMilliseconds)
        }
        for operation in salvaged.bulkOperations { add(operation) }
        for row in salvaged.queuePolicies {
            use(row.queue, 0)
            target.add(row)
        }
        for row in salvaged.gates {
            switch row.key.kind {
            case .everything, .key, .group: break
            case .queue: use(.queue, row.key.number)
            case .type: use(.type, row.key.number)
            }
            target.add(row)
        }
        writeNames()
        salvaged.workers.forEach { target.add($0) }
        try target.finish()
        listMissing()
        let mark = Mark(
            storeID: identity.id,
            syncedSequence: target.position.sequence,
            runningHash: target.position.runningHash,
            epoch: report.epoch
        )
        return (report, mark)
    }

    /// Keeps what is known of a bulk operation; none goes on by itself over tasks that were repaired.
    private mutating func add(_ operation: BulkOperation) {
        var operation = operation
        if operation.phase == .running {
            (operation.phase, operation.endWallMilliseconds) = (.stopped, wallMilliseconds)
        }
        use(operation.selection.queue ?? 0, operation.selection.type ?? 0)
        if operation.change == .move { use(operation.target, 0) }
        target.add(operation)
    }

    // MARK: Ended tasks

    private mutating func writeOutcomes() throws(StorageError) {
        try scan(.completed) { repair, key, value throws(StorageError) in
            var entries = try OutcomeTable.read(value, at: try KeyReader.outcomes(key)).filter { $0.isIntact(value) }
            for place in entries.indices {
                let row = entries[place].row
                repair.use(row.queue, row.type, row.content)
                entries[place].row.tagCount = repair.keptTags(row.tagCount, of: row.sequence)
            }
            repair.accounted.formUnion(entries.map(\.row.sequence.rawValue))
            repair.report.endedTasks += UInt64(entries.count)
            try repair.target.add(entries, in: value)
        }
    }

    private mutating func writeDeadLetters() throws(StorageError) {
        try scan(.deadLetter) { repair, _, value throws(StorageError) in
            var texts: [UInt8] = []
            var row = try DeadLetterRecord.read(value, texts: &texts)
            guard repair.accounted.insert(row.task.sequence.rawValue).inserted else { return }
            row.task = repair.withKeptTags(row.task)
            repair.use(row.task)
            repair.report.deadLetters += 1
            try repair.target.add(row, error: texts[row.error.range], payload: texts[row.payload.range])
        }
    }

    /// Reads a family once more; what cannot be read was counted before.
    private mutating func scan(
        _ family: Family,
        _ take: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        try salvaged.source.scanReadable(family, onGap: { _, _ in }) { key, value throws(StorageError) in
            do throws(StorageError) { try take(&self, key, value) } catch {
                guard error.kind == .corruption else { throw error }
            }
        }
    }

    // MARK: Tasks that have not ended

    private mutating func writeTasks() throws(StorageError) {
        try scan(.pending) { repair, key, value throws(StorageError) in
            let segment = try KeyReader.segment(key)
            let rows = try PendingTable.read(value)
            let bodies = repair.bodies(of: segment)
            for (place, row) in rows.enumerated() {
                let newest = repair.salvaged.rows[row.sequence.rawValue]
                guard newest == PayloadPlace(segment: segment, place: UInt16(truncatingIfNeeded: place)) else {
                    continue
                }
                try repair.write(row, payload: bodies.payload(at: place, of: row.sequence))
            }
        }
    }

    /// The payloads of a segment; none when their record cannot be read.
    private struct Bodies {
        var record: [UInt8] = []
        var bodies: [PayloadRecord.Body] = []

        func payload(at place: Int, of sequence: TaskSequence) -> Bytes? {
            guard bodies.indices.contains(place), bodies[place].isIntact, bodies[place].sequence == sequence else {
                return nil
            }
            return record[bodies[place].payload]
        }
    }

    private func bodies(of segment: SegmentKey) -> Bodies {
        guard let record = try? salvaged.source.get(.payload, KeyLayout.segment(segment)),
            let bodies = try? record.withRaw({ value throws(StorageError) in try PayloadRecord.read(value) })
        else { return Bodies() }
        return Bodies(record: record, bodies: bodies)
    }

    private mutating func write(_ row: TaskRow, payload: Bytes?) throws(StorageError) {
        let stored = salvaged.transitions[row.sequence.rawValue]
        guard !hasEnded(row.sequence, stored?.transition) else { return }
        guard accounted.insert(row.sequence.rawValue).inserted else { return }
        let row = withKeptTags(row)
        use(row)
        if let queue = stored?.transition.queue { use(queue, row.type) }
        guard let payload else {
            return try bury(row, stored, .payloadDamaged, payload: [], "its payload is gone")
        }
        if stored?.transition.state == .deadLetter {
            let note = "its dead letter, with the error, is gone"
            return try bury(row, stored, .permanentFailure, payload: payload, note)
        }
        report.waitingTasks += 1
        if report.hasLostFiles || report[.inProgress].isDamaged { report.startedOver += 1 }
        let transition = stored?.transition.withoutLease
        if stored?.transition.state == .inProgress, transition?.state == .pending { report.releasedLeases += 1 }
        countedAttempts[row.sequence.rawValue] = transition?.endedAttempts ?? 0
        try target.add(row, payload: payload, transition)
    }

    /// Whether a task is over, whatever became of its outcome.
    private func hasEnded(_ sequence: TaskSequence, _ transition: Transition?) -> Bool {
        let number = sequence.rawValue
        return salvaged.outcomes.contains(number) || salvaged.deadLetters.contains(number)
            || salvaged.locatedOutcomes.contains(number) || transition?.state.isFinal == true
    }

    /// Makes a dead letter of a task of which something is gone: a person decides.
    private mutating func bury(
        _ row: TaskRow,
        _ stored: SalvagedStore.StoredTransition?,
        _ reason: DeadLetterReason,
        payload: Bytes,
        _ note: String
    ) throws(StorageError) {
        let transition = stored?.transition
        var row = row
        if reason == .payloadDamaged { row.content = .unspecified }
        row.queue = transition?.queue ?? row.queue
        row.rank = transition?.rank ?? row.rank
        report.buried.append(task(row.sequence, row.createdMilliseconds, note))
        let letter = DeadLetterRow(
            task: row,
            reason: reason,
            attempts: transition?.attempts ?? 0,
            crashes: transition?.crashes ?? 0,
            token: transition?.token ?? LeaseToken(rawValue: 0),
            buriedWallMilliseconds: wallMilliseconds,
            error: EffectBatch.Span(),
            payload: EffectBatch.Span()
        )
        try target.add(letter, error: Bytes("tq-inspect repair: \(note)".utf8), payload: payload)
    }

    /// Makes dead letters of payloads whose tables are gone: nobody knows when and whether they were to run.
    private mutating func buryTablelessBodies() throws(StorageError) {
        for segment in salvaged.tablelessSegments {
            let bodies = bodies(of: segment)
            for body in bodies.bodies where body.isIntact {
                let sequence = body.sequence
                let stored = salvaged.transitions[sequence.rawValue]
                guard salvaged.rows[sequence.rawValue] == nil, !hasEnded(sequence, stored?.transition),
                    accounted.insert(sequence.rawValue).inserted
                else { continue }
                use(body.queue, body.type)
                let known = created[sequence.rawValue]
                let row = TaskRow(
                    sequence: sequence,
                    createdMilliseconds: known ?? wallMilliseconds,
                    queue: body.queue,
                    type: body.type,
                    rank: Priority.normal.rank,
                    bodyByteCount: UInt32(body.payload.count),
                    options: nil
                )
                let note =
                    known == nil
                    ? "its options, content type and creation time are gone, so this id is a new one"
                    : "its options and content type are gone, and a compressed payload looks like a plain one"
                let letter = withKeptTags(row)
                try bury(letter, stored, .permanentFailure, payload: bodies.record[body.payload], note)
            }
        }
    }

    private mutating func writeHistories() throws(StorageError) {
        try scan(.index) { repair, key, value throws(StorageError) in
            guard key.first == UInt8(ascii: "A") else { return }
            var texts: [UInt8] = []
            let row = try AttemptRecord.read(key: key, value: value, texts: &texts)
            // What tells of an attempt may be there, and what counts it gone.
            let counted = repair.countedAttempts[row.sequence.rawValue] ?? .max
            guard repair.accounted.contains(row.sequence.rawValue), row.number <= counted else { return }
            try repair.target.add(row, worker: texts[row.worker.range], error: texts[row.error.range])
        }
    }

    // MARK: Tags

    private mutating func writeTags() throws(StorageError) {
        try scan(.index) { repair, key, value throws(StorageError) in
            guard key.first == UInt8(ascii: "t") else { return }
            let row = try TagsRecord.read(key: key, value: value)
            if repair.accounted.contains(row.sequence.rawValue) { try repair.target.add(row) }
        }
    }

    /// How many tags a task carries in the new store: all or none.
    private mutating func keptTags(_ count: UInt8, of sequence: TaskSequence) -> UInt8 {
        let kept = salvaged.tagCounts[sequence.rawValue] ?? 0
        if kept < count { report.untagged += 1 }
        return kept
    }

    private mutating func withKeptTags(_ row: TaskRow) -> TaskRow {
        var options = row.options ?? TaskOptions()
        options.tagCount = keptTags(options.tagCount, of: row.sequence)
        var row = row
        row.options = options.isEmpty ? nil : options
        return row
    }

    // MARK: What is gone

    private mutating func listLosses() {
        for (sequence, stored) in salvaged.transitions where accounted.insert(sequence).inserted {
            let transition = stored.transition
            guard transition.state.isFinal else {
                let state = transition.state == .deadLetter ? "a dead letter" : "waiting or running"
                report.lostTasks.append(task(transition.sequence, created[sequence], "it was \(state)"))
                continue
            }
            if transition.operation != .forget,
                !transition.bucket.isExpired(storeMilliseconds: salvaged.storeMilliseconds)
            {
                let note = "it was \(transition.state.name)"
                report.lostOutcomes.append(task(transition.sequence, created[sequence], note))
            }
        }
        for sequence in salvaged.locatedOutcomes where accounted.insert(sequence).inserted {
            report.lostOutcomes.append(task(TaskSequence(sequence), created[sequence], "it had ended"))
        }
        for tasks in [\RepairReport.buried, \.lostTasks, \.lostOutcomes] {
            report[keyPath: tasks].sort { $0.sequence < $1.sequence }
        }
    }

    private mutating func writeKeys() throws(StorageError) {
        for key in salvaged.keys {
            if accounted.contains(key.sequence.rawValue), !isLost(key.sequence) {
                try target.add(key)
            } else {
                report.droppedKeys += 1
            }
        }
    }

    private func isLost(_ sequence: TaskSequence) -> Bool {
        report.lostTasks.contains { $0.sequence == sequence }
    }

    private mutating func listMissing() {
        var next: UInt64 = 1
        for sequence in accounted.sorted() + [salvaged.nextSequence] {
            if sequence > next { report.missing.append(next...sequence - 1) }
            next = sequence + 1
        }
    }

    private func task(_ sequence: TaskSequence, _ created: UInt64?, _ note: String) -> RepairReport.Task {
        let id = created.map { cipher.id(of: sequence, createdMilliseconds: $0) }
        return RepairReport.Task(sequence: sequence, id: id, note: note)
    }

    // MARK: Names

    private mutating func use(_ row: TaskRow) {
        use(.retryPolicy, row.options?.retryPolicy ?? 0)
        use(row.queue, row.type, row.content)
    }

    private mutating func use(_ queue: UInt32, _ type: UInt32, _ content: StoredContent = .unspecified) {
        use(.queue, queue)
        use(.type, type)
        use(.contentType, content.type)
    }

    private mutating func use(_ kind: NameKind, _ number: UInt32) {
        highestName[kind] = max(highestName[kind, default: 0], number)
    }

    /// Numbers are given without gaps, so a name that is gone is made up even where no task uses it.
    private mutating func writeNames() {
        for kind in NameKind.allCases {
            let known = salvaged.names[kind] ?? [:]
            let highest = max(known.keys.max() ?? 0, highestName[kind] ?? 0)
            for number in 0..<highest {
                let row = known[number + 1] ?? invented(kind, number + 1)
                target.add(row)
            }
        }
    }

    private mutating func invented(_ kind: NameKind, _ number: UInt32) -> NameRow {
        let name =
            switch kind {
            case .queue: "lost-queue-\(number)"
            case .type: "lost-type-\(number)"
            case .retryPolicy: "\(RetryPolicy.standard)"
            case .contentType: "lost-content-type-\(number)"
            }
        report.inventedNames.append(name)
        return NameRow(kind: kind, number: number, namespace: 0, name: Name(name))
    }
}

extension RepairReport.FamilyLoss {
    /// Whether something of the family could not be read.
    public var isDamaged: Bool { damaged > 0 || gaps > 0 }
}

extension Transition {
    /// How many attempts of the task have ended, as far as its history goes: all that there may be after a redrive.
    fileprivate var endedAttempts: UInt16 {
        hasEarlierAttempts ? .max : state == .inProgress ? attempts - min(attempts, 1) : attempts
    }

    /// The same with its lease given back: whoever held it may have lost it in a batch that is gone.
    ///
    /// A task that somebody cancelled keeps its lease, and is over with it.
    fileprivate var withoutLease: Transition {
        guard state == .inProgress, !isCancelRequested else { return self }
        var transition = Transition(
            sequence: sequence,
            operation: .release,
            state: .pending,
            attempts: attempts - min(attempts, 1),
            crashes: crashes,
            token: token
        )
        transition.rank = rank
        transition.queue = queue
        transition.isRedriven = isRedriven
        transition.hasEarlierAttempts = hasEarlierAttempts
        return transition
    }
}
