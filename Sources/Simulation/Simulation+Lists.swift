import QueueCore
import TQModel

extension Simulation {
    /// Turns the pages of a list while nothing else happens: it must have the tasks that are meant, each once.
    mutating func checkList(of tasks: [TaskStatus]) throws(Broken) {
        let filter = someFilter(tasks)
        guard let forward = try list(filter, isNewestFirst: false, of: tasks.count),
            let backward = try list(filter, isNewestFirst: true, of: tasks.count)
        else { return }
        var missing = Dictionary(uniqueKeysWithValues: tasks.lazy.filter(filter.accepts).map { ($0.id, $0.listed) })
        if !missing.isEmpty { report.hits.count(.event(filter.tag == nil ? .listCompared : .tagCompared)) }
        for task in forward {
            let expected = missing.removeValue(forKey: task.id)
            guard task == expected else {
                throw Broken("I9", "A list with \(filter) has \(task), not \(expected.map { "\($0)" } ?? "that")")
            }
        }
        if let task = missing.values.first { throw Broken("I9", "A list with \(filter) does not have \(task)") }
        let count = try count(filter)
        guard count ?? UInt64(forward.count) == UInt64(forward.count) else {
            throw Broken("I9", "\(count ?? 0) tasks are counted for \(filter), and \(forward.count) listed")
        }
        guard filter.tag == nil || forward.map(\.id) == backward.map(\.id).reversed() else {
            throw Broken("I9", "A list with \(filter) has another order when it goes backwards")
        }
        for part in ListPart.allCases {
            let ids = forward.filter { $0.state.part == part }.map(\.id)
            guard ids == backward.filter({ $0.state.part == part }).map(\.id).reversed() else {
                throw Broken("I9", "A list with \(filter) has other \(part) tasks when it goes backwards")
            }
        }
    }

    /// All pages of a list; `nil` when the disk failed on the way.
    private mutating func list(
        _ filter: TaskFilter,
        isNewestFirst: Bool,
        of count: Int
    ) throws(Broken) -> [TaskStatus]? {
        var query = TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: UInt32(1 + dice.below(9)))
        if dice.oneIn(4) { query.count = Limits.taskPageMax }
        var tasks: [TaskStatus] = []
        repeat {
            guard case .tasks(let page)? = try reply(to: .tasks(query)) else { return nil }
            tasks += page.tasks
            query.cursor = page.next
            guard tasks.count <= count else {
                throw Broken("I9", "A list with \(filter) has more tasks than there are")
            }
        } while !query.cursor.isEmpty
        return tasks
    }

    /// The tasks of a list, counted; `nil` when the disk failed on the way.
    private mutating func count(_ filter: TaskFilter) throws(Broken) -> UInt64? {
        var query = TaskQuery(filter: filter, isCount: true)
        var count: UInt64 = 0
        repeat {
            guard case .tasks(let page)? = try reply(to: .tasks(query)) else { return nil }
            count += page.count
            query.cursor = page.next
        } while !query.cursor.isEmpty
        return count
    }

    /// What a client may look for: whatever some task has.
    mutating func someFilter(_ tasks: [TaskStatus]) -> TaskFilter {
        var filter = TaskFilter()
        guard let task = dice.pick(tasks) else { return filter }
        if dice.oneIn(3) { filter.queue = task.queue }
        if dice.oneIn(4) { filter.type = dice.pick(Cast.patterns)?.last ?? TypePattern(bytes: task.type.bytes) }
        if dice.oneIn(4) { filter.states = [task.state] }
        if dice.oneIn(8) { filter.states = Set(TaskState.allCases.filter { _ in dice.oneIn(3) }) }
        if dice.oneIn(6) { filter.priorities = task.priority...Priority(max(task.priority.rawValue, 200)) }
        if dice.oneIn(8) { filter.createdFrom = task.id.createdMilliseconds }
        if dice.oneIn(8) { filter.createdBefore = task.id.createdMilliseconds + UInt64(dice.below(2)) }
        if dice.oneIn(6) { filter.error = Bytes(task.error.suffix(3)) }
        if dice.oneIn(3) { filter.tag = dice.pick(task.tags) }
        return filter
    }
}

/// What stands in a list in an order of its own.
private enum ListPart: CaseIterable {
    case live, deadLetters, ended
}

extension TaskState {
    fileprivate var part: ListPart { isFinal ? .ended : self == .deadLetter ? .deadLetters : .live }
}

extension TaskStatus {
    /// The same without what lists leave out.
    fileprivate var listed: TaskStatus {
        var status = self
        (status.history, status.checkpoint) = ([], [])
        return status
    }
}

extension TaskFilter {
    /// What the broker must do, in a few words.
    func accepts(_ task: TaskStatus) -> Bool {
        (states.isEmpty || states.contains(task.state)) && queue ?? task.queue == task.queue
            && type?.matches(task.type.bytes) ?? true && priorities.contains(task.priority)
            && createdFrom <= task.id.createdMilliseconds && task.id.createdMilliseconds < createdBefore
            && tag.map { task.tags.contains($0) } ?? true
            && (error.isEmpty || [.failed, .deadLetter].contains(task.state) && task.error.contains(error))
    }
}
