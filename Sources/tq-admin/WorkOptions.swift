import ArgumentParser
import CommandLineSupport
import TQModel

/// What every task may ask for, whoever submits it.
struct WorkOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "The queue that the task waits in.")
    var queue = Defaults.queue
    @Option(help: "0 to 255, 255 first; or low (50), normal (150), high (255).")
    var priority: PriorityArgument?
    @Option(help: "How long one attempt may last in all, such as 300 (seconds) or 5m.")
    var timeout: DurationArgument?
    @Option(help: "How long a worker holds the task without renewing it.")
    var lease: DurationArgument?
    @Option(help: "Attempts after the first.")
    var maxRetries: UInt16?
    @Option(
        help: ArgumentHelp(
            """
            How long it waits before it is tried again: exponential,first=5s,factor=2,longest=1h (the default), \
            linear,first=5s,step=10s,longest=1h, fixed,30s or list,1s,10s,5m; with jitter=full or jitter=none.
            """,
            valueName: "policy"
        ),
        transform: { try RetryPolicy($0.utf8) }
    )
    var retry: RetryPolicy?
    @Option(help: "Crashes that quarantine the task; 0 for never.")
    var maxCrashes: UInt16?
    @Option(
        help: ArgumentHelp(
            "When the task must have started at the latest: a time, or how long from now. Later it is cancelled.",
            valueName: "time"
        )
    )
    var startBy: LatestStartArgument?
    @Flag(help: "With --start-by: a task that is too late becomes a dead letter.")
    var buryLate = false
    @Option(help: "How long the result is kept.")
    var retention: DurationArgument?
    @Option(help: "A word that it is found by, such as customer:42; may be repeated.")
    var tag: [String] = []

    @Option(help: "An account, a host…: its gate says how many tasks run at once, or how fast they begin.")
    var limitKey: String?
    @Option(help: "Tasks with the same one run one after the other, in the order in which they were submitted.")
    var serialKey: String?
    @Option(help: "Groups take turns, however many tasks each of them has.")
    var group: String?
    @Option(help: "How many turns the group takes where another one takes one, from 1 to 1000.")
    var weight: UInt16?

    @OptionGroup var content: ContentOptions
    @Option(help: "How long it is kept once it is a dead letter; then it is over.")
    var deadLetterRetention: DurationArgument?

    func validate() throws {
        if buryLate, startBy == nil { throw ValidationError("--bury-late needs --start-by.") }
        if weight != nil, group == nil { throw ValidationError("--weight needs --group.") }
    }

    func task(type: String, payload: Bytes) -> TaskSpec {
        var task = TaskSpec(queue: Name(queue), type: Name(type), payload: payload, content: content.content)
        if let priority { task.rank = priority.priority.rank }
        if let startBy { task.startBy = TaskSpec.StartBy(startBy.time, buriesLate: buryLate) }
        if let timeout { task.timeoutMilliseconds = UInt32(clamping: timeout.milliseconds) }
        if let lease { task.leaseMilliseconds = UInt32(clamping: lease.milliseconds) }
        if let retention { task.retentionMilliseconds = retention.milliseconds }
        if let deadLetterRetention { task.deadLetterRetentionMilliseconds = deadLetterRetention.milliseconds }
        task.retryPolicy = retry
        task.retriesMax = maxRetries
        task.crashesMax = maxCrashes
        task.tags = tag.map { TaskTag($0) }
        task.sharing = Sharing(
            limitKey: limitKey.map { Name($0) },
            serialKey: serialKey.map { Name($0) },
            group: group.map { Name($0) },
            weight: weight ?? 1
        )
        return task
    }
}
