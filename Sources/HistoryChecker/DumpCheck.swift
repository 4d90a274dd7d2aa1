import TQModel

/// A dump that is being read.
struct DumpCheck {
    let began: Int
    let mustEqualPrevious: Bool
    /// What the rows make.
    var recount: [QueueNumber: TaskCounts] = [:]
    /// Who holds each unique key.
    var holders: [SubmitLedger.UniqueName: TaskID] = [:]
    /// What the broker says.
    var counters: [QueueNumber?: TaskCounts] = [:]
}

extension Checker {
    mutating func beginDump(mustEqualPrevious: Bool) {
        if dump != nil { report(.history, nil, [], "A dump began within a dump") }
        dump = DumpCheck(began: position, mustEqualPrevious: mustEqualPrevious && dumps > 0)
        dumps += 1
    }

    mutating func checkRow(_ row: StoredTask) {
        guard let dump else { return report(.history, row.id, [], "A row came outside of a dump") }
        self.dump?.recount[row.queue, default: TaskCounts()][row.state] += 1
        guard let slot = slot(of: row.id, payload: row.payload) else { return }
        if let earlier = tasks[slot].row, earlier.dump == dumps {
            report(
                .oneLease,
                row.id,
                [dump.began],
                "It is in the dump twice, as \(earlier.task.state.name) and \(row.state.name)"
            )
        }
        if let payload = row.payload { checkPayload(slot, payload, since: dump.began) }
        checkProperties(slot, row)
        let observation = Observation(state: row.state, attempts: row.attempts, result: row.result)
        check(observation, slot, since: dump.began)
        checkToken(slot, row, since: dump.began)
        checkWaiting(slot, row)
        checkUnchanged(slot, row, dump)
        checkOnlyHolder(slot, row)
        tasks[slot].row = (dumps, row)
    }

    mutating func checkCounted(_ queue: QueueNumber?, _ counts: TaskCounts) {
        if dump == nil { report(.history, nil, [], "Counters came outside of a dump") }
        dump?.counters[queue] = counts
    }

    mutating func endDump() {
        guard let dump else { return report(.history, nil, [], "A dump ended that had not begun") }
        self.dump = nil
        for slot in tasks.records.indices where tasks[slot].row?.dump != dumps {
            checkMissing(slot, since: dump.began)
            if dump.mustEqualPrevious, tasks[slot].row?.dump == dumps - 1 {
                report(.recovery, tasks[slot].id, [dump.began], "It was in the dump before, and recovery lost it")
            }
        }
        checkCounters(dump)
        previousCounters = dump.counters
    }
}

extension Checker {
    private mutating func checkProperties(_ slot: Int, _ row: StoredTask) {
        guard let spec = tasks[slot].spec else { return }
        if !tasks[slot].mayBe(in: row.queue) {
            let sentence = "Submitted to queue \(spec.queue), stored in queue \(row.queue)"
            report(.bytes, row.id, [tasks[slot].submitInvoked], sentence)
        }
        if !tasks[slot].mayHave(row.rank) {
            let sentence = "Submitted with rank \(spec.rank.rawValue), stored with rank \(row.rank.rawValue)"
            report(.bytes, row.id, [tasks[slot].submitInvoked], sentence)
        }
    }

    /// Whether somebody can have the token of a row in progress.
    private mutating func checkToken(_ slot: Int, _ row: StoredTask, since began: Int) {
        guard row.state == .inProgress, let token = row.token, let lease = tasks[slot].lease, token != lease.token
        else {
            return
        }
        if token < lease.token, !isUndoable(lease) {
            let sentence = "Its token is \(token), but \(lease.token) was delivered"
            report(.fencing, row.id, [lease.claimReturned, began], sentence)
        } else if token > lease.token, lostClaimsMax == 0 {
            report(.oneLease, row.id, [lease.claimReturned, began], "Its token \(token) was delivered to nobody")
        }
    }

    private mutating func checkWaiting(_ slot: Int, _ row: StoredTask) {
        guard isDrained, row.state.isWaiting || row.state == .inProgress, !isScheduled(tasks[slot]) else { return }
        report(.liveness, row.id, [tasks[slot].known], "It is still \(row.state.name), although workers had the time")
    }

    private mutating func checkUnchanged(_ slot: Int, _ row: StoredTask, _ dump: DumpCheck) {
        guard dump.mustEqualPrevious else { return }
        if let before = tasks[slot].row, before.dump == dumps - 1 {
            guard before.task != row else { return }
            let sentence = "Recovery made \(before.task.summary) into \(row.summary)"
            report(.recovery, row.id, [dump.began], sentence)
        } else {
            report(.recovery, row.id, [dump.began], "It was not in the dump before, and recovery made it")
        }
    }

    private mutating func checkCounters(_ dump: DumpCheck) {
        if dump.mustEqualPrevious, dump.counters != previousCounters {
            report(.recovery, nil, [dump.began], "Recovery changed the counters")
        }
        guard !dump.counters.isEmpty else { return }
        for (queue, counted) in dump.counters.sorted(by: { $0.key ?? .max < $1.key ?? .max }) {
            let recounted: TaskCounts
            if let queue {
                recounted = dump.recount[queue] ?? TaskCounts()
            } else {
                recounted = dump.recount.values.reduce(into: TaskCounts()) { sum, counts in
                    for state in TaskState.allCases { sum[state] += counts[state] }
                }
            }
            for state in TaskState.allCases where counted[state] != recounted[state] {
                let place = queue.map { "Queue \($0)" } ?? "The broker"
                let sentence = "\(place) counts \(counted[state]) \(state.name), there are \(recounted[state])"
                report(.counters, nil, [dump.began], sentence)
            }
        }
        guard dump.counters.keys.contains(where: { $0 != nil }) else { return }
        for queue in dump.recount.keys.sorted() where dump.counters[queue] == nil {
            report(.counters, nil, [dump.began], "Queue \(queue) has tasks but no counters")
        }
    }

    mutating func checkDrained() {
        isDrained = true
        for slot in tasks.records.indices {
            let record = tasks[slot]
            guard !mayBeOver(record), !isScheduled(record) else { continue }
            let history = record.lease == nil ? "was never delivered" : "was not ended"
            report(.liveness, record.id, [record.known], "It \(history), although workers had the time")
        }
    }

    private func isScheduled(_ record: TaskRecord) -> Bool {
        guard let start = record.spec?.notBeforeWallMilliseconds, start > 0 else { return false }
        return start.later(by: rules.slackMilliseconds) >= now.wallMilliseconds
    }
}

extension StoredTask {
    var summary: String {
        "\(state.name) with \(attempts) attempts" + (token.map { " and token \($0)" } ?? "")
    }
}
