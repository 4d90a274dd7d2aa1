public import TQModel

/// Which gate, by number.
public struct GateKey: Hashable, Comparable, Sendable {
    /// What its number stands for.
    public var kind: GateScope.Kind
    /// A queue or a type; for all others a namespace.
    public var number: UInt32
    /// A key or a group, or what keys begin with and a `*`; empty for all others, whose names have numbers.
    public var name: Name

    /// Creates a key.
    public init(_ kind: GateScope.Kind, _ number: UInt32, _ name: Name = Name(bytes: [])) {
        self.kind = kind
        self.number = number
        self.name = name
    }

    /// Whether it is that of many keys.
    public var isPattern: Bool { kind == .key && name.bytes.last == UInt8(ascii: "*") }

    /// Whether a key or a group is one of those that it is for.
    public func matches(_ key: Name) -> Bool { isPattern ? key.bytes.starts(with: name.bytes.dropLast()) : key == name }

    /// Orders by kind, then by number, then by name.
    public static func < (left: Self, right: Self) -> Bool {
        let (one, other) = ((left.kind.rawValue, left.number), (right.kind.rawValue, right.number))
        return one == other ? left.name.bytes.lexicographicallyPrecedes(right.name.bytes) : one < other
    }
}

/// A gate that holds tasks back, or may.
public struct GateRow: Hashable, Sendable {
    /// Which one.
    public var key: GateKey
    /// Since when it lets no task through, in milliseconds since 1970; 0 when it does.
    public var pausedSinceWallMilliseconds: UInt64
    /// When the pause ends, in store time; 0 when somebody must end it.
    public var pausedUntilStoreMilliseconds: UInt64
    /// How many tasks may run at once that have passed it; 0 for any number.
    public var runningMax: UInt32
    /// How fast it lets tasks through.
    public var rate: StartRate
    /// How many turns a group takes where another one takes one; 0 for what its tasks say.
    public var weight: UInt16
    /// Whether failures of tasks have closed it.
    public var circuit: Circuit

    /// Creates an open gate.
    public init(key: GateKey) {
        self.key = key
        self.pausedSinceWallMilliseconds = 0
        self.pausedUntilStoreMilliseconds = 0
        self.runningMax = 0
        self.rate = .unlimited
        self.weight = 0
        self.circuit = .none
    }

    /// Whether it lets no task through.
    public var isPaused: Bool { pausedSinceWallMilliseconds > 0 }
    /// Whether nothing is kept of it.
    public var isEmpty: Bool {
        !isPaused && runningMax == 0 && rate.isUnlimited && weight == 0 && circuit.breaker.isNone
    }
}

/// The gates that are paused or have limits: without one, nobody looks further than at that.
struct GateTable: Sendable {
    private(set) var rows: [GateKey: GateRow] = [:]
    /// Those that are for keys that begin so.
    private var patterns: Set<GateKey> = []
    /// Those with circuit breakers.
    private(set) var breakers: Set<GateKey> = []
    /// How the attempts behind them went since their circuits are as they are.
    private var trials: [GateKey: CircuitTrial] = [:]
    /// Tasks that run of each type that has a gate.
    private var typeRunning: [UInt32: UInt64] = [:]
    /// Queues in which somebody passed tasks of a type over because its gate was closed; a restart has passed nothing over.
    private var passedOver: [UInt32: Set<UInt32>] = [:]
    /// When the next task passes each gate with a rate if tasks pass as fast as they may, on the monotonic clock; a restart has let
    /// none through.
    private var due: [GateKey: UInt64] = [:]
    /// Keys whose rates do not let the next task through yet, and until when; what is no more in the second is stale.
    private var waited = BinaryHeap<WaitingKey>()
    private var waitedUntil: [UInt32: UInt64] = [:]
    private var pruneCount = 1024
    /// Far from what overflows, however slow a rate is: 146,000 years.
    fileprivate static let timeMax: UInt64 = 1 << 62
    /// The monotonic time.
    private(set) var nowMicroseconds: UInt64 = 0

    var isEmpty: Bool { rows.isEmpty }
    /// Whether tasks of one queue may meet different gates.
    var hasTypes: Bool { !typeRunning.isEmpty }

    /// The gate of a key or a group: its own, or that of the keys that begin so, by the longest beginning.
    func row(of key: GateKey) -> GateRow? {
        guard !rows.isEmpty else { return nil }
        if let own = rows[key] { return own }
        guard key.kind == .key, !patterns.isEmpty else { return nil }
        let found = patterns.filter { $0.number == key.number && $0.matches(key.name) }
        return found.max { $0.name.bytes.count < $1.name.bytes.count }.flatMap { rows[$0] }
    }

    /// In order of their keys.
    var sorted: [GateRow] { rows.keys.sorted().compactMap { rows[$0] } }

    /// - Parameter running: How many tasks of the type run; for a gate of a type that had none before.
    mutating func set(_ row: GateRow, running: () -> UInt64) {
        // What a slower rate has put off does not hold back a faster one.
        if rows[row.key]?.rate != row.rate { forgetPace(of: row.key) }
        if rows[row.key]?.circuit != row.circuit { trials[row.key] = nil }
        if row.circuit.breaker.isNone { breakers.remove(row.key) } else { breakers.insert(row.key) }
        rows[row.key] = row.isEmpty ? nil : row
        if row.key.isPattern, row.isEmpty { patterns.remove(row.key) }
        if row.key.isPattern, !row.isEmpty { patterns.insert(row.key) }
        guard row.key.kind == .type else { return }
        let known = typeRunning[row.key.number]
        typeRunning[row.key.number] = row.isEmpty ? nil : known ?? running()
    }

    /// Lets what a gate is for begin anew: a key, or each key that begins so.
    private mutating func forgetPace(of gate: GateKey) {
        guard gate.isPattern else { return due[gate] = nil }
        due = due.filter { $0.key.kind != .key || $0.key.number != gate.number || !gate.matches($0.key.name) }
    }

    func running(ofType type: UInt32) -> UInt64? { typeRunning[type] }

    /// When a gate lets the next task through that its rate allows: now or earlier, when it does.
    ///
    /// - Parameter key: Which of those that the gate is for.
    func nextMicroseconds(_ row: GateRow, of key: GateKey) -> UInt64 {
        guard !row.rate.isUnlimited, let due = due[key] else { return 0 }
        return due - min(due, row.rate.aheadMicroseconds)
    }

    mutating func advance(toMilliseconds milliseconds: UInt64) {
        nowMicroseconds = min(milliseconds, Self.timeMax / 1_000) * 1_000
    }

    /// Notes that a task has passed a gate.
    mutating func pass(_ key: GateKey, _ row: GateRow?) {
        guard let row else { return }
        if row.circuit.state == .halfOpen { begin(probe: key) }
        guard !row.rate.isUnlimited else { return }
        let next = max(due[key] ?? 0, nowMicroseconds) + row.rate.intervalMicroseconds
        due[key] = min(next, Self.timeMax)
        guard due.count > pruneCount else { return }
        let now = nowMicroseconds
        due = due.filter { $0.value > now }
        pruneCount = max(1024, due.count * 2)
    }

    // MARK: Circuits

    private var nowMilliseconds: UInt64 { nowMicroseconds / 1_000 }

    /// Whether the circuit of a gate lets a task through.
    func isConnected(_ row: GateRow) -> Bool {
        switch row.circuit.state {
        case .closed: true
        case .open: false
        case .halfOpen: trials[row.key]?.begun ?? 0 < UInt64(row.circuit.breaker.probes)
        }
    }

    /// What becomes of a circuit by the outcome of an attempt; `nil` when it stays as it is.
    mutating func judge(_ row: GateRow, hasFailed: Bool) -> CircuitState? {
        guard !row.circuit.breaker.isNone else { return nil }
        let now = nowMilliseconds
        return trials[row.key, default: CircuitTrial()].note(hasFailed: hasFailed, row.circuit, at: now)
    }

    private mutating func begin(probe key: GateKey) {
        let now = nowMilliseconds
        trials[key, default: CircuitTrial()].begin(at: now)
    }

    /// Whether a half-open circuit may let others through because those before have not ended for long.
    mutating func renewProbes(_ row: GateRow) -> Bool {
        let now = nowMilliseconds
        return trials[row.key]?.renew(row.circuit.breaker, at: now) ?? false
    }

    /// The attempts by which a circuit is judged now, and how many of them failed.
    func counts(_ row: GateRow) -> (attempts: UInt64, failures: UInt64) {
        guard let trial = trials[row.key] else { return (0, 0) }
        guard row.circuit.state == .closed else { return (trial.begun, 0) }
        return trial.counts(row.circuit.breaker, at: nowMilliseconds)
    }

    // MARK: Keys that wait

    /// Notes that tasks of a key wait for its rate.
    mutating func wait(for number: UInt32, untilMicroseconds until: UInt64) {
        // Whoever waits for less is woken earlier, and looks again.
        guard until < waitedUntil[number] ?? .max else { return }
        waitedUntil[number] = until
        waited.push(WaitingKey(untilMicroseconds: until, number: number))
    }

    /// The keys whose rates may let the next task through by now.
    mutating func takeWaited() -> [UInt32] {
        var numbers: [UInt32] = []
        while let first = waited.first, first.untilMicroseconds <= nowMicroseconds {
            waited.removeFirst()
            guard waitedUntil[first.number] == first.untilMicroseconds else { continue }
            waitedUntil[first.number] = nil
            numbers.append(first.number)
        }
        return numbers
    }

    private struct WaitingKey: Comparable, Sendable {
        var untilMicroseconds: UInt64
        var number: UInt32

        static func < (left: Self, right: Self) -> Bool {
            (left.untilMicroseconds, left.number) < (right.untilMicroseconds, right.number)
        }
    }

    mutating func begin(type: UInt32) {
        if let running = typeRunning[type] { typeRunning[type] = running + 1 }
    }

    mutating func end(type: UInt32) {
        if let running = typeRunning[type] { typeRunning[type] = running - min(1, running) }
    }

    /// Gates of queues and types that let tasks through at a rate.
    var paced: [GateKey] {
        rows.values.filter { !$0.rate.isUnlimited && $0.key.name.bytes.isEmpty }.map(\.key).sorted()
    }

    /// Notes that tasks of a type wait in a queue for their gate.
    mutating func passOver(type: UInt32, in queue: UInt32) { passedOver[type, default: []].insert(queue) }

    /// Queues in which tasks of a type wait for its gate, which may be open now; each is named once.
    mutating func takePassedOver(type: UInt32) -> [UInt32] {
        guard !passedOver.isEmpty, let queues = passedOver.removeValue(forKey: type) else { return [] }
        return queues.sorted()
    }
}

extension DurableIndex {
    mutating func apply(_ row: GateRow) {
        gates.set(row) {
            UInt64(leases.places { tasks[$0.sequence].type == row.key.number }.count)
        }
        takeGate(row.key)
    }

    /// Takes a gate.
    ///
    /// - Throws: A sentence when the store does not know what it is for.
    public mutating func recover(_ row: GateRow) throws(RecoveryError) {
        let isKnown =
            switch row.key.kind {
            case .everything: true
            case .queue: row.key.number > 0 && Int(row.key.number) < queues.count
            case .type: row.key.number > 0 && Int(row.key.number) <= typeNames.count
            case .key, .group: !row.key.name.bytes.isEmpty
            }
        guard isKnown else {
            throw RecoveryError("a gate is that of \(row.key.kind) \(row.key.number), which is unknown")
        }
        apply(row)
    }

    /// The gates that are paused or have limits, in order of their keys.
    public var gateRows: [GateRow] { gates.sorted }

    /// How many tasks run that have passed a gate; for everything in time of the queues.
    func running(_ key: GateKey) -> UInt64 {
        switch key.kind {
        case .everything: queues.indices.reduce(0) { $0 + (isIn(key, UInt32($1)) ? queues[$1].counts.inProgress : 0) }
        case .queue: queues[Int(key.number)].counts.inProgress
        case .type: gates.running(ofType: key.number) ?? 0
        case .key, .group: sharings.numbers(behind: key).reduce(0) { $0 + sharings.keys[Int($1)].running }
        }
    }

    private func isIn(_ key: GateKey, _ queue: UInt32) -> Bool { queueNames.namespace(queue) == key.number }

    /// Whether a gate lets a task through.
    private func isOpen(_ key: GateKey) -> Bool {
        guard let row = gates.rows[key] else { return true }
        return !row.isPaused && !isFull(row) && gates.isConnected(row)
            && gates.nextMicroseconds(row, of: key) <= gates.nowMicroseconds
    }

    /// Whether as many tasks run behind a gate as may.
    func isFull(_ row: GateRow) -> Bool { row.runningMax > 0 && running(row.key) >= UInt64(row.runningMax) }

    /// Notes that a pending task begins an attempt.
    mutating func pass(_ slot: TaskSlot) {
        guard !gates.isEmpty else { return }
        for key in [GateKey(.queue, slot.queue), GateKey(.type, slot.type)] { gates.pass(key, gates.rows[key]) }
        guard slot.link > 0 else { return }
        for number in sharings[slot.link].keys {
            let key = sharings.keys[Int(number)]
            gates.pass(key.gateKey, key.gate)
            // Who has it as a serial key stands no more when it is closed now.
            if key.standing != nil { advanceSerial(number) }
        }
    }

    /// Whether the gates of a queue let its tasks through, as far as their types do.
    func isOpen(queue: UInt32) -> Bool {
        isOpen(GateKey(.everything, queueNames.namespace(queue))) && isOpen(GateKey(.queue, queue))
    }

    /// Whether the gate of a type lets tasks through; when it does not, who opens it looks at the queue again.
    mutating func isOpen(type: UInt32, in queue: UInt32) -> Bool {
        guard gates.running(ofType: type) != nil, !isOpen(GateKey(.type, type)) else { return true }
        gates.passOver(type: type, in: queue)
        return false
    }

    /// The gates that hold tasks of a queue, and of a type when one is named, in order of their keys.
    func closedGates(queue: UInt32, type: UInt32?) -> [ClosedGate] {
        guard !gates.isEmpty else { return [] }
        var keys = [GateKey(.everything, queueNames.namespace(queue)), GateKey(.queue, queue)]
        if let type { keys.append(GateKey(.type, type)) }
        return keys.filter { !isOpen($0) }.compactMap { key in
            gates.rows[key].map { ClosedGate(key: key, row: $0, running: running(key)) }
        }
    }

    /// The gates of keys and groups that hold what shares them.
    func closedGates(sharing number: UInt32) -> [ClosedGate] {
        let sharing = sharings[number]
        return (sharing.keys + [sharing.group].filter { $0 > 0 }).compactMap { number in
            let key = sharings.keys[Int(number)]
            guard let row = key.gate else { return nil }
            let isFull = row.runningMax > 0 && key.running >= UInt64(row.runningMax)
            let isTooEarly = gates.nextMicroseconds(row, of: key.gateKey) > gates.nowMicroseconds
            guard row.isPaused || isFull || isTooEarly else { return nil }
            return ClosedGate(key: key.gateKey, row: row, running: key.running)
        }
    }

    /// A gate that lets no task through now.
    struct ClosedGate {
        /// For what; a key, where the gate is that of all that begin so.
        var key: GateKey
        var row: GateRow
        /// Tasks that run and have passed it.
        var running: UInt64

        var isFull: Bool { row.runningMax > 0 && running >= UInt64(row.runningMax) }
    }

    /// Notes that a task runs, or does no more.
    mutating func countRunning(_ slot: TaskSlot, isBegin: Bool) {
        guard !gates.isEmpty else { return }
        guard !isBegin else { return gates.begin(type: slot.type) }
        gates.end(type: slot.type)
        guard !isRecovering else { return }
        announce(behind: GateKey(.queue, slot.queue))
        announce(behind: GateKey(.type, slot.type))
    }

    /// Lets whoever serves waiting claims look at all queues that a gate is for.
    mutating func announce(behind key: GateKey) {
        switch key.kind {
        case .queue: announce(key.number)
        case .type:
            for queue in gates.takePassedOver(type: key.number) { announce(queue) }
        case .everything:
            for queue in queues.indices.dropFirst() where isIn(key, UInt32(queue)) { announce(UInt32(queue)) }
        case .key, .group:
            for number in sharings.numbers(behind: key) { reopen(key: number) }
        }
    }
}

extension StartRate {
    /// The time between two attempts that begin as fast as they may.
    fileprivate var intervalMicroseconds: UInt64 { max(1, UInt64(milliseconds) * 1_000 / UInt64(max(1, count))) }

    /// How far ahead of an even pace a burst may be.
    fileprivate var aheadMicroseconds: UInt64 {
        let (ahead, isOverflow) = intervalMicroseconds.multipliedReportingOverflow(by: UInt64(effectiveBurst - 1))
        return isOverflow ? GateTable.timeMax : min(ahead, GateTable.timeMax)
    }

    /// Who waits is served with a tick, so as many come together as become due between some.
    fileprivate var effectiveBurst: UInt32 {
        let inTenth = UInt64(count) * 100 / UInt64(milliseconds)
        return max(1, burst, UInt32(clamping: inTenth))
    }
}
