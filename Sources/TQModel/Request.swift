/// Everything that a client can ask of a broker; every listener turns its bytes into one of these.
public enum Request: Hashable, Sendable {
    /// Stores tasks. Answer: ``Reply/submitted(_:)``.
    case submit([TaskSpec])
    /// Takes waiting tasks, or waits for some. Answer: ``Reply/claimed(_:)``, empty when the wait ran out.
    case claim(ClaimSpec)
    /// Opens a stream of deliveries that lasts as long as the session. Answer: ``Reply/done``, then ``Reply/delivery(stream:_:)``.
    ///
    /// The number of the stream is the client's choice, one of a kind in its session.
    case openStream(stream: UInt32, ClaimSpec)
    /// Lets a stream deliver that many tasks more. No answer, but for an error when there is no such stream.
    case addCredit(stream: UInt32, count: UInt32)
    /// Ends a stream; its leases stay with the session. Answer: ``Reply/done``.
    case closeStream(stream: UInt32)
    /// Ends tasks with success. Answer: ``Reply/outcomes(_:)``, or ``Reply/completed(_:)`` when one of them hands over.
    ///
    /// All of them together hand over at most ``Limits/batchCountMax`` tasks.
    case complete([Completion])
    /// Ends attempts with failure. Answer: ``Reply/outcomes(_:)``.
    case fail([Failure])
    /// Gives tasks back without counting an attempt. Answer: ``Reply/outcomes(_:)``.
    case release([Release])
    /// Pushes the deadlines of leases out. Answer: ``Reply/outcomes(_:)``.
    case renew([Renewal])
    /// Stops tasks; those that run are stopped by their workers. Answer: ``Reply/cancellations(_:)``.
    case cancel([TaskID])
    /// What became of a task. Answer: ``Reply/status(_:)``.
    case status(TaskID)
    /// The result of a task, waiting for its end that long. Answer: ``Reply/result(_:)``, or `timedOut`.
    case result(TaskID, waitMilliseconds: UInt64)
    /// Makes a worker known. Answer: ``Reply/done``, or ``Reply/workerOrder(_:)`` when it is to stop or to be quiet.
    case registerWorker(WorkerSpec)
    /// Says that a worker lives; an unknown one is registered. Answer: as for a registration.
    case heartbeat(WorkerSpec)
    /// Ends a worker: its leases end at once, its tasks can be claimed again. Answer: ``Reply/done``.
    case deregisterWorker(Name)
    /// Lets a worker take tasks, keeps them from it, or lets it end. Answer: ``Reply/done``.
    case orderWorker(Name, WorkerOrder)
    /// Counters of the broker. Answer: ``Reply/statistics(_:)``.
    case statistics
    /// Counters and policy of every queue, by name. Answer: ``Reply/queues(_:)``.
    case queues
    /// The workers that are known, by name. Answer: ``Reply/workers(_:)``.
    case workers
    /// A page of a list of tasks. Answer: ``Reply/tasks(_:)``.
    case tasks(TaskQuery)
    /// A page of dead letters in order of sequence. Answer: ``Reply/deadLetters(_:)``.
    case deadLetters(DeadLetterQuery)
    /// Puts dead letters back as pending. Answer: ``Reply/outcomes(_:)``.
    case redrive([Redrive])
    /// Ends dead letters for good. Answer: ``Reply/outcomes(_:)``.
    case purge([TaskID])
    /// Begins to change all tasks that a filter is for. Answer: ``Reply/bulkOperations(_:)`` with that operation.
    case startBulk(BulkSpec)
    /// The bulk operations that are known, in the order of their starts. Answer: ``Reply/bulkOperations(_:)``.
    case bulkOperations
    /// Ends a bulk operation before its time; what it has changed stays changed. Answer: ``Reply/bulkOperations(_:)`` with
    /// that operation.
    case stopBulk(UInt32)
    /// Says what the tasks of a queue get where they say nothing themselves, in the place of what was said before; an empty
    /// policy ends that. Answer: ``Reply/done``.
    case putQueuePolicy(Name, QueuePolicy)
    /// Pauses a gate, opens it, or says how many tasks may run that have passed it. Answer: ``Reply/gates(_:)`` with that one.
    case changeGate(GateChange)
    /// The gates that are paused or have a limit, in the order of their scopes. Answer: ``Reply/gates(_:)``.
    case gates
    /// Why a task does not run now. Answer: ``Reply/explanation(_:)``.
    case explain(TaskID)
    /// Why the tasks of a queue do not run now. Answer: ``Reply/explanation(_:)``.
    case explainQueue(Name)
    /// Keeps a recurring task, in the place of the one with its name. Answer: ``Reply/recurring(_:)`` with that one.
    ///
    /// Ticks count from now on; where the recurrence stays the same, from the last tick on.
    case putRecurring(RecurringSpec)
    /// Forgets a recurring task; tasks that it has submitted stay. Answer: ``Reply/done``.
    case removeRecurring(Name)
    /// Stops a recurring task, or lets it go on: ticks in between are left out. Answer: ``Reply/recurring(_:)`` with that one.
    case pauseRecurring(Name, isPaused: Bool)
    /// Submits the task of a recurring one now, besides its ticks. Answer: ``Reply/submitted(_:)``.
    case runRecurring(Name)
    /// The recurring tasks with names behind that one, at most `count` (1 to ``Limits/recurringPageMax``). Answer:
    /// ``Reply/recurring(_:)``.
    case recurring(after: Name?, count: UInt32)
    /// When a recurrence would be due from now on: ``Limits/upcomingMax`` ticks. Answer: ``Reply/ticks(_:)``.
    case upcomingTicks(recurrence: Bytes)
    /// Takes results whose time has come and gives their disk space back. Answer: ``Reply/compacted(_:)``, when that is done.
    case compact
    /// Whether the broker can do its work. Answer: ``Reply/health(_:)``.
    case health
    /// Nothing but a sign of life. Answer: ``Reply/done``.
    case ping
}

/// What a claim asks for.
public struct ClaimSpec: Hashable, Sendable {
    /// The queues to take from; the best rank of all goes first.
    public var queues: [Name]
    /// The task types to take; empty for all.
    public var types: [TypePattern]
    /// For a claim, the most tasks to take; for a stream, the first credit.
    public var count: UInt32
    /// How long to wait when nothing can be taken; a stream ignores it.
    public var waitMilliseconds: UInt64
    /// The worker that takes them; empty for a client that is no worker.
    public var worker: Name?
    /// Overrides the tasks' own lease duration; 0 does not.
    public var leaseMilliseconds: UInt32

    public init(
        queues: [Name],
        types: [TypePattern] = [],
        count: UInt32 = 1,
        waitMilliseconds: UInt64 = 0,
        worker: Name? = nil,
        leaseMilliseconds: UInt32 = 0
    ) {
        self.queues = queues
        self.types = types
        self.count = count
        self.waitMilliseconds = waitMilliseconds
        self.worker = worker
        self.leaseMilliseconds = leaseMilliseconds
    }
}

/// The success of one attempt.
public struct Completion: Hashable, Sendable {
    /// What the delivery brought.
    public var lease: LeaseHandle
    /// What the submitter gets; at most ``Limits/payloadBytesMax`` bytes.
    public var result: Bytes
    /// What the result is.
    public var content: Content
    /// Tasks to submit with it: when one of them is refused, nothing happens at all, and the lease lasts.
    ///
    /// They are taken while the broker drains, too, but not while its disk is nearly full.
    public var followUps: [TaskSpec]
    /// Tasks to cancel with it; those that have ended, or are not known, are left alone.
    public var cancels: [TaskID]

    public init(
        lease: LeaseHandle,
        result: Bytes = [],
        content: Content = .unspecified,
        followUps: [TaskSpec] = [],
        cancels: [TaskID] = []
    ) {
        self.lease = lease
        self.result = result
        self.content = content
        self.followUps = followUps
        self.cancels = cancels
    }

    /// Whether other tasks are submitted or cancelled with it.
    public var handsOver: Bool { !followUps.isEmpty || !cancels.isEmpty }
}

/// The failure of one attempt.
public struct Failure: Hashable, Sendable {
    /// What the delivery brought.
    public var lease: LeaseHandle
    /// What went wrong, for people; cut at ``Limits/errorBytesMax``.
    public var error: Bytes
    /// Skips the remaining retries.
    public var isPermanent: Bool
    /// When to try again, instead of the task's backoff.
    public var retryAfterMilliseconds: UInt64?
    /// Whether no other task of its limit key begins before that either: the account is blocked, the host is down.
    ///
    /// It pauses the gate of the key, which ends by itself then.
    public var pausesKey: Bool

    public init(
        lease: LeaseHandle,
        error: Bytes,
        isPermanent: Bool = false,
        retryAfterMilliseconds: UInt64? = nil,
        pausesKey: Bool = false
    ) {
        self.lease = lease
        self.error = error
        self.isPermanent = isPermanent
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.pausesKey = pausesKey
    }
}

/// A task given back.
public struct Release: Hashable, Sendable {
    /// What the delivery brought.
    public var lease: LeaseHandle
    /// How long the task waits before it can be claimed again.
    public var delayMilliseconds: UInt64

    public init(lease: LeaseHandle, delayMilliseconds: UInt64 = 0) {
        self.lease = lease
        self.delayMilliseconds = delayMilliseconds
    }
}

/// A dead letter that is put back.
public struct Redrive: Hashable, Sendable {
    /// The task.
    public var task: TaskID
    /// What its worker gets from now on; `nil` leaves the payload that it has.
    public var payload: Bytes?
    /// What that payload is; without one it says nothing.
    public var content: Content

    public init(task: TaskID, payload: Bytes? = nil, content: Content = .unspecified) {
        self.task = task
        self.payload = payload
        self.content = content
    }
}

/// A lease that shall last longer.
public struct Renewal: Hashable, Sendable {
    /// What the delivery brought.
    public var lease: LeaseHandle
    /// The lease's duration from now; 0 takes the one that the lease has.
    public var leaseMilliseconds: UInt32
    /// How far the attempt is; `nil` leaves what was said before.
    public var progress: TaskProgress?
    /// Where the next attempt may go on, at most ``Limits/checkpointBytesMax`` bytes; `nil` leaves what was saved before, and
    /// no bytes forget it.
    public var checkpoint: Bytes?

    public init(
        lease: LeaseHandle,
        leaseMilliseconds: UInt32 = 0,
        progress: TaskProgress? = nil,
        checkpoint: Bytes? = nil
    ) {
        self.lease = lease
        self.leaseMilliseconds = leaseMilliseconds
        self.progress = progress
        self.checkpoint = checkpoint
    }
}

/// How far an attempt is, as its worker says; stored like a change of state, and gone with the attempt.
public struct TaskProgress: Hashable, Sendable {
    /// 0 to 100.
    public var percent: UInt8
    /// A sentence for people, at most ``Limits/progressBytesMax`` bytes of UTF-8.
    public var message: Bytes

    public init(percent: UInt8, message: Bytes = []) {
        self.percent = percent
        self.message = message
    }
}

/// A worker and what it says about itself.
public struct WorkerSpec: Hashable, Sendable {
    /// The name by which the worker is known; a worker that comes back under it is the same one.
    public var name: Name
    /// Whatever helps people to find the worker: host, process, version; at most ``Limits/errorBytesMax`` bytes of UTF-8.
    public var metadata: Bytes
    /// How many tasks it runs at once.
    public var concurrency: UInt32
    /// How many it runs now.
    public var running: UInt32
    /// Its processor use in thousandths of one core.
    public var cpuPermille: UInt32
    /// Its resident memory.
    public var memoryBytes: UInt64

    public init(
        name: Name,
        metadata: Bytes = [],
        concurrency: UInt32 = 0,
        running: UInt32 = 0,
        cpuPermille: UInt32 = 0,
        memoryBytes: UInt64 = 0
    ) {
        self.name = name
        self.metadata = metadata
        self.concurrency = concurrency
        self.running = running
        self.cpuPermille = cpuPermille
        self.memoryBytes = memoryBytes
    }
}

/// Which dead letters to list.
public struct DeadLetterQuery: Hashable, Sendable {
    /// Only this queue's; `nil` for all.
    public var queue: Name?
    /// The last id of the page before; `nil` for the first page.
    public var after: TaskID?
    /// At most that many, 1 to 1000.
    public var count: UInt32

    public init(queue: Name? = nil, after: TaskID? = nil, count: UInt32 = 100) {
        self.queue = queue
        self.after = after
        self.count = count
    }
}
