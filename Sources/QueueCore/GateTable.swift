public import TQModel

/// Which gate, by number.
public struct GateKey: Hashable, Comparable, Sendable {
    /// What its number stands for.
    public var kind: GateScope.Kind
    /// A queue, a type, or, for everything, a namespace.
    public var number: UInt32

    /// Creates a key.
    public init(_ kind: GateScope.Kind, _ number: UInt32) {
        self.kind = kind
        self.number = number
    }

    /// Orders by kind, then by number.
    public static func < (left: Self, right: Self) -> Bool {
        (left.kind.rawValue, left.number) < (right.kind.rawValue, right.number)
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

    /// Creates an open gate.
    public init(key: GateKey) {
        self.key = key
        self.pausedSinceWallMilliseconds = 0
        self.pausedUntilStoreMilliseconds = 0
        self.runningMax = 0
        self.rate = .unlimited
    }

    /// Whether it lets no task through.
    public var isPaused: Bool { pausedSinceWallMilliseconds > 0 }
    /// Whether nothing is kept of it.
    public var isEmpty: Bool { !isPaused && runningMax == 0 && rate.isUnlimited }
}

/// The gates that are paused or have limits: without one, nobody looks further than at that.
struct GateTable: Sendable {
    private(set) var rows: [GateKey: GateRow] = [:]
    /// Tasks that run of each type that has a gate.
    private var typeRunning: [UInt32: UInt64] = [:]
    /// Queues in which somebody passed tasks of a type over because its gate was closed; a restart has passed nothing over.
    private var passedOver: [UInt32: Set<UInt32>] = [:]
    /// When the next task passes each gate with a rate if tasks pass as fast as they may, on the monotonic clock; a restart has let
    /// none through.
    private var due: [GateKey: UInt64] = [:]
    /// Far from what overflows, however slow a rate is: 146,000 years.
    fileprivate static let timeMax: UInt64 = 1 << 62
    /// The monotonic time.
    private(set) var nowMicroseconds: UInt64 = 0

    var isEmpty: Bool { rows.isEmpty }
    /// Whether tasks of one queue may meet different gates.
    var hasTypes: Bool { !typeRunning.isEmpty }
    /// In order of their keys.
    var sorted: [GateRow] { rows.keys.sorted().compactMap { rows[$0] } }

    /// - Parameter running: How many tasks of the type run; for a gate of a type that had none before.
    mutating func set(_ row: GateRow, running: () -> UInt64) {
        // What a slower rate has put off does not hold back a faster one.
        if rows[row.key]?.rate != row.rate { due[row.key] = nil }
        rows[row.key] = row.isEmpty ? nil : row
        guard row.key.kind == .type else { return }
        let known = typeRunning[row.key.number]
        typeRunning[row.key.number] = row.isEmpty ? nil : known ?? running()
    }

    func running(ofType type: UInt32) -> UInt64? { typeRunning[type] }

    /// When a gate lets the next task through that its rate allows: now or earlier, when it does.
    func nextMicroseconds(_ row: GateRow) -> UInt64 {
        guard !row.rate.isUnlimited, let due = due[row.key] else { return 0 }
        return due - min(due, row.rate.aheadMicroseconds)
    }

    mutating func advance(toMilliseconds milliseconds: UInt64) {
        nowMicroseconds = min(milliseconds, Self.timeMax / 1_000) * 1_000
    }

    /// Notes that a task has passed the gates of a queue and a type.
    mutating func pass(_ keys: [GateKey]) {
        for key in keys {
            guard let row = rows[key], !row.rate.isUnlimited else { continue }
            let next = max(due[key] ?? 0, nowMicroseconds) + row.rate.intervalMicroseconds
            due[key] = min(next, Self.timeMax)
        }
    }

    mutating func begin(type: UInt32) {
        if let running = typeRunning[type] { typeRunning[type] = running + 1 }
    }

    mutating func end(type: UInt32) {
        if let running = typeRunning[type] { typeRunning[type] = running - min(1, running) }
    }

    /// Gates that let tasks through at a rate.
    var paced: [GateKey] { rows.values.filter { !$0.rate.isUnlimited }.map(\.key).sorted() }

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
        }
    }

    private func isIn(_ key: GateKey, _ queue: UInt32) -> Bool { queueNames.namespace(queue) == key.number }

    /// Whether a gate lets a task through.
    private func isOpen(_ key: GateKey) -> Bool {
        guard let row = gates.rows[key] else { return true }
        return !row.isPaused && !isFull(row) && gates.nextMicroseconds(row) <= gates.nowMicroseconds
    }

    /// Whether as many tasks run behind a gate as may.
    func isFull(_ row: GateRow) -> Bool { row.runningMax > 0 && running(row.key) >= UInt64(row.runningMax) }

    /// Notes that a task begins an attempt.
    mutating func pass(_ slot: TaskSlot) {
        guard !gates.isEmpty else { return }
        gates.pass([GateKey(.queue, slot.queue), GateKey(.type, slot.type)])
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
    func closedGates(queue: UInt32, type: UInt32?) -> [GateRow] {
        guard !gates.isEmpty else { return [] }
        var keys = [GateKey(.everything, queueNames.namespace(queue)), GateKey(.queue, queue)]
        if let type { keys.append(GateKey(.type, type)) }
        return keys.filter { !isOpen($0) }.compactMap { gates.rows[$0] }
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
