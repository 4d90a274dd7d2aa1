import TQModel

// Outcomes go before their time when their queue has more than it keeps, or when somebody deletes them. A record that holds
// nothing else is deleted, any other is written anew without them; what leads to them and what belongs to them goes along, so
// that nothing is left that leads nowhere.
extension QueueCore {
    /// Outcomes that one tick forgets because there are too many; the rest waits for the next one.
    private static let surplusPerTick = 2_000
    private static let overfullQueuesPerTick = 8

    // MARK: Too many

    /// The outcomes that would expire first of queues that have more than they keep.
    var surplusReads: [Fetch] { surplusTurn.map(\.read) }

    private var surplusTurn: [(queue: UInt32, surplus: Surplus, read: Fetch)] {
        let turn = index.queuesWithSurplusOutcomes.prefix(Self.overfullQueuesPerTick)
        return turn.map { queue, surplus in
            let read = Fetch.outcomes(
                TaskSelection(
                    namespace: index.queueNames.namespace(queue),
                    states: BulkChange.Kind.delete.states,
                    queue: queue
                ),
                from: OutcomePosition(firstOutcome(of: queue)),
                through: TaskSequence(.max),
                limit: Self.surplusPerTick / turn.count,
                forgetTurn
            )
            return (queue, surplus, read)
        }
    }

    /// Changes when something is forgotten, and what was read of records before may be old.
    var forgetTurn: ReadTurn { ReadTurn(epoch: epoch, number: forgets) }

    /// A place before which no outcome of a queue is: from the first one on, the way would lead past all that was forgotten.
    private func firstOutcome(of queue: UInt32) -> OutcomeLocation {
        let bucket = index.firstBucket(of: queue)
        if let forgotten = forgottenThrough[queue], forgotten.bucket == bucket { return forgotten }
        return OutcomeLocation(bucket: bucket, group: GroupID(rawValue: 0), part: 0)
    }

    /// Forgets outcomes of queues that have more than they keep, some in each tick.
    mutating func forgetSurplus(_ fetched: [Fetch: Fetched]) {
        var choice = ForgottenOutcomes()
        var through = forgottenThrough
        for (queue, surplus, read) in surplusTurn {
            guard case .outcomes(let records, _)? = fetched[read] else { continue }
            var surplus = surplus
            for record in records where !surplus.isNone {
                let meant = record.meant.prefix { row, _ in
                    defer { surplus.remove(byteCount: UInt64(row.result.count)) }
                    return !surplus.isNone
                }
                choice.add(meant, of: record)
                through[queue] = record.location
            }
        }
        // One that has another turn must be found again.
        if forget(choice) == choice.count { forgottenThrough = through }
    }

    // MARK: Forgetting

    /// Forgets outcomes of records that are still as they were read: all that a command forgets, at once.
    ///
    /// - Returns: How many; of one that has lost its row since it was read nobody knows yet what leads to it.
    mutating func forget(_ choice: ForgottenOutcomes) -> Int {
        var locators = RewrittenLocators()
        var count = 0
        for (record, meant) in choice.records
        where record.location.bucket > index.goneThrough {
            let gone = meant.filter { row, traces in
                index.tasks[row.sequence].stateValue != 0 || traces.locator != nil
            }
            guard !gone.isEmpty else { continue }
            rewrite(record, without: gone.map(\.row))
            for (row, traces) in gone {
                batch.swept += traces.expiring
                if let locator = traces.locator { locators.remove(row.sequence, from: locator) }
                recordForgotten(row)
            }
            count += gone.count
        }
        for (oldBucket, locator) in locators.all {
            if let locator = locator.droppingExpired(through: index.goneThrough) {
                batch.rewrittenLocators.append(RewrittenLocator(oldBucket: oldBucket, locator: locator))
            } else {
                batch.swept.append(ExpiringRecord(.locator(locator.key), bucket: oldBucket))
            }
        }
        if count > 0 { forgets += 1 }
        totals.forgotten += UInt64(count)
        return count
    }

    /// Outcomes may have been forgotten before a start, and nobody knows where: the first compaction after it looks at all places.
    ///
    /// It rewrites the outcomes of the whole store then, which the bounds of such queues keep small.
    mutating func findForgotten() {
        guard !index.cappedQueues.isEmpty else { return }
        let first = OutcomeLocation(bucket: ExpiryBucket(rawValue: 0), group: GroupID(rawValue: 0), part: 0)
        let last = OutcomeLocation(bucket: ExpiryBucket(rawValue: .max - 1), group: GroupID(rawValue: .max), part: .max)
        forgottenRange = first...last
    }

    /// Where outcomes were forgotten since the last call; their disk space may be given back once that is written.
    public mutating func takeForgottenRange() -> ClosedRange<OutcomeLocation>? {
        defer { forgottenRange = nil }
        return forgottenRange
    }

    private mutating func rewrite(_ record: OutcomeRecord, without gone: [OutcomeRow]) {
        let sequences = Set(gone.map(\.sequence))
        var rows = record.rows.filter { !sequences.contains($0.sequence) }
        let kept = Set(ListedBy.all(of: rows))
        for place in rows.indices {
            let result = record.results[rows[place].result.range]
            rows[place].result = EffectBatch.Span(
                offset: UInt32(batch.results.count),
                count: UInt32(result.count)
            )
            batch.results.append(contentsOf: result)
        }
        let unlisted = ListedBy.all(of: gone).filter { !kept.contains($0) }
        batch.rewrittenOutcomes.append(
            RewrittenOutcomes(location: record.location, rows: rows, unlisted: unlisted)
        )
        forgottenRange = forgottenRange?.including(record.location) ?? record.location...record.location
    }

    private mutating func recordForgotten(_ row: OutcomeRow) {
        var forgotten = Transition(
            sequence: row.sequence,
            operation: .forget,
            state: row.state,
            attempts: row.attempts,
            crashes: row.crashes,
            token: row.token
        )
        (forgotten.queue, forgotten.rank) = (row.queue, row.rank)
        forgotten.bucket = row.bucket
        forgotten.byteCount = row.result.count
        record(forgotten)
    }
}

// Bulk operations that delete what has ended go through the outcomes in the order in which those expire.
extension QueueCore {
    func outcomeRead(_ operation: BulkOperation) -> Fetch {
        let start = OutcomeLocation(bucket: ExpiryBucket(rawValue: 0), group: GroupID(rawValue: 0), part: 0)
        return .outcomes(
            operation.selection,
            from: session.deletions[operation.number]?.position ?? OutcomePosition(start),
            through: operation.last,
            limit: stepCount(operation),
            forgetTurn
        )
    }

    mutating func deleteOutcomes(_ operation: inout BulkOperation, _ fetched: [Fetch: Fetched]) {
        let read = fetched[outcomeRead(operation)]
        giveUp(&operation, after: read)
        guard case .outcomes(let records, let walk)? = read else { return }
        var choice = ForgottenOutcomes()
        for record in records { choice.add(record.meant, of: record) }
        let count = forget(choice)
        operation.changed += UInt64(count)
        var deletion = session.deletions[operation.number] ?? Deletion()
        // Those of which nobody knew what leads to them have another turn, in which it is known.
        if count < choice.count, !deletion.isRepeated {
            deletion.isRepeated = true
        } else {
            if walk.damaged + UInt64(choice.count - count) > 0 {
                operation.refuse(because: Bytes("Some records of ended tasks cannot be read.".utf8))
            }
            deletion = Deletion(position: walk.next, scanned: deletion.scanned + walk.scanned)
            if walk.next == nil { operation.next = TaskSequence(operation.last.rawValue + 1) }
        }
        session.deletions[operation.number] = deletion
    }

    /// How many outcomes a deletion has looked at since the start, and how many there are in all.
    func outcomesBehind(_ operation: BulkOperation) -> (behind: UInt64, all: UInt64) {
        let behind = session.deletions[operation.number]?.scanned ?? 0
        let queues = operation.selection.queue.map { [index.queues[Int($0)]] } ?? index.queues
        return (behind, operation.changed + queues.reduce(0) { $0 + $1.counts.completed + $1.counts.cancelled })
    }
}

/// How far a bulk operation is that deletes outcomes.
struct Deletion: Sendable {
    /// Where it goes on; `nil` for the first outcome there is.
    var position: OutcomePosition?
    /// Outcomes that it has looked at.
    var scanned: UInt64 = 0
    /// Whether it is at the same place for the second time.
    var isRepeated = false
}

/// Outcomes that a command forgets, record by record.
struct ForgottenOutcomes {
    typealias Outcome = (row: OutcomeRow, traces: OutcomeTraces)

    private(set) var records: [(record: OutcomeRecord, meant: [Outcome])] = []
    private var places: [OutcomeLocation: Int] = [:]

    /// How many they are.
    var count: Int { records.reduce(0) { $0 + $1.meant.count } }

    /// Adds some of a record's outcomes; those of another queue may be added already.
    mutating func add(_ meant: some Sequence<Outcome>, of record: OutcomeRecord) {
        if let place = places[record.location] {
            records[place].meant += meant
        } else {
            places[record.location] = records.count
            records.append((record, Array(meant)))
        }
    }
}

/// Locators that several outcomes of a command may share.
private struct RewrittenLocators {
    private var locators: [LocatorKey: (oldBucket: ExpiryBucket, locator: Locator)] = [:]

    /// The changed ones in order of their keys.
    var all: [(oldBucket: ExpiryBucket, locator: Locator)] {
        locators.keys.sorted().compactMap { locators[$0] }
    }

    /// Lets a locator lead to one outcome less.
    mutating func remove(_ sequence: TaskSequence, from locator: Locator) {
        guard let bucket = locator.bucket else { return }
        let place = Int(sequence.rawValue - locator.key.sequence.rawValue)
        locators[locator.key, default: (bucket, locator)].locator.locations[place] = nil
    }
}

extension Locator {
    /// The locator without what has expired; `nil` when that is all.
    func droppingExpired(through bucket: ExpiryBucket) -> Locator? {
        func isLeft(_ location: OutcomeLocation?) -> Bool { location.map { $0.bucket > bucket } ?? false }
        guard locations.contains(where: isLeft) else { return nil }
        guard locations.contains(where: { $0 != nil && !isLeft($0) }) else { return self }
        return Locator(key: key, locations: locations.map { isLeft($0) ? $0 : nil })
    }
}

extension ClosedRange<OutcomeLocation> {
    fileprivate func including(_ location: OutcomeLocation) -> Self {
        Swift.min(lowerBound, location)...Swift.max(upperBound, location)
    }
}
