/// What the broker under test was set to, where the invariants depend on it.
public struct Rules: Hashable, Sendable {
    /// How long an ended task is kept at least; `nil` when none expires within the history.
    public var retentionMilliseconds: UInt64?
    /// How long an idempotency key is remembered at least; `nil` when none is forgotten within the history.
    public var idempotencyWindowMilliseconds: UInt64?
    /// How long a dead letter is kept at least; `nil` when none goes by itself.
    public var deadLetterRetentionMilliseconds: UInt64?
    /// Queues that keep so many dead letters and no more: one of theirs may be over at any time.
    public var cappedQueues: Set<QueueNumber> = []
    /// Whether a task may have that many attempts more as it may have crashes.
    public var crashesExtendAttempts = false
    /// Whether the same completion, sent twice with one token and one result, may be accepted twice.
    public var completionMayRepeat = false
    /// Whether a lease starts again with its full duration when the broker does.
    public var leasesSurviveRestart = true
    /// By how much the clocks of recorder and broker may disagree.
    public var slackMilliseconds: UInt64 = 0
    /// Violations that are kept; later ones are only counted.
    public var violationsMax = 100

    public init() {}
}
