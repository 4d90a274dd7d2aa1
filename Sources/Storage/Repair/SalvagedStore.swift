import ByteStore
import QueueCore
import TQModel

/// What is known of a damaged store before anything of it is written anew: every family was read once, record by record.
struct SalvagedStore {
    let source: any ByteStoreReader
    private(set) var identity: StoreIdentity?
    private(set) var report: RepairReport
    /// The newest epoch that left a trace; no token is of a later one.
    private(set) var epoch: UInt32
    private(set) var storeMilliseconds: UInt64
    private(set) var nextSequence: UInt64

    private(set) var names: [NameKind: [UInt32: NameRow]] = [:]
    private(set) var workers: [WorkerRow] = []
    private(set) var keys: [KeyRow] = []
    /// Outcomes that locators lead to and whose time has not come.
    private(set) var locatedOutcomes: Set<UInt64> = []
    private(set) var outcomes: Set<UInt64> = []
    private(set) var deadLetters: Set<UInt64> = []
    /// The segment with the newest row of each task.
    private(set) var rows: [UInt64: PayloadPlace] = [:]
    /// How many tags the tasks have whose tags can be read.
    private(set) var tagCounts: [UInt64: UInt8] = [:]
    private(set) var recurring: [RecurringRow] = []
    private(set) var queuePolicies: [QueuePolicyRow] = []
    private(set) var gates: [GateRow] = []
    private(set) var recurringStates: [UInt32: RecurringState] = [:]
    private(set) var bulkOperations: [BulkOperation] = []
    /// The newest transition of each task.
    private(set) var transitions: [UInt64: StoredTransition] = [:]
    /// Segments whose rows were read.
    private(set) var tables: Set<SegmentKey> = []
    /// Segments of which there are payloads alone.
    private(set) var tablelessSegments: [SegmentKey] = []

    struct StoredTransition {
        var transition: Transition
        var group: GroupID
    }

    init(_ source: any ByteStoreReader, _ traces: FileTraces, mark: Mark?, report: RepairReport) throws(StorageError) {
        self.source = source
        self.report = report
        epoch = max(traces.epoch, mark?.epoch ?? 0)
        storeMilliseconds = traces.storeMilliseconds
        nextSequence = traces.nextSequence
        identity = traces.identity
        try readHead(mark)
        try readIndex()
        try read(.completed) { store, key, value throws(StorageError) in try store.takeOutcomes(key, value) }
        try read(.deadLetter) { store, _, value throws(StorageError) in try store.takeDeadLetter(value) }
        try read(.pending) { store, key, value throws(StorageError) in try store.takeTable(key, value) }
        try read(.inProgress) { store, key, value throws(StorageError) in try store.takeTransitions(key, value) }
        try read(.payload) { store, key, value throws(StorageError) in try store.takePayloads(key, value) }
    }

    /// Reads a family; what does not match its checksum is counted and left out.
    private mutating func read(
        _ family: Family,
        _ take: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        var loss = report[family]
        try source.scanReadable(family, onGap: { _, _ in loss.gaps += 1 }) { key, value throws(StorageError) in
            do throws(StorageError) {
                try take(&self, key, value)
                loss.records += 1
            } catch {
                guard error.kind == .corruption else { throw error }
                loss.damaged += 1
            }
        }
        loss.damaged += report[family].damaged
        report[family] = loss
    }

    // MARK: Head

    private mutating func readHead(_ mark: Mark?) throws(StorageError) {
        try read(.default) { store, key, value throws(StorageError) in
            if key.elementsEqual(KeyLayout.identity) {
                store.identity = try StoreIdentity(value)
            } else if key.elementsEqual(KeyLayout.header) {
                store.note(try HeaderRecord(value))
            } else {
                store.note(epoch: try EpochRecord.read(value))
            }
        }
        if let mark, identity == nil || mark.storeID == identity?.id { report.markBatch = mark.syncedSequence }
    }

    private mutating func note(_ header: HeaderRecord) {
        report.recoveredBatch = header.position.sequence
        storeMilliseconds = max(storeMilliseconds, header.storeMilliseconds)
        nextSequence = max(nextSequence, header.nextSequence)
        note(epoch: header.position.epoch)
    }

    private mutating func note(epoch other: UInt32) { epoch = max(epoch, other) }
    private mutating func note(_ group: GroupID) { note(epoch: group.epoch) }
    private mutating func note(_ token: LeaseToken) { note(GroupID(rawValue: token.rawValue)) }
    private mutating func note(_ sequence: TaskSequence) { nextSequence = max(nextSequence, sequence.rawValue &+ 1) }

    // MARK: Index

    private mutating func readIndex() throws(StorageError) {
        try read(.index) { store, key, value throws(StorageError) in
            switch key.first.map({ Unicode.Scalar($0) }) {
            case "N":
                let row = try NameRecord.read(key: key, value: value)
                store.names[row.kind, default: [:]][row.number] = row
            case "W": store.workers.append(try WorkerRecord.read(key: key, value: value))
            case "K":
                for row in try IdempotencyTable.read(key: key, value: value) {
                    store.note(row.sequence)
                    store.keys.append(row)
                }
            case "R": store.recurring.append(try RecurringRecord.read(key: key, value: value))
            case "r":
                let state = try RecurringStateRecord.read(key: key, value: value)
                if state.lastSequence.rawValue > 0 { store.note(state.lastSequence) }
                store.recurringStates[state.number] = state
            case "B":
                let operation = try BulkRecord.read(key: key, value: value)
                store.note(operation.last)
                store.bulkOperations.append(operation)
            case "Q": store.queuePolicies.append(try QueuePolicyRecord.read(key: key, value: value))
            case "G": store.gates.append(try GateRecord.read(key: key, value: value))
            case "A":
                var texts: [UInt8] = []
                let row = try AttemptRecord.read(key: key, value: value, texts: &texts)
                store.note(row.sequence)
                store.note(row.token)
            case "t":
                let row = try TagsRecord.read(key: key, value: value)
                store.note(row.sequence)
                store.tagCounts[row.sequence.rawValue] = UInt8(row.tags.count)
            case "L", "l": store.take(try LocatorRecord.read(key: key, value: value))
            // Counted anew, and made anew with the records that they lead to.
            case "C", "P", "U", "D", "E", "O", "T": break
            default: throw StorageError(.corruption, "an unknown key")
            }
        }
    }

    private mutating func take(_ locator: Locator) {
        for (place, location) in locator.locations.enumerated() {
            guard let location, !location.bucket.isExpired(storeMilliseconds: storeMilliseconds) else { continue }
            let sequence = TaskSequence(locator.key.sequence.rawValue &+ UInt64(place))
            note(sequence)
            locatedOutcomes.insert(sequence.rawValue)
        }
    }

    // MARK: Tasks

    private mutating func takeOutcomes(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        let location = try KeyReader.outcomes(key)
        note(location.group)
        for entry in try OutcomeTable.read(value, at: location) {
            note(entry.row.sequence)
            note(entry.row.token)
            if entry.isIntact(value) {
                outcomes.insert(entry.row.sequence.rawValue)
            } else {
                report[.completed].damaged += 1
                locatedOutcomes.insert(entry.row.sequence.rawValue)
            }
        }
    }

    private mutating func takeDeadLetter(_ value: UnsafeRawBufferPointer) throws(StorageError) {
        var texts: [UInt8] = []
        let row = try DeadLetterRecord.read(value, texts: &texts)
        note(row.task.sequence)
        note(row.token)
        deadLetters.insert(row.task.sequence.rawValue)
    }

    private mutating func takeTable(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        let segment = try KeyReader.segment(key)
        let table = try PendingTable.read(value)
        note(segment.group)
        tables.insert(segment)
        for (place, row) in table.enumerated() {
            note(row.sequence)
            rows[row.sequence.rawValue] = PayloadPlace(segment: segment, place: UInt16(truncatingIfNeeded: place))
        }
    }

    private mutating func takeTransitions(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        let group = GroupID(rawValue: try KeyReader.number(key))
        var texts: [UInt8] = []
        let table = try TransitionTable.read(value, texts: &texts).rows
        note(group)
        for transition in table {
            note(transition.sequence)
            note(transition.token)
            // One of an earlier life of the task, before a redrive, is void.
            if let row = rows[transition.sequence.rawValue], row.segment.group > group { continue }
            transitions[transition.sequence.rawValue] = StoredTransition(transition: transition, group: group)
        }
    }

    private mutating func takePayloads(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        let segment = try KeyReader.segment(key)
        if !tables.contains(segment) { tablelessSegments.append(segment) }
        let bodies = try PayloadRecord.read(value)
        report[.payload].damaged += UInt64(bodies.count { !$0.isIntact })
    }
}
