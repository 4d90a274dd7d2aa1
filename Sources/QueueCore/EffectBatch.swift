public import TQModel

/// Everything that one commit group changes, as values; Storage turns it into one atomic batch of bytes.
///
/// Bodies, results and texts lie in three arenas, so that a task costs no allocation of its own.
public struct EffectBatch: Sendable {
    /// The group, and the key of its records.
    public var group: GroupID
    /// Store time when the group was closed.
    public var storeMilliseconds: UInt64 = 0
    /// The sequence that the next task gets.
    public var nextSequence: UInt64 = 0
    /// Store time of the first transition: what counts as the beginning of each attempt that the group begins.
    public var transitionsStoreMilliseconds: UInt64 = 0

    /// Names met for the first time.
    public var names: [NameRow] = []
    /// Workers that registered, or said something new of themselves.
    public var registeredWorkers: [WorkerRow] = []
    /// Numbers of workers that left or were given up.
    public var removedWorkers: [UInt32] = []
    /// Recurring tasks that were put.
    public var recurring: [RecurringRow] = []
    /// How far recurring tasks are, in the order of their changes.
    public var recurringStates: [RecurringState] = []
    /// Numbers of recurring tasks that were removed.
    public var removedRecurring: [UInt32] = []
    /// How far bulk operations are, in the order of their steps.
    public var bulkOperations: [BulkOperation] = []
    /// Numbers of bulk operations that ended and are forgotten.
    public var removedBulk: [UInt32] = []
    /// What queues say of their tasks, in the order of its changes.
    public var queuePolicies: [QueuePolicyRow] = []
    /// Gates that were changed, in the order of the changes.
    public var gates: [GateRow] = []
    /// Tasks stored or moved, segment by segment.
    public var segments: [SegmentSpan] = []
    /// The rows of the segments, one segment after the other.
    public var tasks: [TaskRow] = []
    /// The payloads of the rows, in the same order and without gaps.
    public var bodies: [UInt8] = []
    /// Changes of state, in the order of their decision; a task may have several.
    public var transitions: [Transition] = []
    /// Tasks that ended with a result or were cancelled.
    public var outcomes: [OutcomeRow] = []
    /// Records of outcomes of which some, or all, are forgotten before their time.
    public var rewrittenOutcomes: [RewrittenOutcomes] = []
    /// Locators of forgotten outcomes that still lead to others; one that leads to none any more is swept.
    public var rewrittenLocators: [RewrittenLocator] = []
    /// The results of the outcomes, those that are written again included.
    public var results: [UInt8] = []
    /// Tasks that were buried.
    public var deadLetters: [DeadLetterRow] = []
    /// Dead letters that were put back, or that are over.
    public var redrivenDeadLetters: [DeadLetterKey] = []
    /// Tags of tasks that were submitted or replaced, in the order of that; a task may have several rows.
    public var tags: [TagsRow] = []
    /// Attempts that did not succeed.
    public var attempts: [AttemptRow] = []
    /// Histories of tasks that ended, to be deleted with their outcomes.
    public var endedHistories: [ExpiringRecord] = []
    /// Idempotency keys used for the first time.
    public var keys: [KeyRow] = []
    /// Buckets of outcomes whose time has come.
    public var expiredOutcomes: [ExpiryBucket] = []
    /// What was left of buckets that expired, and of outcomes that are forgotten.
    public var swept: [ExpiringRecord] = []
    /// Buckets of idempotency keys whose time has come.
    public var expiredKeys: [ExpiryBucket] = []
    /// Error texts, names of workers, messages, and payloads of dead letters.
    public var texts: [UInt8] = []
    /// About how many bytes say what the tasks depend on.
    var dependencyByteCount = 0

    /// What follows from the above and is the same for whoever applies it.
    public var derived = Derived()

    /// Creates an empty batch.
    public init(group: GroupID) { self.group = group }

    /// Whether nothing would be written.
    public var isEmpty: Bool {
        tasks.isEmpty && transitions.isEmpty && names.isEmpty && registeredWorkers.isEmpty && removedWorkers.isEmpty
            && deadLetters.isEmpty && redrivenDeadLetters.isEmpty && keys.isEmpty && expiredOutcomes.isEmpty
            && expiredKeys.isEmpty && outcomes.isEmpty && swept.isEmpty && recurring.isEmpty
            && recurringStates.isEmpty && removedRecurring.isEmpty && bulkOperations.isEmpty && removedBulk.isEmpty
            && queuePolicies.isEmpty && gates.isEmpty && rewrittenOutcomes.isEmpty
    }

    /// About how many bytes the batch will have; the bound on it is the broker's backpressure.
    public var byteCount: Int {
        bodies.count + results.count + texts.count + tasks.count * 72 + dependencyByteCount + transitions.count * 40
            + outcomes.count * 64 + keys.count * 48 + attempts.count * 64 + tags.count * 256 + swept.count * 48
            + recurringStates.count * 80 + bulkOperations.count * 256 + queuePolicies.count * 128 + gates.count * 64
            + rewrittenOutcomes.reduce(0) { $0 + $1.rows.count * 64 + 128 }
            + rewrittenLocators.reduce(0) { $0 + $1.locator.locations.count * 14 + 64 }
            + recurring.reduce(0) { $0 + $1.payload.count + 512 }
    }

    /// Copies bytes into the text arena.
    mutating func text(_ bytes: Bytes) -> Span {
        defer { texts.append(contentsOf: bytes) }
        return Span(offset: UInt32(texts.count), count: UInt32(bytes.count))
    }

    /// Writes a text for people into the text arena.
    mutating func text(_ string: String) -> Span { text(Bytes(string.utf8)) }

    /// Copies the message of a report into the text arena.
    mutating func progress(_ progress: TaskProgress?) -> Transition.Progress? {
        guard let progress else { return nil }
        return Transition.Progress(percent: progress.percent, message: text(progress.message))
    }

    /// A range of an arena.
    public struct Span: Hashable, Sendable {
        /// Where the range begins, in bytes.
        public var offset: UInt32
        /// How many bytes it has.
        public var count: UInt32

        /// Creates a range.
        public init(offset: UInt32 = 0, count: UInt32 = 0) {
            self.offset = offset
            self.count = count
        }

        /// The range as indices of the arena.
        public var range: Range<Int> { Int(offset)..<Int(offset) + Int(count) }
    }

    /// Changes that follow from the tasks and transitions of a batch.
    public struct Derived: Hashable, Sendable {
        /// Segments whose last task ended or moved.
        public var deadSegments: [SegmentKey] = []
        /// Transition records of which no entry is the newest of a task any more.
        public var deadTransitions: [GroupID] = []
        /// Where the outcomes of a dead segment's tasks are.
        public var locators: [Locator] = []
        /// The new values of counters that changed, in order of their keys.
        public var counters: [CounterRow] = []

        /// Nothing that follows.
        public init() {}
    }
}

/// A worker that is known.
public struct WorkerRow: Hashable, Sendable {
    /// The worker's number, from 1.
    public var number: UInt32
    /// The namespace of the worker's name; 0 is the default one.
    public var namespace: UInt32
    /// What the worker said of itself.
    public var spec: WorkerSpec

    /// Creates a row.
    public init(number: UInt32, namespace: UInt32, spec: WorkerSpec) {
        self.number = number
        self.namespace = namespace
        self.spec = spec
    }
}

/// The rows and bodies of one segment inside an ``EffectBatch``.
public struct SegmentSpan: Hashable, Sendable {
    /// The segment's key.
    public var key: SegmentKey
    /// The place of its first row in the batch's tasks.
    public var firstTask: Int
    /// How many rows it has.
    public var taskCount: Int
    /// The place of its first byte in the batch's bodies.
    public var firstBody: Int
    /// How many bytes its payloads have in all.
    public var bodyByteCount: Int

    /// Creates a span.
    public init(key: SegmentKey, firstTask: Int, taskCount: Int, firstBody: Int, bodyByteCount: Int) {
        self.key = key
        self.firstTask = firstTask
        self.taskCount = taskCount
        self.firstBody = firstBody
        self.bodyByteCount = bodyByteCount
    }
}

/// A task as the pending table holds it: what never changes while it waits.
public struct TaskRow: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// When it was submitted, in milliseconds since 1970; a part of its id.
    public var createdMilliseconds: UInt64
    /// The number of its queue.
    public var queue: UInt32
    /// The number of its type.
    public var type: UInt32
    /// Its place in the order of its queue.
    public var rank: Rank
    /// The bytes of its payload.
    public var bodyByteCount: UInt32
    /// What its payload is.
    public var content: StoredContent
    /// What it asks for beyond the defaults; `nil` for nothing.
    public var options: TaskOptions?

    /// Creates a row.
    public init(
        sequence: TaskSequence,
        createdMilliseconds: UInt64,
        queue: UInt32,
        type: UInt32,
        rank: Rank,
        bodyByteCount: UInt32,
        content: StoredContent = .unspecified,
        options: TaskOptions?
    ) {
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
        self.queue = queue
        self.type = type
        self.rank = rank
        self.bodyByteCount = bodyByteCount
        self.content = content
        self.options = options
    }
}

/// A change of a task's state, with the whole state that can change: the newest transition of a task is enough.
public struct Transition: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// What changed its state.
    public var operation: Operation
    /// The state from now on.
    public var state: TaskState
    /// Attempts begun since the submit or the last redrive; a released one does not count.
    public var attempts: UInt16
    /// Leases of it that lapsed or lost their worker.
    public var crashes: UInt16
    /// The token of the newest lease; 0 before the first.
    public var token: LeaseToken
    /// The worker that holds the lease; 0 for none.
    public var worker: UInt32 = 0
    /// The duration of the lease; 0 when there is none.
    public var leaseMilliseconds: UInt32 = 0
    /// When a scheduled or failed task may start.
    public var start = StartTime.none
    /// When the outcome of an ended task expires; 0 for none.
    public var bucket = ExpiryBucket(rawValue: 0)
    /// Which of the group's outcome records in the bucket holds the outcome, from 0.
    public var outcomePart: UInt16 = 0
    /// The group of the outcome's record, when it is not the transition's own.
    public var outcomeGroup: GroupID?
    /// The rank, when it is not that of the task's row.
    public var rank: Rank?
    /// The queue's number, when it is not that of the task's row.
    public var queue: UInt32?
    /// How far the attempt is, when its worker said so.
    public var progress: Progress?
    /// What the task's attempts have saved for the next one, in the batch's texts; `nil`, or no bytes, for nothing.
    public var checkpoint: EffectBatch.Span?
    /// Whether somebody asked for the end of the running attempt.
    public var isCancelRequested = false
    /// When the running attempt began, in store time; 0 when there is none.
    public var claimedStoreMilliseconds: UInt64 = 0
    /// Whether the task was put back from the dead letters: it may start however late it is.
    public var isRedriven = false
    /// Whether the task's history may have attempts that are not counted: from before it was put back.
    public var hasEarlierAttempts = false
    /// Bytes of the record of a task that ends or has ended: of its result, or of a dead letter's payload and error.
    public var byteCount: UInt32 = 0
    /// How far the dependencies of a blocked task are: its ``TaskDependencies/Progress``.
    public var blocker: UInt64 = 0

    /// A report of progress, its message in the batch's texts.
    public struct Progress: Hashable, Sendable {
        /// 0 to 100.
        public var percent: UInt8
        /// A sentence for people.
        public var message: EffectBatch.Span

        /// Creates a report.
        public init(percent: UInt8, message: EffectBatch.Span) {
            self.percent = percent
            self.message = message
        }
    }

    /// Whether the task waits elsewhere than its row says, or with another rank.
    var arranges: Bool { operation != .replace && (rank != nil || queue != nil) }

    /// Creates a transition that changes nothing else.
    public init(
        sequence: TaskSequence,
        operation: Operation,
        state: TaskState,
        attempts: UInt16,
        crashes: UInt16,
        token: LeaseToken
    ) {
        self.sequence = sequence
        self.operation = operation
        self.state = state
        self.attempts = attempts
        self.crashes = crashes
        self.token = token
    }

    /// What made the transition.
    public enum Operation: UInt8, Sendable, CaseIterable {
        /// A worker took a lease.
        case claim = 1
        /// The lease lasts longer.
        case renew = 2
        /// The task ended with a result.
        case complete = 3
        /// The attempt failed and the task may be tried again.
        case fail = 4
        /// The worker gave the task back; the attempt does not count.
        case release = 5
        /// The lease ran out.
        case lapse = 6
        /// The lease was taken from a session or a worker that is gone.
        case reclaim = 7
        /// The task became pending: its time came, or it was put back.
        case stage = 8
        /// The task was cancelled.
        case cancel = 9
        /// The task became a dead letter.
        case bury = 10
        /// Written again, unchanged, because its record or its segment was cleaned up.
        case carry = 11
        /// Somebody asked for the end of the running attempt.
        case requestCancel = 12
        /// The attempt took longer than its timeout.
        case timeOut = 13
        /// A submit with the same unique key took the place of the task that waited: its row is a new one.
        case replace = 14
        /// Somebody lets the task wait in another queue, or with another priority.
        case arrange = 15
        /// The outcome of the task is gone before its time; the transition says what was counted of it.
        case forget = 16
        /// A task that it depends on is over.
        case settle = 17
    }
}

/// How a task ended, with its result.
public struct OutcomeRow: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// When it was submitted, in milliseconds since 1970.
    public var createdMilliseconds: UInt64
    /// When it ended, in milliseconds since 1970.
    public var endWallMilliseconds: UInt64
    /// The token of the lease under which it ended; 0 for a cancelled task.
    public var token: LeaseToken
    /// The number of its queue.
    public var queue: UInt32
    /// The number of its type.
    public var type: UInt32
    /// Its place in the order of its queue.
    public var rank: Rank
    /// How it ended: completed or cancelled.
    public var state: TaskState
    /// Why it was cancelled, when it was.
    public var cancelReason: CancelReason
    /// Attempts in all.
    public var attempts: UInt16
    /// Leases of it that lapsed or lost their worker.
    public var crashes: UInt16
    /// When the outcome expires.
    public var bucket: ExpiryBucket
    /// Which of the group's outcome records in the bucket holds it, from 0.
    public var part: UInt16
    /// How many tags it carries, which are deleted with the outcome.
    public var tagCount: UInt8
    /// The result, in the batch's results.
    public var result: EffectBatch.Span
    /// What the result is.
    public var content: StoredContent

    /// Creates a row.
    public init(
        sequence: TaskSequence,
        createdMilliseconds: UInt64,
        endWallMilliseconds: UInt64,
        token: LeaseToken,
        queue: UInt32,
        type: UInt32,
        rank: Rank,
        state: TaskState,
        cancelReason: CancelReason = .requested,
        attempts: UInt16,
        crashes: UInt16,
        bucket: ExpiryBucket,
        part: UInt16,
        tagCount: UInt8 = 0,
        result: EffectBatch.Span,
        content: StoredContent = .unspecified
    ) {
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
        self.token = token
        self.queue = queue
        self.type = type
        self.rank = rank
        self.state = state
        self.cancelReason = cancelReason
        self.attempts = attempts
        self.crashes = crashes
        self.bucket = bucket
        self.part = part
        self.tagCount = tagCount
        self.result = result
        self.content = content
    }
}

/// An idempotency key that was used.
public struct KeyRow: Hashable, Sendable {
    /// The hash of the key in its scope.
    public var key: KeyHash
    /// The task that was submitted with it.
    public var sequence: TaskSequence
    /// When that task was submitted, in milliseconds since 1970.
    public var createdMilliseconds: UInt64
    /// A hash of what was submitted, to tell a repetition from another task.
    public var contentHash: UInt64
    /// When the key is forgotten.
    public var bucket: ExpiryBucket

    /// Creates a row.
    public init(
        key: KeyHash,
        sequence: TaskSequence,
        createdMilliseconds: UInt64,
        contentHash: UInt64,
        bucket: ExpiryBucket
    ) {
        self.key = key
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
        self.contentHash = contentHash
        self.bucket = bucket
    }
}

/// A stored count; zero removes it.
public struct CounterRow: Hashable, Sendable {
    /// What is counted.
    public var key: CounterKey
    /// The count from now on.
    public var value: UInt64

    /// Creates a row.
    public init(key: CounterKey, value: UInt64) {
        self.key = key
        self.value = value
    }
}

/// What a stored counter counts.
public enum CounterKey: Hashable, Comparable, Sendable {
    /// Outcomes of a queue with a final state that expire together.
    case outcomes(bucket: ExpiryBucket, queue: UInt32, state: TaskState)
    /// Dead letters of a queue.
    case deadLetters(queue: UInt32)
    /// Bytes of the results of a queue that expire together.
    case resultBytes(bucket: ExpiryBucket, queue: UInt32)
    /// Bytes of the payloads and errors of a queue's dead letters.
    case deadLetterBytes(queue: UInt32)

    var queue: UInt32 {
        switch self {
        case .outcomes(_, let queue, _), .deadLetters(let queue), .resultBytes(_, let queue),
            .deadLetterBytes(let queue):
            queue
        }
    }

    var bucket: ExpiryBucket? {
        switch self {
        case .outcomes(let bucket, _, _), .resultBytes(let bucket, _): bucket
        case .deadLetters, .deadLetterBytes: nil
        }
    }

    private var order: (UInt8, UInt32, UInt32, UInt8) {
        switch self {
        case .outcomes(let bucket, let queue, let state): (0, bucket.rawValue, queue, state.rawValue)
        case .deadLetters(let queue): (1, 0, queue, 0)
        case .resultBytes(let bucket, let queue): (2, bucket.rawValue, queue, 0)
        case .deadLetterBytes(let queue): (3, 0, queue, 0)
        }
    }

    /// Orders by what is counted, then by bucket, queue and state.
    public static func < (left: Self, right: Self) -> Bool { left.order < right.order }
}
