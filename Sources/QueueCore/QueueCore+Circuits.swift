import TQModel

// The circuit of a gate opens by decisions that are stored as such, so that nothing is judged twice and a restart closes none.
extension QueueCore {
    /// Notes how an attempt ended at the gates of its task.
    mutating func judge(_ slot: TaskSlot, _ lease: Lease, hasFailed: Bool) {
        guard !index.gates.breakers.isEmpty else { return }
        for key in [GateKey(.queue, slot.queue), GateKey(.type, slot.type)] {
            guard let row = index.gates.rows[key], lease.claimedStoreMilliseconds >= row.circuit.sinceStoreMilliseconds,
                let state = index.gates.judge(row, hasFailed: hasFailed)
            else { continue }
            turn(row, to: state)
        }
    }

    /// Lets open circuits that have waited long enough see whether attempts succeed again.
    mutating func tryCircuits() {
        for key in index.gates.breakers.sorted() {
            guard let row = index.gates.rows[key] else { continue }
            switch row.circuit.state {
            case .open where row.circuit.untilStoreMilliseconds <= clock.milliseconds: turn(row, to: .halfOpen)
            case .halfOpen where index.gates.renewProbes(row): index.announce(behind: key)
            case .open, .halfOpen, .closed: break
            }
        }
    }

    private mutating func turn(_ row: GateRow, to state: CircuitState) {
        var row = row
        let judged = index.gates.counts(row)
        turn(&row.circuit, to: state)
        record(row)
        var status = status(row)
        // Those by which it turned, of which nothing is left.
        status.circuit?.attempts = judged.attempts
        status.circuit?.failures = judged.failures
        notices.append(.circuitTurned(status))
    }

    private mutating func turn(_ circuit: inout Circuit, to state: CircuitState) {
        circuitTurnStoreMilliseconds = clock.milliseconds
        circuit.state = state
        circuit.sinceWallMilliseconds = max(1, now.wallMilliseconds)
        circuit.sinceStoreMilliseconds = clock.milliseconds
    }

    /// Does with a circuit what a change says.
    mutating func change(_ circuit: inout Circuit, _ change: GateChange) throws(TQError) {
        if let breaker = change.breaker {
            try check(breaker, change.scope)
            circuit.breaker = breaker
            if breaker.isNone { circuit = .none }
        }
        guard let state = change.circuit else { return }
        guard !circuit.breaker.isNone else {
            throw TQError(
                .invalidArgument,
                "The gate of \(change.scope) has no circuit breaker that could be \(state.name). Set one, or pause it."
            )
        }
        turn(&circuit, to: state)
    }

    private func check(_ breaker: CircuitBreaker, _ scope: GateScope) throws(TQError) {
        guard !breaker.isNone else { return }
        guard [.queue, .type].contains(scope.kind) else {
            throw TQError(.invalidArgument, "A circuit breaker is not for \(scope). Name a queue or a type.")
        }
        guard breaker.failurePercent <= 100 else {
            throw TQError(
                .invalidArgument,
                "A circuit breaker opens at 1 to 100 % of failures, not at \(breaker.failurePercent) %."
            )
        }
        guard breaker.attemptsMin > 0, breaker.probes > 0, breaker.openMilliseconds > 0 else {
            throw TQError(
                .invalidArgument,
                "A circuit breaker needs 1 or more attempts, probes and milliseconds to stay open, not "
                    + "\(breaker.attemptsMin), \(breaker.probes) and \(breaker.openMilliseconds)."
            )
        }
        guard breaker.windowMilliseconds >= CircuitTrial.partCount else {
            throw TQError(
                .invalidArgument,
                "A circuit breaker looks back \(CircuitTrial.partCount) ms or more, not \(breaker.windowMilliseconds)."
            )
        }
    }

    func circuitStatus(_ row: GateRow) -> CircuitStatus? {
        let circuit = row.circuit
        guard !circuit.breaker.isNone else { return nil }
        let (attempts, failures) = index.gates.counts(row)
        return CircuitStatus(
            circuit.breaker,
            state: circuit.state,
            sinceWallMilliseconds: circuit.sinceWallMilliseconds,
            untilWallMilliseconds: untilWallMilliseconds(circuit),
            attempts: attempts,
            failures: failures
        )
    }

    /// Why a circuit lets no task through; `nil` when it does.
    func reason(_ row: GateRow, _ scope: GateScope) -> WaitReason? {
        guard !index.gates.isConnected(row) else { return nil }
        let circuit = row.circuit
        guard circuit.state == .halfOpen else {
            return WaitReason(
                .circuitOpen,
                scope: scope,
                sinceWallMilliseconds: circuit.sinceWallMilliseconds,
                untilWallMilliseconds: untilWallMilliseconds(circuit)
            )
        }
        return WaitReason(
            .circuitOpen,
            scope: scope,
            count: index.gates.counts(row).attempts,
            countMax: UInt64(circuit.breaker.probes)
        )
    }

    private func untilWallMilliseconds(_ circuit: Circuit) -> UInt64 {
        guard circuit.state == .open else { return 0 }
        let until = circuit.untilStoreMilliseconds
        return wallMilliseconds(after: until - min(until, clock.milliseconds))
    }
}
