import HistoryChecker
import TQModel

extension ReferenceQueue {
    mutating func complete(_ lease: LeaseHandle, _ result: Digest, _ now: Now) -> Outcome {
        guard var task = state[lease.task] else { return .refused(.taskNotFound) }
        if makes(.completionAcceptedTwice), task.state == .completed, task.token == lease.token { return .done }
        guard holds(lease, task, unless: .completionWithoutTokenCheck) else { return .refused(.leaseLost) }
        task.state = .completed
        task.result = makes(.resultsSwapped) ? Digest(rawValue: result.rawValue ^ 1) : result
        task.ended = now.monotonicMilliseconds
        if !makes(.completionAcceptedTwice), !makes(.renewalAcceptedAfterEnd) { task.token = nil }
        state[task.id] = task
        return .done
    }

    mutating func fail(_ lease: LeaseHandle, isPermanent: Bool, _ pause: UInt64?, _ now: Now) -> Outcome {
        guard var task = state[lease.task] else { return .refused(.taskNotFound) }
        guard holds(lease, task, unless: .failureWithoutTokenCheck) else { return .refused(.leaseLost) }
        if endsCancelled(&task, now) { return .done }
        let limit = makes(.deadLetterTooEarly) ? max(1, task.spec.retriesMax) : task.spec.retriesMax + 1
        let isUsedUp = task.attempts >= limit && !makes(.retriesWithoutEnd)
        task.state = isPermanent || isUsedUp ? .deadLetter : .failed
        task.token = nil
        task.ended = now.monotonicMilliseconds
        task.returns = now.monotonicMilliseconds + (makes(.pauseIgnored) ? 0 : pause ?? 20)
        state[task.id] = task
        return .done
    }

    mutating func release(_ lease: LeaseHandle, _ delay: UInt64, _ now: Now) -> Outcome {
        guard var task = state[lease.task] else { return .refused(.taskNotFound) }
        guard holds(lease, task, unless: .releaseWithoutTokenCheck) else { return .refused(.leaseLost) }
        if endsCancelled(&task, now) { return .done }
        if !makes(.releaseCountsAsAttempt), task.attempts > 0 { task.attempts -= 1 }
        task.state = delay > 0 || makes(.releasedTaskStuck) ? .failed : .pending
        task.isStuck = makes(.releasedTaskStuck)
        task.returns = now.monotonicMilliseconds + (makes(.pauseIgnored) ? 0 : delay)
        task.token = nil
        state[task.id] = task
        return .done
    }

    mutating func renew(_ lease: LeaseHandle, _ milliseconds: UInt32, _ now: Now) -> Outcome {
        guard var task = state[lease.task] else { return .refused(.taskNotFound) }
        if makes(.renewalAcceptedAfterEnd), task.state == .completed, task.token == lease.token { return .done }
        guard holds(lease, task, unless: .renewalWithoutTokenCheck) else { return .refused(.leaseLost) }
        if task.isCancelRequested, !makes(.renewedAfterCancelRequest) { return .refused(.cancelRequested) }
        if makes(.renewalRefusedWithoutCancel), task.attempts > 1 { return .refused(.cancelRequested) }
        let duration = milliseconds == 0 ? Self.leaseMilliseconds : UInt64(milliseconds)
        if !makes(.renewalIgnored) { task.lapse = min(now.monotonicMilliseconds + duration, task.attemptEnd) }
        state[task.id] = task
        return .done
    }

    private func holds(_ lease: LeaseHandle, _ task: ReferenceTask, unless mutation: Mutation) -> Bool {
        guard task.state == .inProgress || (makes(.leasedTaskStaysPending) && task.state == .pending) else {
            return false
        }
        return task.token == lease.token || makes(mutation)
    }

    /// Ends a task that somebody cancelled while it ran.
    private mutating func endsCancelled(_ task: inout ReferenceTask, _ now: Now) -> Bool {
        guard task.isCancelRequested, !makes(.retriedAfterCancelRequest) else { return false }
        (task.state, task.token, task.ended) = (.cancelled, nil, now.monotonicMilliseconds)
        state[task.id] = task
        return true
    }

    mutating func cancel(_ id: TaskID, _ now: Now) -> Outcome {
        guard var task = state[id] else { return .refused(.taskNotFound) }
        if task.state == .inProgress, !makes(.cancelOfLeasedTask) {
            task.isCancelRequested = true
            state[id] = task
            return .cancelRequested
        }
        let isLeasedToo = makes(.cancelOfLeasedTask) && task.state == .inProgress
        guard task.state.isWaiting || isLeasedToo else { return .refused(.notCancellable) }
        if makes(.cancelIgnored) { return .done }
        if !isLeasedToo { task.state = .cancelled }
        task.ended = now.monotonicMilliseconds
        state[id] = task
        if makes(.counterMissesCancels) { state.counters[task.spec.queue]?.cancelled &-= 1 }
        return .done
    }

    mutating func purge(_ id: TaskID, _ now: Now) -> Outcome {
        guard var task = state[id] else { return .refused(.taskNotFound) }
        guard task.state == .deadLetter else { return .refused(.taskNotFound) }
        task.state = .cancelled
        task.ended = now.monotonicMilliseconds
        state[id] = task
        return .done
    }

    mutating func forget(_ id: TaskID) -> Outcome {
        if state[id]?.state.isFinal == true { state[id] = nil }
        return .done
    }

    /// Nobody looks at where a task waits here.
    mutating func arrange(_ id: TaskID, _ queue: QueueNumber, _ rank: Rank) -> Outcome { .done }

    mutating func redrive(_ id: TaskID, _ payload: Digest?) -> Outcome {
        guard var task = state[id] else { return .refused(.taskNotFound) }
        guard task.state == .deadLetter else { return .refused(.conflict) }
        if let unique = task.spec.unique, !makes(.uniqueKeyIgnoredByRedrives),
            holder(unique, task.spec.queue, otherThan: id) != nil
        {
            return .refused(.conflict)
        }
        task.state = .pending
        task.attempts = 0
        task.crashes = 0
        if let payload { task.spec.payload = payload }
        state[id] = task
        return .done
    }

    func read(_ id: TaskID) -> Outcome {
        guard let task = state[id] else { return .refused(.taskNotFound) }
        return .observed(Observation(state: task.state, attempts: task.attempts, result: task.result))
    }

    /// What a dump of the store shows, in a fixed order.
    var rows: [StoredTask] {
        state.tasks.compactMap { $0 }.map { task in
            StoredTask(
                id: task.id,
                queue: task.spec.queue,
                rank: task.spec.rank,
                state: task.state,
                attempts: task.attempts,
                token: task.state == .inProgress ? task.token : nil,
                payload: task.state.isFinal ? nil : task.spec.payload,
                result: task.result
            )
        }
    }
}
