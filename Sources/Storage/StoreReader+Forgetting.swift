import ByteStore
import QueueCore
import TQModel

extension StoreReader {
    /// Outcomes of a selection in the order in which they expire, with all that is to go along with them.
    ///
    /// What is damaged is left out and counted: it holds up nothing else.
    func outcomes(
        _ selection: TaskSelection,
        from position: OutcomePosition,
        through last: TaskSequence,
        limit: Int
    ) throws(StorageError) -> Fetched {
        var listing = TaskListing(
            reader: self,
            query: TaskQuery(),
            selection: selection,
            page: TaskPage(tasks: []),
            readsMax: TaskListing.forgettingReadsMax
        )
        return try listing.forgettable(from: position, through: last, limit: limit)
    }
}

extension TaskListing {
    /// Seeks and records of one step, a few milliseconds.
    static let forgettingReadsMax = 4_000
    /// Bytes of records of one step.
    private static let forgettingBytesMax = 4 << 20

    /// Collects outcomes of the selection until there are enough of them, or enough was read.
    fileprivate mutating func forgettable(
        from position: OutcomePosition,
        through last: TaskSequence,
        limit: Int
    ) throws(StorageError) -> Fetched {
        var records: [OutcomeRecord] = []
        var walk = OutcomeWalk()
        var (count, byteCount) = (0, 0)
        var position: OutcomePosition? = position
        while let next = try position.flatMap({ start throws(StorageError) in try seekOutcomes(start) }) {
            guard count < limit, byteCount < Self.forgettingBytesMax, !isTired else {
                walk.next = next
                break
            }
            let (record, end) = try read(next, through: last, limit: limit - count, &walk)
            if let record {
                records.append(record)
                count += record.meant.count
                byteCount += record.results.count
            }
            position = end
        }
        walk.damaged = page.damaged
        return .outcomes(records, walk)
    }

    /// The first place at that one, or behind it, where outcomes of the selection may be.
    private mutating func seekOutcomes(_ position: OutcomePosition) throws(StorageError) -> OutcomePosition? {
        guard let location = try seekOutcomes(from: position.location) else { return nil }
        return location == position.location ? position : OutcomePosition(location)
    }

    /// Reads what is meant of a record, and says where the walk goes on.
    private mutating func read(
        _ position: OutcomePosition,
        through last: TaskSequence,
        limit: Int,
        _ walk: inout OutcomeWalk
    ) throws(StorageError) -> (record: OutcomeRecord?, next: OutcomePosition?) {
        let location = position.location
        var next = step(behind: location).map { OutcomePosition($0) }
        let content = try read(outcomesAt: location) { value throws(StorageError) in
            let entries = try OutcomeTable.read(value, at: location)
            // Written again, a damaged result would look intact.
            guard entries.allSatisfy({ $0.isIntact(value) }) else {
                throw StorageError(.corruption, "a result does not match its checksum")
            }
            return (entries, Bytes(Array(value)))
        }
        guard let (entries, value) = content else { return (nil, next) }
        let rows = entries.map { entry in
            var row = entry.row
            row.result.offset = UInt32(entry.result.lowerBound)
            return row
        }
        var meant: [(row: OutcomeRow, traces: OutcomeTraces)] = []
        for row in rows where row.sequence >= position.sequence && row.sequence <= last {
            guard try isMeant(row, &walk) else { continue }
            guard meant.count < limit else {
                next = OutcomePosition(location, row.sequence)
                break
            }
            let known = recentLocator
            let traces = try readable { reader throws(StorageError) in
                try reader.traces(of: row, at: location, known)
            }
            guard let traces else { continue }
            recentLocator = traces.locator
            meant.append((row, traces))
        }
        guard !meant.isEmpty else { return (nil, next) }
        return (OutcomeRecord(location: location, rows: rows, results: value, meant: meant), next)
    }

    private mutating func isMeant(_ row: OutcomeRow, _ walk: inout OutcomeWalk) throws(StorageError) -> Bool {
        if selection.queue ?? row.queue == row.queue { walk.scanned += 1 }
        guard try namesIfMeant(row) != nil else { return false }
        guard let tag = selection.tag else { return true }
        guard row.tagCount > 0 else { return false }
        reads += 1
        return try readable { reader throws(StorageError) in try reader.tags(of: row.sequence) }?.contains(tag) ?? false
    }
}

extension StoreReader {
    /// What else is stored of a task whose outcome is there.
    ///
    /// - Parameter known: The locator of the task before it, which mostly is its own, too.
    fileprivate func traces(
        of row: OutcomeRow,
        at location: OutcomeLocation,
        _ known: Locator?
    ) throws(StorageError) -> OutcomeTraces {
        var expiring = try history(of: row)
        if row.tagCount > 0 {
            let tags = ExpiringRecord.Kind.tags(row.sequence, try tags(of: row.sequence))
            expiring.append(ExpiringRecord(tags, bucket: row.bucket))
        }
        func leadsHere(_ locator: Locator) -> Bool { locator.location(of: row.sequence) == location }
        if let known, leadsHere(known) { return OutcomeTraces(expiring: expiring, locator: known) }
        let locator = try locator(of: row.sequence).flatMap { leadsHere($0) ? $0 : nil }
        return OutcomeTraces(expiring: expiring, locator: locator)
    }

    /// What removes the history of a task, when it has one.
    private func history(of row: OutcomeRow) throws(StorageError) -> [ExpiringRecord] {
        let first = ExpiringRecord(.history(row.sequence, placeCount: 0), bucket: row.bucket)
        let last = ExpiringRecord(.history(row.sequence, placeCount: .max), bucket: row.bucket)
        var found: [ExpiringRecord] = []
        try store.scan(
            .index,
            from: KeyLayout.expiry(first),
            to: KeyLayout.expiry(last)
        ) { key, _ throws(StorageError) in
            found.append(try KeyReader.expiry(key))
            return .continue
        }
        return found
    }
}

extension Locator {
    /// Where the outcome of a task is, as far as this locator knows.
    func location(of sequence: TaskSequence) -> OutcomeLocation? {
        guard sequence >= key.sequence else { return nil }
        let place = sequence.rawValue - key.sequence.rawValue
        return place < UInt64(locations.count) ? locations[Int(place)] : nil
    }
}
