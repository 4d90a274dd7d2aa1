import TQModel

/// Which submits can have made a task that no reply named, and what became of each idempotency key.
struct SubmitLedger {
    private var possible: [Digest: PossibleSubmits] = [:]
    private(set) var keys: [KeyName: KeyRecord] = [:]
    /// Submits under way or lost that take the place of whoever holds their unique key.
    private var replacing: [UniqueName: [Digest: Int]] = [:]
    /// When each unique key was used first.
    private var firstUses: [UniqueName: FirstUse] = [:]
    /// Tasks that were acknowledged as new, the last ones of each unique key.
    private(set) var holders: [UniqueName: [TaskID]] = [:]
    /// Submits under way or lost, less the tasks that were matched with one.
    private(set) var unmatched = 0

    struct KeyName: Hashable {
        let queue: QueueNumber
        let key: KeyNumber
    }

    struct UniqueName: Hashable {
        let queue: QueueNumber
        let key: KeyNumber
        let scope: UniqueCall.Scope
    }

    /// When a key was used first, or a submit without one was made.
    struct FirstUse {
        let position: Int
        let milliseconds: UInt64
    }

    struct KeyRecord {
        /// Submits with this key that were not refused.
        var submits = 0
        let first: FirstUse
        /// The tasks that the key gave before it was forgotten, with the position at which that was known.
        var earlier: [TaskID: (first: FirstUse, replaced: Int)] = [:]
        var id: TaskID?
        /// Where the task was acknowledged as new.
        var createdReturned: Int?
    }

    mutating func invoke(_ submit: SubmitCall, at position: Int, _ now: Now) {
        possible[submit.payload, default: PossibleSubmits(spec: submit, invoked: position, now)].add(submit)
        unmatched += 1
        if let name = UniqueName(submit) {
            let use = FirstUse(position: position, milliseconds: now.monotonicMilliseconds)
            if firstUses[name] == nil { firstUses[name] = use }
            if submit.unique?.replaces == true { replacing[name, default: [:]][submit.payload, default: 0] += 1 }
        }
        guard let name = KeyName(submit) else { return }
        let fresh = KeyRecord(first: FirstUse(position: position, milliseconds: now.monotonicMilliseconds))
        keys[name, default: fresh].submits += 1
    }

    /// A submit was acknowledged or refused: it made no task that is not known.
    mutating func resolve(_ submit: SubmitCall) {
        unmatched -= 1
        update(submit.payload) { $0.count -= 1 }
        guard let name = UniqueName(submit), let count = replacing[name]?[submit.payload] else { return }
        replacing[name]?[submit.payload] = count > 1 ? count - 1 : nil
    }

    /// Whether a submit ever asked to take the place of a task with that key.
    func hasReplacements(_ name: UniqueName) -> Bool { replacing[name] != nil }

    /// Whether a submit that is under way or lost may have replaced the holder of a key with this payload.
    func mayReplace(_ name: UniqueName, with payload: Digest) -> Bool { replacing[name]?[payload] != nil }

    /// Keeps the last tasks of a key that were called new.
    mutating func noteHolder(_ id: TaskID, _ name: UniqueName) {
        holders[name, default: []].append(id)
        if (holders[name]?.count ?? 0) > 8 { holders[name]?.removeFirst() }
    }

    mutating func refuse(_ submit: SubmitCall) {
        resolve(submit)
        guard let name = KeyName(submit) else { return }
        keys[name]?.submits -= 1
        if let record = keys[name], record.submits <= 0, record.id == nil { keys[name] = nil }
    }

    /// Finds the submit that made a task with this payload, which no submit's reply has named; `nil` when none can have.
    mutating func match(_ payload: Digest) -> PossibleSubmits? {
        guard var entry = possible[payload], entry.matched < entry.count else { return nil }
        entry.matched += 1
        unmatched -= 1
        possible[payload] = entry
        // It may have taken the place of a task that is older than itself.
        if let name = entry.spec.flatMap({ UniqueName($0) }), let first = firstUses[name] {
            entry.invoked = min(entry.invoked, first.position)
            entry.milliseconds = min(entry.milliseconds, first.milliseconds)
        }
        return entry
    }

    /// Takes a match back: the submit's reply has now named the task.
    mutating func unmatch(_ payload: Digest) {
        guard possible[payload] != nil else { return }
        update(payload) { $0.matched -= 1 }
        unmatched += 1
    }

    private mutating func update(_ payload: Digest, _ change: (inout PossibleSubmits) -> Void) {
        guard var entry = possible[payload] else { return }
        change(&entry)
        possible[payload] = entry.count <= 0 && entry.matched <= 0 ? nil : entry
    }

    mutating func updateKey(_ name: KeyName, _ change: (inout KeyRecord) -> Void) {
        guard var record = keys[name] else { return }
        change(&record)
        keys[name] = record
    }
}

extension SubmitLedger.KeyName {
    init?(_ submit: SubmitCall) {
        guard let key = submit.key else { return nil }
        self.init(queue: submit.queue, key: key)
    }
}

extension SubmitLedger.UniqueName {
    init?(_ submit: SubmitCall) {
        guard let unique = submit.unique else { return nil }
        self.init(queue: submit.queue, key: unique.key, scope: unique.scope)
    }
}

/// Submits of one payload that are under way or lost.
struct PossibleSubmits {
    /// What they all submit; `nil` when they differ.
    private(set) var spec: SubmitCall?
    /// The first of them.
    var invoked: Int
    var milliseconds: UInt64
    var count = 0
    /// Tasks that were seen and must be theirs.
    var matched = 0

    init(spec: SubmitCall, invoked: Int, _ now: Now) {
        self.spec = spec
        self.invoked = invoked
        self.milliseconds = now.monotonicMilliseconds
    }

    mutating func add(_ submit: SubmitCall) {
        if spec != submit { spec = nil }
        count += 1
    }
}
