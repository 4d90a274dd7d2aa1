public import ByteStore
public import QueueCore
public import TQModel

extension StoreReader {
    /// Completes a page of a list that has tasks in memory already; what cannot be read is left out of it and counted.
    ///
    /// - Parameters:
    ///   - position: Where to go on; nothing is read for tasks that have not ended, but for their errors.
    ///   - tagged: The tasks in memory that carry tags.
    ///   - readsMax: Seeks and records that it does; so many take the reading thread about twenty milliseconds.
    public func list(
        _ page: TaskPage,
        _ query: TaskQuery,
        _ selection: TaskSelection,
        from position: ListPosition,
        tagged: Set<TaskSequence>,
        readsMax: Int = 10_000
    ) throws(StorageError) -> TaskPage {
        var listing = TaskListing(reader: self, query: query, selection: selection, page: page, readsMax: readsMax)
        try listing.addDetails(tagged: tagged)
        listing.page.next = try listing.list(from: position)?.cursor ?? []
        listing.countOnly()
        return listing.page
    }
}

/// A page of a list that is being filled.
struct TaskListing {
    private static let bytesMax = 64 << 20

    let reader: StoreReader
    let query: TaskQuery
    let selection: TaskSelection
    var page: TaskPage
    let readsMax: Int
    var reads = 0
    private var byteCount = 0
    private var names: SelectedNames
    private var contents: [StoredContent: Content] = [:]
    private var retriesMax: [UInt32: UInt16] = [:]
    /// The record of outcomes that was read last.
    private var recent: (location: OutcomeLocation, value: [UInt8])?
    /// The locator that was looked at last.
    var recentLocator: Locator?

    init(reader: StoreReader, query: TaskQuery, selection: TaskSelection, page: TaskPage, readsMax: Int) {
        (self.reader, self.query, self.selection) = (reader, query, selection)
        (self.page, self.readsMax) = (page, readsMax)
        names = SelectedNames(reader: reader, selection: selection)
    }

    var isFull: Bool { !query.isCount && page.tasks.count >= Int(query.count) }
    var isTired: Bool { reads >= readsMax || byteCount >= Self.bytesMax }

    // MARK: The parts of the list

    /// Says what made tasks fail that wait for their next attempts, and what tags tasks carry.
    mutating func addDetails(tagged: Set<TaskSequence>) throws(StorageError) {
        for place in page.tasks.indices {
            let isFailed = page.tasks[place].state == .failed
            guard isFailed || !tagged.isEmpty, let sequence = reader.sequence(of: page.tasks[place].id) else {
                continue
            }
            if isFailed { page.tasks[place].error = try error(of: sequence) }
            if tagged.contains(sequence) { page.tasks[place].tags = try tags(of: sequence) ?? [] }
        }
        if !selection.error.isEmpty { page.tasks.removeAll { !selection.matches(error: $0.error) } }
    }

    /// Leaves of tasks that were only to be counted their number.
    mutating func countOnly() {
        guard query.isCount else { return }
        page.count += UInt64(page.tasks.count)
        page.tasks = []
    }

    /// What made a task fail that waits for its next attempt.
    mutating func error(of sequence: TaskSequence) throws(StorageError) -> Bytes {
        let history = try readable { reader throws(StorageError) in try reader.history(of: sequence) }
        return history?.last?.error ?? []
    }

    /// The tags of a task that carries some; `nil` when they cannot be read.
    private mutating func tags(of sequence: TaskSequence) throws(StorageError) -> [TaskTag]? {
        reads += 1
        return try readable { reader throws(StorageError) in try reader.tags(of: sequence) }
    }

    /// Adds tasks from a place on, and says where the next page begins.
    mutating func list(from position: ListPosition) throws(StorageError) -> ListPosition? {
        var position = position
        if case .deadLetter(let first) = position {
            if let next = try listDeadLetters(from: first) { return .deadLetter(next) }
            position = .outcomes(isNewestFirst: query.isNewestFirst)
        }
        guard case .outcome(let location, let first) = position else { return position }
        return try listOutcomes(from: location, first)
    }

    private mutating func listDeadLetters(from first: TaskSequence) throws(StorageError) -> TaskSequence? {
        guard selection.states.contains(.deadLetter) else { return nil }
        let walks = reader.deadLetterWalks(selection, isDescending: query.isNewestFirst)
        var end: [UInt8]? = KeyLayout.deadLetter(first)
        while let from = end, let found = try seek(walks, from) {
            end = walks[0].step(from: found)
            guard try take(deadLetter: found) else { return TaskSequence(key: found) }
        }
        return nil
    }

    private mutating func listOutcomes(
        from location: OutcomeLocation,
        _ first: TaskSequence
    ) throws(StorageError) -> ListPosition? {
        var start: OutcomeLocation? = location
        var first = first
        while let from = start, let found = try seekOutcomes(from: from) {
            if found != from { first = query.isNewestFirst ? .last : TaskSequence(0) }
            if let next = try take(outcomesAt: found, from: first) { return .outcome(found, next) }
            // Only the record of the cursor is begun in the middle, and the next one may be just behind it.
            first = query.isNewestFirst ? .last : TaskSequence(0)
            start = step(behind: found)
        }
        return nil
    }

    /// The next record, that one included, that may hold tasks to list.
    mutating func seekOutcomes(from location: OutcomeLocation) throws(StorageError) -> OutcomeLocation? {
        let states = selection.states.filter(\.isFinal)
        guard !states.isEmpty else { return nil }
        let found = try seekOutcomes(walk(.completed, []), KeyLayout.outcomes(location), states)
        return try found?.withRaw { key throws(StorageError) in try KeyReader.outcomes(key) }
    }

    /// The place behind a record in the direction of the list; `nil` behind the last one there can be.
    func step(behind location: OutcomeLocation) -> OutcomeLocation? {
        let end = walk(.completed, []).step(from: KeyLayout.outcomes(location))
        return try? end?.withRaw { key throws(StorageError) in try KeyReader.outcomes(key) }
    }

    /// The key of the next record that may hold tasks to list.
    private mutating func seekOutcomes(
        _ records: RowWalk,
        _ key: [UInt8],
        _ states: Set<TaskState>
    ) throws(StorageError) -> [UInt8]? {
        var numbers: [(Posting.Kind, UInt32)] = []
        if let queue = selection.queue { numbers.append((.queue, queue)) }
        if let type = selection.type { numbers.append((.type, type)) }
        if let state = states.first, states.count == 1 { numbers.append((.state, UInt32(state.rawValue))) }
        var key = key
        // Where the next bucket is, the records say.
        while let record = try seek([records], key) {
            guard !numbers.isEmpty else { return record }
            let bucket = try record.withRaw { key throws(StorageError) in try KeyReader.outcomes(key).bucket }
            let walks = numbers.map { walk(.index, Posting.outcomes(bucket, $0.0, $0.1)) }
            if let end = try seek(walks, Array(record[4...])) {
                return record[..<4] + end
            }
            let rest = query.isNewestFirst ? UInt8.min : UInt8.max
            guard let next = records.step(from: record[..<4] + Array(repeating: rest, count: record.count - 4)) else {
                return nil
            }
            // A store that keeps results of many ages has many buckets.
            if isTired { return next }
            key = next
        }
        return nil
    }

    private mutating func seek(_ walks: [RowWalk], _ end: [UInt8]) throws(StorageError) -> [UInt8]? {
        try RowWalk.seek(walks, end, seeks: &reads, damaged: &page.damaged, limit: readsMax)
    }

    private func walk(_ family: Family, _ prefix: [UInt8]) -> RowWalk {
        RowWalk(store: reader.store, family: family, prefix: prefix, isDescending: query.isNewestFirst)
    }

    // MARK: Records

    /// Reads something; what is damaged is counted, so that whoever asked hears of it, and holds up nothing else.
    mutating func readable<Value>(
        _ read: (StoreReader) throws(StorageError) -> Value?
    ) throws(StorageError) -> Value? {
        do throws(StorageError) {
            return try read(reader)
        } catch {
            guard error.kind == .corruption else { throw error }
            page.damaged += 1
            return nil
        }
    }

    /// Lists a dead letter that is asked for, and says whether to go on.
    mutating func take(deadLetter key: [UInt8]) throws(StorageError) -> Bool {
        guard !isTired else { return false }
        reads += 1
        page.scanned += 1
        let letter = try readable { reader throws(StorageError) in try reader.deadLetter(at: key) }
        guard let (row, error, payload) = letter else { return true }
        byteCount += error.count + payload.count
        guard selection.matches(row, error: error), let names = try names.of(row.task.queue, row.task.type) else {
            return true
        }
        guard !isFull else { return false }
        let status = reader.status(
            row,
            error: error,
            queue: names.queue,
            type: names.type,
            try content(row.task.content),
            retriesMax: try retriesMax(of: row.task.queue)
        )
        try append(status, row.task.sequence, isTagged: row.task.options?.tagCount ?? 0 > 0)
        return true
    }

    /// Adds a task with its tags; not one that has lost the tag since it was found by it.
    mutating func append(_ status: TaskStatus, _ sequence: TaskSequence, isTagged: Bool) throws(StorageError) {
        var status = status
        let tags = isTagged && (selection.tag != nil || !query.isCount) ? try tags(of: sequence) : []
        // Of one whose tags cannot be read what led to it says that it carries this one.
        if let tag = selection.tag, let tags, !tags.contains(tag) { return }
        status.tags = tags ?? []
        if query.isCount { page.count += 1 } else { page.tasks.append(status) }
    }

    /// Lists the outcomes of a record that are asked for, and says where in it to go on next time.
    private mutating func take(
        outcomesAt location: OutcomeLocation,
        from first: TaskSequence
    ) throws(StorageError) -> TaskSequence? {
        guard !isTired else { return first }
        let selection = selection
        let found = try read(outcomesAt: location) { value throws(StorageError) in
            try OutcomeTable.read(value, at: location) { queue, type, state in
                selection.mayMean(queue: queue, type: type, state: state)
            }
        }
        guard let (entries, count) = found else { return nil }
        let rows = entries.map(\.row)
        page.scanned += UInt64(count - rows.count)
        for row in query.isNewestFirst ? rows.reversed() : rows
        where query.isNewestFirst ? row.sequence <= first : row.sequence >= first {
            guard try take(row) else { return row.sequence }
        }
        return nil
    }

    /// Lists an outcome that is asked for, and says whether there was room for it.
    mutating func take(_ row: OutcomeRow) throws(StorageError) -> Bool {
        page.scanned += 1
        guard let names = try namesIfMeant(row) else { return true }
        guard !isFull else { return false }
        let content = try content(row.content)
        let status = reader.status(row, queue: names.queue, type: names.type, content)
        try append(status, row.sequence, isTagged: row.tagCount > 0)
        return true
    }

    /// The names of an outcome's queue and type, when it is asked for; what tags it carries is not looked at.
    mutating func namesIfMeant(_ row: OutcomeRow) throws(StorageError) -> (queue: Name, type: Name)? {
        guard
            selection.matches(
                queue: row.queue,
                type: row.type,
                row.rank,
                createdMilliseconds: row.createdMilliseconds
            ), selection.states.contains(row.state)
        else { return nil }
        return try names.of(row.queue, row.type)
    }

    /// Reads something in a record of outcomes; `nil` when it is not there, has expired or is damaged.
    mutating func read<Value>(
        outcomesAt location: OutcomeLocation,
        _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Value?
    ) throws(StorageError) -> Value? {
        let value = try record(at: location)
        guard !value.isEmpty else { return nil }
        let damaged = page.damaged
        let found = try readable { _ throws(StorageError) in try value.withRaw(body) }
        // It is counted once, however many tasks are looked for in it.
        if page.damaged > damaged { recent = (location, []) }
        return found
    }

    /// A record of outcomes; empty when it has expired, or cannot be read.
    private mutating func record(at location: OutcomeLocation) throws(StorageError) -> [UInt8] {
        if let recent, recent.location == location { return recent.value }
        reads += 1
        let key = KeyLayout.outcomes(location)
        let value = try readable { reader throws(StorageError) in try reader.store.get(.completed, key) } ?? []
        byteCount += value.count
        recent = (location, value)
        return value
    }

    /// What a payload or a result is; unspecified when the name of its type cannot be read.
    private mutating func content(_ stored: StoredContent) throws(StorageError) -> Content {
        if let content = contents[stored] { return content }
        let content = try readable { reader throws(StorageError) in try reader.content(stored) } ?? .unspecified
        contents[stored] = content
        return content
    }

    private mutating func retriesMax(of queue: UInt32) throws(StorageError) -> UInt16 {
        if let known = retriesMax[queue] { return known }
        let found = try readable { reader throws(StorageError) in try reader.retriesMax(of: queue) }
        retriesMax[queue] = found ?? Defaults.retriesMax
        return found ?? Defaults.retriesMax
    }
}
