import TQModel

extension Checker {
    /// Whether no order of decisions lets this lease have ended before that time.
    func isCertainlyValid(_ lease: LeaseRecord, of record: TaskRecord, at monotonicMilliseconds: UInt64) -> Bool {
        guard lease.endings == 0, record.cancels == 0, record.end == nil, !isUndoable(lease) else { return false }
        guard !maySessionHaveEnded(lease) else { return false }
        guard rules.leasesSurviveRestart || !stops.isStopped(since: lease.clockSet) else { return false }
        let restart = lease.restartMilliseconds
        let lapse = stops.lapse(lease.earliestLapse, setAt: lease.clockSet, restarting: restart)
        return monotonicMilliseconds.later(by: rules.slackMilliseconds) < min(lapse, earliestTimeout(lease, of: record))
    }

    /// When the attempt may be taken back at the earliest, however often its lease is renewed.
    private func earliestTimeout(_ lease: LeaseRecord, of record: TaskRecord) -> UInt64 {
        let timeout = UInt64(record.spec?.timeoutMilliseconds ?? 0)
        guard stops.isStopped(since: lease.claimInvoked) else { return lease.invokedMilliseconds.later(by: timeout) }
        // After a restart the rest is counted in store time, and a lease has its duration at least.
        return stops.timeout(
            lease.invokedMilliseconds.later(by: Checker.shortest(timeout)),
            begunAt: lease.claimInvoked,
            restarting: lease.restartMilliseconds
        )
    }

    /// Whether a session ended that may have held the lease.
    func maySessionHaveEnded(_ lease: LeaseRecord) -> Bool {
        lease.clients.contains { sessionEnds[$0, default: -1] > lease.claimInvoked }
    }

    /// How long a time of the store lasts at least on the monotonic clock.
    ///
    /// Store time may run a tenth faster, to catch up with the wall clock; milliseconds below ten count with the next
    /// ones, so that e of them are at most e + (e + 9) / 10.
    static func shortest(_ milliseconds: UInt64) -> UInt64 {
        milliseconds - milliseconds / 11 - (milliseconds % 11 >= 2 ? 1 : 0)
    }

    /// Whether a power cut can have undone the claim.
    func isUndoable(_ lease: LeaseRecord) -> Bool {
        !lease.isDurable && lease.claimInvoked < stops.lastPowerCut
    }

    mutating func invokeWithLease(_ operation: inout OpenOperation) {
        guard let handle = operation.call.lease else { return }
        guard let slot = tasks.slot(of: handle.task) else {
            return early[handle.task, default: []].append(operation)
        }
        operation.isStale = (tasks[slot].lease?.token ?? handle.token) > handle.token
        if tasks[slot].firstTouched == nil { tasks[slot].firstTouched = now.monotonicMilliseconds }
        let isNewest = tasks[slot].lease?.token == handle.token
        switch operation.call {
        case .complete(_, let result):
            tasks[slot].completions.append(PossibleCompletion(operation: operation.number, result: result))
        case .fail(_, true, _): tasks[slot].permanentFailures += 1
        case .renew(_, let milliseconds):
            if isNewest { tasks[slot].lease?.beginRenewal(operation, for: milliseconds) }
            return
        default: break
        }
        if isNewest { tasks[slot].lease?.count(operation.call, by: 1) }
    }

    mutating func returnWithLease(_ handle: LeaseHandle, _ operation: OpenOperation, _ outcome: Outcome) {
        let slot = tasks.slot(of: handle.task)
        switch outcome {
        case .done:
            guard let slot, let newest = tasks[slot].lease, handle.token <= newest.token else {
                let sentence = "A lease with token \(handle.token) was accepted that was given to nobody"
                return report(.fencing, handle.task, [operation.invoked], sentence)
            }
            if operation.isStale, !operation.call.isCompletion || tasks[slot].completion == nil {
                let sentence = "Stale token \(handle.token) was accepted, the newest is \(newest.token)"
                return report(.fencing, handle.task, [newest.claimReturned, operation.invoked], sentence)
            }
            accept(slot, handle, operation)
        case .refused(let code):
            guard let slot else { return }
            refuse(slot, handle, operation)
            checkRefusal(slot, handle, operation, code)
        case .unknown: break
        case .submitted, .replaced, .delivered, .cancelRequested, .observed: reportMismatch(operation)
        }
    }

    /// Takes back what the invocation of a refused call had made possible.
    private mutating func refuse(_ slot: Int, _ handle: LeaseHandle, _ operation: OpenOperation) {
        switch operation.call {
        case .complete: tasks[slot].completions.removeAll { $0.operation == operation.number }
        case .fail(_, true, _): tasks[slot].permanentFailures -= 1
        case .renew:
            if tasks[slot].lease?.token == handle.token { tasks[slot].lease?.renewals -= 1 }
            return
        default: break
        }
        if tasks[slot].lease?.token == handle.token { tasks[slot].lease?.count(operation.call, by: -1) }
    }

    private mutating func checkRefusal(
        _ slot: Int,
        _ handle: LeaseHandle,
        _ operation: OpenOperation,
        _ code: TQError.Code
    ) {
        let record = tasks[slot]
        if code == .taskNotFound { checkMissing(slot, since: operation.invoked) }
        if code == .cancelRequested, record.cancels == 0 {
            report(.oneLease, record.id, [operation.invoked], "Its lease is not renewed, but nobody cancelled it")
        }
        guard code == .leaseLost, let lease = record.lease, lease.token == handle.token,
            isCertainlyValid(lease, of: record, at: now.monotonicMilliseconds)
        else { return }
        let sentence = "The lease with token \(lease.token) was valid, but called lost"
        report(.oneLease, record.id, [lease.claimReturned, operation.invoked], sentence)
    }
}

extension Checker {
    /// An acknowledged completion, failure, release or renewal.
    private mutating func accept(_ slot: Int, _ handle: LeaseHandle, _ operation: OpenOperation) {
        let isNewest = tasks[slot].lease?.token == handle.token
        if isNewest { tasks[slot].lease?.isDurable = true }
        checkOpposingEnd(slot, handle, operation)
        switch operation.call {
        case .complete(_, let result): acceptCompletion(slot, handle, result, operation)
        case .fail(_, let isPermanent, let pause):
            end(slot, handle, by: .failure, operation)
            if tasks[slot].cancels > 0 {
                endCancelled(slot, handle, operation)
            } else if isNewest, isPermanent || isLastAttempt(slot) {
                tasks[slot].end = TaskEnd(state: .deadLetter, token: handle.token, known: position)
            } else if let pause {
                setPause(slot, handle, operation, pause)
            }
        case .release(_, let delay):
            end(slot, handle, by: .release, operation)
            endCancelled(slot, handle, operation)
            if delay > 0 { setPause(slot, handle, operation, delay) }
        case .renew(_, let milliseconds):
            if isNewest {
                checkNotEnded(slot, handle, operation)
                checkRenewable(slot, operation)
                tasks[slot].lease?.endRenewal(operation, for: milliseconds, at: position)
            }
        default: break
        }
    }

    private mutating func acceptCompletion(
        _ slot: Int,
        _ handle: LeaseHandle,
        _ result: Digest,
        _ operation: OpenOperation
    ) {
        let record = tasks[slot]
        if let first = record.completion {
            if rules.completionMayRepeat, first.token == handle.token, first.result == result { return }
            let sentence = "Completed twice, with tokens \(first.token) and \(handle.token)"
            return report(.once, record.id, [first.returned, operation.invoked], sentence)
        }
        end(slot, handle, by: .completion, operation)
        tasks[slot].completion = (handle.token, result, position)
        tasks[slot].end = TaskEnd(state: .completed, token: handle.token, known: position)
        if let newest = record.lease, newest.token > handle.token {
            let sentence = "Completed with token \(handle.token), but delivered again with token \(newest.token)"
            report(.noDeliveryAfterEnd, record.id, [newest.claimReturned, operation.invoked], sentence)
        }
    }

    /// Checks that the task had not ended otherwise when the call was accepted.
    private mutating func checkOpposingEnd(_ slot: Int, _ handle: LeaseHandle, _ operation: OpenOperation) {
        guard let end = tasks[slot].end, tasks[slot].lease?.ended == nil || end.state == .cancelled else { return }
        let isCertainlyOver = end.known < operation.invoked || (end.state == .cancelled && operation.call.isCompletion)
        guard isCertainlyOver, end.state != .deadLetter || !tasks[slot].canBeRedriven else { return }
        if end.state == .completed, operation.call.isCompletion, tasks[slot].completion == nil {
            let sentence = "A completion was accepted, but it had been completed"
            if rules.completionMayRepeat { return }
            return report(.once, tasks[slot].id, [end.known, operation.invoked], sentence)
        }
        let sentence = "A lease was accepted, but it was \(end.state.name)"
        report(.endStays, tasks[slot].id, [end.known, operation.invoked], sentence)
    }

    /// Ends the newest lease, which must not have ended before.
    private mutating func end(
        _ slot: Int,
        _ handle: LeaseHandle,
        by ending: LeaseRecord.Ending,
        _ operation: OpenOperation
    ) {
        guard let lease = tasks[slot].lease, lease.token == handle.token else { return }
        if let ended = lease.ended {
            let sentence = "A \(ending.rawValue) was accepted after the \(ended.by.rawValue) of the same lease"
            report(.fencing, handle.task, [ended.returned, operation.invoked], sentence)
        }
        tasks[slot].lease?.ended = (ending, position)
    }

    private mutating func checkNotEnded(_ slot: Int, _ handle: LeaseHandle, _ operation: OpenOperation) {
        guard let ended = tasks[slot].lease?.ended, ended.returned < operation.invoked else { return }
        let sentence = "A renewal was accepted after the \(ended.by.rawValue) of the same lease"
        report(.fencing, handle.task, [ended.returned, operation.invoked], sentence)
    }

    /// A task whose cancel was requested is over with its attempt, unless that completed it.
    private mutating func endCancelled(_ slot: Int, _ handle: LeaseHandle, _ operation: OpenOperation) {
        guard let request = tasks[slot].cancelRequested, request < operation.invoked else { return }
        tasks[slot].end = TaskEnd(state: .cancelled, token: handle.token, known: position)
    }

    /// Checks that the attempt may go on.
    private mutating func checkRenewable(_ slot: Int, _ operation: OpenOperation) {
        let record = tasks[slot]
        guard let lease = record.lease else { return }
        if let request = record.cancelRequested, request < operation.invoked {
            let sentence = "A renewal was accepted after its cancel was requested"
            return report(.noDeliveryAfterEnd, record.id, [request, operation.invoked], sentence)
        }
        guard let timeout = record.spec?.timeoutMilliseconds else { return }
        let isRestarted = stops.isStopped(since: lease.claimInvoked)
        let begin = isRestarted ? stops.servingMilliseconds : lease.returnedMilliseconds
        let longest = UInt64(timeout) + Defaults.timeoutGraceMilliseconds
        let end = begin.later(by: isRestarted ? max(longest, lease.longestMilliseconds) : longest)
        guard operation.time.monotonicMilliseconds > end.later(by: rules.slackMilliseconds) else { return }
        let late = operation.time.monotonicMilliseconds - end
        let sentence = "A renewal was accepted \(late) ms after the attempt's time was over"
        report(.attempts, record.id, [lease.claimReturned, operation.invoked], sentence)
    }

    /// Whether a failure of the newest delivery certainly used up the task's attempts.
    private func isLastAttempt(_ slot: Int) -> Bool {
        guard let spec = tasks[slot].spec, let lease = tasks[slot].lease, tasks[slot].redrives == 0 else {
            return false
        }
        return !rules.crashesExtendAttempts && lease.attempt > Int(spec.retriesMax)
    }

    private mutating func setPause(
        _ slot: Int,
        _ handle: LeaseHandle,
        _ operation: OpenOperation,
        _ milliseconds: UInt64
    ) {
        tasks[slot].pause = Pause(
            token: handle.token,
            invoked: operation.invoked,
            untilMonotonicMilliseconds: operation.time.monotonicMilliseconds.later(by: Checker.shortest(milliseconds))
        )
    }
}

extension Call {
    /// The lease that is shown with the call.
    var lease: LeaseHandle? {
        switch self {
        case .complete(let lease, _), .fail(let lease, _, _), .release(let lease, _), .renew(let lease, _): lease
        case .submit, .claim, .cancel, .redrive, .purge, .forget, .arrange, .status, .result: nil
        }
    }

    /// The task that the call would change.
    var task: TaskID? {
        switch self {
        case .cancel(let id), .redrive(let id, _), .purge(let id), .forget(let id), .arrange(let id, _, _): id
        default: lease?.task
        }
    }

    var isCompletion: Bool {
        if case .complete = self { true } else { false }
    }
}

extension LeaseRecord {
    mutating func count(_ call: Call, by change: Int) {
        endings += change
        if case .release = call { releases += change }
    }

    /// A renewal that may be decided from now on may make the lease end earlier.
    ///
    /// Without a duration it takes the one of the renewal before, of which the shortest is assumed.
    mutating func beginRenewal(_ operation: OpenOperation, for milliseconds: UInt32) {
        renewals += 1
        if !clients.contains(operation.client) { clients.append(operation.client) }
        longestMilliseconds = max(longestMilliseconds, UInt64(milliseconds))
        let duration = milliseconds == 0 ? restartMilliseconds : UInt64(milliseconds)
        restartMilliseconds = min(restartMilliseconds, duration)
        earliestLapse = min(earliestLapse, operation.time.monotonicMilliseconds.later(by: duration))
    }

    /// The last of several renewals decides, and nobody knows which that was when they overlapped.
    mutating func endRenewal(_ operation: OpenOperation, for milliseconds: UInt32, at position: Int) {
        renewals -= 1
        defer { clockSet = position }
        guard renewals == 0, clockSet < operation.invoked else { return }
        let duration = milliseconds == 0 ? restartMilliseconds : UInt64(milliseconds)
        earliestLapse = operation.time.monotonicMilliseconds.later(by: duration)
    }
}
