public import ByteStore
public import QueueCore
import TQModel

/// A committed batch as its followers see it.
public struct CommittedBatch: Sendable {
    /// Where the store stands with this batch.
    public var position: LogPosition
    /// Where it stood before it.
    public var previous: LogPosition
    /// The batch as RocksDB wrote it.
    public var image: [UInt8]

    /// The store's time and the effects, read back from the bytes.
    ///
    /// Deletions of segments and transitions are in the effects' derived part, as whoever applies the batch computes them.
    public func effects() throws(StorageError) -> EffectBatch {
        try image.withRaw { image throws(StorageError) in try BatchDecoding.decode(image) }
    }
}

/// Reads a batch back into effects: for followers, for the replay test and for inspectors.
enum BatchDecoding {
    /// - Throws: Corruption, also when the bytes behind the header do not match the checksum in it.
    static func decode(_ image: UnsafeRawBufferPointer) throws(StorageError) -> EffectBatch {
        var decoder = Decoder()
        try BatchImage.forEach(image) { operation throws(StorageError) in
            if decoder.isAtStart { try check(operation, of: image) }
            try decoder.take(operation)
        }
        guard !decoder.isAtStart else { throw StorageError(.corruption, "A batch is empty.") }
        return decoder.effects
    }

    /// Checks that a batch begins with its header, and that the header fits to the rest.
    private static func check(_ first: BatchOperation, of image: UnsafeRawBufferPointer) throws(StorageError) {
        guard case .put(.default, let key, let value) = first, key.elementsEqual(KeyLayout.header),
            let start = image.baseAddress, let header = value.baseAddress
        else { throw StorageError(.corruption, "A batch does not begin with its header.") }
        let rest = UnsafeRawBufferPointer(rebasing: image[(header - start + value.count)...])
        guard try HeaderRecord(value).batchChecksum == CRC32C.checksum(of: rest) else {
            throw StorageError(.corruption, "A batch does not match the checksum in its header.")
        }
    }

    private struct Decoder {
        private(set) var effects = EffectBatch(group: GroupID(rawValue: 0))
        private(set) var isAtStart = true

        mutating func take(_ operation: BatchOperation) throws(StorageError) {
            isAtStart = false
            switch operation {
            case .put(let family, let key, let value): try put(family, key, value)
            case .delete(let family, let key): try delete(family, key)
            case .singleDelete(let family, let key):
                switch family {
                case .pending: effects.derived.deadSegments.append(try KeyReader.segment(key))
                case .inProgress:
                    effects.derived.deadTransitions.append(GroupID(rawValue: try KeyReader.number(key)))
                default: break
                }
            case .deleteRange(let family, let lower, _): try deleteRange(family, lower)
            }
        }

        private mutating func put(
            _ family: Family,
            _ key: UnsafeRawBufferPointer,
            _ value: UnsafeRawBufferPointer
        ) throws(StorageError) {
            switch family {
            case .default:
                guard key.elementsEqual(KeyLayout.header) else { return }
                let header = try HeaderRecord(value)
                effects.group = header.group
                effects.storeMilliseconds = header.storeMilliseconds
                effects.nextSequence = header.nextSequence
            case .pending: try putTable(try KeyReader.segment(key), value)
            case .payload: try putPayloads(value)
            case .inProgress:
                let table = try TransitionTable.read(value, texts: &effects.texts)
                effects.transitions = table.rows
                effects.transitionsStoreMilliseconds = table.storeMilliseconds
            case .completed: try putOutcomes(try KeyReader.outcomes(key), value)
            case .deadLetter:
                effects.deadLetters.append(try DeadLetterRecord.read(value, texts: &effects.texts))
            case .index: try putIndex(key, value)
            }
        }

        private mutating func putTable(_ key: SegmentKey, _ value: UnsafeRawBufferPointer) throws(StorageError) {
            let rows = try PendingTable.read(value)
            effects.segments.append(
                SegmentSpan(
                    key: key,
                    firstTask: effects.tasks.count,
                    taskCount: rows.count,
                    firstBody: effects.bodies.count,
                    bodyByteCount: rows.reduce(0) { $0 + Int($1.bodyByteCount) }
                )
            )
            effects.tasks.append(contentsOf: rows)
        }

        private mutating func putPayloads(_ value: UnsafeRawBufferPointer) throws(StorageError) {
            for body in try PayloadRecord.read(value) {
                guard body.isIntact else {
                    throw StorageError(.corruption, "The payload of task \(body.sequence) is damaged.")
                }
                effects.bodies.append(contentsOf: value[body.payload])
            }
        }

        private mutating func putOutcomes(
            _ location: OutcomeLocation,
            _ value: UnsafeRawBufferPointer
        ) throws(StorageError) {
            var rows: [OutcomeRow] = []
            for entry in try OutcomeTable.read(value, at: location) {
                var row = entry.row
                row.result = EffectBatch.Span(
                    offset: UInt32(effects.results.count),
                    count: UInt32(entry.result.count)
                )
                effects.results.append(contentsOf: value[entry.result])
                rows.append(row)
            }
            if location.group == effects.group {
                effects.outcomes += rows
            } else {
                effects.rewrittenOutcomes.append(RewrittenOutcomes(location: location, rows: rows, unlisted: []))
            }
        }

        /// A locator that is written again follows the deletion of what expired it before.
        private mutating func putLocator(_ locator: Locator) {
            if let last = effects.swept.last, last.kind == .locator(locator.key) {
                effects.swept.removeLast()
                let rewritten = RewrittenLocator(oldBucket: last.bucket, locator: locator)
                effects.rewrittenLocators.append(rewritten)
            } else {
                effects.derived.locators.append(locator)
            }
        }

        private mutating func putIndex(
            _ key: UnsafeRawBufferPointer,
            _ value: UnsafeRawBufferPointer
        ) throws(StorageError) {
            switch key.first.map({ Unicode.Scalar($0) }) {
            case "N": effects.names.append(try NameRecord.read(key: key, value: value))
            case "W": effects.registeredWorkers.append(try WorkerRecord.read(key: key, value: value))
            case "R": effects.recurring.append(try RecurringRecord.read(key: key, value: value))
            case "B": effects.bulkOperations.append(try BulkRecord.read(key: key, value: value))
            case "r": effects.recurringStates.append(try RecurringStateRecord.read(key: key, value: value))
            case "Q": effects.queuePolicies.append(try QueuePolicyRecord.read(key: key, value: value))
            case "G": effects.gates.append(try GateRecord.read(key: key, value: value))
            case "K": effects.keys.append(contentsOf: try IdempotencyTable.read(key: key, value: value))
            case "t": effects.tags.append(try TagsRecord.read(key: key, value: value))
            case "A": effects.attempts.append(try AttemptRecord.read(key: key, value: value, texts: &effects.texts))
            case "L", "l": putLocator(try LocatorRecord.read(key: key, value: value))
            case "P": try putExpiry(key)
            case "C": effects.derived.counters.append(try CounterRecord.read(key: key, value: value))
            default: break
            }
        }

        private mutating func putExpiry(_ key: UnsafeRawBufferPointer) throws(StorageError) {
            let record = try KeyReader.expiry(key)
            // That of a locator is written with the locator.
            if case .history = record.kind { effects.endedHistories.append(record) }
        }

        private mutating func delete(_ family: Family, _ key: UnsafeRawBufferPointer) throws(StorageError) {
            switch (family, key.first.map { Unicode.Scalar($0) }) {
            case (.deadLetter, _):
                let sequence = TaskSequence(try KeyReader.number(key))
                effects.redrivenDeadLetters.append(DeadLetterKey(sequence: sequence, queue: 0, type: 0))
            case (.index, "D"), (.index, "E"): try deletePosting(key)
            case (.completed, _):
                let location = try KeyReader.outcomes(key)
                effects.rewrittenOutcomes.append(RewrittenOutcomes(location: location, rows: [], unlisted: []))
            case (.index, "O"):
                let (list, _) = try Posting.outcome(key)
                if let last = effects.rewrittenOutcomes.indices.last {
                    effects.rewrittenOutcomes[last].unlisted.append(list)
                }
            case (.index, "t"): try deleteTags(key)
            case (.index, "T"): try deleteTagged(key)
            case (.index, "W"):
                var reader = KeyReader(key)
                _ = try reader.read(UInt8.self)
                effects.removedWorkers.append(try reader.read())
            case (.index, "R"):
                var reader = KeyReader(key)
                _ = try reader.read(UInt8.self)
                effects.removedRecurring.append(try reader.read())
            case (.index, "B"):
                var reader = KeyReader(key)
                _ = try reader.read(UInt8.self)
                effects.removedBulk.append(try reader.read())
            case (.index, "Q"):
                let queue = try KeyReader.queuePolicy(key)
                effects.queuePolicies.append(QueuePolicyRow(queue: queue, policy: QueuePolicy()))
            case (.index, "G"): effects.gates.append(GateRow(key: try KeyReader.gate(key)))
            case (.index, "P"): effects.swept.append(try KeyReader.expiry(key))
            case (.index, "C"):
                effects.derived.counters.append(CounterRow(key: try KeyReader.counter(key), value: 0))
            default: break
            }
        }

        /// Postings are deleted behind the dead letter that they belong to.
        private mutating func deletePosting(_ key: UnsafeRawBufferPointer) throws(StorageError) {
            guard let last = effects.redrivenDeadLetters.indices.last else { return }
            if key.first == UInt8(ascii: "E") {
                effects.redrivenDeadLetters[last].bucket = try Posting.expiringDeadLetter(key).bucket
                return
            }
            switch try Posting.deadLetter(key) {
            case (.queue, let queue, _): effects.redrivenDeadLetters[last].queue = queue
            case (.type, let type, _): effects.redrivenDeadLetters[last].type = type
            case (.state, _, _): break
            }
        }

        /// Those of a task that expired are deleted behind what says when they expire.
        private mutating func deleteTags(_ key: UnsafeRawBufferPointer) throws(StorageError) {
            let sequence = try KeyReader.tags(key)
            if case .tags(sequence, _)? = effects.swept.last?.kind { return }
            effects.tags.append(TagsRow(sequence: sequence, tags: []))
        }

        /// What leads to a task is deleted behind its tags.
        private mutating func deleteTagged(_ key: UnsafeRawBufferPointer) throws(StorageError) {
            let (tag, sequence) = try Posting.tagged(key)
            if let last = effects.swept.indices.last {
                guard case .tags(sequence, let tags) = effects.swept[last].kind else { return }
                effects.swept[last].kind = .tags(sequence, tags + [tag])
            } else if let last = effects.tags.indices.last {
                effects.tags[last].dropped.append(tag)
            }
        }

        private mutating func deleteRange(_ family: Family, _ lower: UnsafeRawBufferPointer) throws(StorageError) {
            var reader = KeyReader(lower)
            if family == .completed {
                effects.expiredOutcomes.append(ExpiryBucket(rawValue: try reader.read()))
            } else if family == .index {
                let letter: UInt8 = try reader.read()
                // Postings expire with the outcomes that they lead to.
                guard letter == UInt8(ascii: "K") else { return }
                effects.expiredKeys.append(ExpiryBucket(rawValue: try reader.read()))
            }
        }
    }
}
