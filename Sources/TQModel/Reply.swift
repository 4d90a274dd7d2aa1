/// What a broker answers; see ``Request`` for which one belongs to which.
public enum Reply: Hashable, Sendable {
    /// One entry per task, in the order of the request.
    case submitted([Result<Submission, TQError>])
    case claimed([Delivery])
    /// Tasks that a stream delivers, unasked.
    case delivery(stream: UInt32, [Delivery])
    /// One entry per item of the request, in its order; `nil` is success.
    case outcomes([TQError?])
    /// One entry per completion, in the order of the request: the tasks that were submitted with it, in their order.
    case completed([Result<[Submission], TQError>])
    /// One entry per task of a cancel, in its order.
    case cancellations([Result<Cancellation, TQError>])
    /// Somebody wants these attempts of the session's to end, unasked: stop the work, then say how it ended.
    case cancelRequested([LeaseHandle])
    indirect case status(TaskStatus)
    indirect case result(TaskResult)
    indirect case statistics(BrokerStatistics)
    case queues([QueueStatistics])
    case workers([WorkerStatus])
    /// What somebody wants of the worker that was heard of.
    case workerOrder(WorkerOrder)
    case tasks(TaskPage)
    case deadLetters(DeadLetterPage)
    case bulkOperations([BulkStatus])
    case gates([GateStatus])
    case explanation(Explanation)
    case compacted(Compaction)
    case recurring(RecurringPage)
    /// In milliseconds since 1970, ascending.
    case ticks([UInt64])
    indirect case health(Health)
    case done
    case error(TQError)

    /// Whether it answers no request: it is sent when something happens.
    public var isUnasked: Bool {
        switch self {
        case .delivery, .cancelRequested: true
        default: false
        }
    }
}

/// A task that is stored.
public struct Submission: Hashable, Sendable {
    /// The id by which the task is known from now on.
    public var id: TaskID
    /// Whether the task was there already, under the same idempotency key or with the same unique key.
    public var isDuplicate: Bool
    /// Whether a task that waited with the same unique key became the submitted one.
    public var isReplacement: Bool

    public init(id: TaskID, isDuplicate: Bool = false, isReplacement: Bool = false) {
        self.id = id
        self.isDuplicate = isDuplicate
        self.isReplacement = isReplacement
    }
}

/// What a cancel did to a task.
public enum Cancellation: Hashable, Sendable, CaseIterable {
    /// The task waited and is over.
    case cancelled
    /// A worker runs it and is told. Its lease is not renewed any more, and no further attempt follows; what it
    /// completes until then counts.
    case requested
}

/// A task in the hands of a worker.
public struct Delivery: Hashable, Sendable {
    /// What the worker shows to complete, fail, renew or release the task.
    public var lease: LeaseHandle
    /// The queue that the task waited in.
    public var queue: Name
    /// What kind of work it is.
    public var type: Name
    /// What the submitter gave for the worker.
    public var payload: Bytes
    /// What the payload is.
    public var content: Content
    /// How urgent the task is.
    public var priority: Priority
    /// Which attempt this is, counted from 1.
    public var attempt: UInt16
    /// Attempts after the first that the task may have.
    public var retriesMax: UInt16
    /// How long the lease lasts from now.
    public var leaseMilliseconds: UInt32
    /// How long this attempt may last in all.
    public var timeoutMilliseconds: UInt32
    /// The tick of a recurring task that this one is for, in milliseconds since 1970; 0 for none.
    public var tickWallMilliseconds: UInt64
    /// What an earlier attempt has saved for this one; empty for nothing.
    public var checkpoint: Bytes
    /// The tasks that it waited for, in the order in which it named them: their results are there as long as they are kept.
    public var dependencies: [TaskID]

    public init(
        lease: LeaseHandle,
        queue: Name,
        type: Name,
        payload: Bytes,
        content: Content = .unspecified,
        priority: Priority,
        attempt: UInt16,
        retriesMax: UInt16,
        leaseMilliseconds: UInt32,
        timeoutMilliseconds: UInt32,
        tickWallMilliseconds: UInt64 = 0,
        checkpoint: Bytes = [],
        dependencies: [TaskID] = []
    ) {
        self.lease = lease
        self.queue = queue
        self.type = type
        self.payload = payload
        self.content = content
        self.priority = priority
        self.attempt = attempt
        self.retriesMax = retriesMax
        self.leaseMilliseconds = leaseMilliseconds
        self.timeoutMilliseconds = timeoutMilliseconds
        self.tickWallMilliseconds = tickWallMilliseconds
        self.checkpoint = checkpoint
        self.dependencies = dependencies
    }
}

/// What is known of one task.
public struct TaskStatus: Hashable, Sendable {
    /// The task's id.
    public var id: TaskID
    /// The queue that it was submitted to.
    public var queue: Name
    /// What kind of work it is.
    public var type: Name
    /// Where it is in its life.
    public var state: TaskState
    /// How urgent it is.
    public var priority: Priority
    /// Attempts begun so far.
    public var attempts: UInt16
    /// Leases of it that lapsed or lost their worker.
    public var crashes: UInt16
    /// Attempts after the first that it may have.
    public var retriesMax: UInt16
    /// When a scheduled or failed task may start; 0 when it may now or has.
    public var startWallMilliseconds: UInt64
    /// When it ended; 0 when it has not.
    public var endWallMilliseconds: UInt64
    /// The worker that holds it; `nil` when none does.
    public var worker: Name?
    /// The last error of a failed or dead task.
    public var error: Bytes
    /// Its attempts that did not succeed, the oldest first: the last ``Limits/historyMax`` of them, at most.
    public var history: [Attempt]
    /// What the payload is; unspecified when the task has ended, and the payload is gone.
    public var payloadContent: Content
    /// The size of the result.
    public var resultBytes: UInt32
    /// What the result is.
    public var resultContent: Content
    /// How far the running attempt is; `nil` when its worker has not said.
    public var progress: TaskProgress?
    /// When the running attempt began, in milliseconds since 1970; 0 when none runs.
    public var attemptStartWallMilliseconds: UInt64
    /// Whether somebody asked for the end of the running attempt.
    public var isCancelRequested: Bool
    /// Why it was cancelled; `nil` when it was not.
    public var cancelReason: CancelReason?
    /// The tick of a recurring task that it is for; `nil` for another one, and for one that has ended.
    public var tick: Tick?
    /// What its attempts have saved for the next one; empty for nothing, and when it has ended.
    public var checkpoint: Bytes
    /// The tags that it carries.
    public var tags: [TaskTag]
    /// How it shares the workers with others; `none` when it has ended.
    public var sharing: Sharing
    /// The tasks that it waits for or has waited for; `nil` for none, and when it has ended.
    public var dependencies: Dependencies?

    public init(
        id: TaskID,
        queue: Name,
        type: Name,
        state: TaskState,
        priority: Priority,
        attempts: UInt16 = 0,
        crashes: UInt16 = 0,
        retriesMax: UInt16 = 0,
        startWallMilliseconds: UInt64 = 0,
        endWallMilliseconds: UInt64 = 0,
        worker: Name? = nil,
        error: Bytes = [],
        history: [Attempt] = [],
        payloadContent: Content = .unspecified,
        resultBytes: UInt32 = 0,
        resultContent: Content = .unspecified,
        progress: TaskProgress? = nil,
        attemptStartWallMilliseconds: UInt64 = 0,
        isCancelRequested: Bool = false,
        cancelReason: CancelReason? = nil,
        tick: Tick? = nil,
        checkpoint: Bytes = [],
        tags: [TaskTag] = [],
        sharing: Sharing = .none,
        dependencies: Dependencies? = nil
    ) {
        self.tags = tags
        self.sharing = sharing
        self.dependencies = dependencies
        self.progress = progress
        self.cancelReason = cancelReason
        self.tick = tick
        self.checkpoint = checkpoint
        self.attemptStartWallMilliseconds = attemptStartWallMilliseconds
        self.isCancelRequested = isCancelRequested
        self.id = id
        self.queue = queue
        self.type = type
        self.state = state
        self.priority = priority
        self.attempts = attempts
        self.crashes = crashes
        self.retriesMax = retriesMax
        self.startWallMilliseconds = startWallMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
        self.worker = worker
        self.error = error
        self.history = history
        self.payloadContent = payloadContent
        self.resultBytes = resultBytes
        self.resultContent = resultContent
    }
}

/// How a task ended.
public struct TaskResult: Hashable, Sendable {
    /// The task's id.
    public var id: TaskID
    /// `completed`, `deadLetter` or `cancelled`.
    public var state: TaskState
    /// What the worker returned; empty unless the task completed.
    public var result: Bytes
    /// What the result is.
    public var content: Content
    /// The last error of a dead letter.
    public var error: Bytes
    /// Why it was cancelled; `nil` when it was not.
    public var cancelReason: CancelReason?

    public init(
        id: TaskID,
        state: TaskState,
        result: Bytes = [],
        content: Content = .unspecified,
        error: Bytes = [],
        cancelReason: CancelReason? = nil
    ) {
        self.cancelReason = cancelReason
        self.id = id
        self.state = state
        self.result = result
        self.content = content
        self.error = error
    }
}

/// Tasks by state, in one queue or in all.
public struct TaskCounts: Hashable, Sendable {
    /// Wait for their start time.
    public var scheduled: UInt64 = 0
    /// Wait for other tasks.
    public var blocked: UInt64 = 0
    /// Can be claimed.
    public var pending: UInt64 = 0
    /// Are held by a worker.
    public var inProgress: UInt64 = 0
    /// Wait out a backoff.
    public var failed: UInt64 = 0
    /// Are done, with a result that is still kept.
    public var completed: UInt64 = 0
    /// Wait in the dead-letter queue for a person.
    public var deadLetter: UInt64 = 0
    /// Were stopped, and are still known.
    public var cancelled: UInt64 = 0

    public init() {}

    /// The count of one state.
    public subscript(state: TaskState) -> UInt64 {
        get {
            switch state {
            case .scheduled: scheduled
            case .blocked: blocked
            case .pending: pending
            case .inProgress: inProgress
            case .failed: failed
            case .completed: completed
            case .deadLetter: deadLetter
            case .cancelled: cancelled
            }
        }
        set {
            switch state {
            case .scheduled: scheduled = newValue
            case .blocked: blocked = newValue
            case .pending: pending = newValue
            case .inProgress: inProgress = newValue
            case .failed: failed = newValue
            case .completed: completed = newValue
            case .deadLetter: deadLetter = newValue
            case .cancelled: cancelled = newValue
            }
        }
    }

    /// Tasks that wait: a queue's depth, which `queue_depth_threshold` bounds.
    public var waiting: UInt64 { scheduled + blocked + pending + failed }
}

/// Counters of the broker.
public struct BrokerStatistics: Hashable, Sendable {
    /// What is stored now.
    public var counts: TaskCounts
    /// What happened since the broker started.
    public var totals: BrokerTotals
    /// Queues that are known.
    public var queues: UInt32
    /// Workers that are known.
    public var workers: UInt32
    /// Connections that are open.
    public var connections: UInt32
    /// How long ago the broker started to serve.
    public var uptimeMilliseconds: UInt64
    /// Whether a success reply means that the disk has it: 0 for always, else the most milliseconds a power cut takes.
    public var syncIntervalMilliseconds: UInt32

    public init(
        counts: TaskCounts = .init(),
        totals: BrokerTotals = .init(),
        queues: UInt32 = 0,
        workers: UInt32 = 0,
        connections: UInt32 = 0,
        uptimeMilliseconds: UInt64 = 0,
        syncIntervalMilliseconds: UInt32 = 0
    ) {
        self.counts = counts
        self.totals = totals
        self.queues = queues
        self.workers = workers
        self.connections = connections
        self.uptimeMilliseconds = uptimeMilliseconds
        self.syncIntervalMilliseconds = syncIntervalMilliseconds
    }
}

/// Events since the broker started.
public struct BrokerTotals: Hashable, Sendable {
    /// Tasks stored by submits, without duplicates.
    public var submitted: UInt64 = 0
    /// Deliveries, streams included.
    public var claimed: UInt64 = 0
    /// Tasks that ended with success.
    public var completed: UInt64 = 0
    /// Attempts that failed: reported by workers, or longer than their timeout.
    public var failed: UInt64 = 0
    /// The failed attempts that were longer than their timeout.
    public var timedOut: UInt64 = 0
    /// Tasks that became claimable again after a failed attempt.
    public var retried: UInt64 = 0
    /// Tasks that became dead letters.
    public var deadLettered: UInt64 = 0
    /// Tasks that were cancelled.
    public var cancelled: UInt64 = 0
    /// Submits that took the place of a task that waited with the same unique key.
    public var replaced: UInt64 = 0
    /// Finished tasks whose retention ran out.
    public var expired: UInt64 = 0
    /// Ended tasks that somebody deleted, or that were more than their queues keep.
    public var forgotten: UInt64 = 0
    /// Leases that ended without a word of their worker.
    public var lapsed: UInt64 = 0

    public init() {}
}

/// Counters of one queue.
public struct QueueStatistics: Hashable, Sendable {
    /// The name of the queue.
    public var name: Name
    /// Its tasks by state.
    public var counts: TaskCounts
    /// What its tasks get where they say nothing themselves.
    public var policy: QueuePolicy

    public init(name: Name, counts: TaskCounts, policy: QueuePolicy = QueuePolicy()) {
        self.name = name
        self.counts = counts
        self.policy = policy
    }
}

/// What is known of one worker.
public struct WorkerStatus: Hashable, Sendable {
    /// What it last said about itself.
    public var spec: WorkerSpec
    /// Leases that the broker counts for it.
    public var leases: UInt32
    /// How long ago it was heard of.
    public var silentMilliseconds: UInt64
    /// What somebody wants of it.
    public var order: WorkerOrder

    public init(spec: WorkerSpec, leases: UInt32, silentMilliseconds: UInt64, order: WorkerOrder = .work) {
        self.spec = spec
        self.leases = leases
        self.silentMilliseconds = silentMilliseconds
        self.order = order
    }
}

/// What a worker is to do; the broker forgets it with the worker, and when it restarts.
public enum WorkerOrder: UInt8, Sendable, CaseIterable {
    /// Take tasks.
    case work = 0
    /// Finish what runs; it gets no more.
    case quiet = 1
    /// Finish what runs, and end.
    case stop = 2

    /// The name in JSON and on the command line.
    public var name: String {
        switch self {
        case .work: "work"
        case .quiet: "quiet"
        case .stop: "stop"
        }
    }
}

/// Why a task became a dead letter.
public enum DeadLetterReason: UInt8, Sendable, CaseIterable {
    /// Its retries are used up.
    case retriesExhausted = 1
    /// A worker said that retries are useless.
    case permanentFailure = 2
    /// It lost its worker too often: quarantined.
    case quarantined = 3
    /// Its payload is damaged on disk.
    case payloadDamaged = 4
    /// It did not start by the time that it was given.
    case tooLate = 5
    /// Tasks failed on which it depended.
    case dependencyFailed = 6

    /// The name in JSON, on the command line and in metrics.
    public var name: String {
        switch self {
        case .retriesExhausted: "retriesExhausted"
        case .permanentFailure: "permanentFailure"
        case .quarantined: "quarantined"
        case .payloadDamaged: "payloadDamaged"
        case .tooLate: "tooLate"
        case .dependencyFailed: "dependencyFailed"
        }
    }
}

/// Why a task was cancelled.
public enum CancelReason: UInt8, Sendable, CaseIterable {
    /// Somebody asked for it.
    case requested = 0
    /// It did not start by the time that it was given.
    case tooLate = 1
    /// It was a dead letter that somebody purged.
    case purged = 2
    /// It was a dead letter that was kept as long as it was to be.
    case expired = 3
    /// It was the oldest dead letter of a queue that had more than it keeps.
    case displaced = 4
    /// Tasks failed on which it depended.
    case dependencyFailed = 5

    /// The name in JSON and on the command line.
    public var name: String {
        switch self {
        case .requested: "requested"
        case .tooLate: "tooLate"
        case .purged: "purged"
        case .expired: "expired"
        case .displaced: "displaced"
        case .dependencyFailed: "dependencyFailed"
        }
    }
}

/// A task in the dead-letter queue.
public struct DeadLetter: Hashable, Sendable {
    /// What is known of the task.
    public var status: TaskStatus
    /// Why it is here.
    public var reason: DeadLetterReason
    /// What the submitter gave for the worker; what it is, the status says.
    public var payload: Bytes

    public init(status: TaskStatus, reason: DeadLetterReason, payload: Bytes) {
        self.status = status
        self.reason = reason
        self.payload = payload
    }
}

/// Some dead letters in order of sequence.
public struct DeadLetterPage: Hashable, Sendable {
    /// The dead letters of this page.
    public var letters: [DeadLetter]
    /// Whether there are more after the last one.
    public var hasMore: Bool

    public init(letters: [DeadLetter], hasMore: Bool) {
        self.letters = letters
        self.hasMore = hasMore
    }
}

/// What a compaction gave back.
public struct Compaction: Hashable, Sendable {
    /// What the store's files held before, without what the log reserves.
    public var diskBytesBefore: UInt64
    /// What they hold now.
    public var diskBytesAfter: UInt64

    public init(diskBytesBefore: UInt64 = 0, diskBytesAfter: UInt64 = 0) {
        self.diskBytesBefore = diskBytesBefore
        self.diskBytesAfter = diskBytesAfter
    }
}

/// Whether the broker can do its work.
public struct Health: Hashable, Sendable {
    /// What the broker does at the moment.
    public var status: Status
    /// Why it is not `serving`; empty when it is.
    public var reason: String
    /// 0 when success replies are on disk, else the most milliseconds of them that a power cut takes.
    public var syncIntervalMilliseconds: UInt32
    /// The version of the broker.
    public var version: String

    public init(status: Status, reason: String = "", syncIntervalMilliseconds: UInt32 = 0, version: String = "") {
        self.status = status
        self.reason = reason
        self.syncIntervalMilliseconds = syncIntervalMilliseconds
        self.version = version
    }

    /// What the broker does at the moment.
    public enum Status: UInt8, Sendable, CaseIterable {
        /// Everything works.
        case serving = 1
        /// Disk is nearly full: submits are refused, completions go on.
        case refusingSubmits = 2
        /// A write failed: nothing is changed until the store is rebuilt.
        case readOnly = 3
        /// Leaves: no new submits and claims, running tasks may end.
        case draining = 4

        /// The name in JSON, on the command line and in metrics.
        public var name: String {
            switch self {
            case .serving: "serving"
            case .refusingSubmits: "refusingSubmits"
            case .readOnly: "readOnly"
            case .draining: "draining"
            }
        }
    }
}

/// How a session treats what it holds.
public struct SessionSettings: Hashable, Sendable {
    /// Whether the leases end at once when the connection closes; otherwise they last until they lapse.
    public var endsLeasesOnClose: Bool

    public init(endsLeasesOnClose: Bool = false) { self.endsLeasesOnClose = endsLeasesOnClose }
}
