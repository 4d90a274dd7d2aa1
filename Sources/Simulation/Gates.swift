import HistoryChecker
import QueueCore
import TQModel

/// What gates let through, counted from the leases themselves.
struct Gates {
    private var rows: [GateKey: GateRow] = [:]
    private var running: [GateKey: Int] = [:]

    init(of index: DurableIndex) {
        for row in index.gateRows { rows[row.key] = row }
        guard !rows.isEmpty else { return }
        for task in index.runningTasks {
            for key in [GateKey(.everything, 0), GateKey(.queue, task.queue), GateKey(.type, task.type)] {
                running[key, default: 0] += 1
            }
        }
    }

    /// Whether a command let more through than it may.
    func problem(since before: Gates) -> Broken? {
        for (key, row) in rows {
            guard let old = before.rows[key], let new = running[key], new > before.running[key] ?? 0 else { continue }
            if row.isPaused, old.isPaused {
                return Broken("I21", "\(new) tasks run behind gate \(key), which is paused: more than before")
            }
            if row.runningMax > 0, old.runningMax > 0, new > max(row.runningMax, old.runningMax) {
                return Broken("I21", "\(new) tasks run behind gate \(key), which lets \(row.runningMax) through")
            }
        }
        return nil
    }

    private func isFull(_ row: GateRow) -> Bool {
        row.runningMax > 0 && running[row.key] ?? 0 >= Int(row.runningMax)
    }

    /// Whether some gate holds tasks back in that way.
    func isHeld(by kind: WaitReason.Kind) -> Bool {
        rows.values.contains { row in
            switch kind {
            case .paused: row.isPaused
            case .limited: isFull(row)
            default: false
            }
        }
    }

    var isEmpty: Bool { rows.isEmpty }

    /// Whether a gate may hold tasks of a queue back, as far as that can be told without looking at each.
    func mayHoldBack(queue: UInt32) -> Bool {
        rows.values.contains { row in
            switch row.key.kind {
            case .everything: row.isPaused
            case .type: true
            case .queue:
                row.key.number == queue && (row.isPaused || !row.rate.isUnlimited || isFull(row))
            }
        }
    }
}

extension Simulation {
    mutating func askForGate(_ client: Int) {
        switch dice.below(12) {
        case 0: ask(client, .gates)
        case 1: ask(client, .explainQueue(dice.pick(Cast.queues) ?? "a"))
        case 2: if let id = dice.pick(storedIDs) { ask(client, .explain(id)) }
        default: ask(client, .changeGate(someChange()))
        }
    }

    private mutating func someChange() -> GateChange {
        let scope: GateScope =
            switch dice.below(5) {
            case 0: .everything
            case 1, 2: .type(dice.pick(Cast.types) ?? "t")
            default: .queue(dice.pick(Cast.queues) ?? "a")
            }
        var change = GateChange(scope)
        // Mostly open, so that there is something to do.
        if dice.oneIn(2) {
            change.isPaused = dice.oneIn(3)
            change.pauseMilliseconds = dice.oneIn(4) ? 0 : UInt64(1 + dice.below(10_000))
        }
        if scope != .everything, dice.oneIn(2) { change.runningMax = dice.oneIn(3) ? UInt32(1 + dice.below(4)) : 0 }
        if scope != .everything, dice.oneIn(3) {
            change.rate = dice.oneIn(2) ? StartRate(UInt32(1 + dice.below(50)), per: 1_000, burst: 2) : .unlimited
        }
        return change
    }

    /// Opens all gates, so that what waits must run.
    mutating func openGates() throws(Broken) {
        guard case .gates(let gates)? = try reply(to: .gates) else { return }
        for gate in gates {
            let open = GateChange(gate.scope, isPaused: false, runningMax: 0, rate: .unlimited)
            _ = try reply(to: .changeGate(open))
        }
    }

    /// At rest: what holds a task back is what an explanation says, and nothing else.
    mutating func checkExplanations() throws(Broken) {
        let gates = Gates(of: broker.process.core.index)
        if gates.isHeld(by: .paused) { report.hits.count(.event(.heldByPause)) }
        if gates.isHeld(by: .limited) { report.hits.count(.event(.heldByLimit)) }
        let index = broker.process.core.index
        if let late = index.gateRows.first(where: {
            (1...index.storeMilliseconds).contains($0.pausedUntilStoreMilliseconds)
        }) {
            throw Broken("I21", "The pause of \(late) is over, and it is still closed")
        }
        for _ in 0..<5 {
            guard let id = dice.pick(storedIDs), !isReadOnly(),
                case .status(let status)? = try reply(to: .status(id)),
                case .explanation(let explanation)? = try reply(to: .explain(id))
            else { continue }
            try check(explanation, of: status)
            report.hits.count(.event(.explained))
        }
    }

    private func check(_ explanation: Explanation, of status: TaskStatus) throws(Broken) {
        let kinds = Set(explanation.reasons.map(\.kind))
        let isRight =
            switch status.state {
            case .inProgress: kinds == [.running] && explanation.reasons[0].worker == status.worker
            case .scheduled: kinds.contains(.notDue)
            case .failed: kinds.contains(.backoff)
            case .completed, .cancelled, .deadLetter: kinds == [.ended]
            case .pending, .blocked: kinds.isDisjoint(with: [.running, .ended, .notDue, .backoff])
            }
        guard isRight else { throw Broken("I21", "\(explanation) is no explanation of \(status)") }
    }
}
