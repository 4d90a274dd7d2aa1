/// A task that the broker submits again and again, as a recurrence says.
public struct RecurringSpec: Hashable, Sendable {
    /// The name by which it is known in its namespace; putting another one under it takes its place.
    public var name: Name
    /// When it is due, as text: `every:15m`, `daily:09:00 Europe/Berlin`, `cron:*/5 8-17 * * MON-FRI Europe/Berlin`; see
    /// docs/schedules.md.
    public var recurrence: Bytes
    /// What is submitted at each tick.
    ///
    /// Its payload has at most ``Limits/recurringPayloadBytesMax`` bytes. It has no start, no idempotency key and no unique
    /// key of its own; a latest start is a span that counts from when it is submitted.
    public var task: TaskSpec
    /// How many of the ticks are made up for that passed while the broker was away or its clock jumped over them: the last
    /// so many in their order, at most ``Limits/catchUpMax``.
    ///
    /// With 0 they are left out; one that is noticed within ``Defaults/tickGraceMilliseconds`` is not taken for missed.
    public var catchUpMax: UInt32
    /// What becomes of a tick while the task of the one before has not ended.
    public var overlap: Overlap

    public init(
        name: Name,
        recurrence: Bytes,
        task: TaskSpec,
        catchUpMax: UInt32 = 1,
        overlap: Overlap = .allow
    ) {
        self.name = name
        self.recurrence = recurrence
        self.task = task
        self.catchUpMax = catchUpMax
        self.overlap = overlap
    }

    /// What becomes of a tick while the task of the one before waits or runs.
    public enum Overlap: UInt8, Hashable, Sendable, CaseIterable {
        /// It is submitted all the same.
        case allow = 1
        /// It is left out.
        case skip = 2
        /// The earlier task is cancelled, and it is submitted.
        case replace = 3
    }
}

/// What is known of a recurring task.
public struct RecurringStatus: Hashable, Sendable {
    /// Its name.
    public var name: Name
    /// When it is due, written out.
    public var recurrence: Bytes
    /// The queue of its tasks.
    public var queue: Name
    /// Their type.
    public var type: Name
    /// How many missed ticks are made up for.
    public var catchUpMax: UInt32
    /// What becomes of a tick that comes too soon.
    public var overlap: RecurringSpec.Overlap
    /// Whether nothing is submitted until somebody resumes it.
    public var isPaused: Bool
    /// The next ticks in milliseconds since 1970, at most ``Limits/upcomingMax``; none when there is none any more, while it is
    /// paused, and while ``problem`` says why.
    public var upcoming: [UInt64]
    /// The last tick that was due, in milliseconds since 1970; 0 before the first.
    public var lastTickWallMilliseconds: UInt64
    /// The task that was submitted last; `nil` before the first.
    public var lastTask: TaskID?
    /// Tasks that were submitted.
    public var submitted: UInt64
    /// Ticks that were left out.
    public var skipped: UInt64
    /// Why it is not due, in words; empty when nothing is wrong.
    public var problem: Bytes

    public init(
        name: Name,
        recurrence: Bytes,
        queue: Name,
        type: Name,
        catchUpMax: UInt32 = 1,
        overlap: RecurringSpec.Overlap = .allow,
        isPaused: Bool = false,
        upcoming: [UInt64] = [],
        lastTickWallMilliseconds: UInt64 = 0,
        lastTask: TaskID? = nil,
        submitted: UInt64 = 0,
        skipped: UInt64 = 0,
        problem: Bytes = []
    ) {
        self.name = name
        self.recurrence = recurrence
        self.queue = queue
        self.type = type
        self.catchUpMax = catchUpMax
        self.overlap = overlap
        self.isPaused = isPaused
        self.upcoming = upcoming
        self.lastTickWallMilliseconds = lastTickWallMilliseconds
        self.lastTask = lastTask
        self.submitted = submitted
        self.skipped = skipped
        self.problem = problem
    }
}

/// A part of the recurring tasks, in the order of their names.
public struct RecurringPage: Hashable, Sendable {
    /// The recurring tasks.
    public var tasks: [RecurringStatus]
    /// Whether others follow.
    public var hasMore: Bool

    public init(tasks: [RecurringStatus], hasMore: Bool = false) {
        self.tasks = tasks
        self.hasMore = hasMore
    }
}

/// The tick that a task was submitted for.
public struct Tick: Hashable, Sendable {
    /// The name of the recurring task; empty when it is not there any more.
    public var recurring: Name
    /// When the tick was due, in milliseconds since 1970.
    public var wallMilliseconds: UInt64

    public init(recurring: Name, wallMilliseconds: UInt64) {
        self.recurring = recurring
        self.wallMilliseconds = wallMilliseconds
    }
}
