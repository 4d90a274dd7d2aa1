import ByteStore
import QueueCore
import TQModel

/// Turns the effects of a commit group into one atomic batch.
///
/// Puts come before deletes: a segment may be born and die in one group, and its two operations must meet in that order.
enum BatchEncoding {
    static func encode(_ effects: EffectBatch, into batch: WriteBatch) {
        for row in effects.names { NameRecord.write(row, to: batch) }
        for row in effects.registeredWorkers { WorkerRecord.write(row, to: batch) }
        for row in effects.recurring { RecurringRecord.write(row, to: batch) }
        for state in effects.recurringStates { RecurringStateRecord.write(state, to: batch) }
        for operation in effects.bulkOperations { BulkRecord.write(operation, to: batch) }
        for row in effects.queuePolicies { QueuePolicyRecord.write(row, to: batch) }
        for row in effects.gates { GateRecord.write(row, to: batch) }
        for segment in effects.segments { encode(segment, of: effects, into: batch) }
        if !effects.transitions.isEmpty {
            let table = TransitionTable.Content(
                storeMilliseconds: effects.transitionsStoreMilliseconds,
                rows: effects.transitions
            )
            batch.put(
                .inProgress,
                key: KeyLayout.transitions(effects.group),
                valueByteCount: TransitionTable.byteCount(table)
            ) { TransitionTable.write(table, texts: effects.texts, to: $0) }
        }
        encodeOutcomes(effects, into: batch)
        // A task that was put back may have died again in the same group.
        for letter in effects.redrivenDeadLetters {
            batch.delete(.deadLetter, key: KeyLayout.deadLetter(letter.sequence))
            batch.delete(.index, key: KeyLayout.deadHold(letter.sequence))
            for posting in Posting.all(of: letter) { batch.delete(.index, key: posting) }
        }
        for row in effects.deadLetters {
            batch.put(
                .deadLetter,
                key: KeyLayout.deadLetter(row.task.sequence),
                valueByteCount: DeadLetterRecord.byteCount(row)
            ) { DeadLetterRecord.write(row, texts: effects.texts, to: $0) }
            if let hold = DeadHold(row) { DeadHoldRecord.write(hold, to: batch) }
            for posting in Posting.all(of: DeadLetterKey(row)) { batch.put(.index, key: posting, value: []) }
        }
        encodeKeys(effects, into: batch)
        for row in effects.tags { TagsRecord.write(row, to: batch) }
        for row in effects.attempts { AttemptRecord.write(row, texts: effects.texts, to: batch) }
        for history in effects.endedHistories { batch.put(.index, key: KeyLayout.expiry(history), value: []) }
        for locator in effects.derived.locators { LocatorRecord.write(locator, to: batch) }
        encodeForgotten(effects, into: batch)
        for counter in effects.derived.counters { CounterRecord.write(counter, to: batch) }
        encodeDeletes(effects, into: batch)
    }

    private static func encode(_ segment: SegmentSpan, of effects: EffectBatch, into batch: WriteBatch) {
        let rows = effects.tasks[segment.firstTask..<segment.firstTask + segment.taskCount]
        let shape = PendingTable.Shape(rows)
        let key = KeyLayout.segment(segment.key)
        batch.put(.pending, key: key, valueByteCount: shape.byteCount) {
            PendingTable.write(rows, shape, to: $0)
        }
        effects.bodies.withUnsafeBytes { bodies in
            let payloads = UnsafeRawBufferPointer(
                rebasing: bodies[segment.firstBody..<segment.firstBody + segment.bodyByteCount]
            )
            batch.put(
                .payload,
                key: key,
                valueByteCount: PayloadRecord.byteCount(rows, payloadByteCount: payloads.count)
            ) { PayloadRecord.write(rows, payloads: payloads, to: $0) }
        }
    }

    private static func encodeOutcomes(_ effects: EffectBatch, into batch: WriteBatch) {
        guard !effects.outcomes.isEmpty else { return }
        var records: [OutcomeLocation: [OutcomeRow]] = [:]
        for row in effects.outcomes {
            let location = OutcomeLocation(bucket: row.bucket, group: effects.group, part: row.part)
            records[location, default: []].append(row)
        }
        for location in records.keys.sorted() {
            let rows = records[location] ?? []
            put(rows, at: location, of: effects, into: batch)
            for posting in Posting.all(of: rows, at: location) { batch.put(.index, key: posting, value: []) }
            for row in rows where row.tagCount > 0 {
                let tags = ExpiringRecord(.tags(row.sequence, []), bucket: row.bucket)
                batch.put(.index, key: KeyLayout.expiry(tags), value: [])
            }
        }
    }

    private static func put(
        _ rows: [OutcomeRow],
        at location: OutcomeLocation,
        of effects: EffectBatch,
        into batch: WriteBatch
    ) {
        batch.put(
            .completed,
            key: KeyLayout.outcomes(location),
            valueByteCount: OutcomeTable.byteCount(rows)
        ) { OutcomeTable.write(rows, results: effects.results, to: $0) }
    }

    private static func encodeForgotten(_ effects: EffectBatch, into batch: WriteBatch) {
        for record in effects.rewrittenOutcomes {
            if record.rows.isEmpty {
                batch.delete(.completed, key: KeyLayout.outcomes(record.location))
            } else {
                put(record.rows, at: record.location, of: effects, into: batch)
            }
            for list in record.unlisted {
                batch.delete(.index, key: Posting.outcomes(list, at: record.location))
            }
        }
        for rewritten in effects.rewrittenLocators {
            let expiry = ExpiringRecord(.locator(rewritten.locator.key), bucket: rewritten.oldBucket)
            batch.delete(.index, key: KeyLayout.expiry(expiry))
            LocatorRecord.write(rewritten.locator, to: batch)
        }
    }

    private static func encodeKeys(_ effects: EffectBatch, into batch: WriteBatch) {
        guard !effects.keys.isEmpty else { return }
        let buckets = Dictionary(grouping: effects.keys, by: \.bucket)
        for bucket in buckets.keys.sorted() {
            IdempotencyTable.write(buckets[bucket] ?? [], bucket: bucket, group: effects.group, to: batch)
        }
    }

    private static func delete(_ record: ExpiringRecord, in batch: WriteBatch) {
        batch.delete(.index, key: KeyLayout.expiry(record))
        switch record.kind {
        case .locator(let key): batch.delete(.index, key: KeyLayout.locator(key))
        case .history(let sequence, let placeCount):
            for place in 0..<placeCount { batch.delete(.index, key: KeyLayout.attempt(sequence, place: place)) }
        case .tags(let sequence, let tags):
            TagsRecord.write(TagsRow(sequence: sequence, tags: [], dropped: tags), to: batch)
        }
    }

    private static func encodeDeletes(_ effects: EffectBatch, into batch: WriteBatch) {
        for key in effects.derived.deadSegments {
            batch.singleDelete(.pending, key: KeyLayout.segment(key))
            batch.singleDelete(.payload, key: KeyLayout.segment(key))
        }
        for group in effects.derived.deadTransitions {
            batch.singleDelete(.inProgress, key: KeyLayout.transitions(group))
        }
        for worker in effects.removedWorkers { batch.delete(.index, key: KeyLayout.worker(worker)) }
        for number in effects.removedRecurring {
            batch.delete(.index, key: KeyLayout.recurring(number))
            batch.delete(.index, key: KeyLayout.recurringState(number))
        }
        for number in effects.removedBulk { batch.delete(.index, key: KeyLayout.bulkOperation(number)) }
        for bucket in effects.expiredOutcomes {
            batch.deleteRange(
                .completed,
                from: KeyLayout.outcomes(from: bucket),
                to: KeyLayout.outcomes(from: KeyLayout.next(bucket))
            )
        }
        for bucket in effects.expiredOutcomes {
            batch.deleteRange(
                .index,
                from: Posting.outcomes(from: bucket),
                to: Posting.outcomes(from: KeyLayout.next(bucket))
            )
        }
        for record in effects.swept { delete(record, in: batch) }
        for bucket in effects.expiredKeys {
            batch.deleteRange(
                .index,
                from: KeyLayout.keys(from: bucket),
                to: KeyLayout.keys(from: KeyLayout.next(bucket))
            )
        }
    }
}
