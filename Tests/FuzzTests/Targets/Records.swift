import ByteStore
import QueueCore
import TQModel

@testable import Storage

extension FuzzTarget {
    /// One record of a store: what is read of it, written again, is the same record for ever after.
    static let records = FuzzTarget(
        name: "records",
        summary: "every record of the store, with its key",
        seeds: { try StoredRow.rows(ofFixture: StoredRow.fixture).map(\.bytes) },
        run: { bytes in
            var input = ByteCursor(bytes)
            let row = StoredRow(from: &input)
            guard let first = try? RecordContent(row) else { return }
            guard let written = first.written else { return }
            do {
                let second = try RecordContent(StoredRow(row.family, row.key, written))
                expectEqual(second.facts, first.facts, "\(row.family.name): a record says something else")
                expectEqual(second.written, written, "\(row.family.name): a record has other bytes")
            } catch {
                fatalError("\(row.family.name): what was read and written again is refused: \(error)")
            }
        }
    )
}

/// What a record says, and the record written anew.
private struct RecordContent {
    /// Everything that it says, wherever its bytes lie.
    var facts: [String] = []
    /// `nil` for a record that says nothing, and is never written.
    var written: [UInt8]?

    init(_ row: StoredRow) throws {
        try row.key.withUnsafeBytes { key in
            try row.value.withUnsafeBytes { value in
                switch row.family {
                case .default: try readHead(row.key, value)
                case .pending: try readTasks(value)
                case .payload: try readPayloads(value)
                case .inProgress: try readTransitions(value)
                case .completed: try readOutcomes(key, value)
                case .deadLetter: try readDeadLetter(value)
                case .index: try readIndex(key, value)
                }
            }
        }
    }

    private mutating func readHead(_ key: [UInt8], _ value: UnsafeRawBufferPointer) throws {
        let store = InMemoryStorage()
        let batch = WriteBatch()
        key.withUnsafeBytes { _ = batch.put(.default, key: $0, value: value) }
        try store.write(batch, sync: true)
        switch key {
        case KeyLayout.header:
            let header = try HeaderRecord(value)
            facts = ["\(header)"]
            written = filled(HeaderRecord.byteCount) { header.write(to: $0) }
        case KeyLayout.epoch:
            guard let epoch = try EpochRecord.read(store) else { return }
            facts = ["\(epoch)"]
            written = put { EpochRecord.write(epoch, to: $0) }
        case KeyLayout.identity:
            guard let identity = try StoreIdentity.read(store) else { return }
            facts = ["\(identity)"]
            written = put { identity.write(to: $0) }
        default: break
        }
    }

    private mutating func readTasks(_ value: UnsafeRawBufferPointer) throws {
        let rows = try PendingTable.read(value)[...]
        facts = rows.map { "\($0)" }
        let shape = PendingTable.Shape(rows)
        written = filled(shape.byteCount) { PendingTable.write(rows, shape, to: $0) }
    }

    private mutating func readPayloads(_ value: UnsafeRawBufferPointer) throws {
        let bodies = try PayloadRecord.read(value)
        facts = bodies.map { "\($0.sequence) \($0.queue) \($0.type) \(Inputs.hex(Array(value[$0.payload])))" }
        // What is damaged is not written.
        guard bodies.allSatisfy(\.isIntact) else { return }
        let rows = bodies.map {
            TaskRow(
                sequence: $0.sequence,
                createdMilliseconds: 0,
                queue: $0.queue,
                type: $0.type,
                rank: Rank(rawValue: 0),
                bodyByteCount: UInt32($0.payload.count),
                options: nil
            )
        }
        let payloads = bodies.flatMap { value[$0.payload] }
        written = filled(PayloadRecord.byteCount(rows[...], payloadByteCount: payloads.count)) { value in
            payloads.withUnsafeBytes { PayloadRecord.write(rows[...], payloads: $0, to: value) }
        }
    }

    private mutating func readTransitions(_ value: UnsafeRawBufferPointer) throws {
        var texts: [UInt8] = []
        let table = try TransitionTable.read(value, texts: &texts)
        facts = table.rows.map { transition in
            var row = transition
            row.progress?.message = .init()
            row.checkpoint = nil
            let message = transition.progress.map { texts[$0.message.range] }
            let checkpoint = transition.checkpoint.map { texts[$0.range] }
            return "\(row) \(message ?? []) \(checkpoint ?? [])"
        }
        written = filled(TransitionTable.byteCount(table)) { TransitionTable.write(table, texts: texts, to: $0) }
    }

    private mutating func readOutcomes(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws {
        let entries = try OutcomeTable.read(value, at: try KeyReader.outcomes(key))
        let rows = entries.map { entry in
            var row = entry.row
            row.result = .init(offset: UInt32(entry.result.lowerBound), count: UInt32(entry.result.count))
            return row
        }
        facts = rows.map { outcome in
            var row = outcome
            row.result = .init()
            return "\(row) \(Inputs.hex(Array(value[outcome.result.range])))"
        }.sorted()
        guard entries.allSatisfy({ $0.isIntact(value) }) else { return }
        written = filled(OutcomeTable.byteCount(rows)) { OutcomeTable.write(rows, results: Array(value), to: $0) }
    }

    private mutating func readDeadLetter(_ value: UnsafeRawBufferPointer) throws {
        var texts: [UInt8] = []
        let letter = try DeadLetterRecord.read(value, texts: &texts)
        var row = letter
        (row.error, row.payload) = (.init(), .init())
        facts = ["\(row) \(texts[letter.error.range]) \(texts[letter.payload.range])"]
        written = filled(DeadLetterRecord.byteCount(letter)) { DeadLetterRecord.write(letter, texts: texts, to: $0) }
    }

    private mutating func readIndex(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws {
        switch key.first.map({ Unicode.Scalar($0) }) {
        case "N":
            let row = try NameRecord.read(key: key, value: value)
            facts = ["\(row.kind) \(row.number) \(row.namespace) \(row.name.bytes)"]
            written = put { NameRecord.write(row, to: $0) }
        case "W":
            let row = try WorkerRecord.read(key: key, value: value)
            facts = ["\(row.number) \(row.namespace) \(row.spec)"]
            written = put { WorkerRecord.write(row, to: $0) }
        case "K":
            let rows = try IdempotencyTable.read(key: key, value: value)
            facts = rows.map { "\($0)" }
            let bucket = rows.first?.bucket ?? ExpiryBucket(rawValue: 0)
            written = put { IdempotencyTable.write(rows, bucket: bucket, group: GroupID(rawValue: 0), to: $0) }
        case "L", "l":
            let locator = try LocatorRecord.read(key: key, value: value)
            facts = ["\(locator)"]
            written = put { LocatorRecord.write(locator, to: $0) }
        case "A":
            var texts: [UInt8] = []
            let attempt = try AttemptRecord.read(key: key, value: value, texts: &texts)
            var row = attempt
            (row.worker, row.error) = (.init(), .init())
            facts = ["\(row) \(texts[attempt.worker.range]) \(texts[attempt.error.range])"]
            written = put { AttemptRecord.write(attempt, texts: texts, to: $0) }
        case "R":
            let row = try RecurringRecord.read(key: key, value: value)
            facts = ["\(row)"]
            written = put { RecurringRecord.write(row, to: $0) }
        case "r":
            let state = try RecurringStateRecord.read(key: key, value: value)
            facts = ["\(state)"]
            written = put { RecurringStateRecord.write(state, to: $0) }
        case "B":
            let operation = try BulkRecord.read(key: key, value: value)
            facts = ["\(operation.textless) \(operation.texts)"]
            written = put { BulkRecord.write(operation, to: $0) }
        case "Q":
            let row = try QueuePolicyRecord.read(key: key, value: value)
            facts = ["\(row)"]
            written = put { QueuePolicyRecord.write(row, to: $0) }
        case "U":
            let hold = try DeadHoldRecord.read(key: key, value: value)
            facts = ["\(hold)"]
            written = put { DeadHoldRecord.write(hold, to: $0) }
        case "t":
            let row = try TagsRecord.read(key: key, value: value)
            facts = ["\(row.sequence) \(row.tags)"]
            written = put { TagsRecord.write(row, to: $0) }
        case "C":
            let row = try CounterRecord.read(key: key, value: value)
            facts = ["\(row)"]
            written = put { CounterRecord.write(row, to: $0) }
        default: break
        }
    }

    private func filled(_ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        // Not zeros: whatever is not written shows.
        var bytes = [UInt8](repeating: 0xa5, count: count)
        bytes.withUnsafeMutableBytes(fill)
        return bytes
    }

    /// The value of the first row that a batch puts.
    private func put(_ write: (WriteBatch) -> Void) -> [UInt8]? {
        let batch = WriteBatch()
        write(batch)
        var first: [UInt8]?
        try? batch.forEach { operation throws(StorageError) in
            if first == nil, case .put(_, _, let value) = operation { first = [UInt8](value) }
        }
        return first
    }
}

extension BulkOperation {
    /// Texts are slices, which are described with what lies around them, and sets have no order.
    fileprivate var textless: Self {
        var copy = self
        (copy.selection.states, copy.selection.types, copy.selection.error, copy.problem) = ([], nil, [], [])
        copy.selection.tag = nil
        return copy
    }

    fileprivate var texts: [[UInt8]] {
        let selection = selection
        return [
            selection.states.map(\.rawValue).sorted(), Array(selection.types?.bytes ?? []), Array(selection.error),
            Array(selection.tag?.bytes ?? []), Array(problem),
        ]
    }
}
