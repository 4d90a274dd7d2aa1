import TQModel

extension Checker {
    mutating func returnObservation(_ id: TaskID, _ operation: OpenOperation, _ outcome: Outcome) {
        guard let slot = tasks.slot(of: id) else { return }
        switch outcome {
        case .observed(let observation): check(observation, slot, since: operation.invoked)
        case .refused(.taskNotFound): checkMissing(slot, since: operation.invoked)
        case .refused, .unknown: break
        case .submitted, .replaced, .delivered, .done, .cancelRequested: reportMismatch(operation)
        }
    }

    mutating func returnCancel(_ id: TaskID, _ operation: OpenOperation, _ outcome: Outcome) {
        guard let slot = tasks.slot(of: id) else { return }
        switch outcome {
        case .done:
            if let end = tasks[slot].end, end.state == .completed {
                report(.endStays, id, [end.known, operation.invoked], "A cancel was accepted, but it was completed")
            } else {
                checkCancelled(slot, operation)
                tasks[slot].end = TaskEnd(state: .cancelled, token: nil, known: position)
            }
        case .cancelRequested:
            if let end = tasks[slot].end, end.state.isFinal, end.known < operation.invoked {
                let sentence = "A cancel found it running, but it was \(end.state.name)"
                report(.endStays, id, [end.known, operation.invoked], sentence)
            }
            tasks[slot].cancelRequested = tasks[slot].cancelRequested ?? position
        case .refused(let code):
            tasks[slot].cancels -= 1
            if code == .taskNotFound { checkMissing(slot, since: operation.invoked) }
        case .unknown: break
        case .submitted, .replaced, .delivered, .observed: reportMismatch(operation)
        }
    }

    /// A task that is certainly in progress is not over with its cancel.
    private mutating func checkCancelled(_ slot: Int, _ operation: OpenOperation) {
        var record = tasks[slot]
        // The cancel itself makes a lease doubtful, and so does any other.
        record.cancels -= 1
        guard let lease = record.lease, lease.claimReturned < operation.invoked,
            isCertainlyValid(lease, of: record, at: now.monotonicMilliseconds)
        else { return }
        let sentence = "It was cancelled, but the lease with token \(lease.token) was valid"
        report(.oneLease, record.id, [lease.claimReturned, operation.invoked], sentence)
    }

    mutating func returnRedrive(_ id: TaskID, _ operation: OpenOperation, _ outcome: Outcome) {
        guard let slot = tasks.slot(of: id) else { return }
        switch outcome {
        case .done:
            tasks[slot].redrivesDone = (tasks[slot].redrivesDone.count + 1, position)
            guard let end = tasks[slot].end else { return }
            if end.state == .deadLetter {
                tasks[slot].end = nil
            } else if end.known < operation.invoked {
                let sentence = "A redrive was accepted, but it was \(end.state.name)"
                report(.endStays, id, [end.known, operation.invoked], sentence)
            }
        case .refused(let code):
            tasks[slot].redrives -= 1
            // There may be a task, but no dead letter.
            let wasDead = tasks[slot].end.map { $0.state == .deadLetter && $0.known < operation.invoked } ?? false
            let isDead =
                wasDead && tasks[slot].redrives == tasks[slot].redrivesUsed && tasks[slot].purges == 0
                && !mayHaveExpiredDead(tasks[slot])
            if code == .taskNotFound, isDead { checkMissing(slot, since: operation.invoked) }
        case .unknown: break
        case .submitted, .replaced, .delivered, .cancelRequested, .observed: reportMismatch(operation)
        }
    }

    mutating func returnPurge(_ id: TaskID, _ operation: OpenOperation, _ outcome: Outcome) {
        guard let slot = tasks.slot(of: id) else { return }
        switch outcome {
        case .done:
            if let end = tasks[slot].end, end.state.isFinal, end.known < operation.invoked {
                let sentence = "A purge was accepted, but it was \(end.state.name)"
                report(.endStays, id, [end.known, operation.invoked], sentence)
            }
            tasks[slot].end = TaskEnd(state: .cancelled, token: nil, known: position)
        case .refused(let code):
            tasks[slot].purges -= 1
            tasks[slot].cancels -= 1
            let wasDead = tasks[slot].end.map { $0.state == .deadLetter && $0.known < operation.invoked } ?? false
            let mayBeOver = tasks[slot].redrives > 0 || tasks[slot].purges > 0 || mayHaveExpiredDead(tasks[slot])
            if code == .taskNotFound, wasDead, !mayBeOver {
                checkMissing(slot, since: operation.invoked)
            }
        case .unknown: break
        case .submitted, .replaced, .delivered, .cancelRequested, .observed: reportMismatch(operation)
        }
    }

    /// A task that was looked for since that event was not there.
    mutating func checkMissing(_ slot: Int, since invoked: Int) {
        let record = tasks[slot]
        guard record.known < invoked, !mayHaveExpired(record), !mayBeForgotten(record) else { return }
        if let end = record.end {
            report(.endStays, record.id, [end.known, invoked], "It was \(end.state.name), and is gone")
        } else {
            report(.submitStays, record.id, [record.known, invoked], "It is gone without an end")
        }
    }

    private func mayBeForgotten(_ record: TaskRecord) -> Bool { record.isForgotten && mayBeOver(record) }

    private func mayHaveExpired(_ record: TaskRecord) -> Bool {
        guard let retention = rules.retentionMilliseconds, mayBeOver(record) else { return false }
        // A lost claim, or the time, may have ended it before any call touched it that is known.
        let isEndKnown = record.end.map { $0.token != nil || $0.state.isFinal } ?? false
        let mayHaveEnded = mayBeLate(record) || mayHaveExpiredDead(record) || mayHaveFailedDependencies(record)
        let isTouched = (isEndKnown || lostClaimsMax == 0) && !mayHaveEnded
        let earliest = isTouched ? record.firstTouched : record.submitMilliseconds
        guard let earliest else { return false }
        return now.monotonicMilliseconds.later(by: rules.slackMilliseconds) >= earliest.later(by: retention)
    }

    /// Whether it can have ended, as far as is known.
    func mayBeOver(_ record: TaskRecord) -> Bool {
        record.end != nil || !record.completions.isEmpty || record.cancels > 0 || mayBeDead(record) || mayBeLate(record)
            || mayHaveFailedDependencies(record)
    }

    /// Whether those may have failed on which it depended.
    private func mayHaveFailedDependencies(_ record: TaskRecord) -> Bool { record.spec?.hasDependencies ?? false }

    /// Whether it may have ended in that way without having run: too late, or because those failed on which it depended.
    private func mayBeUnrun(_ record: TaskRecord, _ end: SubmitCall.Lateness) -> Bool {
        record.spec?.lateness == end && mayBeLate(record) || mayHaveFailedDependencies(record)
    }

    /// Whether its latest start can have passed while it waited, as it never does for one that was put back.
    func mayBeLate(_ record: TaskRecord) -> Bool {
        guard let spec = record.spec, spec.lateness != .none, record.redrivesDone.count == 0 else { return false }
        let (latest, span) = (spec.startByWallMilliseconds, spec.startBySpanMilliseconds)
        let slack = rules.slackMilliseconds
        if span > 0 {
            let earliest = record.submitMilliseconds.later(by: Checker.shortest(span))
            return now.monotonicMilliseconds.later(by: slack) >= earliest
        }
        return wallPeaks.latest(since: record.submitInvoked).later(by: slack) >= latest
    }

    private func mayBeDead(_ record: TaskRecord) -> Bool {
        guard record.lease != nil || lostClaimsMax > 0 else { return false }
        return record.mayBeDead(attempts: attemptsBegun(record).upperBound + lostClaimsMax, rules)
    }

    /// Whether it can have been a dead letter for as long as those are kept, or one too many.
    func mayHaveExpiredDead(_ record: TaskRecord) -> Bool {
        guard rules.deadLetterRetentionMilliseconds != nil || !rules.cappedQueues.isEmpty else { return false }
        let isUnrun = mayBeUnrun(record, .buried)
        guard record.end?.state == .deadLetter || record.redrives > 0 || mayBeDead(record) || isUnrun else {
            return false
        }
        if rules.cappedQueues.contains(where: record.mayBe) { return true }
        guard let kept = rules.deadLetterRetentionMilliseconds else { return false }
        let earliest = record.submitMilliseconds.later(by: kept)
        return now.monotonicMilliseconds.later(by: rules.slackMilliseconds) >= earliest
    }

    /// Claims that may have delivered something nobody saw yet.
    var lostClaimsMax: Int { lostClaims.count + openClaims }
}

extension Checker {
    /// Checks what was seen of a task between that event and the current one.
    mutating func check(_ observation: Observation, _ slot: Int, since invoked: Int) {
        checkAttempts(observation, slot, since: invoked)
        if let end = tasks[slot].end, end.known < invoked,
            end.state != .deadLetter || !tasks[slot].canBeRedriven,
            end.state != .deadLetter || observation.state != .cancelled
                || tasks[slot].purges == 0 && !mayHaveExpiredDead(tasks[slot])
        {
            if observation.state != end.state {
                let sentence = "It was \(end.state.name), and is \(observation.state.name)"
                report(.endStays, tasks[slot].id, [end.known, invoked], sentence)
            } else if observation.state == .completed {
                checkResult(observation, slot, since: invoked)
            }
            return
        }
        checkCancelRequested(observation, slot, since: invoked)
        switch observation.state {
        case .completed: checkResult(observation, slot, since: invoked)
        case .cancelled
        where tasks[slot].cancels == 0 && !mayBeUnrun(tasks[slot], .cancelled) && !mayHaveExpiredDead(tasks[slot]):
            report(.endStays, tasks[slot].id, [invoked], "It is cancelled, but nobody cancelled it")
        case .deadLetter: checkDeath(observation, slot, since: invoked)
        case .inProgress:
            checkHolder(slot, since: invoked)
            noteDurable(observation, slot, since: invoked)
        case .scheduled, .blocked, .pending, .failed: checkNotLeased(observation, slot, since: invoked)
        case .cancelled: break
        }
        let isStillDead = observation.state == .deadLetter && tasks[slot].isNotRedriven(since: invoked)
        if tasks[slot].end == nil, observation.state.isFinal || isStillDead {
            tasks[slot].end = TaskEnd(state: observation.state, token: nil, known: position)
        }
    }

    /// A task whose cancel was requested runs, or is over.
    private mutating func checkCancelRequested(_ observation: Observation, _ slot: Int, since invoked: Int) {
        guard let request = tasks[slot].cancelRequested, request < invoked,
            observation.state != .inProgress, !observation.state.isFinal
        else { return }
        let sentence = "Its cancel was requested, and it is \(observation.state.name)"
        report(.noDeliveryAfterEnd, tasks[slot].id, [request, invoked], sentence)
    }

    private mutating func checkAttempts(_ observation: Observation, _ slot: Int, since invoked: Int) {
        guard let attempts = observation.attempts.map(Int.init) else { return }
        let record = tasks[slot]
        // A delivery that returned meanwhile may have been decided after the observation.
        guard (record.lease?.claimReturned ?? -1) < invoked else { return }
        let begun = attemptsBegun(record, since: invoked)
        let lowest = record.canBeRedriven ? 0 : begun.lowerBound
        guard attempts < lowest || attempts > begun.upperBound + lostClaimsMax else { return }
        let known = lowest == begun.upperBound ? "\(lowest)" : "\(lowest) to \(begun.upperBound)"
        let sentence = "It counts \(attempts) attempts, deliveries make it \(known)"
        report(.attempts, record.id, [record.lease?.claimReturned ?? -1, invoked], sentence)
    }

    private mutating func checkResult(_ observation: Observation, _ slot: Int, since invoked: Int) {
        let record = tasks[slot]
        guard !record.completions.isEmpty else {
            return report(.once, record.id, [invoked], "It is completed, but nobody completed it")
        }
        guard let result = observation.result else { return }
        if let completion = record.completion {
            guard completion.result != result else { return }
            let sentence = "Its result is \(completion.result), but \(result) came out"
            report(.bytes, record.id, [completion.returned, invoked], sentence)
        } else if !record.completions.contains(where: { $0.result == result }) {
            report(.bytes, record.id, [invoked], "Its result \(result) came with no completion")
        }
    }

    private mutating func checkDeath(_ observation: Observation, _ slot: Int, since invoked: Int) {
        let record = tasks[slot]
        let seen = observation.attempts.map(Int.init) ?? attemptsBegun(record).upperBound + lostClaimsMax
        guard record.redrives == 0, !record.mayBeDead(attempts: seen, rules) else { return }
        if mayBeUnrun(record, .buried) { return }
        let sentence = "It is a dead letter after \(seen) attempts, without a permanent failure"
        report(.attempts, record.id, [record.lease?.claimReturned ?? -1, invoked], sentence)
    }

    private mutating func checkHolder(_ slot: Int, since invoked: Int) {
        guard lostClaimsMax == 0 else { return }
        let record = tasks[slot]
        guard let lease = record.lease else {
            return report(.oneLease, record.id, [invoked], "It is in progress, but nobody claimed it")
        }
        guard let ended = lease.ended, ended.returned < invoked else { return }
        let sentence = "It is in progress, but the lease ended with a \(ended.by.rawValue)"
        report(.endStays, record.id, [ended.returned, invoked], sentence)
    }

    /// A reply that tells of a claim proves that no power cut undoes it.
    private mutating func noteDurable(_ observation: Observation, _ slot: Int, since invoked: Int) {
        guard let lease = tasks[slot].lease, lease.claimReturned < invoked, lease.endings == 0 else { return }
        // After a power cut it may be another claim's lease, with the same attempt.
        guard !isUndoable(lease) || lostClaimsMax == 0 else { return }
        if observation.attempts.map(Int.init) == lease.attempt { tasks[slot].lease?.isDurable = true }
    }

    private mutating func checkNotLeased(_ observation: Observation, _ slot: Int, since invoked: Int) {
        let record = tasks[slot]
        guard let lease = record.lease, lease.claimReturned < invoked,
            isCertainlyValid(lease, of: record, at: now.monotonicMilliseconds)
        else { return }
        let sentence = "It is \(observation.state.name), but the lease with token \(lease.token) is valid"
        report(.oneLease, record.id, [lease.claimReturned, invoked], sentence)
    }
}
