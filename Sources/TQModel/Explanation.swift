/// Why a task does not run now, or why those of a queue do not.
public struct Explanation: Hashable, Sendable {
    /// The state of the task; `nil` when that is over, and for a queue.
    public var state: TaskState?
    /// All that holds it back; empty for a task that the next claim takes.
    public var reasons: [WaitReason]

    public init(state: TaskState?, reasons: [WaitReason]) {
        self.state = state
        self.reasons = reasons
    }
}

/// One thing that holds tasks back.
public struct WaitReason: Hashable, Sendable {
    /// What it is; the other values are those that belong to it.
    public var kind: Kind
    /// The gate that holds it; of the tasks that go before it, whose they are when not the queue's.
    public var scope: GateScope?
    /// Since when, in milliseconds since 1970; 0 where nobody knows.
    public var sinceWallMilliseconds: UInt64
    /// Until when at the earliest, in milliseconds since 1970; 0 until something happens.
    public var untilWallMilliseconds: UInt64
    /// How many of what the kind names.
    public var count: UInt64
    /// How many of them there may be; 0 for no bound, or none that matters.
    public var countMax: UInt64
    /// The worker that has the task; `nil` when none does, or one without a name.
    public var worker: Name?
    /// A task that it waits for; `nil` where that is not one.
    public var task: TaskID?

    public init(
        _ kind: Kind,
        scope: GateScope? = nil,
        sinceWallMilliseconds: UInt64 = 0,
        untilWallMilliseconds: UInt64 = 0,
        count: UInt64 = 0,
        countMax: UInt64 = 0,
        worker: Name? = nil,
        task: TaskID? = nil
    ) {
        self.kind = kind
        self.scope = scope
        self.sinceWallMilliseconds = sinceWallMilliseconds
        self.untilWallMilliseconds = untilWallMilliseconds
        self.count = count
        self.countMax = countMax
        self.worker = worker
        self.task = task
    }

    /// What can hold a task back.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// It runs: `worker` has it, `since` then.
        case running = 1
        /// It is over; its status says how, as long as it is known.
        case ended = 2
        /// It is not to start before `until`.
        case notDue = 3
        /// Its last attempt failed, and the next one is `until` then.
        case backoff = 4
        /// The gate of `scope` lets nothing through, `since` then, and perhaps `until` then.
        case paused = 5
        /// As many tasks that passed the gate of `scope` run as may: `count` of `countMax`. With the gate of a key, `task` is the one
        /// of them that runs the longest, and `worker` has it `since` then.
        case limited = 6
        /// The broker shuts down and hands out nothing.
        case draining = 7
        /// Nobody who takes such tasks is connected and asks for some.
        case noWorker = 8
        /// All of the `count` streams that take such tasks have as many as they want.
        case workersBusy = 9
        /// `count` tasks of its queue go before it, or of its key or group when there is a `scope`; of more than `countMax` no more
        /// are counted.
        case behind = 10
        /// The queue has no task that waits.
        case empty = 11
        /// The gate of `scope` lets tasks through at a rate, and the next one at `until`.
        case rateLimited = 12
        /// An earlier `task` with the same serial key, that of `scope`, has not ended: `worker` has it `since` then when it runs.
        case serial = 13
        /// It depends on `task`, which has not ended: `worker` has it `since` then when it runs. `count` of `countMax` such tasks have
        /// not.
        case dependency = 14
        /// It depends on `task`, a dead letter that somebody is to put back or purge.
        case deadDependency = 15
        /// Tasks failed on which it depends, and it is about to end.
        case dependencyFailed = 16
        /// The circuit of `scope` is open `since` then because attempts failed, and lets some through at `until`; or it is half-open
        /// and has let `count` of `countMax` through, of which it waits for the outcome.
        case circuitOpen = 17

        /// The name in JSON.
        public var name: String {
            switch self {
            case .running: "running"
            case .ended: "ended"
            case .notDue: "notDue"
            case .backoff: "backoff"
            case .paused: "paused"
            case .limited: "limited"
            case .draining: "draining"
            case .noWorker: "noWorker"
            case .workersBusy: "workersBusy"
            case .behind: "behind"
            case .empty: "empty"
            case .rateLimited: "rateLimited"
            case .serial: "serial"
            case .dependency: "dependency"
            case .deadDependency: "deadDependency"
            case .dependencyFailed: "dependencyFailed"
            case .circuitOpen: "circuitOpen"
            }
        }
    }
}
