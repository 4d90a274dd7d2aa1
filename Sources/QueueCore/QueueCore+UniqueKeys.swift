import TQModel

extension QueueCore {
    func check(_ unique: UniqueKey) throws(TQError) {
        guard (1...Limits.uniqueKeyBytesMax).contains(unique.key.count) else {
            throw TQError(
                .invalidArgument,
                "The unique key has \(unique.key.count) bytes; use 1 to \(Limits.uniqueKeyBytesMax). Hash a longer one."
            )
        }
        guard case .window(let milliseconds) = unique.scope else { return }
        guard milliseconds > 0 else {
            throw TQError(.invalidArgument, "The window of a unique key is 0 ms. Give a longer one, or another scope.")
        }
        try checkDuration(milliseconds, "window of the unique key")
    }

    /// The task that keeps a submit with that unique key out.
    ///
    /// - Parameter ending: A task that is over before the submit counts.
    func holder(of hash: KeyHash, _ unique: UniqueKey, ending: TaskSequence?) -> UniqueKeyTable.Holder? {
        if let row = index.keys[hash], !row.bucket.isExpired(storeMilliseconds: clock.milliseconds) {
            return .init(sequence: row.sequence, createdMilliseconds: row.createdMilliseconds)
        }
        return index.uniqueKeys.holder(of: hash, otherThan: ending)
    }

    func id(of holder: UniqueKeyTable.Holder) -> TaskID {
        cipher.id(of: holder.sequence, createdMilliseconds: holder.createdMilliseconds)
    }

    /// The task whose place a submit takes.
    ///
    /// - Throws: `conflict` when the submit does not ask for that, or the task does not wait any more.
    func replaceable(_ holder: UniqueKeyTable.Holder, by unique: UniqueKey) throws(TQError) -> TaskSequence {
        let held = "The unique key '\(String(decoding: unique.key, as: UTF8.self))' is held by task \(id(of: holder))"
        guard unique.onConflict == .replace else {
            throw TQError(.conflict, "\(held). Submit again when it is free, or ask for that task or to replace it.")
        }
        let slot = index.tasks[holder.sequence]
        guard slot.stateValue != 0, slot.state.isWaiting else {
            throw TQError(
                .conflict,
                "\(held), which does not wait and cannot be replaced. Submit again when it is free."
            )
        }
        return holder.sequence
    }

    /// What a task with that unique key holds while it is in a state; `nil` when it is held for a window.
    func hold(_ hash: KeyHash, of spec: TaskSpec) -> UniqueHold? {
        switch spec.uniqueKey?.scope {
        case .waiting: UniqueHold(hash: hash, scope: .waiting)
        case .active: UniqueHold(hash: hash, scope: .active)
        case .unfinished: UniqueHold(hash: hash, scope: .unfinished)
        case .window, nil: nil
        }
    }

    /// Keeps a unique key that is held for a window.
    mutating func storeWindow(of hash: KeyHash, _ spec: TaskSpec, _ row: TaskRow) {
        guard case .window(let milliseconds)? = spec.uniqueKey?.scope else { return }
        store(hash, row, contentHash: 0, keptMilliseconds: milliseconds)
    }

    /// Makes a task that waits another one, under the id that it has; attempts that it had stay counted.
    mutating func replace(with row: TaskRow, payload: Bytes) {
        let wasArranged = index.tasks[row.sequence].isArranged
        store(row, payload: payload, isMoved: true, isReplacement: true)
        let start = row.options?.start ?? .none
        let isBlocked = row.options?.dependencies?.isBlocking ?? false
        var replaced = transition(
            .replace,
            to: isBlocked ? .blocked : start == .none ? .pending : .scheduled,
            row.sequence,
            index.tasks[row.sequence],
            LeaseToken(rawValue: 0)
        )
        replaced.start = start
        replaced.isRedriven = false
        // A replay may take the arrangement after the row.
        if wasArranged { (replaced.queue, replaced.rank) = (row.queue, row.rank) }
        record(replaced)
    }

    /// Why a dead letter cannot be put back: another task holds its unique key.
    func holderError(of task: TaskRow) -> TQError? {
        guard let hold = task.options?.uniqueKey, hold.isHeld(in: .pending),
            let holder = index.uniqueKeys.holder(of: hold.hash, otherThan: task.sequence)
        else { return nil }
        return TQError(
            .conflict,
            "Task \(id(of: holder)) holds the unique key of task "
                + "\(cipher.id(of: task.sequence, createdMilliseconds: task.createdMilliseconds)), so it cannot be put back. "
                + "Try again when that task is over, or cancel it."
        )
    }
}
