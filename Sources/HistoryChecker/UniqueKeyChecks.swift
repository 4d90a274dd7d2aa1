import TQModel

extension Checker {
    /// A submit found its unique key held, and was told by whom.
    mutating func acknowledgeHolder(_ submit: SubmitCall, _ id: TaskID, _ operation: OpenOperation) {
        submits.refuse(submit)
        guard let slot = slot(of: id, payload: nil) else { return }
        // All that matters of it, but for its payload.
        if tasks[slot].spec == nil { tasks[slot].spec = submit }
        let record = tasks[slot]
        guard checkName(submit, record, operation) else { return }
        guard submit.unique?.scope != .window, !record.canBeRedriven,
            let end = record.end, end.known < operation.invoked
        else { return }
        let holdsDead = submit.unique?.scope == .unfinished && end.state == .deadLetter
        guard !holdsDead else { return }
        let sentence = "It was \(end.state.name), and kept another task with its unique key out"
        report(.unique, id, [end.known, operation.invoked], sentence)
    }

    /// A submit took the place of a task that waited.
    mutating func acknowledgeReplacement(_ submit: SubmitCall, _ id: TaskID, _ operation: OpenOperation) {
        submits.refuse(submit)
        guard submit.unique?.replaces == true else {
            return report(.unique, id, [operation.invoked], "It was replaced by a submit that did not ask for that")
        }
        guard let slot = slot(of: id, payload: nil), checkName(submit, tasks[slot], operation) else { return }
        if let end = tasks[slot].end, end.known < operation.invoked, !tasks[slot].canBeRedriven {
            report(.unique, id, [end.known, operation.invoked], "It was \(end.state.name), and was replaced")
        }
        if tasks[slot].replacements.isEmpty, let payload = tasks[slot].payload {
            tasks[slot].replacements.append((payload, tasks[slot].known))
        }
        // What was acknowledged before this one was sent is over.
        for earlier in tasks[slot].replacements where earlier.returned < operation.invoked {
            tasks[slot].earlierPayloads.append((earlier.payload, position))
        }
        tasks[slot].replacements.removeAll { $0.returned < operation.invoked }
        tasks[slot].replacements.append((submit.payload, position))
        tasks[slot].payload = submit.payload
        if tasks[slot].spec == nil { tasks[slot].spec = submit }
    }

    /// Whether a task is one that the submit can have met under its unique key.
    private mutating func checkName(_ submit: SubmitCall, _ record: TaskRecord, _ operation: OpenOperation) -> Bool {
        guard let spec = record.spec, SubmitLedger.UniqueName(spec) != SubmitLedger.UniqueName(submit) else {
            return true
        }
        let sentence = "A submit was told of it that has another unique key"
        report(.unique, record.id, [record.submitInvoked, operation.invoked], sentence)
        return false
    }

    /// Whether what was asked for at an event may tell of this payload because a submit took the task's place, or a redrive
    /// changed it.
    func mayHave(_ payload: Digest, _ record: TaskRecord, since invoked: Int) -> Bool {
        // Who made it is not known, and so not what it had first.
        if !record.isSubmitAcknowledged, record.spec?.unique != nil { return true }
        if record.edits.contains(payload) { return true }
        if record.replacements.contains(where: { $0.payload == payload }) { return true }
        if record.earlierPayloads.contains(where: { $0.payload == payload && invoked < $0.replaced }) { return true }
        guard let spec = record.spec, let name = SubmitLedger.UniqueName(spec) else { return false }
        return submits.mayReplace(name, with: payload)
    }

    /// A task was called new: no other one can have held its key all the time.
    mutating func noteHolder(_ submit: SubmitCall, _ id: TaskID, _ operation: OpenOperation) {
        guard let name = SubmitLedger.UniqueName(submit) else { return }
        if name.scope == .active || name.scope == .unfinished {
            for other in submits.holders[name] ?? [] where other != id {
                guard let slot = tasks.slot(of: other), tasks[slot].known < operation.invoked, !mayBeOver(tasks[slot])
                else { continue }
                let sentence = "It was taken while task \(other) held its unique key"
                report(.unique, id, [tasks[slot].known, operation.invoked], sentence)
            }
        }
        submits.noteHolder(id, name)
    }

    /// Of all rows of a dump, at most one may hold a key that is held until its task is over.
    mutating func checkOnlyHolder(_ slot: Int, _ row: StoredTask) {
        guard let spec = tasks[slot].spec, let name = SubmitLedger.UniqueName(spec), let dump else { return }
        let holds =
            switch name.scope {
            case .active: row.state.isWaiting || row.state == .inProgress
            case .unfinished: !row.state.isFinal
            case .waiting, .window: false
            }
        guard holds else { return }
        if let other = dump.holders[name] {
            report(.unique, row.id, [dump.began], "Both it and task \(other) hold its unique key")
        }
        self.dump?.holders[name] = row.id
    }
}
