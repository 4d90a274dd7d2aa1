public import TQModel

extension QueueCore {
    /// Bounds on the work of one tick; the rest waits for the next one.
    private static let lapsesPerTick = 1_000
    private static let startsPerTick = 10_000
    private static let cleaningsPerTurn = 32
    private static let expiriesPerTick = 64
    private static let sweptPerTick = 4_000
    /// Tasks that one claim finds to be late, and late ones that one tick buries.
    static let lateTasksPerClaim = 1_000
    private static let unrunBytesPerTick = 16 << 20
    /// Tasks that end in the same tick as one that they depended on, or as one that depended on that.
    private static let dependentsPerTick = 1_000
    /// Payloads of up to 10 MiB are read for dead letters that nobody asked for; leases beyond lapse in the next ticks.
    static let lossBurialsPerCommand = 16
    /// How long a redrive is remembered; a read that takes longer than this does not happen.
    static let redriveMemoryMilliseconds: UInt64 = 60_000

    mutating func tickReads() -> [Fetch] {
        collectUnrun()
        let losses = lapsedLeases().compactMap { reclaimRead($0, loss(of: $0)) } + silentWorkerReads()
        return Array(losses.prefix(Self.lossBurialsPerCommand)) + unrunReads + zoneReads
            + [sweepRead, expiringDeadLettersRead].compactMap { $0 } + oldestDeadLettersReads + surplusReads
            + absentParentReads()
    }

    mutating func tick(_ fetched: [Fetch: Fetched]) {
        for place in lapsedLeases() where !hasSettledMuch { reclaim(place, loss(of: place), fetched) }
        giveUpSilentWorkers(fetched)
        endUnrun(fetched)
        settleAbsentParents(fetched)
        stageDueTasks()
        endPauses()
        tryCircuits()
        servePaced()
        fireTicks(fetched)
        endTimedOutWaits()
        sweep(fetched)
        expireDeadLetters(fetched)
        displaceDeadLetters(fetched)
        forgetSurplus(fetched)
        expire()
        if now.monotonicMilliseconds >= Self.redriveMemoryMilliseconds {
            redriven.forget(throughMilliseconds: now.monotonicMilliseconds - Self.redriveMemoryMilliseconds)
        }
    }

    private mutating func lapsedLeases() -> [UInt32] {
        index.leases.lapsed(monotonicMilliseconds: now.monotonicMilliseconds, limit: Self.lapsesPerTick)
    }

    /// Tasks whose leases would lapse later than a renewal at this moment allows: none, ever.
    ///
    /// For checks; takes time in the number of leases.
    public var overlongLeases: [TaskSequence] {
        index.leases.places {
            let longest = max(UInt64($0.durationMilliseconds), Self.unreadableMilliseconds)
            return $0.deadlineMilliseconds > now.monotonicMilliseconds + longest
        }
        .map { index.leases[$0].sequence }
    }

    /// Makes tasks pending whose time has come.
    private mutating func stageDueTasks() {
        for _ in 0..<Self.startsPerTick {
            guard let entry = index.starts.takeDue(wall: now.wallMilliseconds, store: clock.milliseconds) else {
                return
            }
            guard DurableIndex.holds(entry, index.tasks, index.options) else { continue }
            // A late one is only set aside until it is ended.
            guard !isLate(index.tasks[entry.sequence], entry.sequence) else { continue }
            makePending(entry.sequence)
        }
    }

    private mutating func makePending(_ sequence: TaskSequence) {
        record(transition(.stage, to: .pending, sequence, index.tasks[sequence], LeaseToken(rawValue: 0)))
    }

    // MARK: Tasks that end without having run

    /// Whether a waiting task must not start any more.
    func isLate(_ slot: TaskSlot, _ sequence: TaskSequence) -> Bool {
        guard slot.hasOptions, !slot.isRedriven, let latest = index.options[sequence]?.startBy, latest != .none
        else { return false }
        return latest.milliseconds <= (latest.isStoreTime ? clock.milliseconds : now.wallMilliseconds)
    }

    private func buriesLate(_ sequence: TaskSequence) -> Bool { index.options[sequence]?.buriesLate == true }

    /// How a waiting task ends that is not to run.
    private enum Unrun {
        case cancelled(CancelReason)
        case buried(DeadLetterReason, StaticString)
    }

    /// How a waiting task ends now; `nil` when it does not.
    private func end(_ slot: TaskSlot, _ sequence: TaskSequence) -> Unrun? {
        guard slot.stateValue != 0, slot.state.isWaiting else { return nil }
        if index.isDoomed(sequence) {
            let onFailure = index.options[sequence]?.dependencies?.onFailure
            guard onFailure == .bury else { return .cancelled(.dependencyFailed) }
            return .buried(.dependencyFailed, "Tasks failed on which it depended.")
        }
        guard isLate(slot, sequence) else { return nil }
        guard buriesLate(sequence) else { return .cancelled(.tooLate) }
        return .buried(.tooLate, "The task did not start by the time that it was given.")
    }

    /// The payloads of those that become dead letters, as many as one command may hold.
    private var unrunReads: [Fetch] {
        var reads: [Fetch] = []
        var byteCount = 0
        for sequence in unrun {
            let slot = index.tasks[sequence]
            guard case .buried? = end(slot, sequence) else { continue }
            byteCount += slot.payloadByteCountMax
            guard reads.isEmpty || byteCount <= Self.unrunBytesPerTick, reads.count < Self.lateTasksPerClaim else {
                break
            }
            reads.append(payloadFetch(slot))
        }
        return reads
    }

    /// Takes a late task out of the way of a claim: it is over, or waits for a tick that reads its payload, or that serves those
    /// who get what waited for it.
    mutating func setAside(_ sequence: TaskSequence) {
        let slot = index.tasks[sequence]
        guard buriesLate(sequence) || index.dependents.count(of: sequence) > 0 else {
            return endCancelled(sequence, slot, LeaseToken(rawValue: 0), .tooLate)
        }
        var aside = transition(.stage, to: .scheduled, sequence, slot, LeaseToken(rawValue: 0))
        aside.start = index.options[sequence]?.startBy ?? .none
        record(aside)
        unrun.append(sequence)
    }

    private mutating func collectUnrun() {
        while unrun.count < Self.startsPerTick,
            let entry = index.latestStarts.takeDue(wall: now.wallMilliseconds, store: clock.milliseconds)
        {
            unrun.append(entry.sequence)
        }
        while unrun.count < Self.startsPerTick, let sequence = index.takeDoomed() { unrun.append(sequence) }
    }

    /// Ends them, and those that depended on them.
    private mutating func endUnrun(_ fetched: [Fetch: Fetched]) {
        let turn = unrun
        unrun = []
        for sequence in turn {
            if hasSettledMuch { unrun.append(sequence) } else { endUnrun(sequence, fetched) }
        }
        for _ in 0..<Self.dependentsPerTick {
            guard !hasSettledMuch, let sequence = index.takeDoomed() else { break }
            endUnrun(sequence, fetched)
        }
    }

    /// Ends one; whose payload must be read and was not has its turn with the next tick.
    private mutating func endUnrun(_ sequence: TaskSequence, _ fetched: [Fetch: Fetched]) {
        let slot = index.tasks[sequence]
        switch end(slot, sequence) {
        case .cancelled(let reason): endCancelled(sequence, slot, LeaseToken(rawValue: 0), reason)
        case .buried(let reason, let text):
            guard fetched[payloadFetch(slot)].map({ !$0.isPostponed }) ?? false else { return unrun.append(sequence) }
            let error = batch.text("\(text)")
            bury(sequence, slot, LeaseToken(rawValue: 0), reason, error: error, fetched)
        case nil: if slot.stateValue != 0, slot.state.isWaiting { goOn(slot, sequence) }
        }
    }

    /// Lets a task wait on that was late: somebody has set the clock back.
    private mutating func goOn(_ slot: TaskSlot, _ sequence: TaskSequence) {
        index.pushLatestStart(slot, sequence)
        let options = index.options[sequence]
        if slot.state == .scheduled, options?.start == options?.startBy { makePending(sequence) }
    }

    private mutating func endTimedOutWaits() {
        while let parking = session.takeTimedOut(monotonicMilliseconds: now.monotonicMilliseconds) {
            switch parking {
            case .claim(let claim):
                reply(.claimed([]), to: Asker(session: claim.session, request: claim.request, principal: .anonymous))
            case .result(let session, let request, let id, _, _):
                reply(notEnded(id), to: Asker(session: session, request: request, principal: .anonymous))
            }
        }
    }

    // MARK: Expiry

    /// Takes outcomes and keys whose time has come, bucket by bucket: no time is spent on single ones.
    private mutating func expire() {
        for bucket in dueBuckets.prefix(Self.expiriesPerTick) {
            totals.expired += index.outcomeCount(in: bucket)
            index.apply(expiredOutcomes: bucket)
            batch.expiredOutcomes.append(bucket)
        }
        for bucket in index.keys.expired(storeMilliseconds: clock.milliseconds) {
            index.apply(expiredKeys: bucket)
            batch.expiredKeys.append(bucket)
        }
    }

    /// Buckets of outcomes that go now, earliest first.
    private var dueBuckets: [ExpiryBucket] {
        let buckets = index.expiredOutcomeBuckets
        return configuration.expiresOutcomes ? buckets : buckets.filter { $0 <= askedToExpireThrough }
    }

    /// Whether ticks have outcomes or dead letters to take, or what is left of some.
    public var isExpiring: Bool {
        !dueBuckets.isEmpty || sweptThrough < index.goneThrough
            || expiringDeadLettersRead != nil
    }

    /// What points into buckets that are gone, or belonged to their tasks.
    private var sweepRead: Fetch? {
        guard sweptThrough < index.expiredThrough else { return nil }
        return .expiring(through: index.expiredThrough, limit: Self.sweptPerTick)
    }

    /// Removes what is left of expired buckets, some in each tick.
    private mutating func sweep(_ fetched: [Fetch: Fetched]) {
        guard let read = sweepRead, case .expiring(let records)? = fetched[read] else { return }
        batch.swept += records
        // Nothing is added to a bucket once it is gone.
        if records.count < Self.sweptPerTick { sweptThrough = index.expiredThrough }
    }

    /// Takes all outcomes whose time has come; the reply leaves when that is done and their disk space is given back.
    mutating func compact(_ asker: Asker) {
        let due = ExpiryBucket(rawValue: UInt32(clamping: clock.milliseconds / 1000))
        askedToExpireThrough = max(askedToExpireThrough, due)
        reply(.compacted(Compaction()), to: asker, missing: .compaction)
    }

    // MARK: Cleaning

    /// Whether a turn of cleaning would find something to rewrite.
    public var hasSparseRecords: Bool { !cleaning.isEmpty || index.records.hasSparse(before: batch.group) }

    mutating func cleanReads() -> [Fetch] {
        if cleaning.isEmpty {
            cleaning = index.records.takeSparse(before: batch.group, limit: Self.cleaningsPerTurn)
                .map { ($0, index.records[$0].group) }
        }
        cleaning.removeAll { index.records[$0.handle].group != $0.group || index.records[$0.handle].live == 0 }
        return cleaning.map { read(cleaning: $0.handle) }
    }

    private func read(cleaning handle: UInt32) -> Fetch {
        let record = index.records[handle]
        return record.isSegment ? .segment(record.key) : .transitions(record.group)
    }

    mutating func clean(_ fetched: [Fetch: Fetched]) {
        let turn = cleaning
        cleaning = []
        for (handle, group) in turn where index.records[handle].group == group {
            let read = read(cleaning: handle)
            switch fetched[read] {
            case .segment(let tasks): move(tasks, from: handle)
            case .transitions(let sequences):
                // Carrying a task moves it to the open group's record, so its earlier transitions are passed over.
                for sequence in sequences where index.tasks[sequence].transition == handle { carry(sequence) }
            case .damaged(let text): notices.append(.damagedRecord(text))
            case .postponed: cleaning.append((handle, group))
            default: notices.append(.damagedRecord("\(read) is not stored"))
            }
        }
    }

    /// Moves what is left of a segment into the open one; with its last task the old segment dies.
    private mutating func move(_ tasks: [(row: TaskRow, payload: Bytes)], from handle: UInt32) {
        // A task that was replaced may have older rows in the same segment.
        let isMoved = index.records[handle].key.isMoved
        let newest = isMoved ? Dictionary(tasks.enumerated().map { ($1.row.sequence, $0) }) { $1 } : [:]
        for (place, (row, payload)) in tasks.enumerated() {
            let slot = index.tasks[row.sequence]
            guard slot.isLive || index.isPinned(row.sequence), slot.segment == handle else { continue }
            guard newest[row.sequence] ?? place == place else { continue }
            store(row, payload: payload, isMoved: true)
            // A row outdates older transitions, so the state goes along with it.
            if slot.transition != 0 { carry(row.sequence) }
        }
    }

    /// Writes a task's present state once more, so that the record that held it can go.
    private mutating func carry(_ sequence: TaskSequence) {
        let slot = index.tasks[sequence]
        var carried =
            slot.state == .inProgress
            ? transition(.carry, index.leases[slot.link], sequence, slot)
            : transition(.carry, to: slot.state, sequence, slot, LeaseToken(rawValue: 0))
        switch slot.state {
        case .inProgress:
            carried.progress = batch.progress(index.progress[sequence])
        case .scheduled, .failed:
            carried.start = index.options[sequence]?.start ?? .none
        case .completed, .cancelled:
            guard slot.link > 0 else { break }
            carried.bucket = ExpiryBucket(rawValue: slot.link)
            carried.outcomePart = slot.place
            carried.outcomeGroup = index.carriedOutcomes[sequence] ?? index.records[slot.transition].group
        case .pending, .blocked, .deadLetter: break
        }
        record(carried)
    }
}
