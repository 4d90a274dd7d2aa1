public import TQModel

/// The settings of a core; the same settings, seed and commands give the same state.
public struct CoreConfiguration: Sendable {
    /// Waiting tasks of one queue beyond which submits are refused.
    public var queueDepthThreshold: UInt64
    /// The most tasks that one claim takes.
    public var claimCountMax: UInt32
    /// A task's lease, unless the task or the claim says otherwise.
    public var leaseMilliseconds: UInt32
    /// How long outcomes are kept, unless the task says otherwise.
    public var retentionMilliseconds: UInt64
    /// How long dead letters are kept, unless the task or its queue says otherwise; 0 until somebody decides.
    public var deadLetterRetentionMilliseconds: UInt64
    /// Whether outcomes and dead letters go by themselves when their time has come; otherwise a compaction that is asked for
    /// takes them.
    public var expiresOutcomes: Bool
    /// How long a worker may be silent before it is given up.
    public var workerInactivityMilliseconds: UInt64
    /// What health and statistics say of durability: 0 for always synced.
    public var syncIntervalMilliseconds: UInt32
    /// What health says of the program.
    public var version: String
    /// Feeds the jitter of backoffs.
    public var seed: UInt64

    /// Creates a configuration; what is left out has its default.
    public init(
        queueDepthThreshold: UInt64 = UInt64(Defaults.queueDepthThreshold),
        claimCountMax: UInt32 = UInt32(Limits.claimCountMax),
        leaseMilliseconds: UInt32 = Defaults.leaseMilliseconds,
        retentionMilliseconds: UInt64 = Defaults.retentionMilliseconds,
        deadLetterRetentionMilliseconds: UInt64 = 0,
        expiresOutcomes: Bool = true,
        workerInactivityMilliseconds: UInt64 = Defaults.workerInactivityMilliseconds,
        syncIntervalMilliseconds: UInt32 = 0,
        version: String = "",
        seed: UInt64 = 0
    ) {
        self.queueDepthThreshold = queueDepthThreshold
        self.claimCountMax = claimCountMax
        self.leaseMilliseconds = leaseMilliseconds
        self.retentionMilliseconds = retentionMilliseconds
        self.deadLetterRetentionMilliseconds = deadLetterRetentionMilliseconds
        self.expiresOutcomes = expiresOutcomes
        self.workerInactivityMilliseconds = workerInactivityMilliseconds
        self.syncIntervalMilliseconds = syncIntervalMilliseconds
        self.version = version
        self.seed = seed
    }
}
