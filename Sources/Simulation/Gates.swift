import HistoryChecker
import QueueCore
import TQModel

/// What gates let through, counted from the leases themselves.
struct Gates {
    private var rows: [GateKey: GateRow] = [:]
    /// Tasks that run behind each gate, and of each key and group whether it has one or not.
    private(set) var running: [GateKey: Int] = [:]
    /// Tasks that run, by their serial keys.
    private var serial: [Name: [TaskSequence]] = [:]

    init(of index: DurableIndex) {
        for row in index.gateRows { rows[row.key] = row }
        guard !rows.isEmpty || !index.sharesNothing else { return }
        for task in index.runningTasks {
            for key in task.gates { running[key, default: 0] += 1 }
            if let key = task.sharing.serialKey { serial[key, default: []].append(task.sequence) }
        }
    }

    /// The gate of a key, a group or something else; a key may have that of all that begin so.
    func row(of key: GateKey) -> GateRow? {
        if let own = rows[key] { return own }
        guard key.kind == .key else { return nil }
        let patterns = rows.values.lazy.filter { $0.key.isPattern && $0.key.matches(key.name) }
        return patterns.max { $0.key.name.bytes.count < $1.key.name.bytes.count }
    }

    /// Whether a command let more through than it may.
    func problem(since before: Gates, _ index: DurableIndex) -> Broken? {
        for (key, new) in running where new > before.running[key] ?? 0 {
            guard let row = row(of: key), let old = before.row(of: key) else { continue }
            if row.isPaused, old.isPaused {
                return Broken("I21", "\(new) tasks run behind gate \(key), which is paused: more than before")
            }
            let circuit = row.circuit
            if circuit.state == .open, old.circuit.state == .open {
                return Broken("I21", "\(new) tasks run behind gate \(key), whose circuit is open: more than before")
            }
            let probes = new - (before.running[key] ?? 0)
            if circuit.state == .halfOpen, old.circuit == circuit, probes > Int(circuit.breaker.probes) {
                return Broken("I21", "\(probes) tasks began behind gate \(key), whose circuit is half-open: \(circuit)")
            }
            if row.runningMax > 0, old.runningMax > 0, new > max(row.runningMax, old.runningMax) {
                return Broken("I21", "\(new) tasks run behind gate \(key), which lets \(row.runningMax) through")
            }
        }
        return serialProblem(since: before, index)
    }

    private func serialProblem(since before: Gates, _ index: DurableIndex) -> Broken? {
        for (key, sequences) in serial {
            guard sequences.count == 1 else {
                return Broken("I22", "Tasks \(sequences) of serial key \(key) run at once")
            }
            guard before.serial[key] != sequences else { continue }
            let first = index.sharedTasks.first { $0.sharing.serialKey == key && $0.isInLine }
            guard let first, first.sequence != sequences[0] else { continue }
            return Broken("I22", "Task \(sequences[0]) of serial key \(key) began before task \(first.sequence)")
        }
        return nil
    }

    /// Whether the core counts as many running tasks of each key and group as there are leases.
    func countProblem(_ index: DurableIndex) -> Broken? {
        for (key, counted) in index.keysRunning where counted != UInt64(running[key] ?? 0) {
            return Broken("I12", "\(counted) tasks of \(key) are counted as running, and \(running[key] ?? 0) run")
        }
        return nil
    }

    /// Keys that are at their limits.
    var keysAtLimit: Int {
        running.keys.count { key in key.kind == .key && row(of: key).map { isFull($0, key) } ?? false }
    }

    /// - Parameter key: Which of those that the gate is for.
    private func isFull(_ row: GateRow, _ key: GateKey) -> Bool {
        row.runningMax > 0 && running[key] ?? 0 >= Int(row.runningMax)
    }

    private func isFull(_ row: GateRow) -> Bool { isFull(row, row.key) }

    /// Whether some gate holds tasks back in that way.
    func isHeld(by kind: WaitReason.Kind) -> Bool {
        rows.values.contains { row in
            switch kind {
            case .paused: row.isPaused
            case .limited: isFull(row)
            case .circuitOpen: row.circuit.state == .open
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
                row.key.number == queue
                    && (row.isPaused || !row.rate.isUnlimited || isFull(row) || row.circuit.state != .closed)
            case .key, .group: false
            }
        }
    }

    private func mayHoldBack(_ key: GateKey, isPaceOver: Bool) -> Bool {
        guard let row = row(of: key) else { return false }
        let isPaced = !row.rate.isUnlimited || row.circuit.state == .halfOpen
        return row.isPaused || row.circuit.state == .open || isPaced && !isPaceOver || isFull(row, key)
    }

    /// Those of some pending tasks that nothing holds back.
    ///
    /// - Parameter isPaceOver: Whether so much time has passed that each rate and each half-open circuit lets the next task through.
    func freeTasks(_ index: DurableIndex, among tasks: [IndexedPlace], isPaceOver: Bool) -> [IndexedPlace] {
        var first: [Name: TaskSequence] = [:]
        for task in index.sharedTasks where task.isInLine {
            if let key = task.sharing.serialKey, first[key] == nil { first[key] = task.sequence }
        }
        return tasks.filter { task in
            guard task.state == .pending, !task.gates.contains(where: { mayHoldBack($0, isPaceOver: isPaceOver) })
            else { return false }
            guard let key = task.sharing.serialKey else { return true }
            return first[key] == task.sequence && serial[key] == nil
        }
    }

    /// Whether a half-open circuit lets a task through, or not yet.
    func isTrying(_ task: IndexedPlace) -> Bool {
        task.gates.contains { row(of: $0)?.circuit.state == .halfOpen }
    }

    /// Pending tasks that nothing holds back, of queues whose own gates hold nothing back.
    func free(in queues: [UInt32], _ index: DurableIndex) -> UInt64 {
        let all = queues.reduce(0) { $0 + index.counts(queue: $1).pending }
        let shared = index.sharedTasks.filter { $0.state == .pending && queues.contains($0.queue) }
        return all - UInt64(shared.count - freeTasks(index, among: shared, isPaceOver: false).count)
    }
}

extension IndexedPlace {
    /// The gates that it passes, each once.
    fileprivate var gates: [GateKey] {
        var gates = [GateKey(.everything, 0), GateKey(.queue, queue), GateKey(.type, type)]
        if let key = sharing.limitKey { gates.append(GateKey(.key, 0, key)) }
        if let key = sharing.serialKey, key != sharing.limitKey { gates.append(GateKey(.key, 0, key)) }
        if let group = sharing.group { gates.append(GateKey(.group, 0, group)) }
        return gates
    }

    /// Whether it has its place among those of its serial key.
    fileprivate var isInLine: Bool { [.pending, .failed, .inProgress].contains(state) }
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
            switch dice.below(report.hasSharing ? 10 : 5) {
            case 0: .everything
            case 1, 2: .type(dice.pick(Cast.types) ?? "t")
            case 3, 4: .queue(dice.pick(Cast.queues) ?? "a")
            case 5: .group(dice.pick(Cast.groups) ?? "g")
            default: .key(dice.pick(Cast.keys + Cast.keyPatterns) ?? "k")
            }
        let hasLimits = ![.everything, .group].contains(scope.kind)
        var change = GateChange(scope)
        // Mostly open, so that there is something to do.
        if dice.oneIn(2) {
            change.isPaused = dice.oneIn(3)
            change.pauseMilliseconds = dice.oneIn(4) ? 0 : UInt64(1 + dice.below(10_000))
        }
        if scope.kind == .group { change.weight = UInt16(dice.below(4)) }
        if hasLimits, dice.oneIn(2) { change.runningMax = dice.oneIn(3) ? UInt32(1 + dice.below(4)) : 0 }
        if hasLimits, dice.oneIn(3) {
            change.rate = dice.oneIn(2) ? StartRate(UInt32(1 + dice.below(50)), per: 1_000, burst: 2) : .unlimited
        }
        if hasLimits, scope.kind != .key, dice.oneIn(2) { change.breaker = someBreaker() }
        return change
    }

    private mutating func someBreaker() -> CircuitBreaker {
        guard dice.oneIn(2) else { return .none }
        return CircuitBreaker(
            failurePercent: UInt8(1 + dice.below(60)),
            attemptsMin: UInt32(1 + dice.below(4)),
            windowMilliseconds: UInt32(100 + dice.below(20_000)),
            openMilliseconds: UInt32(1 + dice.below(2_000)),
            probes: UInt16(1 + dice.below(3))
        )
    }

    /// A task that nothing holds back is claimed by who asks for its queue and its type: no key wedges.
    mutating func checkFree() throws(Broken) {
        guard !isReadOnly(), try settle(), !broker.process.core.isDraining else { return }
        for _ in 0..<4 {
            // Longer than any rate or half-open circuit keeps a task from beginning, unless somebody who waits takes it meanwhile.
            wait(3_000)
            let claimed = broker.process.core.totals.claimed
            tick()
            guard !isReadOnly(), try settle() else { return }
            let isPaceOver = broker.process.core.totals.claimed == claimed
            let index = broker.process.core.index
            let gates = broker.process.gates
            let free = gates.freeTasks(index, among: index.pendingTasks, isPaceOver: isPaceOver)
            let tried = free.filter { gates.isTrying($0) }
            guard let task = dice.pick(tried.isEmpty || dice.oneIn(4) ? free : tried) else { return }
            try claim(free: task, index)
        }
    }

    private mutating func claim(free task: IndexedPlace, _ index: DurableIndex) throws(Broken) {
        let queue = index.name(.queue, task.queue)
        let claim = ClaimSpec(queues: [queue], types: [TypePattern(bytes: index.name(.type, task.type).bytes)])
        let answer = try reply(to: .claim(claim), calls: [.claim(queues: [Cast.number(queue)])])
        guard case .claimed(let deliveries)? = answer else { return }
        // One that is late is set aside, and is no delivery.
        let pending = broker.process.core.index.counts(queue: task.queue).pending
        let isLate = pending < index.counts(queue: task.queue).pending
        guard !deliveries.isEmpty || isLate else {
            throw Broken("I13", "Task \(task.sequence) (\(task.sharing)) could run, and no claim gets it")
        }
        report.hits.count(.event(.freeTaskClaimed))
    }

    /// Opens all gates, so that what waits must run.
    mutating func openGates() throws(Broken) {
        guard case .gates(let gates)? = try reply(to: .gates) else { return }
        for gate in gates {
            var open = GateChange(gate.scope, isPaused: false, runningMax: 0, rate: .unlimited, weight: 0)
            open.breaker = CircuitBreaker.none
            _ = try reply(to: .changeGate(open))
        }
    }

    /// At rest: what holds a task back is what an explanation says, and nothing else.
    mutating func checkExplanations() throws(Broken) {
        let gates = broker.process.gates
        if gates.isHeld(by: .paused) { report.hits.count(.event(.heldByPause)) }
        if gates.isHeld(by: .limited) { report.hits.count(.event(.heldByLimit)) }
        if gates.isHeld(by: .circuitOpen) { report.hits.count(.event(.heldByCircuit)) }
        report.hits.count(.event(.keyAtLimit), by: broker.process.keysAtLimit)
        report.hits.count(.event(.keyCompared), by: broker.process.keysCompared)
        broker.process.keysCompared = 0
        broker.process.keysAtLimit = 0
        let index = broker.process.core.index
        if let late = index.gateRows.first(where: {
            (1...index.storeMilliseconds).contains($0.pausedUntilStoreMilliseconds)
        }) {
            throw Broken("I21", "The pause of \(late) is over, and it is still closed")
        }
        if let late = index.gateRows.first(where: {
            $0.circuit.state == .open && $0.circuit.untilStoreMilliseconds <= index.storeMilliseconds
        }) {
            throw Broken("I21", "The circuit of \(late) has been open long enough, and it lets nobody try")
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

    private static let dependencyReasons: [WaitReason.Kind] = [.dependency, .deadDependency, .dependencyFailed]

    private mutating func check(_ explanation: Explanation, of status: TaskStatus) throws(Broken) {
        let kinds = Set(explanation.reasons.map(\.kind))
        let isRight =
            switch status.state {
            case .inProgress: kinds == [.running] && explanation.reasons[0].worker == status.worker
            case .scheduled: kinds.contains(.notDue)
            case .failed: kinds.contains(.backoff)
            case .completed, .cancelled, .deadLetter: kinds == [.ended]
            case .pending: kinds.isDisjoint(with: [.running, .ended, .notDue, .backoff] + Self.dependencyReasons)
            case .blocked: !kinds.isDisjoint(with: Self.dependencyReasons)
            }
        if kinds.contains(.dependency) { report.hits.count(.event(.heldByDependency)) }
        if kinds.contains(.deadDependency) { report.hits.count(.event(.heldByDeadDependency)) }
        if kinds.contains(.serial) { report.hits.count(.event(.heldBySerialKey)) }
        guard isRight else { throw Broken("I21", "\(explanation) is no explanation of \(status)") }
    }
}
