public import TQModel

extension QueueCore {
    /// Bounds on the work of one tick; the rest waits for the next one.
    private static let lapsesPerTick = 1_000
    private static let startsPerTick = 10_000
    private static let cleaningsPerTurn = 32
    private static let expiriesPerTick = 16
    /// Payloads of up to 10 MiB are read for dead letters that nobody asked for; leases beyond lapse in the next ticks.
    static let lossBurialsPerCommand = 16
    /// How long a redrive is remembered; a read that takes longer than this does not happen.
    private static let redriveMemoryMilliseconds: UInt64 = 60_000

    mutating func tickReads() -> [Fetch] {
        let losses = lapsedLeases().compactMap { reclaimRead($0, loss(of: $0)) } + silentWorkerReads()
        return losses.prefix(Self.lossBurialsPerCommand)
            + index.expiredOutcomeBuckets.prefix(Self.expiriesPerTick).map { .locators($0) }
    }

    mutating func tick(_ fetched: [Fetch: Fetched]) {
        for place in lapsedLeases() { reclaim(place, loss(of: place), fetched) }
        giveUpSilentWorkers(fetched)
        stageDueTasks()
        endTimedOutWaits()
        expire(fetched)
        redriven = redriven.filter {
            now.monotonicMilliseconds - $0.value.monotonicMilliseconds < Self.redriveMemoryMilliseconds
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
            let slot = index.tasks[entry.sequence]
            let token = LeaseToken(rawValue: 0)
            record(
                Transition(
                    sequence: entry.sequence,
                    operation: .stage,
                    state: .pending,
                    attempts: slot.attempts,
                    crashes: slot.crashes,
                    token: token
                )
            )
        }
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

    private mutating func expire(_ fetched: [Fetch: Fetched]) {
        for bucket in index.expiredOutcomeBuckets {
            guard case .locators(let locators)? = fetched[.locators(bucket)] else { continue }
            totals.expired += index.outcomeCount(in: bucket)
            index.apply(expiredOutcomes: bucket)
            batch.expiredOutcomes.append(ExpiredBucket(bucket: bucket, locators: locators))
        }
        for bucket in index.keys.expired(storeMilliseconds: clock.milliseconds) {
            index.apply(expiredKeys: bucket)
            batch.expiredKeys.append(bucket)
        }
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
        return cleaning.flatMap { reads(cleaning: $0.handle) }
    }

    private func reads(cleaning handle: UInt32) -> [Fetch] {
        let record = index.records[handle]
        guard record.isSegment else { return [.transitions(record.group)] }
        // The error of a failed task is only in its transition, which is carried along.
        let failures = index.records.sequences(handle)
            .map { index.tasks[$0] }
            .filter { $0.state == .failed && $0.segment == handle && $0.stateValue != 0 }
            .map { Fetch.transitions(index.records[$0.transition].group) }
        return [.segment(record.key)] + failures
    }

    mutating func clean(_ fetched: [Fetch: Fetched]) {
        let turn = cleaning
        cleaning = []
        for (handle, group) in turn where index.records[handle].group == group {
            let record = index.records[handle]
            let read: Fetch = record.isSegment ? .segment(record.key) : .transitions(group)
            switch fetched[read] {
            case .segment(let tasks): move(tasks, from: handle, fetched)
            case .transitions(let rows):
                // The last transition of a task says how it is; carrying it moves the task to the open group's record.
                for row in rows.reversed() where index.tasks[row.transition.sequence].transition == handle {
                    carry(row.transition.sequence, error: row.error)
                }
            case .damaged(let text): notices.append(.damagedRecord(text))
            case .postponed: cleaning.append((handle, group))
            default: notices.append(.damagedRecord("\(read) is not stored"))
            }
        }
    }

    /// Moves what is left of a segment into the open one; with its last task the old segment dies.
    private mutating func move(
        _ tasks: [(row: TaskRow, payload: Bytes)],
        from handle: UInt32,
        _ fetched: [Fetch: Fetched]
    ) {
        for (row, payload) in tasks {
            let slot = index.tasks[row.sequence]
            guard slot.isLive, slot.segment == handle else { continue }
            var error: Bytes = []
            if slot.state == .failed,
                case .transitions(let rows)? = fetched[.transitions(index.records[slot.transition].group)]
            {
                error = rows.last { $0.transition.sequence == row.sequence }?.error ?? []
            }
            store(row, payload: payload, isMoved: true)
            // A row outdates older transitions, so the state goes along with it.
            if slot.transition != 0 { carry(row.sequence, error: error) }
        }
    }

    /// Writes a task's present state once more, so that the record that held it can go.
    private mutating func carry(_ sequence: TaskSequence, error: Bytes) {
        let slot = index.tasks[sequence]
        var carried =
            slot.state == .inProgress
            ? transition(.carry, index.leases[slot.link], sequence, slot)
            : transition(.carry, to: slot.state, sequence, slot, LeaseToken(rawValue: 0))
        carried.rank = slot.rank
        carried.queue = slot.queue
        carried.error = batch.text(error)
        switch slot.state {
        case .inProgress:
            carried.progress = batch.progress(index.progress[sequence])
        case .scheduled, .failed:
            carried.start = index.options[sequence]?.start ?? .none
        case .completed, .cancelled:
            carried.bucket = ExpiryBucket(rawValue: slot.link)
            carried.outcomePart = slot.place
            carried.outcomeGroup = index.carriedOutcomes[sequence] ?? index.records[slot.transition].group
        case .pending, .blocked, .deadLetter: break
        }
        record(carried)
    }
}
