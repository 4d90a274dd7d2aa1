import TQModel

extension QueueCore {
    // MARK: Leases

    /// The task that a lease handle holds, or why it does not.
    func held(_ handle: LeaseHandle) throws(TQError) -> (sequence: TaskSequence, slot: TaskSlot, lease: Lease) {
        switch find(handle.task) {
        case .nowhere: throw notFound(handle.task)
        case .ended: throw leaseLost(handle)
        case .slot(let sequence, let slot):
            guard slot.state == .inProgress else { throw leaseLost(handle) }
            let lease = index.leases[slot.link]
            guard lease.token == handle.token else { throw leaseLost(handle) }
            return (sequence, slot, lease)
        }
    }

    func notFound(_ id: TaskID) -> TQError {
        TQError(.taskNotFound, "Task \(id) is not known to this broker. It may have expired, or belong to another one.")
    }

    private func leaseLost(_ handle: LeaseHandle) -> TQError {
        TQError(
            .leaseLost,
            "The lease \(handle.token) of task \(handle.task) has ended: it lapsed, or the task ended. Drop the work."
        )
    }

    /// A transition of a task with its present counts.
    func transition(
        _ operation: Transition.Operation,
        to state: TaskState,
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ token: LeaseToken
    ) -> Transition {
        var transition = Transition(
            sequence: sequence,
            operation: operation,
            state: state,
            attempts: slot.attempts,
            crashes: slot.crashes,
            token: token
        )
        transition.isRedriven = slot.isRedriven
        transition.hasEarlierAttempts = slot.hasEarlierAttempts
        if slot.isArranged { (transition.queue, transition.rank) = (slot.queue, slot.rank) }
        if state == .blocked, let options = index.options[sequence] {
            transition.start = options.start
            transition.blocker = options.dependencies?.progress.rawValue ?? 0
        }
        return transition
    }

    /// A transition that leaves a task in progress, with everything that is stored of its lease.
    func transition(
        _ operation: Transition.Operation,
        _ lease: Lease,
        _ sequence: TaskSequence,
        _ slot: TaskSlot
    ) -> Transition {
        var transition = transition(operation, to: .inProgress, sequence, slot, lease.token)
        transition.worker = lease.worker
        transition.leaseMilliseconds = lease.durationMilliseconds
        transition.claimedStoreMilliseconds = lease.claimedStoreMilliseconds
        transition.isCancelRequested = lease.isCancelRequested
        return transition
    }

    // MARK: Fail

    mutating func fail(_ item: Failure, _ fetched: [Fetch: Fetched]) -> TQError? {
        do throws(TQError) {
            let (sequence, slot, lease) = try held(item.lease)
            if let after = item.retryAfterMilliseconds { try checkDuration(after, "wait before the retry") }
            try checkPause(item)
            if settledCount > 0 { try checkSettling(of: [sequence]) }
            let reason = lease.isCancelRequested ? nil : burialReason(item, slot, sequence)
            if reason != nil, fetched[payloadFetch(slot)]?.isPostponed == true { throw Self.tooMuchAtOnce }
            totals.failed += 1
            if lease.isCancelRequested {
                endCancelled(sequence, slot, lease.token)
                return nil
            }
            if item.pausesKey { pauseKey(of: lease, for: item.retryAfterMilliseconds ?? 0) }
            let error = batch.text(Self.cut(item.error))
            addToHistory(slot, lease, item.isPermanent ? .failedPermanently : .failed, error)
            if let reason {
                bury(sequence, slot, lease.token, reason, error: error, fetched)
            } else {
                let wait = item.retryAfterMilliseconds ?? backoff(sequence, slot)
                retry(sequence, slot, lease.token, .fail, after: wait)
            }
            judge(slot, lease, hasFailed: true)
            return nil
        } catch {
            return error
        }
    }

    private func checkPause(_ item: Failure) throws(TQError) {
        guard item.pausesKey, item.retryAfterMilliseconds ?? 0 == 0 else { return }
        throw TQError(.invalidArgument, "A failure pauses its key until the retry. Say when that is to be.")
    }

    private mutating func retry(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ token: LeaseToken,
        _ operation: Transition.Operation,
        after wait: UInt64
    ) {
        var failed = transition(operation, to: wait == 0 ? .pending : .failed, sequence, slot, token)
        failed.start = start(after: wait)
        record(failed)
        totals.retried += 1
    }

    /// The wait before the next attempt.
    private mutating func backoff(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt64 {
        retryPolicy(sequence, slot).wait(before: Int(slot.attempts), using: &jitter)
    }

    private func burialReason(_ item: Failure, _ slot: TaskSlot, _ sequence: TaskSequence) -> DeadLetterReason? {
        if item.isPermanent { return .permanentFailure }
        return isExhausted(slot, sequence) ? .retriesExhausted : nil
    }

    private func isExhausted(_ slot: TaskSlot, _ sequence: TaskSequence) -> Bool {
        slot.attempts > retriesMax(sequence, slot)
    }

    /// The bytes that a failure needs because it makes a dead letter.
    func burialRead(of item: Failure) -> Fetch? {
        guard case .slot(let sequence, let slot) = find(item.lease.task), slot.state == .inProgress,
            index.leases[slot.link].token == item.lease.token, !index.leases[slot.link].isCancelRequested,
            burialReason(item, slot, sequence) != nil
        else { return nil }
        return payloadFetch(slot)
    }

    func payloadFetch(_ slot: TaskSlot) -> Fetch {
        .task(index.records[slot.segment].key, place: slot.place)
    }

    // MARK: History

    /// Keeps an attempt that did not succeed.
    private mutating func addToHistory(
        _ slot: TaskSlot,
        _ lease: Lease,
        _ end: AttemptEnd,
        _ error: EffectBatch.Span
    ) {
        batch.attempts.append(
            AttemptRow(
                sequence: lease.sequence,
                number: slot.attempts,
                end: end,
                token: lease.token,
                startWallMilliseconds: wallMilliseconds(ofStore: lease.claimedStoreMilliseconds),
                endWallMilliseconds: now.wallMilliseconds,
                worker: batch.text(index.workers[lease.worker]?.spec.name.bytes ?? []),
                error: error
            )
        )
    }

    /// Whether a task may have attempts that did not succeed; one that runs has an attempt of which nobody knows yet.
    func hasHistory(_ slot: TaskSlot) -> Bool {
        slot.hasEarlierAttempts || slot.attempts > (slot.state == .inProgress ? 1 : 0)
    }

    // MARK: Dead letters

    mutating func bury(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ token: LeaseToken,
        _ reason: DeadLetterReason,
        error: EffectBatch.Span,
        _ fetched: [Fetch: Fetched]
    ) {
        var reason = reason
        var payload: Bytes = []
        var content = StoredContent.unspecified
        var options = slot.hasOptions ? index.options[sequence] : nil
        if case .task(let row, let stored)? = fetched[payloadFetch(slot)], row.sequence == sequence {
            payload = stored
            content = row.content
            options = row.options
        } else {
            reason = .payloadDamaged
        }
        options?.start = StartTime.none
        options?.startBy = StartTime.none
        options?.buriesLate = false
        // Put back, it runs.
        options?.dependencies?.progress = .released
        if options?.isEmpty == true { options = nil }
        let task = TaskRow(
            sequence: sequence,
            createdMilliseconds: slot.createdMilliseconds,
            queue: slot.queue,
            type: slot.type,
            rank: slot.rank,
            bodyByteCount: UInt32(payload.count),
            content: content,
            options: options
        )
        let letter = DeadLetterRow(
            task: task,
            reason: reason,
            attempts: slot.attempts,
            crashes: slot.crashes,
            token: token,
            buriedWallMilliseconds: now.wallMilliseconds,
            bucket: expiry(ofDeadLetter: task),
            error: error,
            payload: batch.text(payload)
        )
        batch.deadLetters.append(letter)
        let id = id(of: sequence, slot)
        var buried = transition(.bury, to: .deadLetter, sequence, slot, token)
        buried.byteCount = letter.byteCount
        record(buried)
        totals.deadLettered += 1
        notices.append(.deadLettered(id, reason))
        tellWaiting(for: sequence, id, .deadLetter(batch.group))
        settleDependents(of: sequence, .deadLetter)
    }

    /// Puts a dead letter back: the same task with the same id and sequence, its attempts counted anew.
    mutating func redrive(_ item: Redrive, _ fetched: [Fetch: Fetched]) -> TQError? {
        do throws(TQError) {
            let (row, payload) = try deadLetter(item.task, fetched, "put back")
            try redrive(row, payload: payload, item)
            return nil
        } catch {
            return error
        }
    }

    /// The same for one that was read and is still dead.
    mutating func redrive(_ row: DeadLetterRow, payload: Bytes, _ item: Redrive) throws(TQError) {
        if item.payload == nil, row.reason == .payloadDamaged {
            throw TQError(
                .conflict,
                "The payload of task \(item.task) is damaged, so it cannot run again. Put it back with another one."
            )
        }
        if let error = holderError(of: row.task) { throw error }
        var row = row
        if let edited = item.payload {
            try checkSize(ofPayload: edited)
            row.task.content = try stored(item.content)
        }
        putBack(row, payload: item.payload ?? payload, isEdited: item.payload != nil)
    }

    /// Ends a dead letter for good: it is cancelled, and its payload goes.
    mutating func purge(_ id: TaskID, _ fetched: [Fetch: Fetched]) -> TQError? {
        do throws(TQError) {
            let (row, _) = try deadLetter(id, fetched, "purged")
            if settledCount > 0 { try checkSettling(of: [row.task.sequence]) }
            end(row, .purged)
            return nil
        } catch {
            return error
        }
    }

    /// What is stored of a dead letter.
    private func deadLetter(
        _ id: TaskID,
        _ fetched: [Fetch: Fetched],
        _ verb: String
    ) throws(TQError) -> (DeadLetterRow, payload: Bytes) {
        guard let sequence = cipher.sequence(of: id), sequence.rawValue < index.nextSequence else {
            throw notFound(id)
        }
        if fetched[.deadLetter(sequence)]?.isPostponed == true { throw Self.tooMuchAtOnce }
        guard case .deadLetter(let row, _, let payload)? = fetched[.deadLetter(sequence)],
            row.task.createdMilliseconds & 0xffff_ffff_ffff == id.createdMilliseconds, isDead(row)
        else { throw TQError(.taskNotFound, "Task \(id) is not a dead letter, so it cannot be \(verb).") }
        return (row, payload)
    }

    /// Whether what was read of a dead letter is still so: it may have been put back meanwhile, or be over.
    func isDead(_ row: DeadLetterRow) -> Bool {
        let sequence = row.task.sequence
        return !index.tasks[sequence].isLive && redriven[sequence].map { $0.token < row.token } ?? true
            && row.task.queue > 0 && row.task.queue < index.queues.count
            && row.task.options?.retryPolicy ?? 0 <= index.retryPolicies.count && index.knows(row.task.content)
    }

    /// Ends a dead letter: it is put back and cancelled in one.
    mutating func end(_ row: DeadLetterRow, _ reason: CancelReason) {
        var row = row
        row.task.content = .unspecified
        let sequence = row.task.sequence
        // With a row of its own it does not go with its old segment, which may die in this group: a replay takes that first.
        putBack(row, payload: [], isEdited: true, attempts: row.attempts, crashes: row.crashes)
        endCancelled(sequence, index.tasks[sequence], row.token, reason)
    }

    private mutating func putBack(
        _ row: DeadLetterRow,
        payload: Bytes,
        isEdited: Bool,
        attempts: UInt16 = 0,
        crashes: UInt16 = 0
    ) {
        let sequence = row.task.sequence
        // Its row may still be there, and need not be stored again when it has the right payload.
        let isReplacement = isEdited && index.tasks[sequence].stateValue != 0
        if isReplacement || index.tasks[sequence].stateValue == 0 {
            var task = row.task
            task.bodyByteCount = UInt32(payload.count)
            store(task, payload: payload, isMoved: true, isReplacement: isReplacement)
        }
        // The last word on the task in this group, which may have carried its burial along.
        var back = Transition(
            sequence: sequence,
            operation: isReplacement ? .replace : .stage,
            state: .pending,
            attempts: attempts,
            crashes: crashes,
            token: row.token
        )
        back.byteCount = row.byteCount
        back.isRedriven = true
        back.hasEarlierAttempts = true
        let slot = index.tasks[sequence]
        if slot.isArranged { (back.queue, back.rank) = (slot.queue, slot.rank) }
        record(back)
        redriven.note(sequence, row.token, atMilliseconds: now.monotonicMilliseconds)
        index.apply(redriven: sequence)
        batch.redrivenDeadLetters.append(DeadLetterKey(row))
    }

    private static let tooMuchAtOnce = TQError(
        .rateLimited,
        "The payloads of the tasks before this one are as much as one request may move. Send this one again."
    )

    mutating func buryDamaged(_ handle: LeaseHandle) {
        guard let (sequence, slot, lease) = try? held(handle) else { return }
        if lease.isCancelRequested { return endCancelled(sequence, slot, lease.token) }
        bury(
            sequence,
            slot,
            lease.token,
            .payloadDamaged,
            error: batch.text("The payload does not match its checksum."),
            [:]
        )
    }

    // MARK: Release and renew

    mutating func release(_ item: Release) -> TQError? {
        do throws(TQError) {
            let (sequence, slot, lease) = try held(item.lease)
            try checkDuration(item.delayMilliseconds, "delay")
            if lease.isCancelRequested {
                endCancelled(sequence, slot, lease.token)
            } else {
                giveBack(sequence, slot, lease.token, .release, delay: item.delayMilliseconds)
            }
            return nil
        } catch {
            return error
        }
    }

    /// Makes a task claimable again as if this attempt had not been.
    private mutating func giveBack(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ token: LeaseToken,
        _ operation: Transition.Operation,
        delay: UInt64 = 0
    ) {
        var back = transition(operation, to: delay == 0 ? .pending : .scheduled, sequence, slot, token)
        back.attempts = slot.attempts == 0 ? 0 : slot.attempts - 1
        back.start = start(after: delay)
        record(back)
    }

    /// Renewals are session state but for a new duration or progress: a restart gives every lease its full duration again.
    ///
    /// - Parameter holder: Who renews the lease holds it: a worker that lost its connection goes on over another one.
    mutating func renew(_ item: Renewal, _ holder: SessionID) -> TQError? {
        do throws(TQError) {
            let (sequence, slot, lease) = try held(item.lease)
            try checkDuration(UInt64(item.leaseMilliseconds), "lease")
            guard !lease.isCancelRequested else { throw cancelRequested(item.lease) }
            guard lease.attemptDeadlineMilliseconds > now.monotonicMilliseconds else { throw leaseLost(item.lease) }
            let duration = nonZero(item.leaseMilliseconds) ?? lease.durationMilliseconds
            if let progress = item.progress { try check(progress) }
            if let checkpoint = item.checkpoint { try check(checkpoint: checkpoint) }
            hear(holder: lease)
            var place = slot.link
            if duration != lease.durationMilliseconds || item.progress != nil || item.checkpoint != nil {
                var renewed = transition(.renew, lease, sequence, slot)
                renewed.leaseMilliseconds = duration
                renewed.progress = batch.progress(item.progress ?? index.progress[sequence])
                renewed.checkpoint = item.checkpoint.map { batch.text($0) }
                record(renewed)
                place = index.tasks[sequence].link
            }
            index.leases.update(place) {
                $0.session = session.sessions[holder] == nil ? lease.session : holder
                $0.attemptDeadlineMilliseconds = lease.attemptDeadlineMilliseconds
                $0.extend(from: now.monotonicMilliseconds)
                $0.isRecovered = false
            }
            return nil
        } catch {
            return error
        }
    }

    private func check(_ progress: TaskProgress) throws(TQError) {
        guard progress.percent <= 100, progress.message.count <= Limits.progressBytesMax else {
            throw TQError(
                .invalidArgument,
                "Progress of \(progress.percent) % with a message of \(progress.message.count) bytes: use 0 to 100, and at "
                    + "most \(Limits.progressBytesMax) bytes."
            )
        }
    }

    private func check(checkpoint: Bytes) throws(TQError) {
        guard checkpoint.count <= Limits.checkpointBytesMax else {
            throw TQError(
                .invalidArgument,
                "The checkpoint has \(checkpoint.count) bytes, the limit is \(Limits.checkpointBytesMax). Store it elsewhere "
                    + "and save its address."
            )
        }
    }

    // MARK: Lost leases

    /// Why a lease ends that nobody ended.
    enum Loss {
        /// Nobody renewed it in time.
        case lapsed
        /// Its attempt took longer than the task's timeout.
        case timedOut
        /// Its worker or its session is gone without a word.
        case lost
        /// Its worker said good-bye.
        case deregistered
    }

    /// Takes a task back from whoever held its lease.
    mutating func reclaim(_ place: UInt32, _ loss: Loss, _ fetched: [Fetch: Fetched]) {
        let lease = index.leases[place]
        let sequence = lease.sequence
        var slot = index.tasks[sequence]
        if lease.isCancelRequested { return endCancelled(sequence, slot, lease.token) }
        if countsAsCrash(lease, loss) { slot.crashes = slot.crashes == .max ? .max : slot.crashes + 1 }
        let reason = burialReason(lease, loss, slot)
        if reason != nil, fetched[payloadFetch(slot)].map(\.isPostponed) ?? true {
            // One more than a command reads for: the next tick has its turn. What could not be read has time.
            let wait: UInt64 = fetched[payloadFetch(slot)] == nil ? 0 : Self.unreadableMilliseconds
            return index.leases.update(place) {
                $0.deadlineMilliseconds = now.monotonicMilliseconds + wait
                if loss == .timedOut { $0.attemptDeadlineMilliseconds = $0.deadlineMilliseconds }
            }
        }
        guard loss == .timedOut || countsAsCrash(lease, loss) else {
            return giveBack(sequence, slot, lease.token, loss == .lapsed ? .lapse : .reclaim)
        }
        let worker = index.workers[lease.worker]?.spec.name
        let error = batch.text(text(of: loss, lease, slot, worker))
        addToHistory(slot, lease, loss == .timedOut ? .timedOut : loss == .lapsed ? .leaseLapsed : .workerLost, error)
        if let reason {
            bury(sequence, slot, lease.token, reason, error: error, fetched)
        } else if loss == .timedOut {
            retry(sequence, slot, lease.token, .timeOut, after: backoff(sequence, slot))
        } else {
            record(transition(loss == .lapsed ? .lapse : .reclaim, to: .pending, sequence, slot, lease.token))
        }
        judge(slot, lease, hasFailed: true)
        note(loss, of: id(of: sequence, slot), worker, slot)
    }

    private func text(of loss: Loss, _ lease: Lease, _ slot: TaskSlot, _ worker: Name?) -> String {
        guard loss == .timedOut else {
            return "The worker\(worker.map { " '\($0)'" } ?? "") lost its lease in attempt \(slot.attempts)."
        }
        let timeout = timeoutMilliseconds(lease.sequence, slot)
        return "Attempt \(slot.attempts) took longer than its timeout of \(timeout) ms."
    }

    private mutating func note(_ loss: Loss, of id: TaskID, _ worker: Name?, _ slot: TaskSlot) {
        switch loss {
        case .timedOut:
            totals.failed += 1
            totals.timedOut += 1
            notices.append(.attemptTimedOut(id, worker: worker, attempt: slot.attempts))
        case .lapsed, .lost, .deregistered:
            if loss == .lapsed { totals.lapsed += 1 }
            notices.append(.leaseLapsed(id, worker: worker, crashes: slot.crashes))
        }
    }

    /// How long a lease that should lapse waits when its task's payload could not be read.
    static let unreadableMilliseconds: UInt64 = 1_000

    /// A lease lost in its first duration after a restart is nobody's crash, and so is a good-bye.
    private func countsAsCrash(_ lease: Lease, _ loss: Loss) -> Bool {
        (loss == .lapsed || loss == .lost) && !lease.isRecovered
    }

    /// Why the loss of a lease makes a dead letter; the slot counts it already.
    private func burialReason(_ lease: Lease, _ loss: Loss, _ slot: TaskSlot) -> DeadLetterReason? {
        guard loss == .timedOut || countsAsCrash(lease, loss) else { return nil }
        let crashesMax = crashesMax(lease.sequence, slot)
        if loss != .timedOut, crashesMax > 0, slot.crashes >= crashesMax { return .quarantined }
        return isExhausted(slot, lease.sequence) ? .retriesExhausted : nil
    }

    /// The bytes that reclaiming a lease needs because it makes a dead letter.
    func reclaimRead(_ place: UInt32, _ loss: Loss) -> Fetch? {
        let lease = index.leases[place]
        var slot = index.tasks[lease.sequence]
        guard !lease.isCancelRequested else { return nil }
        if countsAsCrash(lease, loss) { slot.crashes = slot.crashes == .max ? .max : slot.crashes + 1 }
        return burialReason(lease, loss, slot) == nil ? nil : payloadFetch(slot)
    }

    /// Why a lease ends now whose deadline has passed.
    func loss(of place: UInt32) -> Loss {
        let lease = index.leases[place]
        // Of one that was not renewed since a restart nobody knows whether somebody still works on it.
        return lease.deadlineMilliseconds == lease.attemptDeadlineMilliseconds && !lease.isRecovered
            ? .timedOut : .lapsed
    }

    /// The first bytes of an error text, cut at a character.
    private static func cut(_ error: Bytes) -> Bytes {
        guard error.count > Limits.errorBytesMax else { return error }
        var end = error.startIndex + Limits.errorBytesMax
        while end > error.startIndex, error[end] & 0b1100_0000 == 0b1000_0000 { end -= 1 }
        return error[error.startIndex..<end]
    }
}
