import HistoryChecker
import QueueCore
import TQModel

extension DurableIndex {
    /// A task that runs although its dependencies are not met, or waits for one that is over.
    var dependencyProblem: Broken? {
        for task in runningDependents where !task.dependencies.mayRun(task.parents) {
            return Broken("I24", "Task \(task.sequence) runs, and depends on \(task.dependencies)")
        }
        for task in blockedTasks {
            for (parent, known) in zip(task.dependencies.parents, task.parents)
            where task.dependencies.isOpen(parent.sequence) {
                // A dead letter may be in the store alone.
                let isAwaited = known?.isLive ?? (task.dependencies.onFailure == .wait)
                let isDead = known?.state == .deadLetter && task.dependencies.onFailure == .wait
                guard !isAwaited, !isDead else { continue }
                return Broken("I24", "Task \(task.sequence) waits for task \(parent.sequence), which is over")
            }
        }
        return nil
    }
}

extension TaskDependencies {
    /// Whether a task may run whose parents are in those states; `nil` for one that is not in memory.
    fileprivate func mayRun(_ parents: [IndexedDependent.Parent?]) -> Bool {
        let running = parents.count { parent in
            guard let parent, parent.isLive else { return false }
            // One that failed and was put back is waited for no more.
            return !(onFailure == .run && parent.wasDead)
        }
        let failed = parents.count { $0?.state == .cancelled || $0?.state == .deadLetter }
        switch condition {
        case .all: return running == 0 && (failed == 0 || onFailure == .run)
        case .any: return running + failed < parents.count || onFailure == .run && running == 0
        }
    }
}

/// What is known of tasks that depend on others, and of how those ended.
struct DependencyChecks {
    /// What each task depends on; of one that was replaced a power cut may bring the earlier ones back.
    private var dependencies: [TaskSequence: [(parents: [TaskSequence], asked: Dependencies)]] = [:]
    /// The states in which tasks ended, dead letters that were put back included.
    private var ends: [TaskSequence: Set<TaskState>] = [:]

    /// Takes what a task depends on that was stored.
    mutating func note(_ spec: TaskSpec, _ id: TaskID, _ cipher: TaskIDCipher) {
        guard let sequence = cipher.sequence(of: id), let asked = spec.dependencies else { return }
        dependencies[sequence, default: []].append((asked.tasks.compactMap(cipher.sequence(of:)), asked))
    }

    /// Takes the ends of a group that may be written.
    mutating func noteEnds(_ effects: EffectBatch) {
        for transition in effects.transitions where [.complete, .cancel, .bury].contains(transition.operation) {
            ends[transition.sequence, default: []].insert(transition.state)
        }
    }

    /// Looks at a committed group: who ends without having run depends on tasks that failed.
    mutating func check(_ effects: EffectBatch) throws(Broken) {
        let unrun =
            effects.outcomes.filter { $0.cancelReason == .dependencyFailed }.map { ($0.sequence, TaskState.cancelled) }
            + effects.deadLetters.filter { $0.reason == .dependencyFailed }.map { ($0.task.sequence, .deadLetter) }
        noteEnds(effects)
        for (sequence, state) in unrun { try check(sequence, endedAs: state) }
    }

    private func check(_ sequence: TaskSequence, endedAs state: TaskState) throws(Broken) {
        let known = dependencies[sequence] ?? []
        guard !known.contains(where: { mayEnd(as: state, $0.parents, $0.asked) }) else { return }
        let asked = known.map(\.asked)
        throw Broken("I24", "Task \(sequence) is \(state.name) because dependencies failed, and has \(asked)")
    }

    /// Whether a task may have ended in that way without having run.
    private func mayEnd(as state: TaskState, _ parents: [TaskSequence], _ asked: Dependencies) -> Bool {
        // With 'wait' a dead letter has not failed for good.
        let failures: Set<TaskState> = asked.onFailure == .wait ? [.cancelled] : [.cancelled, .deadLetter]
        let failed = parents.count { !(ends[$0]?.isDisjoint(with: failures) ?? true) }
        return failed >= (asked.condition == .all ? 1 : parents.count) && asked.onFailure != .run
            && (asked.onFailure == .bury) == (state == .deadLetter)
    }
}

extension Simulation {
    /// Some tasks that clients know of, most of which have not ended.
    mutating func someDependencies() -> Dependencies? {
        var tasks: [TaskID] = []
        for _ in 0..<1 + dice.below(3) {
            if let id = dice.pickRecent(dice.oneIn(8) ? dead : ids), !tasks.contains(id) { tasks.append(id) }
        }
        guard !tasks.isEmpty else { return nil }
        return Dependencies(
            on: tasks,
            condition: dice.oneIn(3) ? .any : .all,
            onFailure: dice.pick(Dependencies.OnFailure.allCases) ?? .cancel
        )
    }

    /// Cancels what waits for dead letters that nobody puts back, and says whether there was something.
    mutating func cancelBlocked() throws(Broken) -> Bool {
        var blocked: [TaskID] = []
        for id in storedIDs {
            guard case .status(let status)? = try reply(to: .status(id)), status.state == .blocked else { continue }
            blocked.append(id)
            guard case .explanation(let explanation)? = try reply(to: .explain(id)),
                explanation.reasons.contains(where: { $0.kind == .dependencyFailed })
            else { continue }
            throw Broken("I24", "The dependencies of task \(id) have failed, and it does not end")
        }
        for id in blocked { _ = try reply(to: .cancel([id]), calls: [.cancel(id)]) }
        return !blocked.isEmpty
    }
}
