import TQModel

extension QueueCore {
    // MARK: Submits

    /// What a submit waits for, with what is known of it already.
    ///
    /// - Parameters:
    ///   - replaced: The task whose place it takes.
    ///   - ending: A task that is completed before it is stored.
    func dependencies(
        of spec: TaskSpec,
        replacing replaced: TaskSequence?,
        ending: TaskSequence?,
        _ fetched: [Fetch: Fetched]
    ) throws(TQError) -> TaskDependencies? {
        guard let asked = spec.dependencies else { return nil }
        guard (1...Limits.dependenciesMax).contains(asked.tasks.count) else {
            throw TQError(
                .invalidArgument,
                "A task depends on 1 to \(Limits.dependenciesMax) others, not on \(asked.tasks.count)."
            )
        }
        if let replaced { try checkReplacement(replaced, dependsOn: asked) }
        var dependencies = TaskDependencies(
            parents: [],
            condition: asked.condition,
            onFailure: asked.onFailure
        )
        var ended: [(TaskSequence, TaskState)] = []
        for id in asked.tasks {
            let (sequence, state) = try dependency(id, ending: ending, fetched)
            guard !dependencies.parents.contains(where: { $0.sequence == sequence }) else {
                throw TQError(.invalidArgument, "The task depends on task \(id) twice. Name it once.")
            }
            dependencies.parents.append(.init(sequence: sequence, createdMilliseconds: id.createdMilliseconds))
            if state.isFinal || state == .deadLetter { ended.append((sequence, state)) }
            try checkCount(ofThoseThatWaitFor: sequence, id)
        }
        for (sequence, state) in ended { _ = dependencies.settle(sequence, as: state) }
        return dependencies
    }

    /// A task depends on others that were there before it, so no chain of them comes back to it, unless it takes the place of
    /// one that is older than they are.
    private func checkReplacement(_ replaced: TaskSequence, dependsOn asked: Dependencies) throws(TQError) {
        let id = id(of: replaced, index.tasks[replaced])
        guard !asked.tasks.contains(id) else {
            throw TQError(.conflict, "The task would take the place of task \(id), on which it depends.")
        }
        guard index.dependents.count(of: replaced) == 0 else {
            throw TQError(
                .conflict,
                "The task would take the place of task \(id), for which others wait, so it cannot wait for others itself. "
                    + "Submit it under another unique key."
            )
        }
    }

    /// A task that another one is to wait for, and its state.
    private func dependency(
        _ id: TaskID,
        ending: TaskSequence?,
        _ fetched: [Fetch: Fetched]
    ) throws(TQError) -> (TaskSequence, TaskState) {
        switch find(id) {
        case .slot(let sequence, let slot): return (sequence, sequence == ending ? .completed : slot.state)
        case .ended(let sequence):
            switch fetched[fate(of: id, sequence)] {
            case .fate(let state): return (sequence, state)
            case .damaged(let problem):
                throw TQError(.storageCorrupt, "How task \(id) ended, a dependency, cannot be read: \(problem)")
            case .missing: break
            default:
                throw TQError(.rateLimited, "Task \(id) was not looked up, on which the task depends. Submit it again.")
            }
        case .nowhere: break
        }
        // Not that it is not found: a completion that hands the task over would seem to speak of its own.
        throw TQError(
            .invalidArgument,
            "Task \(id), on which the task depends, is not known to this broker. It may have expired: leave it out."
        )
    }

    /// Keeps it few how many tasks the end of one concerns at once.
    ///
    /// - Parameter added: Those that were admitted and are not stored yet.
    func checkCount(ofThoseThatWaitFor parent: TaskSequence, _ id: TaskID, added: Int = 0) throws(TQError) {
        guard index.dependents.count(of: parent) + added >= Limits.dependentsMax else { return }
        throw TQError(
            .limitExceeded,
            "\(Limits.dependentsMax) tasks wait for task \(id) already, the limit. Let it submit them as it completes."
        )
    }

    /// Refuses a request that names more dependencies than can be looked up for one.
    func checkCount(ofDependenciesIn specs: [TaskSpec], and others: Int = 0) throws(TQError) -> Int {
        let count = specs.indices.reduce(others) { $0 + (specs[$1].dependencies?.tasks.count ?? 0) }
        guard count > Limits.batchCountMax else { return count }
        throw TQError(
            .limitExceeded,
            "The tasks of the request depend on \(count) others in all, the limit is \(Limits.batchCountMax). Split it."
        )
    }

    /// Tasks that submits depend on, and of which only the store knows how they ended.
    func dependencyReads(_ specs: [TaskSpec]) -> [Fetch] {
        guard (try? checkCount(ofDependenciesIn: specs)) ?? 0 > 0 else { return [] }
        return specs.indices.flatMap { place in
            (specs[place].dependencies?.tasks ?? []).compactMap { id in
                guard case .ended(let sequence) = find(id) else { return nil }
                return fate(of: id, sequence)
            }
        }
    }

    /// How a task ended that is not in memory.
    private func fate(of id: TaskID, _ sequence: TaskSequence) -> Fetch {
        // One that was put back meanwhile is asked for anew.
        .fate(id, sequence, redrive: redriven[sequence]?.number ?? 0)
    }

    /// What a task depends on, with ids.
    func dependencies(_ stored: TaskDependencies) -> Dependencies {
        Dependencies(
            on: stored.parents.map(id(of:)),
            condition: stored.condition,
            onFailure: stored.onFailure
        )
    }

    private func id(of parent: TaskDependencies.Parent) -> TaskID {
        cipher.id(of: parent.sequence, createdMilliseconds: parent.createdMilliseconds)
    }

    // MARK: Explanations

    /// Tasks that hold another one back of which an explanation tells.
    private static let explainedMax = 16

    /// The tasks for which one still waits, or that it does not any more because they failed.
    func openDependencies(_ sequence: TaskSequence) -> [WaitReason] {
        guard let dependencies = index.options[sequence]?.dependencies, dependencies.isBlocking else { return [] }
        guard !dependencies.isDoomed else { return [WaitReason(.dependencyFailed)] }
        let open = dependencies.open
        return open.prefix(Self.explainedMax).map { parent in
            let slot = index.tasks[parent.sequence]
            let reason = WaitReason(
                slot.isLive ? .dependency : .deadDependency,
                count: UInt64(open.count),
                countMax: UInt64(dependencies.parents.count)
            )
            return held(by: id(of: parent), slot.state == .inProgress ? index.leases[slot.link] : nil, reason)
        }
    }

    // MARK: Ends

    /// Lets those know that wait for a task that is over: their state changes in the same group.
    mutating func settleDependents(of parent: TaskSequence, _ state: TaskState) {
        for child in index.dependents.waiting(for: parent) {
            let slot = index.tasks[child]
            guard slot.state == .blocked, var dependencies = index.options[child]?.dependencies,
                dependencies.settle(parent, as: state)
            else { continue }
            let start = index.options[child]?.start ?? .none
            let next: TaskState = dependencies.isBlocking ? .blocked : start == .none ? .pending : .scheduled
            var settled = transition(.settle, to: next, child, slot, LeaseToken(rawValue: 0))
            settled.start = start
            settled.blocker = dependencies.isBlocking ? dependencies.progress.rawValue : 0
            record(settled)
            settledCount += 1
        }
    }

    /// Tasks that one command tells of the ends of others, whatever its first end takes: about 2 us for each.
    private static let settledPerCommandMax = 10_000

    /// Whether the present command has told so many tasks of the ends of others that the next ones have time.
    var hasSettledMuch: Bool { settledCount >= Self.settledPerCommandMax }

    /// Refuses an end of which more tasks are to be told than a command has time for that has told some.
    func checkSettling(of ends: some Sequence<TaskSequence>) throws(TQError) {
        let count = ends.reduce(settledCount) { $0 + index.dependents.count(of: $1) }
        guard count > Self.settledPerCommandMax else { return }
        guard settledCount > 0 else {
            throw TQError(.limitExceeded, "\(count) tasks wait for those that would end at once. Cancel fewer of them.")
        }
        throw TQError(
            .rateLimited,
            "So many tasks wait for those before this one that one request cannot tell them all. Send this one again."
        )
    }

    // MARK: Lost parents

    /// Looks for parents that are not in memory after a start: dead letters, or, after a repair, nothing at all.
    mutating func collectAbsentParents() {
        absentParents = index.dependents.parents.filter { !index.tasks[$0].isLive }.reversed()
    }

    /// How some of them ended, as the store says; of one that was put back it says nothing, and that one tells of its end itself.
    mutating func absentParentReads() -> [Fetch] {
        while let parent = absentParents.last, index.tasks[parent].isLive { absentParents.removeLast() }
        return absentParents.suffix(Self.absentParentsPerTick).filter { !index.tasks[$0].isLive }.map { fate(of: $0) }
    }

    private static let absentParentsPerTick = 64

    private func fate(of parent: TaskSequence) -> Fetch {
        let child = index.dependents.waiting(for: parent).first
        let known = child.flatMap { index.options[$0]?.dependencies }?.parents.first { $0.sequence == parent }
        return fate(of: id(of: known ?? .init(sequence: parent, createdMilliseconds: 0)), parent)
    }

    /// Lets nobody wait for a task that is not there.
    mutating func settleAbsentParents(_ fetched: [Fetch: Fetched]) {
        for _ in 0..<Self.absentParentsPerTick {
            guard let parent = absentParents.last, let found = fetched[fate(of: parent)], !found.isPostponed else {
                return
            }
            absentParents.removeLast()
            switch found {
            case .fate(let state): settleDependents(of: parent, state)
            case .missing: settleDependents(of: parent, .cancelled)
            // Until somebody has repaired the store.
            default: break
            }
        }
    }
}
