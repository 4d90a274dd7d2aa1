import TQModel

extension Checker {
    mutating func returnClaim(_ queues: [QueueNumber], _ operation: OpenOperation, _ outcome: Outcome) {
        openClaims -= 1
        switch outcome {
        case .delivered(let deliveries):
            for delivery in deliveries { deliver(delivery, from: queues, operation) }
            for delivery in deliveries { tokens.raise(to: delivery.lease.token) }
        case .unknown: lostClaims.append(operation.invoked)
        case .refused: break
        case .submitted, .replaced, .done, .cancelRequested, .observed: reportMismatch(operation)
        }
    }

    private mutating func deliver(_ delivery: Delivered, from queues: [QueueNumber], _ operation: OpenOperation) {
        checkToken(delivery.lease, operation)
        guard let slot = slot(of: delivery.lease.task, payload: delivery.payload) else { return }
        checkPayload(slot, delivery.payload, since: operation.invoked)
        if !queues.contains(where: tasks[slot].mayBe) {
            report(
                .bytes,
                tasks[slot].id,
                [tasks[slot].submitInvoked, operation.invoked],
                "It came from a queue that is not its own"
            )
        }
        let isRedriven = checkAfterEnd(slot, delivery, operation)
        checkAfterCancelRequest(slot, operation)
        checkStartTime(slot, delivery, operation)
        let lease = LeaseRecord(delivery, operation, returned: position, now)
        if let newest = tasks[slot].lease, newest.token > lease.token {
            acceptLate(slot, lease, newest: newest)
        } else {
            checkNewest(slot, lease, isRedriven: isRedriven)
            if let sentence = order?.check(tasks[slot], claim: operation, queues) {
                report(.order, tasks[slot].id, [tasks[slot].submitInvoked, operation.invoked], sentence)
            }
        }
        checkLimit(slot, lease)
        let touched = operation.time.monotonicMilliseconds
        tasks[slot].firstTouched = min(tasks[slot].firstTouched ?? touched, touched)
    }

    private mutating func checkToken(_ lease: LeaseHandle, _ operation: OpenOperation) {
        let floor = operation.tokenFloor
        let isNew = tokens.insert(lease.token)
        if tokens.isLong { tokens.forget(upTo: lowestFloor(with: floor)) }
        if !isNew {
            report(.fencing, lease.task, [operation.invoked], "Token \(lease.token) was delivered twice")
        } else if lease.token <= floor {
            report(.fencing, lease.task, [operation.invoked], "Token \(lease.token) came after token \(floor)")
        }
    }

    private func lowestFloor(with floor: LeaseToken) -> LeaseToken {
        open.values.reduce(floor) { lowest, operation in
            if case .claim = operation.call { min(lowest, operation.tokenFloor) } else { lowest }
        }
    }

    /// Checks that the task had not ended, and returns whether it was a dead letter that must have been redriven.
    private mutating func checkAfterEnd(_ slot: Int, _ delivery: Delivered, _ operation: OpenOperation) -> Bool {
        guard let end = tasks[slot].end else { return false }
        let isAfter = end.token.map { delivery.lease.token > $0 } ?? (operation.invoked > end.known)
        if end.state == .deadLetter, tasks[slot].canBeRedriven {
            // Also what a stream asked for before may be delivered after a redrive.
            tasks[slot].end = nil
            return isAfter
        }
        guard isAfter else { return false }
        let sentence = "Delivered with token \(delivery.lease.token), but it is \(end.state.name)"
        report(.noDeliveryAfterEnd, tasks[slot].id, [end.known, operation.invoked], sentence)
        return false
    }

    /// Checks that no attempt began after the reply that the running one is to end.
    private mutating func checkAfterCancelRequest(_ slot: Int, _ operation: OpenOperation) {
        // What was asked for before may have been decided before.
        guard let request = tasks[slot].cancelRequested, operation.invoked > request else { return }
        let sentence = "Delivered after its cancel was requested"
        report(.noDeliveryAfterEnd, tasks[slot].id, [request, operation.invoked], sentence)
    }

    private mutating func checkStartTime(_ slot: Int, _ delivery: Delivered, _ operation: OpenOperation) {
        let record = tasks[slot]
        let slack = rules.slackMilliseconds
        // One that was buried before its start, because a clock was set back, may start as soon as it is put back.
        let mayBeBuried = record.spec.map { $0.lateness == .buried || $0.hasDependencies } ?? false
        let isBuriedLate = record.redrives > 0 && mayBeBuried
        if let start = record.spec?.notBeforeWallMilliseconds, start > 0, !isBuriedLate {
            let latest = wallPeaks.latest(since: record.submitInvoked)
            if latest.later(by: slack) < start {
                let sentence = "Delivered \(start - latest) ms before its start time"
                report(.startTime, record.id, [record.submitInvoked], sentence)
            }
        }
        checkLatestStart(record, operation)
        // A redriven task need not wait, nor one that another submit took the place of.
        let name = record.spec.flatMap { SubmitLedger.UniqueName($0) }
        let mayBeReplaced = name.map { submits.hasReplacements($0) } ?? false
        if let pause = record.pause, record.redrives == 0, !mayBeReplaced, delivery.lease.token > pause.token,
            now.monotonicMilliseconds.later(by: slack) < pause.untilMonotonicMilliseconds
        {
            let early = pause.untilMonotonicMilliseconds - now.monotonicMilliseconds
            report(.startTime, record.id, [pause.invoked], "Delivered \(early) ms before its pause was over")
        }
    }

    /// Checks that the attempt began in time, where the clock went straight on since it was asked for.
    private mutating func checkLatestStart(_ record: TaskRecord, _ operation: OpenOperation) {
        guard let latest = record.spec?.startByWallMilliseconds, latest > 0, record.redrives == 0,
            lastClockStep < operation.invoked,
            operation.time.wallMilliseconds >= latest.later(by: rules.slackMilliseconds)
        else { return }
        let late = operation.time.wallMilliseconds - latest
        let sentence = "It was asked for \(late) ms after its latest start, and delivered"
        report(.startTime, record.id, [record.submitInvoked, operation.invoked], sentence)
    }

    private mutating func checkLimit(_ slot: Int, _ lease: LeaseRecord) {
        guard let limit = tasks[slot].attemptsMax(rules), lease.attempt > limit else { return }
        report(.attempts, tasks[slot].id, [lease.claimInvoked], "Attempt \(lease.attempt) of at most \(limit)")
    }
}

extension Checker {
    /// A delivery with the highest token of its task.
    private mutating func checkNewest(_ slot: Int, _ lease: LeaseRecord, isRedriven: Bool) {
        let record = tasks[slot]
        if let previous = record.lease, isCertainlyValid(previous, of: record, at: now.monotonicMilliseconds) {
            let sentence = "Delivered with token \(lease.token) while the lease with token \(previous.token) was valid"
            report(.oneLease, record.id, [previous.claimReturned, lease.claimInvoked], sentence)
        }
        let before = attemptsBegun(record)
        if before.count > 1 { tasks[slot].isCountUncertain = true }
        if isRedriven || (lease.attempt <= before.lowerBound && record.canBeRedriven) {
            tasks[slot].redrivesUsed += 1
        } else if lease.attempt <= before.lowerBound {
            let sentence = "Attempt \(lease.attempt) came after attempt \(record.lease?.attempt ?? 0)"
            report(.attempts, record.id, [record.lease?.claimReturned ?? -1, lease.claimInvoked], sentence)
        } else if lease.attempt > before.upperBound + 1 {
            let gap = AttemptGap(
                task: record.id,
                above: record.lease?.token ?? LeaseToken(rawValue: 0),
                below: lease.token,
                missing: lease.attempt - before.upperBound - 1,
                returned: position
            )
            gaps[slot, default: []].append(gap)
        }
        tasks[slot].lease = lease
    }

    /// A delivery whose reply was slower than that of a newer one.
    private mutating func acceptLate(_ slot: Int, _ lease: LeaseRecord, newest: LeaseRecord) {
        let record = tasks[slot]
        let isUncounted = isUndoable(lease) || mayBeGivenBack(lease)
        if isCertainlyValid(lease, of: record, at: newest.returnedMilliseconds) {
            let sentence = "Delivered with token \(newest.token) while the lease with token \(lease.token) was valid"
            report(.oneLease, record.id, [newest.claimReturned, lease.claimInvoked], sentence)
        }
        let gap = gaps[slot]?.lastIndex { $0.above < lease.token && lease.token < $0.below && $0.missing > 0 }
        if let gap, isUncounted {
            gaps[slot]?[gap].uncertain += 1
        } else if let gap {
            gaps[slot]?[gap].missing -= 1
        } else if !isUncounted, record.redrives == 0, !record.isCountUncertain {
            let sentence = "The delivery with token \(lease.token) did not count as an attempt"
            report(.attempts, record.id, [lease.claimInvoked, newest.claimReturned], sentence)
        }
    }

    /// The attempts that the broker can have counted at that event or later, but for lost claims and redrives.
    func attemptsBegun(_ record: TaskRecord, since position: Int = .max) -> ClosedRange<Int> {
        guard let lease = record.lease else { return 0...0 }
        let isReleased = lease.ended.map { $0.by == .release && $0.returned < position } ?? false
        // The attempt in which a task was cancelled counts, also when its worker gave it back.
        let highest = isReleased && record.cancels == 0 ? lease.attempt - 1 : lease.attempt
        let isMaybeLower = isReleased || lease.releases > 0 || isUndoable(lease) || mayBeGivenBack(lease)
        let lowest = isMaybeLower ? lease.attempt - 1 : lease.attempt
        return max(0, lowest)...max(0, highest)
    }

    /// Whether the attempt may not count: its worker said good-bye, or it lapsed after a restart and was nobody's crash.
    private func mayBeGivenBack(_ lease: LeaseRecord) -> Bool {
        maySessionHaveEnded(lease) || stops.isStopped(since: lease.claimInvoked)
    }

    /// Every attempt that was counted but not delivered must be a claim that was lost.
    mutating func checkGaps() {
        let unexplained = gaps.values.joined().filter { $0.missing > $0.uncertain }
        gaps = [:]
        guard !unexplained.isEmpty else { return }
        var lost = lostClaims
        for operation in open.values { if case .claim = operation.call { lost.append(operation.invoked) } }
        lost.sort()
        for gap in unexplained.sorted(by: { $0.returned < $1.returned }) {
            let missing = gap.missing - gap.uncertain
            // Only the n-th lost claim needs a look: were it invoked too late, so were those after it.
            guard lost.count < missing || lost[missing - 1] >= gap.returned else { continue }
            let sentence =
                "\(missing) attempts were counted that no claim can have begun, before token \(gap.below)"
            report(.attempts, gap.task, [gap.returned], sentence)
        }
    }
}

extension LeaseRecord {
    init(_ delivery: Delivered, _ operation: OpenOperation, returned: Int, _ now: Now) {
        self.token = delivery.lease.token
        self.attempt = Int(delivery.attempt)
        self.clients = [operation.client]
        self.claimInvoked = operation.invoked
        self.invokedMilliseconds = operation.time.monotonicMilliseconds
        self.claimReturned = returned
        self.clockSet = returned
        self.returnedMilliseconds = now.monotonicMilliseconds
        self.durationMilliseconds = UInt64(delivery.leaseMilliseconds)
        self.restartMilliseconds = durationMilliseconds
        self.longestMilliseconds = durationMilliseconds
        self.earliestLapse = operation.time.monotonicMilliseconds.later(by: durationMilliseconds)
    }
}
