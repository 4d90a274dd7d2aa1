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

    /// Names met for the first time.
    public var names: [NameRow] = []
    public var registeredWorkers: [WorkerRow] = []
    public var removedWorkers: [UInt32] = []
    /// Tasks stored or moved, segment by segment.
    public var segments: [SegmentSpan] = []
    public var tasks: [TaskRow] = []
    public var bodies: [UInt8] = []
    public var transitions: [Transition] = []
    public var outcomes: [OutcomeRow] = []
    public var results: [UInt8] = []
    public var deadLetters: [DeadLetterRow] = []
    /// Dead letters that were put back.
    public var redrivenDeadLetters: [TaskSequence] = []
    public var keys: [KeyRow] = []
    public var expiredOutcomes: [ExpiredBucket] = []
    public var expiredKeys: [ExpiryBucket] = []
    /// Error texts, metadata and payloads of dead letters.
    public var texts: [UInt8] = []

    /// What follows from the above and is the same for whoever applies it.
    public var derived = Derived()

    public init(group: GroupID) { self.group = group }

    /// Whether nothing would be written.
    public var isEmpty: Bool {
        tasks.isEmpty && transitions.isEmpty && names.isEmpty && registeredWorkers.isEmpty && removedWorkers.isEmpty
            && deadLetters.isEmpty && redrivenDeadLetters.isEmpty && keys.isEmpty && expiredOutcomes.isEmpty
            && expiredKeys.isEmpty && outcomes.isEmpty
    }

    /// About how many bytes the batch will have; the bound on it is the broker's backpressure.
    public var byteCount: Int {
        bodies.count + results.count + texts.count + tasks.count * 72 + transitions.count * 40 + outcomes.count * 64
            + keys.count * 48
    }

    /// Copies bytes into the text arena.
    mutating func text(_ bytes: Bytes) -> Span {
        defer { texts.append(contentsOf: bytes) }
        return Span(offset: UInt32(texts.count), count: UInt32(bytes.count))
    }

    /// A range of an arena.
    public struct Span: Hashable, Sendable {
        public var offset: UInt32
        public var count: UInt32

        public init(offset: UInt32 = 0, count: UInt32 = 0) {
            self.offset = offset
            self.count = count
        }

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
        public var counters: [CounterRow] = []
    }
}

/// A name and the number that stands for it in records.
public struct NameRow: Hashable, Sendable {
    public var kind: NameKind
    public var number: UInt32
    public var namespace: UInt32
    public var name: Name

    public init(kind: NameKind, number: UInt32, namespace: UInt32, name: Name) {
        self.kind = kind
        self.number = number
        self.namespace = namespace
        self.name = name
    }
}

/// What a number stands for.
public enum NameKind: UInt8, Sendable, CaseIterable {
    case queue = 1
    case type = 2
}

/// A worker that is known.
public struct WorkerRow: Hashable, Sendable {
    public var number: UInt32
    public var namespace: UInt32
    public var spec: WorkerSpec

    public init(number: UInt32, namespace: UInt32, spec: WorkerSpec) {
        self.number = number
        self.namespace = namespace
        self.spec = spec
    }
}

/// The rows and bodies of one segment inside an ``EffectBatch``.
public struct SegmentSpan: Hashable, Sendable {
    public var key: SegmentKey
    public var firstTask: Int
    public var taskCount: Int
    public var firstBody: Int
    public var bodyByteCount: Int

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
    public var sequence: TaskSequence
    public var createdMilliseconds: UInt64
    public var queue: UInt32
    public var type: UInt32
    public var rank: Rank
    public var bodyByteCount: UInt32
    public var options: TaskOptions?

    public init(
        sequence: TaskSequence,
        createdMilliseconds: UInt64,
        queue: UInt32,
        type: UInt32,
        rank: Rank,
        bodyByteCount: UInt32,
        options: TaskOptions?
    ) {
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
        self.queue = queue
        self.type = type
        self.rank = rank
        self.bodyByteCount = bodyByteCount
        self.options = options
    }
}

/// A change of a task's state, with the whole state that can change: the newest transition of a task is enough.
public struct Transition: Hashable, Sendable {
    public var sequence: TaskSequence
    public var operation: Operation
    public var state: TaskState
    public var attempts: UInt16
    public var crashes: UInt16
    /// The token of the newest lease; 0 before the first.
    public var token: LeaseToken
    /// The worker that holds the lease; 0 for none.
    public var worker: UInt32 = 0
    /// The duration of the lease; 0 when there is none.
    public var leaseMilliseconds: UInt32 = 0
    /// When a scheduled or failed task may start.
    public var startWallMilliseconds: UInt64 = 0
    /// When the outcome of an ended task expires, with the part of its record; 0 for none.
    public var bucket = ExpiryBucket(rawValue: 0)
    public var outcomePart: UInt16 = 0
    /// The group of the outcome's record, when it is not the transition's own.
    public var outcomeGroup: GroupID?
    /// The rank and the queue, when they are not those of the task's row.
    public var rank: Rank?
    public var queue: UInt32?
    /// The error of a failed attempt, in the batch's texts.
    public var error = EffectBatch.Span()

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
        case claim = 1
        case renew = 2
        case complete = 3
        case fail = 4
        case release = 5
        case lapse = 6
        case reclaim = 7
        case stage = 8
        case cancel = 9
        case bury = 10
        /// Written again, unchanged, because its record or its segment was cleaned up.
        case carry = 11
    }
}

/// How a task ended, with its result.
public struct OutcomeRow: Hashable, Sendable {
    public var sequence: TaskSequence
    public var createdMilliseconds: UInt64
    public var endWallMilliseconds: UInt64
    public var token: LeaseToken
    public var queue: UInt32
    public var type: UInt32
    public var rank: Rank
    public var state: TaskState
    public var attempts: UInt16
    public var crashes: UInt16
    public var bucket: ExpiryBucket
    public var part: UInt16
    public var result: EffectBatch.Span

    public init(
        sequence: TaskSequence,
        createdMilliseconds: UInt64,
        endWallMilliseconds: UInt64,
        token: LeaseToken,
        queue: UInt32,
        type: UInt32,
        rank: Rank,
        state: TaskState,
        attempts: UInt16,
        crashes: UInt16,
        bucket: ExpiryBucket,
        part: UInt16,
        result: EffectBatch.Span
    ) {
        self.sequence = sequence
        self.createdMilliseconds = createdMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
        self.token = token
        self.queue = queue
        self.type = type
        self.rank = rank
        self.state = state
        self.attempts = attempts
        self.crashes = crashes
        self.bucket = bucket
        self.part = part
        self.result = result
    }
}

/// A dead letter: everything needed to show it and to put it back, payload included.
public struct DeadLetterRow: Hashable, Sendable {
    public var task: TaskRow
    public var reason: DeadLetterReason
    public var attempts: UInt16
    public var crashes: UInt16
    public var token: LeaseToken
    public var buriedWallMilliseconds: UInt64
    public var error: EffectBatch.Span
    public var payload: EffectBatch.Span

    public init(
        task: TaskRow,
        reason: DeadLetterReason,
        attempts: UInt16,
        crashes: UInt16,
        token: LeaseToken,
        buriedWallMilliseconds: UInt64,
        error: EffectBatch.Span,
        payload: EffectBatch.Span
    ) {
        self.task = task
        self.reason = reason
        self.attempts = attempts
        self.crashes = crashes
        self.token = token
        self.buriedWallMilliseconds = buriedWallMilliseconds
        self.error = error
        self.payload = payload
    }
}

/// An idempotency key that was used.
public struct KeyRow: Hashable, Sendable {
    public var key: KeyHash
    public var sequence: TaskSequence
    public var createdMilliseconds: UInt64
    /// A hash of what was submitted, to tell a repetition from another task.
    public var contentHash: UInt64
    public var bucket: ExpiryBucket

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

/// An expired bucket of outcomes, with the locators that point into it.
public struct ExpiredBucket: Hashable, Sendable {
    public var bucket: ExpiryBucket
    public var locators: [LocatorKey]

    public init(bucket: ExpiryBucket, locators: [LocatorKey]) {
        self.bucket = bucket
        self.locators = locators
    }
}

/// The key of a locator record.
public struct LocatorKey: Hashable, Comparable, Sendable {
    /// The task, or the first task of a segment.
    public var sequence: TaskSequence
    /// Whether the record covers a segment of consecutive sequences.
    public var isSegment: Bool

    public init(sequence: TaskSequence, isSegment: Bool) {
        self.sequence = sequence
        self.isSegment = isSegment
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.sequence == right.sequence ? !left.isSegment && right.isSegment : left.sequence < right.sequence
    }
}

/// Where the outcomes of tasks are whose segment is gone.
public struct Locator: Hashable, Sendable {
    public var key: LocatorKey
    /// The location of each task from the key's sequence on; `nil` for one that was moved or buried.
    public var locations: [OutcomeLocation?]

    public init(key: LocatorKey, locations: [OutcomeLocation?]) {
        self.key = key
        self.locations = locations
    }

    /// The last bucket that an entry points into: when it expires, so does the locator.
    public var bucket: ExpiryBucket? { locations.lazy.compactMap { $0?.bucket }.max() }
}

/// A stored count; zero removes it.
public struct CounterRow: Hashable, Sendable {
    public var key: CounterKey
    public var value: UInt64

    public init(key: CounterKey, value: UInt64) {
        self.key = key
        self.value = value
    }
}

/// What a stored counter counts.
public enum CounterKey: Hashable, Comparable, Sendable {
    case outcomes(bucket: ExpiryBucket, queue: UInt32, state: TaskState)
    case deadLetters(queue: UInt32)

    var queue: UInt32 {
        switch self {
        case .outcomes(_, let queue, _), .deadLetters(let queue): queue
        }
    }

    var bucket: ExpiryBucket? {
        if case .outcomes(let bucket, _, _) = self { bucket } else { nil }
    }

    private var order: (UInt8, UInt32, UInt32, UInt8) {
        switch self {
        case .outcomes(let bucket, let queue, let state): (0, bucket.rawValue, queue, state.rawValue)
        case .deadLetters(let queue): (1, 0, queue, 0)
        }
    }

    public static func < (left: Self, right: Self) -> Bool { left.order < right.order }
}
