import TQModel

/// What the history has shown of one task so far.
struct TaskRecord {
    let id: TaskID
    /// The submit that made it; `nil` while several could have.
    var spec: SubmitCall?
    /// The payload that was seen first, from the submit or from elsewhere.
    var payload: Digest?
    /// Payloads that it got instead, with where that was acknowledged: the last ones, as far as they may overlap.
    var replacements: [(payload: Digest, returned: Int)] = []
    /// Payloads that it had before, with where that was known: what was asked for earlier may still tell of them.
    var earlierPayloads: [(payload: Digest, replaced: Int)] = []
    /// Where the first submit that can have made it was invoked.
    var submitInvoked: Int
    /// When that was, on the monotonic clock.
    let submitMilliseconds: UInt64
    /// Where a reply first told of it: from there on it must exist.
    var known: Int
    /// Whether a submit that made it was acknowledged; the others are matched by payload (``PossibleSubmits``).
    var isSubmitAcknowledged = false

    /// The delivery with the highest token.
    var lease: LeaseRecord?
    /// Whether a power cut or a lost release left it open if one of its deliveries counts.
    var isCountUncertain = false
    /// When the first call was invoked that is known to have touched it, on the monotonic clock.
    var firstTouched: UInt64?

    /// Completions that were not refused.
    var completions: [PossibleCompletion] = []
    /// Where the completion that counts was acknowledged.
    var completion: (token: LeaseToken, result: Digest, returned: Int)?
    /// Cancels, permanent failures and redrives that were not refused.
    var cancels = 0
    var permanentFailures = 0
    /// Where the first reply was that a running attempt is to end.
    var cancelRequested: Int?
    var redrives = 0
    var redrivesUsed = 0
    /// Purges that were not refused; each may cancel it.
    var purges = 0
    /// Whether its outcome may be gone before its time; a crash may bring it back.
    var isForgotten = false
    /// Payloads that redrives gave it, or may have.
    var edits: Set<Digest> = []
    /// Where else it may wait, and how urgent it may be there: what arrangements said that were not refused.
    var arrangements: [(queue: QueueNumber, rank: Rank)] = []
    var end: TaskEnd?
    /// An acknowledged failure or release asked for a pause.
    var pause: Pause?

    /// The row in the dump with that number.
    var row: (dump: Int, task: StoredTask)?

    init(id: TaskID, submitInvoked: Int, submitMilliseconds: UInt64, known: Int) {
        self.id = id
        self.submitMilliseconds = submitMilliseconds
        self.submitInvoked = submitInvoked
        self.known = known
    }

    /// Whether it may be in that queue.
    func mayBe(in queue: QueueNumber) -> Bool {
        spec?.queue ?? queue == queue || arrangements.contains { $0.queue == queue }
    }

    /// Whether it may have that rank.
    func mayHave(_ rank: Rank) -> Bool { spec?.rank ?? rank == rank || arrangements.contains { $0.rank == rank } }

    /// The redrives that were acknowledged, and where the last one was.
    var redrivesDone = (count: 0, returned: -1)

    /// Whether no redrive can have been decided since that event.
    func isNotRedriven(since position: Int) -> Bool {
        redrives <= redrivesDone.count && redrivesDone.returned < position
    }

    var canBeRedriven: Bool { redrives > redrivesUsed }

    mutating func invokeRedrive(_ payload: Digest?) {
        redrives += 1
        if let payload { edits.insert(payload) }
    }

    mutating func invokePurge() {
        purges += 1
        cancels += 1
    }

    /// The highest attempt that the task may have; `nil` while its submit is not known.
    func attemptsMax(_ rules: Rules) -> Int? {
        guard let spec else { return nil }
        let once = Int(spec.retriesMax) + 1 + (rules.crashesExtendAttempts ? Int(spec.crashesMax) : 0)
        return once * (redrives + 1)
    }

    /// Whether it may be a dead letter once it has begun that many attempts.
    func mayBeDead(attempts: Int, _ rules: Rules) -> Bool {
        guard permanentFailures == 0, let spec, attempts <= Int(spec.retriesMin) else { return true }
        // Another queue may say that its tasks are tried again less often.
        guard arrangements.isEmpty else { return true }
        return spec.crashesMax > 0 && attempts >= Int(spec.crashesMax)
    }
}

/// A delivery, as long as it is the newest of its task.
struct LeaseRecord {
    let token: LeaseToken
    let attempt: Int
    /// Whoever claimed or renewed it.
    var clients: [UInt32]
    let claimInvoked: Int
    /// When the claim was invoked, on the monotonic clock.
    let invokedMilliseconds: UInt64
    let claimReturned: Int
    /// When the claim returned, on the monotonic clock.
    let returnedMilliseconds: UInt64
    /// As the delivery said.
    let durationMilliseconds: UInt64
    /// What a restart may start again: the duration of the shortest renewal, if that is shorter.
    var restartMilliseconds: UInt64
    /// The longest duration that it may have had.
    var longestMilliseconds: UInt64
    /// Where the claim or the last renewal returned.
    var clockSet: Int
    /// The lease cannot lapse before, on the monotonic clock, unless a restart makes it longer.
    var earliestLapse: UInt64

    /// Renewals under way or lost.
    var renewals = 0
    /// Completions, failures and releases with its token that were not refused.
    var endings = 0
    /// The releases among them.
    var releases = 0
    /// The acknowledged one among them.
    var ended: (by: Ending, returned: Int)?
    /// Whether a synced reply depends on it, so that no power cut undoes it.
    var isDurable = false

    enum Ending: String {
        case completion
        case failure
        case release
    }
}

struct PossibleCompletion {
    let operation: OperationNumber
    let result: Digest
}

/// Proof that a task ended.
struct TaskEnd {
    let state: TaskState
    /// The token with which it ended; `nil` when that is not known.
    let token: LeaseToken?
    /// Where the proof was recorded.
    let known: Int
}

/// A time on the monotonic clock before which deliveries with a higher token must not come.
struct Pause {
    let token: LeaseToken
    let invoked: Int
    let untilMonotonicMilliseconds: UInt64
}

/// The tasks by id; a slot stays with its task.
struct TaskTable {
    private var slots: [TaskID: Int] = [:]
    var records: ContiguousArray<TaskRecord> = []

    func slot(of id: TaskID) -> Int? { slots[id] }

    mutating func add(_ record: TaskRecord) -> Int {
        slots[record.id] = records.count
        records.append(record)
        return records.count - 1
    }

    subscript(slot: Int) -> TaskRecord {
        _read { yield records[slot] }
        _modify { yield &records[slot] }
    }
}
