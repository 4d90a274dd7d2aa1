import QueueCore
import Recurrence
import TQModel

/// A store made of closed batches: it holds exactly the records that a real one would hold, and reads them back.
struct FakeStore {
    struct StoredTask {
        var row: TaskRow
        var payload: Bytes
    }

    struct StoredTransition {
        var transition: Transition
        /// All texts of the group: the transition's spans point into them.
        var texts: [UInt8]
    }

    struct StoredOutcome {
        var row: OutcomeRow
        var result: Bytes
    }

    struct StoredAttempt {
        var row: AttemptRow
        var worker: Bytes
        var error: Bytes
    }

    struct StoredLetter {
        var row: DeadLetterRow
        var error: Bytes
        var payload: Bytes
    }

    private(set) var storeMilliseconds: UInt64 = 0
    private(set) var nextSequence: UInt64 = 1
    private(set) var names: [NameRow] = []
    private(set) var workers: [UInt32: WorkerRow] = [:]
    private(set) var segments: [SegmentKey: [StoredTask]] = [:]
    private(set) var transitions: [GroupID: [StoredTransition]] = [:]
    private(set) var outcomes: [OutcomeLocation: [StoredOutcome]] = [:]
    private(set) var letters: [TaskSequence: StoredLetter] = [:]
    /// The attempts of each task that did not succeed, by their places.
    private(set) var histories: [TaskSequence: [UInt8: StoredAttempt]] = [:]
    private(set) var endedHistories: Set<ExpiringRecord> = []
    private(set) var endedTags: Set<ExpiringRecord> = []
    private(set) var tags: [TaskSequence: [TaskTag]] = [:]
    /// What leads from tags to tasks.
    private(set) var tagged: [TaskTag: Set<TaskSequence>] = [:]
    private(set) var locators: [LocatorKey: Locator] = [:]
    private(set) var keys: [ExpiryBucket: [KeyHash: KeyRow]] = [:]
    private(set) var counters: [CounterKey: UInt64] = [:]
    private(set) var recurring: [UInt32: RecurringRow] = [:]
    private(set) var recurringStates: [UInt32: RecurringState] = [:]
    private(set) var bulkOperations: [UInt32: BulkOperation] = [:]
    private(set) var policies: [UInt32: QueuePolicy] = [:]
    private(set) var gates: [GateKey: GateRow] = [:]
    /// What the files of time zones say; a test changes it.
    var zones: [String: ZoneRules] = ["Test/Zone": .utc]
    /// Sentences about what a store must never be asked for.
    private(set) var faults: [String] = []
    private var written: Set<GroupID> = []

    // MARK: Writing

    mutating func write(_ batch: EffectBatch) {
        if !written.insert(batch.group).inserted { faults.append("group \(batch.group) was written twice") }
        storeMilliseconds = batch.storeMilliseconds
        nextSequence = batch.nextSequence
        names += batch.names
        for row in batch.registeredWorkers { workers[row.number] = row }
        for number in batch.removedWorkers { workers[number] = nil }
        for row in batch.recurring { recurring[row.number] = row }
        for state in batch.recurringStates { recurringStates[state.number] = state }
        for operation in batch.bulkOperations { bulkOperations[operation.number] = operation }
        for number in batch.removedBulk { bulkOperations[number] = nil }
        for number in batch.removedRecurring {
            recurring[number] = nil
            recurringStates[number] = nil
        }
        for row in batch.queuePolicies { policies[row.queue] = row.policy.isEmpty ? nil : row.policy }
        for row in batch.gates { gates[row.key] = row.isEmpty ? nil : row }
        putTasks(batch)
        putEnds(batch)
        for row in batch.keys { keys[row.bucket, default: [:]][row.key] = row }
        for bucket in batch.expiredKeys { keys[bucket] = nil }
        delete(batch.derived)
        expire(batch)
    }

    private mutating func putTasks(_ batch: EffectBatch) {
        for span in batch.segments {
            var body = span.firstBody
            segments[span.key] = batch.tasks[span.firstTask..<span.firstTask + span.taskCount].map { row in
                defer { body += Int(row.bodyByteCount) }
                return StoredTask(row: row, payload: batch.bodies[body..<body + Int(row.bodyByteCount)])
            }
            if body != span.firstBody + span.bodyByteCount { faults.append("segment \(span.key) has other bodies") }
        }
        if !batch.transitions.isEmpty {
            transitions[batch.group] = batch.transitions.map {
                StoredTransition(transition: $0, texts: batch.texts)
            }
        }
        for row in batch.attempts {
            histories[row.sequence, default: [:]][row.place] = StoredAttempt(
                row: row,
                worker: batch.texts[row.worker.range],
                error: batch.texts[row.error.range]
            )
        }
        endedHistories.formUnion(batch.endedHistories)
        for row in batch.tags {
            drop(row.dropped, of: row.sequence)
            tags[row.sequence] = row.tags.isEmpty ? nil : row.tags
            for tag in row.tags { tagged[tag, default: []].insert(row.sequence) }
        }
    }

    private mutating func drop(_ tags: [TaskTag], of sequence: TaskSequence) {
        for tag in tags {
            if tagged[tag]?.remove(sequence) == nil { faults.append("tag \(tag) of task \(sequence) was not there") }
            if tagged[tag]?.isEmpty == true { tagged[tag] = nil }
        }
    }

    private mutating func putEnds(_ batch: EffectBatch) {
        for row in batch.outcomes {
            let location = OutcomeLocation(bucket: row.bucket, group: batch.group, part: row.part)
            outcomes[location, default: []].append(StoredOutcome(row: row, result: batch.results[row.result.range]))
            if row.tagCount > 0 { endedTags.insert(ExpiringRecord(.tags(row.sequence, []), bucket: row.bucket)) }
        }
        for record in batch.rewrittenOutcomes { rewrite(record, batch.results) }
        for rewritten in batch.rewrittenLocators {
            if locators[rewritten.locator.key]?.bucket != rewritten.oldBucket {
                faults.append("locator \(rewritten.locator.key) expired in another bucket")
            }
            locators[rewritten.locator.key] = rewritten.locator
        }
        for row in batch.deadLetters {
            letters[row.task.sequence] = StoredLetter(
                row: row,
                error: batch.texts[row.error.range],
                payload: batch.texts[row.payload.range]
            )
        }
        for redriven in batch.redrivenDeadLetters.map(\.sequence) where letters.removeValue(forKey: redriven) == nil {
            faults.append("dead letter \(redriven) was removed and not there")
        }
    }

    private mutating func rewrite(_ record: RewrittenOutcomes, _ results: [UInt8]) {
        let old = outcomes[record.location] ?? []
        let rows = record.rows.map { StoredOutcome(row: $0, result: results[$0.result.range]) }
        outcomes[record.location] = rows.isEmpty ? nil : rows
        let known = Dictionary(uniqueKeysWithValues: old.map { ($0.row.sequence, $0.result) })
        if old.count <= rows.count || rows.contains(where: { known[$0.row.sequence] != $0.result }) {
            faults.append("outcomes at \(record.location) are others than before")
        }
        let lists = Set(ListedBy.all(of: old.map(\.row))).subtracting(ListedBy.all(of: record.rows))
        if lists != Set(record.unlisted) { faults.append("lists lead to \(record.location), or lead there no more") }
    }

    private mutating func delete(_ derived: EffectBatch.Derived) {
        for key in derived.deadSegments where segments.removeValue(forKey: key) == nil {
            faults.append("segment \(key) was deleted and not there")
        }
        for group in derived.deadTransitions where transitions.removeValue(forKey: group) == nil {
            faults.append("transitions of \(group) were deleted and not there")
        }
        for locator in derived.locators { locators[locator.key] = locator }
        for row in derived.counters { counters[row.key] = row.value == 0 ? nil : row.value }
    }

    private mutating func expire(_ batch: EffectBatch) {
        for bucket in batch.expiredOutcomes { outcomes = outcomes.filter { $0.key.bucket != bucket } }
        for record in batch.swept {
            switch record.kind {
            case .locator(let key): locators[key] = nil
            case .history(let sequence, let placeCount):
                endedHistories.remove(record)
                for place in 0..<placeCount { histories[sequence]?[place] = nil }
                if histories[sequence]?.isEmpty == true { histories[sequence] = nil }
            case .tags(let sequence, let gone):
                endedTags.remove(ExpiringRecord(.tags(sequence, []), bucket: record.bucket))
                if tags.removeValue(forKey: sequence) != gone { faults.append("task \(sequence) had other tags") }
                drop(gone, of: sequence)
            }
        }
    }

    // MARK: Reading

    func read(_ fetch: Fetch) -> Fetched {
        switch fetch {
        case .task(let key, let place):
            guard let tasks = segments[key], tasks.indices.contains(Int(place)) else { return .missing }
            return .task(tasks[Int(place)].row, payload: tasks[Int(place)].payload)
        case .segment(let key):
            return segments[key].map { .segment($0.map { ($0.row, $0.payload) }) } ?? .missing
        case .transitions(let group):
            return transitions[group].map { .transitions($0.map(\.transition.sequence)) } ?? .missing
        case .deadLetter(let sequence):
            return letters[sequence].map { .deadLetter($0.row, error: $0.error, payload: $0.payload) } ?? .missing
        case .deadLetters(let selection, let first, let last, let limit):
            let found = letters.keys.sorted().filter { sequence in
                guard (first...last).contains(sequence), let letter = letters[sequence] else { return false }
                let task = letter.row.task
                return selection.matches(
                    queue: task.queue,
                    type: task.type,
                    task.rank,
                    createdMilliseconds: task.createdMilliseconds
                ) && selection.matches(error: letter.error)
            }
            let page = found.prefix(limit).compactMap { letters[$0] }.map { (row: $0.row, payload: $0.payload) }
            return .deadLetters(page, unreadable: [], next: found.dropFirst(limit).first)
        case .fate(_, let sequence, _):
            if letters[sequence] != nil { return .fate(.deadLetter) }
            return outcome(sequence, .anywhere(redrives: 0)).map { .fate($0.row.state) } ?? .missing
        case .lastError(let sequence): return .lastError(history(of: sequence).last?.error ?? [])
        case .zone(let zone): return zones[zone.description].map { .zone($0) } ?? .damaged("there is no such file.")
        case .expiring(let bucket, let limit):
            let located = locators.values.map { ExpiringRecord(.locator($0.key), bucket: $0.bucket ?? bucket) }
            let tagged = endedTags.map { record in
                guard case .tags(let sequence, _) = record.kind else { return record }
                return ExpiringRecord(.tags(sequence, tags[sequence] ?? []), bucket: record.bucket)
            }
            return .expiring(Array((located + endedHistories + tagged).filter { $0.bucket <= bucket }.prefix(limit)))
        case .tags(let sequence, _): return .tags(tags[sequence] ?? [])
        case .tagged(let tag, let first, let isDescending, let limit):
            let ahead = (tagged[tag] ?? []).filter { isDescending ? $0 <= first : $0 >= first }
            return .tagged(Array(ahead.sorted(by: isDescending ? { $0 > $1 } : { $0 < $1 }).prefix(limit)))
        case .expiringDeadLetters(let bucket, let limit, _):
            let rows = letters.values.map(\.row).filter { $0.bucket.rawValue > 0 }
                .sorted { ($0.bucket, $0.task.sequence) < ($1.bucket, $1.task.sequence) }
            let due = rows.prefix { $0.bucket <= bucket }.prefix(limit)
            return .endingDeadLetters(Array(due), next: rows.dropFirst(due.count).first?.bucket)
        case .oldestDeadLetters(let queue, let limit, _):
            let rows = letters.values.map(\.row).filter { $0.task.queue == queue }
                .sorted { $0.task.sequence < $1.task.sequence }
            return .endingDeadLetters(Array(rows.prefix(limit)), next: nil)
        case .outcomes(let selection, let position, let last, let limit, _):
            return outcomes(selection, from: position, through: last, limit: limit)
        }
    }

    private func outcomes(
        _ selection: TaskSelection,
        from position: OutcomePosition,
        through last: TaskSequence,
        limit: Int
    ) -> Fetched {
        var walk = OutcomeWalk()
        var records: [OutcomeRecord] = []
        for location in outcomes.keys.sorted() where location >= position.location {
            let stored = (outcomes[location] ?? []).sorted { $0.row.sequence < $1.row.sequence }
            let first = location == position.location ? position.sequence : TaskSequence(0)
            let meant = stored.map(\.row).filter { row in
                row.sequence >= first && row.sequence <= last && selection.states.contains(row.state)
                    && selection.matches(
                        queue: row.queue,
                        type: row.type,
                        row.rank,
                        createdMilliseconds: row.createdMilliseconds
                    ) && selection.tag.map { tags[row.sequence]?.contains($0) ?? false } ?? true
            }
            guard let start = meant.first else { continue }
            let room = limit - records.reduce(0) { $0 + $1.meant.count }
            if room > 0 {
                var results: [UInt8] = []
                let rows = stored.map { outcome in
                    var row = outcome.row
                    row.result.offset = UInt32(results.count)
                    results += outcome.result
                    return row
                }
                records.append(
                    OutcomeRecord(
                        location: location,
                        rows: rows,
                        results: Bytes(results),
                        meant: meant.prefix(room).map { ($0, traces(of: $0, at: location)) }
                    )
                )
                walk.scanned += UInt64(stored.count)
            }
            guard meant.count > room else { continue }
            walk.next = OutcomePosition(location, room > 0 ? meant[room].sequence : start.sequence)
            break
        }
        return .outcomes(records, walk)
    }

    private func traces(of row: OutcomeRow, at location: OutcomeLocation) -> OutcomeTraces {
        var expiring = endedHistories.filter { record in
            if case .history(row.sequence, _) = record.kind { true } else { false }
        }
        if let tags = tags[row.sequence] {
            expiring.insert(ExpiringRecord(.tags(row.sequence, tags), bucket: row.bucket))
        }
        let locator = locator(of: row.sequence)
        return OutcomeTraces(
            expiring: Array(expiring),
            locator: locator?.location == location ? locator?.locator : nil
        )
    }

    /// The history of a task, the oldest attempt first.
    func history(of sequence: TaskSequence) -> [Attempt] {
        (histories[sequence] ?? [:]).values.sorted { $0.row.token < $1.row.token }
            .map {
                Attempt(
                    number: $0.row.number,
                    end: $0.row.end,
                    startWallMilliseconds: $0.row.startWallMilliseconds,
                    endWallMilliseconds: $0.row.endWallMilliseconds,
                    worker: Name(bytes: $0.worker),
                    error: $0.error
                )
            }
    }

    /// Loses the segment of a task.
    mutating func lose(segmentOf sequence: TaskSequence) {
        segments = segments.filter { !$0.value.contains { $0.row.sequence == sequence } }
    }

    /// Tasks that are over, and whose history nothing removes.
    func endlessHistories(_ index: DurableIndex) -> [TaskSequence] {
        let ending = Set(
            endedHistories.compactMap { record -> TaskSequence? in
                if case .history(let sequence, _) = record.kind { sequence } else { nil }
            }
        )
        return histories.keys.filter { !index.isLive($0) && letters[$0] == nil && !ending.contains($0) }
    }

    func payload(_ place: PayloadPlace) -> Bytes? {
        guard case .task(_, let payload) = read(.task(place.segment, place: place.place)) else { return nil }
        return payload
    }

    /// The outcome of a task, found as a status of an ended task is found.
    func outcome(_ sequence: TaskSequence, _ ended: Ended) -> StoredOutcome? {
        let location: OutcomeLocation? =
            switch ended {
            case .outcome(let known): known
            case .deadLetter: nil
            case .anywhere: locate(sequence)
            }
        return location.flatMap { outcomes[$0] }?.first { $0.row.sequence == sequence }
    }

    private func locate(_ sequence: TaskSequence) -> OutcomeLocation? { locator(of: sequence)?.location }

    private func locator(of sequence: TaskSequence) -> (locator: Locator, location: OutcomeLocation?)? {
        if let own = locators[LocatorKey(sequence: sequence, isSegment: false)] {
            return (own, own.locations.first ?? nil)
        }
        let covering = locators.values.first {
            $0.key.isSegment && $0.key.sequence <= sequence
                && sequence.rawValue < $0.key.sequence.rawValue + UInt64($0.locations.count)
        }
        return covering.map { ($0, $0.locations[Int(sequence.rawValue - $0.key.sequence.rawValue)]) }
    }

    /// What leads to outcomes that are not there.
    func danglingLocations(_ index: DurableIndex) -> [OutcomeLocation] {
        let located = locators.values.flatMap { locator in
            locator.locations.enumerated().compactMap { place, location in
                location.map { (TaskSequence(locator.key.sequence.rawValue + UInt64(place)), $0) }
            }
        }
        let inMemory = segments.values.joined().map(\.row.sequence)
            .compactMap { sequence in index.outcome(of: sequence).map { (sequence, $0) } }
        return (located + inMemory).filter { sequence, location in
            location.bucket > index.expiredThrough
                && outcomes[location]?.contains { $0.row.sequence == sequence } != true
        }.map(\.1)
    }

    /// An index that is fed with the records that are left, as a broker does when it starts.
    func recover() throws -> (index: DurableIndex, derived: EffectBatch.Derived) {
        var index = DurableIndex()
        index.beginRecovery(storeMilliseconds: storeMilliseconds, nextSequence: nextSequence)
        for name in names { try index.recover(name) }
        for worker in workers.values.sorted(by: { $0.number < $1.number }) { try index.recover(worker) }
        for bucket in keys.keys.sorted() { keys[bucket]?.values.forEach { index.recover($0) } }
        for number in recurring.keys.sorted() { if let row = recurring[number] { try index.recover(row) } }
        for number in recurringStates.keys.sorted() {
            if let state = recurringStates[number] { try index.recover(state) }
        }
        for number in bulkOperations.keys.sorted() {
            if let operation = bulkOperations[number] { try index.recover(operation) }
        }
        for row in gates.values { try index.recover(row) }
        for (queue, policy) in policies { try index.recover(QueuePolicyRow(queue: queue, policy: policy)) }
        for letter in letters.values { if let hold = DeadHold(letter.row) { index.recover(hold) } }
        for (key, value) in counters { try index.recover(CounterRow(key: key, value: value)) }
        for key in segments.keys.sorted() { try index.recover(segment: key, rows: segments[key]?.map(\.row) ?? []) }
        for group in transitions.keys.sorted() {
            let rows = transitions[group] ?? []
            try index.recover(transitions: rows.map(\.transition), group: group, texts: rows.first?.texts ?? [])
        }
        let derived = index.endRecovery()
        return (index: index, derived: derived)
    }
}
