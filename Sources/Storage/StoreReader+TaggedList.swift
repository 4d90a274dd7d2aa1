public import ByteStore
public import QueueCore
public import TQModel

extension StoreReader {
    /// Makes a page of a list of the tasks with a tag.
    ///
    /// - Parameters:
    ///   - page: A page without tasks.
    ///   - tasks: Where the tasks are that the tag leads to, in the order of the list.
    ///   - next: Where the list goes on behind them; `nil` for its end.
    public func list(
        _ page: TaskPage,
        _ query: TaskQuery,
        _ selection: TaskSelection,
        of tasks: [TaggedTask],
        next: TaskSequence?,
        readsMax: Int = 10_000
    ) throws(StorageError) -> TaskPage {
        var listing = TaskListing(reader: self, query: query, selection: selection, page: page, readsMax: readsMax)
        let next = try listing.list(tasks) ?? next
        listing.page.next = next.map { ListPosition.tagged($0).cursor } ?? []
        return listing.page
    }
}

extension TaskListing {
    /// Adds those of the tasks that are asked for, and says at which to go on next time.
    mutating func list(_ tasks: [TaggedTask]) throws(StorageError) -> TaskSequence? {
        for task in tasks {
            guard !isTired, try take(task) else { return task.sequence }
        }
        return nil
    }

    /// Lists a task that is asked for, and says whether there was room for it.
    private mutating func take(_ task: TaggedTask) throws(StorageError) -> Bool {
        switch task.place {
        case .inMemory(let status): return try take(status, task.sequence)
        case .stored(.outcome(let location)): return try take(task.sequence, endedAt: location)
        case .stored(.deadLetter): return try take(deadLetter: task.sequence)
        case .stored(.anywhere):
            reads += 1
            let location = try readable { reader throws(StorageError) in try reader.location(of: task.sequence) }
            guard let location else {
                return try take(deadLetter: task.sequence)
            }
            return try take(task.sequence, endedAt: location)
        }
    }

    private mutating func take(_ status: TaskStatus, _ sequence: TaskSequence) throws(StorageError) -> Bool {
        page.scanned += 1
        var status = status
        if status.state == .failed {
            reads += 1
            status.error = try error(of: sequence)
        }
        guard selection.matches(error: status.error) else { return true }
        guard !isFull else { return false }
        try append(status, sequence, isTagged: true)
        return true
    }

    private mutating func take(_ sequence: TaskSequence, endedAt location: OutcomeLocation) throws(StorageError) -> Bool
    {
        let entry = try read(outcomesAt: location) { value throws(StorageError) in
            try OutcomeTable.read(value, at: location, of: sequence)
        }
        guard let entry else { return true }
        return try take(entry.row)
    }

    private mutating func take(deadLetter sequence: TaskSequence) throws(StorageError) -> Bool {
        guard selection.states.contains(.deadLetter) else { return true }
        return try take(deadLetter: KeyLayout.deadLetter(sequence))
    }
}
