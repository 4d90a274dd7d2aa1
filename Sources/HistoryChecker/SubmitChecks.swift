import TQModel

extension Checker {
    mutating func returnSubmit(_ submit: SubmitCall, _ operation: OpenOperation, _ outcome: Outcome) {
        switch outcome {
        case .submitted(let id, let isDuplicate):
            if isDuplicate, submit.unique != nil {
                acknowledgeHolder(submit, id, operation)
            } else {
                acknowledge(submit, id, isDuplicate: isDuplicate, operation)
            }
        case .replaced(let id): acknowledgeReplacement(submit, id, operation)
        case .refused(let code):
            if code == .conflict, submit.unique == nil { checkConflict(submit, operation) }
            submits.refuse(submit)
        case .unknown: break
        case .delivered, .done, .cancelRequested, .observed: reportMismatch(operation)
        }
    }

    private mutating func acknowledge(
        _ submit: SubmitCall,
        _ id: TaskID,
        isDuplicate: Bool,
        _ operation: OpenOperation
    ) {
        submits.resolve(submit)
        defer { noteHolder(submit, id, operation) }
        var first = SubmitLedger.FirstUse(
            position: operation.invoked,
            milliseconds: operation.time.monotonicMilliseconds
        )
        if let name = SubmitLedger.KeyName(submit) {
            first = checkKey(name, id, isDuplicate: isDuplicate, operation)
        } else if isDuplicate {
            report(.once, id, [operation.invoked], "A submit without idempotency key was called a duplicate")
        }
        guard let slot = tasks.slot(of: id) else {
            var record = TaskRecord(
                id: id,
                submitInvoked: first.position,
                submitMilliseconds: first.milliseconds,
                known: position
            )
            record.spec = submit
            record.payload = submit.payload
            record.isSubmitAcknowledged = true
            _ = add(record)
            return
        }
        checkSameTask(slot, submit, operation)
        if !tasks[slot].isSubmitAcknowledged, let seen = tasks[slot].payload { submits.unmatch(seen) }
        tasks[slot].isSubmitAcknowledged = true
        // Another submit may have taken its place since.
        if submit.unique != nil { tasks[slot].earlierPayloads.append((submit.payload, .max)) }
        tasks[slot].submitInvoked = min(tasks[slot].submitInvoked, first.position)
        if tasks[slot].spec == nil { tasks[slot].spec = submit }
    }

    /// Checks that the key always gives the same task until it is forgotten, and returns where it was used first.
    private mutating func checkKey(
        _ name: SubmitLedger.KeyName,
        _ id: TaskID,
        isDuplicate: Bool,
        _ operation: OpenOperation
    ) -> SubmitLedger.FirstUse {
        let own = SubmitLedger.FirstUse(
            position: operation.invoked,
            milliseconds: operation.time.monotonicMilliseconds
        )
        guard let record = submits.keys[name] else { return own }
        // The reply took longer than the next task with this key.
        if let earlier = record.earlier[id], operation.invoked < earlier.replaced { return earlier.first }
        func mayBeForgotten(since use: SubmitLedger.FirstUse) -> Bool {
            guard let window = rules.idempotencyWindowMilliseconds else { return false }
            return now.monotonicMilliseconds.later(by: rules.slackMilliseconds) >= use.milliseconds.later(by: window)
        }
        let here = position
        if let first = record.id, first != id {
            // It took longer than the next task, and nobody had heard of this one.
            if operation.invoked < record.first.position, mayBeForgotten(since: own) {
                submits.updateKey(name) { $0.earlier[id] = (own, here) }
                return own
            }
            // A duplicate of a task that nobody heard of: a lost submit made it once the key was forgotten.
            if mayBeForgotten(since: record.first), !isDuplicate || record.submits > 2 {
                let use = isDuplicate ? record.first : own
                submits.updateKey(name) { key in
                    // Submits under way or lost may be of either task.
                    key = .init(submits: record.submits, first: use, earlier: record.earlier)
                    key.earlier[first] = (record.first, here)
                    (key.id, key.createdReturned) = (id, isDuplicate ? nil : here)
                }
                return use
            }
            report(
                .once,
                id,
                [record.first.position, operation.invoked],
                "Its idempotency key had given task \(first)"
            )
        } else if isDuplicate, record.submits <= 1 {
            report(.once, id, [operation.invoked], "The only submit with its idempotency key was called a duplicate")
        } else if !isDuplicate, let created = record.createdReturned {
            report(
                .once,
                id,
                [created, operation.invoked],
                "Two submits with one idempotency key were both called new"
            )
        }
        submits.updateKey(name) { key in
            if key.id == nil { key.id = id }
            if !isDuplicate { key.createdReturned = here }
        }
        return record.first
    }

    /// Checks that another submit can have had the key that this one was refused for.
    private mutating func checkConflict(_ submit: SubmitCall, _ operation: OpenOperation) {
        let record = SubmitLedger.KeyName(submit).flatMap { submits.keys[$0] }
        if let record, record.id != nil || record.submits > 1 || !record.earlier.isEmpty { return }
        report(.once, nil, [operation.invoked], "The only submit with its idempotency key was refused for a conflict")
    }

    /// Checks that an id which is known already belongs to this submit.
    private mutating func checkSameTask(_ slot: Int, _ submit: SubmitCall, _ operation: OpenOperation) {
        let record = tasks[slot]
        let earlier = [record.submitInvoked, record.known, operation.invoked]
        if record.isSubmitAcknowledged, let spec = record.spec {
            let isSameKey = submit.key != nil && submit.key == spec.key && submit.queue == spec.queue
            if !isSameKey { report(.once, record.id, earlier, "Two different submits got the same id") }
        }
        if let seen = record.payload, seen != submit.payload, submit.unique == nil {
            report(.bytes, record.id, earlier, "Submitted with payload \(submit.payload), seen with \(seen)")
        }
    }

    /// The slot of a task that a reply or a dump tells of; `nil`, and a violation, when no submit can have made it.
    mutating func slot(of id: TaskID, payload: Digest?) -> Int? {
        if let slot = tasks.slot(of: id) { return slot }
        var record = TaskRecord(id: id, submitInvoked: 0, submitMilliseconds: 0, known: position)
        if let payload {
            guard let match = submits.match(payload) else {
                report(.once, id, [], "No submit can have made this task, with payload \(payload)")
                return nil
            }
            record = TaskRecord(
                id: id,
                submitInvoked: match.invoked,
                submitMilliseconds: match.milliseconds,
                known: position
            )
            record.spec = match.spec
            record.payload = payload
        } else if submits.unmatched <= 0 {
            report(.once, id, [], "No submit can have made this task")
            return nil
        }
        return add(record)
    }

    mutating func checkPayload(_ slot: Int, _ payload: Digest, since invoked: Int) {
        guard let expected = tasks[slot].payload else {
            tasks[slot].payload = payload
            return
        }
        guard payload != expected, !mayHave(payload, tasks[slot], since: invoked) else { return }
        report(
            .bytes,
            tasks[slot].id,
            [tasks[slot].submitInvoked, tasks[slot].known],
            "Its payload is \(expected), but \(payload) came out"
        )
    }
}
