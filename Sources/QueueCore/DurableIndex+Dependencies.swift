import TQModel

/// Tasks that wait for others: each is found by those that it waits for.
struct DependentTable: Sendable {
    /// By the tasks that are waited for.
    private var children: [TaskSequence: Set<TaskSequence>] = [:]
    /// Tasks whose dependencies failed, and that are still to end; stale ones included.
    private var doomed = BinaryHeap<TaskSequence>()

    /// Tasks that are waited for.
    var count: Int { children.count }

    /// How many tasks wait for one.
    func count(of parent: TaskSequence) -> Int { children[parent]?.count ?? 0 }

    /// Who waits for a task, in the order of their submits.
    func waiting(for parent: TaskSequence) -> [TaskSequence] {
        children.isEmpty ? [] : children[parent]?.sorted() ?? []
    }

    /// Tasks that are waited for, in the order of their submits; it takes the time to sort them.
    var parents: [TaskSequence] { children.keys.sorted() }

    /// Everybody who waits, in the order of their submits.
    var waiting: [TaskSequence] {
        children.isEmpty ? [] : children.values.reduce(into: Set()) { $0.formUnion($1) }.sorted()
    }

    mutating func insert(_ child: TaskSequence, _ dependencies: TaskDependencies) {
        if dependencies.isDoomed { return doomed.push(child) }
        for parent in dependencies.open { children[parent.sequence, default: []].insert(child) }
    }

    mutating func remove(_ child: TaskSequence, _ dependencies: TaskDependencies) {
        for parent in dependencies.parents { remove(child, from: parent) }
    }

    private mutating func remove(_ child: TaskSequence, from parent: TaskDependencies.Parent) {
        children[parent.sequence]?.remove(child)
        if children[parent.sequence]?.isEmpty == true { children[parent.sequence] = nil }
    }

    /// Lets a task wait no more for those that are over now and were not before, or for none when it is doomed.
    mutating func advance(_ child: TaskSequence, _ new: TaskDependencies, since old: TaskDependencies.Progress) {
        if new.isDoomed {
            remove(child, new)
            return insert(child, new)
        }
        for (place, parent) in new.parents.enumerated() where new.progress.isOver(place) && !old.isOver(place) {
            remove(child, from: parent)
        }
    }

    /// The first of the tasks that were doomed; it may be over.
    var firstDoomed: TaskSequence? { doomed.first }

    mutating func removeFirstDoomed() { doomed.removeFirst() }
}

extension DurableIndex {
    /// Lets a blocked task be found by those that it waits for.
    mutating func block(_ sequence: TaskSequence) {
        if let dependencies = options[sequence]?.dependencies { dependents.insert(sequence, dependencies) }
    }

    /// A task is not blocked any more, or waits for others from now on.
    mutating func unblock(_ sequence: TaskSequence) {
        if let dependencies = options[sequence]?.dependencies { dependents.remove(sequence, dependencies) }
    }

    /// Notes that some more of a task's dependencies are over, and that it still waits.
    mutating func advance(_ sequence: TaskSequence, to progress: TaskDependencies.Progress) {
        guard var dependencies = options[sequence]?.dependencies else { return }
        let old = dependencies.progress
        dependencies.progress = progress
        dependents.advance(sequence, dependencies, since: old)
        note(progress, of: sequence)
    }

    /// Notes how far the dependencies of a task are.
    mutating func note(_ progress: TaskDependencies.Progress, of sequence: TaskSequence) {
        options[sequence]?.dependencies?.progress = progress
    }

    /// The first task that is to end because its dependencies failed; it is given once.
    mutating func takeDoomed() -> TaskSequence? {
        dropDoomed()
        guard let first = dependents.firstDoomed else { return nil }
        dependents.removeFirstDoomed()
        return first
    }

    /// Forgets those that have ended.
    mutating func dropDoomed() {
        while let first = dependents.firstDoomed, !isDoomed(first) { dependents.removeFirstDoomed() }
    }

    /// Whether a task is to end because its dependencies failed.
    func isDoomed(_ sequence: TaskSequence) -> Bool {
        tasks[sequence].stateValue == TaskState.blocked.rawValue && options[sequence]?.dependencies?.isDoomed == true
    }
}
