import TQModel

/// What the tasks share that wait or run, each once, with the keys and groups that they name.
///
/// The numbers are the index's own: they are given out again when no such task is left, and none is stored.
struct SharingTable: Sendable {
    /// Something that tasks share, of a namespace.
    struct Entry: Sendable {
        var sharing = Sharing.none
        var namespace: UInt32 = 0
        /// Numbers of what it names; 0 for nothing.
        var limit: UInt32 = 0
        var serial: UInt32 = 0
        var group: UInt32 = 0
        /// Tasks that wait or run.
        var liveCount = 0

        /// The numbers of its keys, each once.
        var keys: [UInt32] { (limit == serial ? [limit] : [limit, serial]).filter { $0 > 0 } }
    }

    /// A key or a group.
    struct Key: Sendable {
        /// Under which a gate has it.
        var gateKey = GateKey(.key, 0)
        /// Its own gate, or that of keys that begin so.
        var gate: GateRow?
        /// Entries that name it.
        var entryCount = 0
        /// Tasks that run.
        var running: UInt64 = 0
        /// Those of them with which no other may run.
        var serialRunning: UInt64 = 0
        /// Where tasks of it may wait for a claim.
        var lines: [LinePlace] = []
        /// Tasks that run one after the other, in the order of their sequences; stale ones included.
        var joined = BinaryHeap<TaskSequence>()
        /// The one of them that may be claimed.
        var standing: TaskSequence?
    }

    private struct Scoped: Hashable {
        var namespace: UInt32
        var sharing: Sharing
    }

    private var numbers: [Scoped: UInt32] = [:]
    private var entries: ContiguousArray<Entry> = [Entry()]
    private var freeEntries: [UInt32] = []
    private var keyNumbers: [GateKey: UInt32] = [:]
    private(set) var keys: ContiguousArray<Key> = [Key()]
    private var freeKeys: [UInt32] = []

    var isEmpty: Bool { numbers.isEmpty }
    /// Kept because of some task; for tests.
    var count: Int { numbers.count + keyNumbers.count }

    subscript(number: UInt32) -> Entry { entries[Int(number)] }

    /// The same sharing with names of its own, if some task has it already.
    func known(_ sharing: Sharing, namespace: UInt32) -> Sharing? {
        numbers[Scoped(namespace: namespace, sharing: sharing)].map { entries[Int($0)].sharing }
    }

    /// The number of a key or a group that some task names.
    func number(of key: GateKey) -> UInt32? { keyNumbers[key] }

    /// Changes a key or a group.
    mutating func update(_ number: UInt32, _ change: (inout Key) -> Void) { change(&keys[Int(number)]) }

    /// Keys and groups that some task names, in order of their names.
    var sortedKeys: [Key] { keyNumbers.keys.sorted().compactMap { keyNumbers[$0] }.map { keys[Int($0)] } }

    /// Numbers of the keys and groups that a gate is for, in order of their names.
    func numbers(behind gate: GateKey) -> [UInt32] {
        guard gate.isPattern else { return [number(of: gate)].compactMap { $0 } }
        return keyNumbers.filter { $0.key.kind == .key && $0.key.number == gate.number && gate.matches($0.key.name) }
            .sorted { $0.key < $1.key }
            .map(\.value)
    }

    // MARK: Tasks

    /// Counts a task that waits or runs, and says the number of what it shares.
    mutating func retain(_ sharing: Sharing, namespace: UInt32, gates: GateTable) -> UInt32 {
        let scoped = Scoped(namespace: namespace, sharing: sharing)
        if let number = numbers[scoped] {
            entries[Int(number)].liveCount += 1
            return number
        }
        func key(_ kind: GateScope.Kind, _ name: Name?) -> UInt32 {
            name.map { retainKey(GateKey(kind, namespace, $0), gates) } ?? 0
        }
        let entry = Entry(
            sharing: sharing,
            namespace: namespace,
            limit: key(.key, sharing.limitKey),
            serial: key(.key, sharing.serialKey),
            group: key(.group, sharing.group),
            liveCount: 1
        )
        let number = freeEntries.popLast() ?? UInt32(entries.count)
        if number == entries.count { entries.append(entry) } else { entries[Int(number)] = entry }
        numbers[scoped] = number
        return number
    }

    /// Counts a task less, and says where tasks of keys and groups waited that nobody names any more.
    mutating func release(_ number: UInt32) -> [LinePlace] {
        entries[Int(number)].liveCount -= 1
        let entry = entries[Int(number)]
        guard entry.liveCount == 0 else { return [] }
        numbers[Scoped(namespace: entry.namespace, sharing: entry.sharing)] = nil
        entries[Int(number)] = Entry()
        freeEntries.append(number)
        return [entry.limit, entry.serial, entry.group].flatMap { $0 == 0 ? [] : releaseKey($0) }
    }

    private mutating func retainKey(_ gateKey: GateKey, _ gates: GateTable) -> UInt32 {
        if let number = keyNumbers[gateKey] {
            keys[Int(number)].entryCount += 1
            return number
        }
        var key = Key()
        key.gateKey = gateKey
        key.gate = gates.row(of: gateKey)
        key.entryCount = 1
        let number = freeKeys.popLast() ?? UInt32(keys.count)
        if number == keys.count { keys.append(key) } else { keys[Int(number)] = key }
        keyNumbers[gateKey] = number
        return number
    }

    private mutating func releaseKey(_ number: UInt32) -> [LinePlace] {
        keys[Int(number)].entryCount -= 1
        let key = keys[Int(number)]
        guard key.entryCount == 0 else { return [] }
        keyNumbers[key.gateKey] = nil
        keys[Int(number)] = Key()
        freeKeys.append(number)
        return key.lines
    }

    /// Counts an attempt that begins (1) or ends (-1).
    mutating func countRunning(_ number: UInt32, by change: Int) {
        guard number > 0 else { return }
        let entry = entries[Int(number)]
        func count(_ key: UInt32) { keys[Int(key)].running = UInt64(clamping: Int(keys[Int(key)].running) + change) }
        if entry.limit > 0 { count(entry.limit) }
        if entry.group > 0 { count(entry.group) }
        guard entry.serial > 0 else { return }
        if entry.serial != entry.limit { count(entry.serial) }
        keys[Int(entry.serial)].serialRunning =
            UInt64(clamping: Int(keys[Int(entry.serial)].serialRunning) + change)
    }
}
