import ByteStore
import QueueCore
import TQModel

extension StoreVerification {
    // MARK: Segments

    func verifySegments() {
        scan(.pending) { key, value throws(StorageError) in
            let key = try KeyReader.segment(key)
            let rows = try PendingTable.read(value)
            for (place, row) in rows.enumerated() {
                self.attempt("segment \(key), task \(row.sequence)") { () throws(StorageError) in
                    try self.verify(row, place, key)
                }
            }
            try self.verifyBodies(key, rows)
        }
    }

    /// Compares a row with what the index makes of it.
    private func verify(_ row: TaskRow, _ place: Int, _ key: SegmentKey) throws(StorageError) {
        guard let index, let task = index.task(row.sequence, in: key, place: place) else { return }
        if index.name(.type, task.type).bytes.isEmpty { throw Self.contradiction("its type \(task.type) has no name") }
        switch task.state {
        case .completed, .cancelled:
            if let location = task.outcome { try expectOutcome(row.sequence, location) }
        case .deadLetter:
            if try store.get(.deadLetter, KeyLayout.deadLetter(row.sequence)) == nil {
                throw Self.contradiction("it is a dead letter without a record")
            }
        case .scheduled, .blocked, .pending, .inProgress, .failed:
            try expectTags(row.options?.tagCount ?? 0, row.sequence)
        }
    }

    /// Checks that a task has as many tags as its record says.
    private func expectTags(_ count: UInt8, _ sequence: TaskSequence) throws(StorageError) {
        guard count > 0 else { return }
        let stored = try storedTags(of: sequence)
        guard stored?.count == Int(count) else {
            throw Self.contradiction("it carries \(count) tags, and \(stored?.count ?? 0) are stored")
        }
    }

    private func storedTags(of sequence: TaskSequence) throws(StorageError) -> [TaskTag]? {
        let key = KeyLayout.tags(of: sequence)
        return try store.get(.index, key)?.withRaw { value throws(StorageError) in
            try key.withRaw { key throws(StorageError) in try TagsRecord.read(key: key, value: value).tags }
        }
    }

    /// Compares the rows of a segment with its bodies.
    private func verifyBodies(_ key: SegmentKey, _ rows: [TaskRow]) throws(StorageError) {
        guard let bytes = try store.get(.payload, KeyLayout.segment(key)) else {
            throw Self.contradiction("segment \(key) has no payload record: \(rows.count) payloads are lost")
        }
        // Damage inside the record is reported where the payloads are read.
        guard let bodies = try? bytes.withRaw({ value throws(StorageError) in try PayloadRecord.read(value) }) else {
            return
        }
        let isSame =
            bodies.count == rows.count
            && zip(bodies, rows).allSatisfy {
                !$0.isIntact || $0.sequence == $1.sequence && $0.payload.count == Int($1.bodyByteCount)
            }
        guard isSame else { throw Self.contradiction("the payloads of segment \(key) are not those of its tasks") }
    }

    func verifyPayloads() {
        scan(.payload) { key, value throws(StorageError) in
            let key = try KeyReader.segment(key)
            let bodies = try PayloadRecord.read(value)
            self.count(payloads: bodies.count)
            for body in bodies where !body.isIntact {
                self.report(
                    "payload of segment \(key), task \(body.sequence)",
                    "the payload does not match its checksum"
                )
            }
            if try self.store.get(.pending, KeyLayout.segment(key)) == nil {
                throw Self.contradiction("segment \(key) has payloads but no table")
            }
        }
    }

    func verifyTransitions() {
        scan(.inProgress) { key, value throws(StorageError) in
            _ = try KeyReader.number(key) as UInt64
            var texts: [UInt8] = []
            _ = try TransitionTable.read(value, texts: &texts)
        }
    }

    // MARK: Ended tasks

    func verifyOutcomes() {
        scan(.completed) { key, value throws(StorageError) in
            let location = try KeyReader.outcomes(key)
            let entries = try OutcomeTable.read(value, at: location)
            self.count(outcomes: entries.count)
            for entry in entries {
                let row = entry.row
                self.recount[.outcomes(bucket: row.bucket, queue: row.queue, state: row.state), default: 0] += 1
                let bytes = CounterKey.resultBytes(bucket: row.bucket, queue: row.queue)
                self.recount[bytes, default: 0] += UInt64(entry.result.count)
                if !entry.isIntact(value) {
                    self.report(
                        "completed, task \(row.sequence) in group \(location.group)",
                        "the result does not match its checksum"
                    )
                }
                try self.expectTags(row.tagCount, row.sequence)
            }
            try self.expect(Posting.all(of: entries.map(\.row), at: location))
            for entry in entries { try self.expectName(of: entry.row.content) }
        }
    }

    func verifyDeadLetters() {
        scan(.deadLetter) { key, value throws(StorageError) in
            var texts: [UInt8] = []
            let row = try DeadLetterRecord.read(value, texts: &texts)
            guard try KeyReader.number(key) == row.task.sequence.rawValue else {
                throw Self.contradiction("the record is that of task \(row.task.sequence)")
            }
            self.recount[.deadLetters(queue: row.task.queue), default: 0] += 1
            self.recount[.deadLetterBytes(queue: row.task.queue), default: 0] += UInt64(row.byteCount)
            if let hold = DeadHold(row), try self.storedHold(of: row.task.sequence) != hold {
                throw Self.contradiction("its unique key is not noted, so a start would not know of it")
            }
            try self.expectTags(row.task.options?.tagCount ?? 0, row.task.sequence)
            try self.expect(Posting.all(of: DeadLetterKey(row)))
            try self.expectName(of: row.task.content)
        }
    }

    /// Checks that a content's type has a name.
    private func expectName(of content: StoredContent) throws(StorageError) {
        guard let index, !index.knows(content) else { return }
        throw Self.contradiction("its content type \(content.type) has no name")
    }

    /// Checks that lists find a record.
    private func expect(_ postings: [[UInt8]]) throws(StorageError) {
        self.postings.expected += UInt64(postings.count)
        for key in postings where try store.get(.index, key) == nil {
            let expires = key.first == UInt8(ascii: "E")
            let what = expires ? "nothing ends it when its time is over" : "a list does not find it"
            throw Self.contradiction("\(what): \(Self.place(.index, key)) is missing")
        }
    }

    /// Checks that an outcome is where somebody says that it is.
    func expectOutcome(_ sequence: TaskSequence, _ location: OutcomeLocation) throws(StorageError) {
        if recentOutcomes?.location != location {
            let bytes = try store.get(.completed, KeyLayout.outcomes(location))
            let entries = try bytes?.withRaw { value throws(StorageError) in
                try OutcomeTable.read(value, at: location)
            }
            recentOutcomes = (location, Set((entries ?? []).map(\.row.sequence.rawValue)))
        }
        guard recentOutcomes?.sequences.contains(sequence.rawValue) == true else {
            throw Self.contradiction(
                "the outcome of task \(sequence) should be in group \(location.group), part \(location.part), "
                    + "bucket \(location.bucket.rawValue), and is not"
            )
        }
    }

    // MARK: The index family

    func verifyIndexFamily() {
        scan(.index) { key, value throws(StorageError) in
            switch key.first.map({ Unicode.Scalar($0) }) {
            case "N": _ = try NameRecord.read(key: key, value: value)
            case "W": _ = try WorkerRecord.read(key: key, value: value)
            case "K": _ = try IdempotencyTable.read(key: key, value: value)
            case "R": _ = try RecurringRecord.read(key: key, value: value)
            case "r": _ = try RecurringStateRecord.read(key: key, value: value)
            case "B": _ = try BulkRecord.read(key: key, value: value)
            case "Q": _ = try QueuePolicyRecord.read(key: key, value: value)
            case "G": _ = try GateRecord.read(key: key, value: value)
            case "C": _ = try CounterRecord.read(key: key, value: value)
            case "A":
                var texts: [UInt8] = []
                try self.verify(try AttemptRecord.read(key: key, value: value, texts: &texts))
            case "L", "l": try self.verify(try LocatorRecord.read(key: key, value: value))
            case "P": try self.verifyExpiry(key)
            case "U": try self.verify(try DeadHoldRecord.read(key: key, value: value))
            case "D":
                _ = try Posting.deadLetter(key)
                self.postings.found += 1
            case "E":
                _ = try Posting.expiringDeadLetter(key)
                self.postings.found += 1
            case "O":
                _ = try Posting.outcome(key)
                self.postings.found += 1
            case "T":
                _ = try Posting.tagged(key)
                self.taggedRows.found += 1
            case "t": try self.verify(try TagsRecord.read(key: key, value: value))
            default: throw Self.contradiction("an unknown key")
            }
        }
        // Those that lead to a record are there, or that was reported.
        if postings.found > postings.expected {
            report(
                "index D, E, O",
                "\(postings.found) rows of lists and expiry where records have \(postings.expected): some lead nowhere"
            )
        }
        if taggedRows.found > taggedRows.expected {
            report(
                "index T",
                "\(taggedRows.found) rows lead from tags to tasks that have \(taggedRows.expected): some lead nowhere"
            )
        }
        for sequence in endedHistories.sorted() {
            report("history of task \(sequence)", "the task has ended, and nothing removes its history")
        }
    }

    /// Checks that somebody will remove the history of a task; keys of expiry come behind those of attempts.
    private func verify(_ row: AttemptRow) throws(StorageError) {
        if let index, row.sequence.rawValue >= index.nextSequence {
            throw Self.contradiction("an attempt of task \(row.sequence), which does not exist")
        }
        guard let index, !index.isLive(row.sequence),
            try store.get(.deadLetter, KeyLayout.deadLetter(row.sequence)) == nil
        else { return }
        endedHistories.insert(row.sequence)
    }

    /// Checks that tags lead to their task, and that it carries them; keys of expiry come before those of tags.
    private func verify(_ row: TagsRow) throws(StorageError) {
        taggedRows.expected += UInt64(row.tags.count)
        for tag in row.tags where try store.get(.index, Posting.tagged(tag, row.sequence)) == nil {
            throw Self.contradiction("a list by the tag '\(tag)' does not find task \(row.sequence)")
        }
        guard let index, try tagCount(of: row.sequence, index) != UInt8(row.tags.count) else { return }
        guard !expiringTags.contains(row.sequence) else { return }
        throw Self.contradiction("\(row.tags.count) tags of task \(row.sequence), which does not carry them")
    }

    /// How many tags a task says that it carries which has not ended for good.
    private func tagCount(of sequence: TaskSequence, _ index: DurableIndex) throws(StorageError) -> UInt8 {
        if index.isLive(sequence) { return index.tagCount(of: sequence) }
        let letter = try store.get(.deadLetter, KeyLayout.deadLetter(sequence))
        return try letter?.withRaw { value throws(StorageError) in
            var texts: [UInt8] = []
            return try DeadLetterRecord.read(value, texts: &texts).task.options?.tagCount ?? 0
        } ?? 0
    }

    private func verify(_ hold: DeadHold) throws(StorageError) {
        guard try store.get(.deadLetter, KeyLayout.deadLetter(hold.sequence)) == nil else { return }
        throw Self.contradiction("task \(hold.sequence) holds a unique key as a dead letter, and is none")
    }

    private func storedHold(of sequence: TaskSequence) throws(StorageError) -> DeadHold? {
        let key = KeyLayout.deadHold(sequence)
        return try store.get(.index, key)?.withRaw { value throws(StorageError) in
            try key.withRaw { key throws(StorageError) in try DeadHoldRecord.read(key: key, value: value) }
        }
    }

    private func verify(_ locator: Locator) throws(StorageError) {
        guard let last = locator.bucket else { throw Self.contradiction("a locator that leads nowhere") }
        if try store.get(.index, KeyLayout.expiry(ExpiringRecord(.locator(locator.key), bucket: last))) == nil {
            throw Self.contradiction("nothing removes the locator of task \(locator.key.sequence) when it expires")
        }
        for (place, location) in locator.locations.enumerated() {
            // Earlier buckets of a locator may be gone before its last one.
            guard let location, let index, location.bucket > index.expiredThrough else { continue }
            try expectOutcome(TaskSequence(locator.key.sequence.rawValue &+ UInt64(place)), location)
        }
    }

    private func verifyExpiry(_ key: UnsafeRawBufferPointer) throws(StorageError) {
        switch try KeyReader.expiry(key).kind {
        case .locator(let locator):
            if try store.get(.index, KeyLayout.locator(locator)) == nil {
                throw Self.contradiction("the locator that expires here is missing")
            }
        case .history(let sequence, _): endedHistories.remove(sequence)
        case .tags(let sequence, _):
            expiringTags.insert(sequence)
            if try store.get(.index, KeyLayout.tags(of: sequence)) == nil {
                throw Self.contradiction("the tags that expire here are missing")
            }
        }
    }
}
