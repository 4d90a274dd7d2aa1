import ByteStore
import QueueCore
import TQModel

@testable import Storage

/// A record as it is stored, what it says, and how it is read.
struct RecordSample {
    var key: [UInt8]
    var value: [UInt8]
    var content: [String]
    /// Reads the record of these bytes and says the same of it.
    var read: (_ key: [UInt8], _ value: [UInt8]) throws(StorageError) -> [String]
}

/// Every form of record of the format.
enum RecordForm: String, CaseIterable {
    case pendingTable, payloads, transitions, outcomes, deadLetter
    case name, worker, idempotencyKeys, attempt, locator, counter, recurring, recurringState, bulk, deadHold, tags
    case queuePolicy
    case gate
    case header, identity, epoch

    func sample(_ rows: inout RandomRows) -> RecordSample {
        switch self {
        case .pendingTable: pendingTable(&rows)
        case .payloads: payloads(&rows)
        case .transitions: transitions(&rows)
        case .outcomes: outcomes(&rows)
        case .deadLetter: deadLetter(&rows)
        case .name: name(&rows)
        case .worker: worker(&rows)
        case .idempotencyKeys: idempotencyKeys(&rows)
        case .attempt: attempt(&rows)
        case .locator: locator(&rows)
        case .counter: counter(&rows)
        case .recurring: recurring(&rows)
        case .recurringState: recurringState(&rows)
        case .bulk: bulk(&rows)
        case .deadHold: deadHold(&rows)
        case .tags: tags(&rows)
        case .queuePolicy: queuePolicy(&rows)
        case .gate: gate(&rows)
        case .header: header(&rows)
        case .identity: identity(&rows)
        case .epoch: epoch(&rows)
        }
    }

    // MARK: Tables

    private func pendingTable(_ rows: inout RandomRows) -> RecordSample {
        let tasks = (0..<rows.below(6) + 1).map { _ in rows.task(bodyByteCount: rows.below(1000)) }[...]
        let shape = PendingTable.Shape(tasks)
        let value = bytes(shape.byteCount) { PendingTable.write(tasks, shape, to: $0) }
        return RecordSample(key: [], value: value, content: tasks.map { "\($0)" }) { _, value throws(StorageError) in
            try value.withRaw { value throws(StorageError) in try PendingTable.read(value).map { "\($0)" } }
        }
    }

    private func payloads(_ rows: inout RandomRows) -> RecordSample {
        let bodies = (0..<rows.below(6) + 1).map { _ in rows.bytes(50) }
        let tasks = bodies.map { rows.task(bodyByteCount: $0.count) }[...]
        let payloads = Array(bodies.joined())
        let value = bytes(PayloadRecord.byteCount(tasks, payloadByteCount: payloads.count)) { value in
            payloads.withUnsafeBytes { PayloadRecord.write(tasks, payloads: $0, to: value) }
        }
        let content = zip(tasks, bodies).map { "\($0.sequence) \($0.queue) \($0.type) \(hex($1))" }
        return RecordSample(key: [], value: value, content: content) { _, value throws(StorageError) in
            let bodies = try value.withRaw { value throws(StorageError) in try PayloadRecord.read(value) }
            guard bodies.allSatisfy(\.isIntact) else { throw StorageError(.corruption, "a payload") }
            return bodies.map { "\($0.sequence) \($0.queue) \($0.type) \(hex(value[$0.payload]))" }
        }
    }

    private func transitions(_ rows: inout RandomRows) -> RecordSample {
        var texts: [UInt8] = []
        let table = TransitionTable.Content(
            storeMilliseconds: rows.number(UInt64.self),
            rows: (0..<rows.below(6) + 1).map { _ in rows.transition(&texts) }
        )
        let value = bytes(TransitionTable.byteCount(table)) { TransitionTable.write(table, texts: texts, to: $0) }
        let content = ["\(table.storeMilliseconds)"] + table.rows.map { describe($0, texts) }
        return RecordSample(key: [], value: value, content: content) { _, value throws(StorageError) in
            var texts: [UInt8] = []
            let read = try value.withRaw { value throws(StorageError) in
                try TransitionTable.read(value, texts: &texts)
            }
            return ["\(read.storeMilliseconds)"] + read.rows.map { describe($0, texts) }
        }
    }

    private func describe(_ transition: Transition, _ texts: [UInt8]) -> String {
        var row = transition
        row.progress?.message = .init()
        row.checkpoint = nil
        let message = transition.progress.map { hex(texts[$0.message.range]) } ?? "-"
        let checkpoint = transition.checkpoint.map { hex(texts[$0.range]) } ?? "-"
        return "\(row) \(message) \(checkpoint)"
    }

    private func outcomes(_ rows: inout RandomRows) -> RecordSample {
        let location = rows.location()
        var results: [UInt8] = []
        let outcomes = (0..<rows.below(6) + 1).map { rows.outcome(UInt64($0) * 7, at: location, &results) }
        let value = bytes(OutcomeTable.byteCount(outcomes)) {
            OutcomeTable.write(outcomes.reversed(), results: results, to: $0)
        }
        let content = outcomes.map { row in describe(row, results[row.result.range]) }
        return RecordSample(key: KeyLayout.outcomes(location), value: value, content: content) {
            key,
            value throws(StorageError) in
            let location = try key.withRaw { key throws(StorageError) in try KeyReader.outcomes(key) }
            let entries = try value.withRaw { value throws(StorageError) in
                let entries = try OutcomeTable.read(value, at: location)
                guard entries.allSatisfy({ $0.isIntact(value) }) else { throw StorageError(.corruption, "a result") }
                return entries
            }
            return entries.map { describe($0.row, value[$0.result]) }
        }
    }

    private func describe(_ outcome: OutcomeRow, _ result: ArraySlice<UInt8>) -> String {
        var row = outcome
        row.result = .init()
        return "\(row) \(hex(result))"
    }

    private func deadLetter(_ rows: inout RandomRows) -> RecordSample {
        var texts: [UInt8] = []
        let letter = rows.deadLetter(&texts)
        let value = bytes(DeadLetterRecord.byteCount(letter)) { DeadLetterRecord.write(letter, texts: texts, to: $0) }
        return RecordSample(key: [], value: value, content: [describe(letter, texts)]) {
            _,
            value throws(StorageError) in
            var texts: [UInt8] = []
            let read = try value.withRaw { value throws(StorageError) in
                try DeadLetterRecord.read(value, texts: &texts)
            }
            return [describe(read, texts)]
        }
    }

    private func describe(_ letter: DeadLetterRow, _ texts: [UInt8]) -> String {
        var row = letter
        (row.error, row.payload) = (.init(), .init())
        return "\(row) \(hex(texts[letter.error.range])) \(hex(texts[letter.payload.range]))"
    }

    // MARK: Rows of the index

    private func name(_ rows: inout RandomRows) -> RecordSample {
        let row = NameRow(
            kind: NameKind.allCases[rows.below(NameKind.allCases.count)],
            number: UInt32(rows.below(Limits.contentTypesMax)) + 1,
            namespace: rows.number(),
            name: Name(bytes: rows.bytes(255)[...])
        )
        return indexed([describe(row)]) {
            NameRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            [describe(try NameRecord.read(key: key, value: value))]
        }
    }

    private func describe(_ row: NameRow) -> String {
        "\(row.kind) \(row.number) \(row.namespace) \(hex(row.name.bytes))"
    }

    private func worker(_ rows: inout RandomRows) -> RecordSample {
        let spec = WorkerSpec(
            name: Name(bytes: rows.bytes(255)[...]),
            metadata: rows.bytes(300)[...],
            concurrency: rows.number()
        )
        let row = WorkerRow(number: rows.number(), namespace: rows.number(), spec: spec)
        return indexed([describe(row)]) {
            WorkerRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            [describe(try WorkerRecord.read(key: key, value: value))]
        }
    }

    private func describe(_ row: WorkerRow) -> String {
        "\(row.number) \(row.namespace) \(hex(row.spec.name.bytes)) \(hex(row.spec.metadata)) \(row.spec.concurrency)"
    }

    private func idempotencyKeys(_ rows: inout RandomRows) -> RecordSample {
        let bucket = ExpiryBucket(rawValue: rows.number())
        let keys = (0..<rows.below(6) + 1).map { _ in
            KeyRow(
                key: KeyHash(high: rows.number(), low: rows.number()),
                sequence: TaskSequence(rows.number()),
                createdMilliseconds: rows.number(),
                contentHash: rows.number(),
                bucket: bucket
            )
        }
        let group = GroupID(rawValue: rows.number())
        return indexed(keys.map { "\($0)" }) {
            IdempotencyTable.write(keys, bucket: bucket, group: group, to: $0)
        } _: { key, value throws(StorageError) in
            try IdempotencyTable.read(key: key, value: value).map { "\($0)" }
        }
    }

    private func attempt(_ rows: inout RandomRows) -> RecordSample {
        var texts: [UInt8] = []
        let attempt = rows.attempt(&texts)
        return indexed([describe(attempt, texts)]) {
            AttemptRecord.write(attempt, texts: texts, to: $0)
        } _: { key, value throws(StorageError) in
            var texts: [UInt8] = []
            let read = try AttemptRecord.read(key: key, value: value, texts: &texts)
            return [describe(read, texts)]
        }
    }

    private func describe(_ attempt: AttemptRow, _ texts: [UInt8]) -> String {
        var row = attempt
        (row.worker, row.error) = (.init(), .init())
        return "\(row) \(hex(texts[attempt.worker.range])) \(hex(texts[attempt.error.range]))"
    }

    private func locator(_ rows: inout RandomRows) -> RecordSample {
        let locator = rows.locator()
        return indexed(["\(locator)"]) {
            LocatorRecord.write(locator, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try LocatorRecord.read(key: key, value: value))"]
        }
    }

    private func counter(_ rows: inout RandomRows) -> RecordSample {
        let keys: [CounterKey] = [
            .deadLetters(queue: rows.number()), .deadLetterBytes(queue: rows.number()),
            .outcomes(bucket: ExpiryBucket(rawValue: rows.number()), queue: rows.number(), state: .completed),
            .resultBytes(bucket: ExpiryBucket(rawValue: rows.number()), queue: rows.number()),
        ]
        let key = keys[rows.below(keys.count)]
        let row = CounterRow(key: key, value: rows.number(UInt64.self) | 1)
        return indexed(["\(row)"]) {
            CounterRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try CounterRecord.read(key: key, value: value))"]
        }
    }

    private func recurring(_ rows: inout RandomRows) -> RecordSample {
        let row = rows.recurring()
        return indexed([describe(row)]) {
            RecurringRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            [describe(try RecurringRecord.read(key: key, value: value))]
        }
    }

    /// Slices are described with what lies around them.
    private func describe(_ row: RecurringRow) -> String {
        var copy = row
        (copy.name, copy.recurrence, copy.payload, copy.tags) = (Name(bytes: []), [], [], [])
        let tags = row.tags.map { hex($0.bytes) }
        return "\(copy) \(hex(row.name.bytes)) \(hex(row.recurrence)) \(hex(row.payload)) \(tags)"
    }

    private func gate(_ rows: inout RandomRows) -> RecordSample {
        let kind = GateScope.Kind.allCases[rows.below(GateScope.Kind.allCases.count)]
        let name = [.key, .group].contains(kind) ? rows.name() : Name(bytes: [])
        var row = GateRow(key: GateKey(kind, rows.number(), name))
        row.pausedSinceWallMilliseconds = rows.number(UInt64.self) | 1
        row.pausedUntilStoreMilliseconds = rows.number()
        row.runningMax = rows.number()
        row.rate = StartRate(rows.number(), per: rows.number(UInt32.self) | 1, burst: rows.number(UInt32.self) | 1)
        row.weight = rows.number()
        row.circuit = rows.maybe { $0.circuit() } ?? .none
        return indexed(["\(row)"]) {
            GateRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try GateRecord.read(key: key, value: value))"]
        }
    }

    private func queuePolicy(_ rows: inout RandomRows) -> RecordSample {
        let row = QueuePolicyRow(queue: rows.number(UInt32.self) | 1, policy: rows.queuePolicy())
        return indexed(["\(row)"]) {
            QueuePolicyRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try QueuePolicyRecord.read(key: key, value: value))"]
        }
    }

    private func recurringState(_ rows: inout RandomRows) -> RecordSample {
        let state = rows.recurringState()
        return indexed(["\(state)"]) {
            RecurringStateRecord.write(state, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try RecurringStateRecord.read(key: key, value: value))"]
        }
    }

    private func bulk(_ rows: inout RandomRows) -> RecordSample {
        let operation = rows.bulkOperation()
        return indexed(operation.facts) {
            BulkRecord.write(operation, to: $0)
        } _: { key, value throws(StorageError) in
            try BulkRecord.read(key: key, value: value).facts
        }
    }

    private func deadHold(_ rows: inout RandomRows) -> RecordSample {
        let hold = DeadHold(
            hash: KeyHash(high: rows.number(), low: rows.number()),
            sequence: TaskSequence(rows.number()),
            createdMilliseconds: rows.number()
        )
        return indexed(["\(hold)"]) {
            DeadHoldRecord.write(hold, to: $0)
        } _: { key, value throws(StorageError) in
            ["\(try DeadHoldRecord.read(key: key, value: value))"]
        }
    }

    private func tags(_ rows: inout RandomRows) -> RecordSample {
        let row = TagsRow(sequence: TaskSequence(rows.number()), tags: rows.tags(rows.below(Limits.tagsMax) + 1))
        return indexed(["\(row.sequence)"] + row.tags.map { hex($0.bytes) }) {
            TagsRecord.write(row, to: $0)
        } _: { key, value throws(StorageError) in
            let read = try TagsRecord.read(key: key, value: value)
            return ["\(read.sequence)"] + read.tags.map { hex($0.bytes) }
        }
    }

    // MARK: Rows of the default family

    private func header(_ rows: inout RandomRows) -> RecordSample {
        var header = HeaderRecord(
            position: LogPosition(epoch: rows.number(), sequence: rows.number(), runningHash: rows.number()),
            previous: LogPosition(epoch: rows.number(), sequence: rows.number()),
            storeMilliseconds: rows.number(),
            group: GroupID(rawValue: rows.number()),
            nextSequence: rows.number()
        )
        header.batchChecksum = rows.number()
        let value = bytes(HeaderRecord.byteCount) { [header] in header.write(to: $0) }
        return RecordSample(key: [], value: value, content: ["\(header)"]) { _, value throws(StorageError) in
            try value.withRaw { value throws(StorageError) in ["\(try HeaderRecord(value))"] }
        }
    }

    private func identity(_ rows: inout RandomRows) -> RecordSample {
        let identity = StoreIdentity(
            id: UInt128(rows.number(UInt64.self)) << 64 | UInt128(rows.number(UInt64.self)),
            key: StoreKey(high: rows.number(), low: rows.number()),
            createdWallMilliseconds: rows.number()
        )
        return indexed(["\(identity)"]) {
            identity.write(to: $0)
        } _: { key, value throws(StorageError) in
            let read = try StoreIdentity.read(storeWith(key, value))
            return [read.map { "\($0)" } ?? "none"]
        }
    }

    private func epoch(_ rows: inout RandomRows) -> RecordSample {
        let epoch = rows.number(UInt32.self)
        return indexed(["\(epoch)"]) {
            EpochRecord.write(epoch, to: $0)
        } _: { key, value throws(StorageError) in
            let read = try EpochRecord.read(storeWith(key, value))
            return [read.map { "\($0)" } ?? "none"]
        }
    }

    private func storeWith(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) -> InMemoryStorage {
        let store = InMemoryStorage()
        let batch = WriteBatch()
        batch.put(.default, key: key, value: value)
        try store.write(batch, sync: true)
        return store
    }

    // MARK: Bytes

    private func bytes(_ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        // Not zeros: whatever is not written shows.
        var bytes = [UInt8](repeating: 0xa5, count: count)
        bytes.withUnsafeMutableBytes(fill)
        return bytes
    }

    /// A sample of the first row that a batch puts.
    private func indexed(
        _ content: [String],
        _ write: (WriteBatch) -> Void,
        _ read: @escaping (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> [String]
    ) -> RecordSample {
        let batch = WriteBatch()
        write(batch)
        var first: (key: [UInt8], value: [UInt8])?
        try? batch.forEach { operation throws(StorageError) in
            if first == nil, case .put(_, let key, let value) = operation { first = ([UInt8](key), [UInt8](value)) }
        }
        return RecordSample(key: first?.key ?? [], value: first?.value ?? [], content: content) {
            key,
            value throws(StorageError) in
            try key.withRaw { key throws(StorageError) in
                try value.withRaw { value throws(StorageError) in try read(key, value) }
            }
        }
    }
}
