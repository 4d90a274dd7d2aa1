import QueueCore
import TQModel

extension EffectBatch {
    /// Every fact of the batch, one line each, wherever its bytes lie: equal for a batch and for what is read back of it.
    var facts: [String] {
        var lines = ["group \(group) store \(storeMilliseconds) next \(nextSequence)"]
        lines += names.map { "\($0)" }
        lines += registeredWorkers.map {
            "worker \($0.number) \($0.namespace) \($0.spec.name) \($0.spec.metadata) \($0.spec.concurrency)"
        }
        lines += removedWorkers.map { "worker \($0) removed" }
        lines += recurring.map { row in
            var copy = row
            (copy.name, copy.recurrence, copy.payload, copy.tags) = (Name(bytes: []), [], [], [])
            let tags = row.tags.map(\.description)
            return "\(copy) \(hex(row.name.bytes)) \(hex(row.recurrence)) \(hex(row.payload)) \(tags)"
        }
        lines += recurringStates.map { "\($0)" } + removedRecurring.map { "recurring task \($0) removed" }
        lines += bulkOperations.flatMap(\.facts) + removedBulk.map { "bulk operation \($0) removed" }
        lines += queuePolicies.map { "\($0)" } + gates.map { "\($0)" }
        for segment in segments {
            lines.append("segment \(segment.key) \(segment.bodyByteCount)")
            var position = segment.firstBody
            for row in tasks[segment.firstTask..<segment.firstTask + segment.taskCount] {
                lines.append("\(row) \(hex(bodies[position..<position + Int(row.bodyByteCount)]))")
                position += Int(row.bodyByteCount)
            }
        }
        for transition in transitions {
            var row = transition
            row.progress?.message = Span()
            row.checkpoint = nil
            let message = transition.progress.map { hex(texts[$0.message.range]) } ?? "-"
            let checkpoint = transition.checkpoint.map { hex(texts[$0.range]) } ?? ""
            lines.append("\(row) \(message) \(checkpoint)")
        }
        let order = outcomes.sorted { ($0.bucket, $0.part, $0.sequence) < ($1.bucket, $1.part, $1.sequence) }
        for outcome in order {
            var row = outcome
            row.result = Span()
            lines.append("\(row) \(hex(results[outcome.result.range]))")
        }
        for record in rewrittenOutcomes {
            lines.append("rewritten \(record.location) \(record.unlisted)")
            for outcome in record.rows {
                var row = outcome
                row.result = Span()
                lines.append("kept \(row) \(hex(results[outcome.result.range]))")
            }
        }
        lines += rewrittenLocators.map { "rewritten \($0)" }
        for letter in deadLetters {
            var row = letter
            (row.error, row.payload) = (Span(), Span())
            lines.append("\(row) \(hex(texts[letter.error.range])) \(hex(texts[letter.payload.range]))")
        }
        for attempt in attempts {
            var row = attempt
            (row.worker, row.error) = (Span(), Span())
            lines.append("\(row) \(hex(texts[attempt.worker.range])) \(hex(texts[attempt.error.range]))")
        }
        lines += tags.map { "tags \($0.sequence) \($0.tags.map(\.description)) \($0.dropped.map(\.description))" }
        lines += endedHistories.map { "\($0)" }
        lines += redrivenDeadLetters.map { "redriven \($0.sequence) queue \($0.queue) type \($0.type) \($0.bucket)" }
        lines += keys.sorted { ($0.bucket, $0.key) < ($1.bucket, $1.key) }.map { "\($0)" }
        lines += expiredOutcomes.map { "\($0)" } + swept.map(\.fact) + expiredKeys.map { "expired keys \($0)" }
        return lines + ["\(derived)"]
    }
}

extension BulkOperation {
    /// Every fact: slices are described with what lies around them, and sets have no order.
    var facts: [String] {
        var copy = self
        let tag = copy.selection.tag?.bytes ?? []
        let texts = [copy.selection.types?.bytes ?? [], copy.selection.error, tag, copy.problem].map { hex($0) }
        copy.selection.tag = nil
        let states = copy.selection.states.map(\.rawValue).sorted()
        (copy.selection.states, copy.selection.types, copy.selection.error, copy.problem) = ([], nil, [], [])
        return ["\(copy) \(states) \(texts)"]
    }
}

extension ExpiringRecord {
    /// Slices are described with what lies around them.
    fileprivate var fact: String {
        guard case .tags(let sequence, let tags) = kind else { return "\(self)" }
        return "\(bucket) tags \(sequence) \(tags.map(\.description))"
    }
}
