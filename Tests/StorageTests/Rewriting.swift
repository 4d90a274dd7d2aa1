import ByteStore
import QueueCore
import TQModel

@testable import Storage

/// Reads a record and writes what it says once more.
enum Rewriting {
    static func rewrite(_ row: StoredRow) throws -> [UInt8] {
        try row.key.withUnsafeBytes { key in
            try row.value.withUnsafeBytes { value in
                switch row.family {
                case .default: try head(row)
                case .pending: pending(try PendingTable.read(value))
                case .payload: payload(try PayloadRecord.read(value), row.value)
                case .inProgress: try transitions(value)
                case .completed: outcomes(try OutcomeTable.read(value, at: try KeyReader.outcomes(key)), row.value)
                case .deadLetter: try deadLetter(value)
                case .index: try index(key, value)
                }
            }
        }
    }

    private static func head(_ row: StoredRow) throws -> [UInt8] {
        let store = InMemoryStorage()
        try put(store, .default, row.key, row.value)
        if row.key == KeyLayout.header {
            let header = try row.value.withRaw { value throws(StorageError) in try HeaderRecord(value) }
            var header2 = HeaderRecord(
                position: header.position,
                previous: header.previous,
                storeMilliseconds: header.storeMilliseconds,
                group: header.group,
                nextSequence: header.nextSequence
            )
            header2.batchChecksum = header.batchChecksum
            return filled(HeaderRecord.byteCount) { [header2] in header2.write(to: $0) }
        }
        return firstValue { batch in
            if row.key == KeyLayout.epoch {
                (try? EpochRecord.read(store)).flatMap { $0 }.map { EpochRecord.write($0, to: batch) }
            }
            if row.key == KeyLayout.identity { (try? StoreIdentity.read(store))?.write(to: batch) }
        }
    }

    private static func pending(_ rows: [TaskRow]) -> [UInt8] {
        let shape = PendingTable.Shape(rows[...])
        return filled(shape.byteCount) { PendingTable.write(rows[...], shape, to: $0) }
    }

    private static func payload(_ bodies: [PayloadRecord.Body], _ value: [UInt8]) -> [UInt8] {
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
        return filled(PayloadRecord.byteCount(rows[...], payloadByteCount: payloads.count)) { value in
            payloads.withUnsafeBytes { PayloadRecord.write(rows[...], payloads: $0, to: value) }
        }
    }

    private static func transitions(_ value: UnsafeRawBufferPointer) throws -> [UInt8] {
        var texts: [UInt8] = []
        let table = try TransitionTable.read(value, texts: &texts)
        return filled(TransitionTable.byteCount(table)) { [texts] in TransitionTable.write(table, texts: texts, to: $0)
        }
    }

    private static func outcomes(_ entries: [OutcomeTable.Entry], _ value: [UInt8]) -> [UInt8] {
        let rows = entries.map { entry in
            var row = entry.row
            row.result = EffectBatch.Span(
                offset: UInt32(entry.result.lowerBound),
                count: UInt32(entry.result.count)
            )
            return row
        }
        return filled(OutcomeTable.byteCount(rows)) { OutcomeTable.write(rows, results: value, to: $0) }
    }

    private static func deadLetter(_ value: UnsafeRawBufferPointer) throws -> [UInt8] {
        var texts: [UInt8] = []
        let row = try DeadLetterRecord.read(value, texts: &texts)
        return filled(DeadLetterRecord.byteCount(row)) { [texts] in DeadLetterRecord.write(row, texts: texts, to: $0) }
    }

    private static func index(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> [UInt8] {
        switch key.first.map({ Unicode.Scalar($0) }) {
        case "N":
            let row = try NameRecord.read(key: key, value: value)
            return firstValue { NameRecord.write(row, to: $0) }
        case "W":
            let row = try WorkerRecord.read(key: key, value: value)
            return firstValue { WorkerRecord.write(row, to: $0) }
        case "K":
            let rows = try IdempotencyTable.read(key: key, value: value)
            let group = GroupID(rawValue: 0)
            return firstValue { IdempotencyTable.write(rows, bucket: ExpiryBucket(rawValue: 0), group: group, to: $0) }
        case "L", "l":
            let locator = try LocatorRecord.read(key: key, value: value)
            return firstValue { LocatorRecord.write(locator, to: $0) }
        case "A":
            var texts: [UInt8] = []
            let row = try AttemptRecord.read(key: key, value: value, texts: &texts)
            return firstValue { AttemptRecord.write(row, texts: texts, to: $0) }
        case "R":
            let row = try RecurringRecord.read(key: key, value: value)
            return firstValue { RecurringRecord.write(row, to: $0) }
        case "r":
            let state = try RecurringStateRecord.read(key: key, value: value)
            return firstValue { RecurringStateRecord.write(state, to: $0) }
        case "B":
            let operation = try BulkRecord.read(key: key, value: value)
            return firstValue { BulkRecord.write(operation, to: $0) }
        case "Q":
            let row = try QueuePolicyRecord.read(key: key, value: value)
            return firstValue { QueuePolicyRecord.write(row, to: $0) }
        case "U":
            let hold = try DeadHoldRecord.read(key: key, value: value)
            return firstValue { DeadHoldRecord.write(hold, to: $0) }
        case "t":
            let row = try TagsRecord.read(key: key, value: value)
            return firstValue { TagsRecord.write(row, to: $0) }
        case "C":
            let row = try CounterRecord.read(key: key, value: value)
            return firstValue { CounterRecord.write(row, to: $0) }
        default: return [UInt8](value)
        }
    }

    // MARK: Bytes

    private static func filled(_ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xa5, count: count)
        bytes.withUnsafeMutableBytes(fill)
        return bytes
    }

    /// The value of the first row that a batch puts.
    private static func firstValue(_ write: (WriteBatch) -> Void) -> [UInt8] {
        let batch = WriteBatch()
        write(batch)
        var first: [UInt8]?
        try? batch.forEach { operation throws(StorageError) in
            if first == nil, case .put(_, _, let value) = operation { first = [UInt8](value) }
        }
        return first ?? []
    }
}
