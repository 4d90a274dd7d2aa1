public import ByteStore
public import TQModel

/// What a repair found, and what is gone.
public struct RepairReport: Hashable, Sendable {
    /// One family: what could be read of it, and what could not.
    public struct FamilyLoss: Hashable, Sendable {
        /// The family.
        public var family: Family
        /// Records that were read whole.
        public var records: UInt64 = 0
        /// Records that were read and do not match their checksums; a payload or a result counts by itself.
        public var damaged: UInt64 = 0
        /// Runs of records that cannot be read at all; how many records each had is not known.
        public var gaps: UInt64 = 0
    }

    /// A task of which something is gone.
    public struct Task: Hashable, Sendable {
        /// The broker's own number of it.
        public var sequence: TaskSequence
        /// The id in every API; `nil` where the creation time is gone, which is a part of it.
        public var id: TaskID?
        /// What is known of it.
        public var note: String
    }

    /// What could not be opened or trusted, each as a sentence.
    public var notes: [String] = []
    /// Whether files of the database could not be used at all: nobody knows what they held.
    public var hasLostFiles = false
    /// The last batch that was acknowledged for certain, as the high-water mark says; `nil` without a mark of this store.
    public var markBatch: UInt64?
    /// The last batch in what was recovered; `nil` where the record that says so is gone.
    public var recoveredBatch: UInt64?
    /// Every family, in the order of their ids.
    public var families = Family.allCases.map { FamilyLoss(family: $0) }
    /// Tasks that wait or failed, with their payloads.
    public var waitingTasks: UInt64 = 0
    /// Tasks that had ended, with their results.
    public var endedTasks: UInt64 = 0
    /// Dead letters that were there before.
    public var deadLetters: UInt64 = 0
    /// Leases that were taken back: their tasks wait again.
    public var releasedLeases: UInt64 = 0
    /// Waiting tasks that may have run before, because records of transitions are gone.
    public var startedOver: UInt64 = 0
    /// Tasks that became dead letters because something of them is gone, by sequence.
    public var buried: [Task] = []
    /// Tasks that are known to have been there and are gone, by sequence.
    public var lostTasks: [Task] = []
    /// Tasks that ended and whose outcome is gone, by sequence.
    public var lostOutcomes: [Task] = []
    /// Sequences that were given to tasks of which there is nothing left: they ended and expired, or they are lost.
    public var missing: [ClosedRange<UInt64>] = []
    /// Tasks that lost their tags.
    public var untagged: UInt64 = 0
    /// Idempotency keys that were dropped because their tasks are gone: their next submit is a new task.
    public var droppedKeys: UInt64 = 0
    /// Names of queues and task types that were made up because theirs are gone.
    public var inventedNames: [String] = []
    /// Whether the store's key is gone: every task has a new id.
    public var hasNewIDs = false
    /// The epoch of the repaired store: every lease token given out before is below those to come.
    public var epoch: UInt32 = 0

    /// Acknowledged commit groups that are gone, at least.
    public var lostBatches: UInt64 {
        guard let markBatch else { return 0 }
        return markBatch - min(markBatch, recoveredBatch ?? 0)
    }

    /// How many sequences ``missing`` covers.
    public var missingCount: UInt64 { missing.reduce(0) { $0 + UInt64($1.count) } }

    subscript(family: Family) -> FamilyLoss {
        get { families[Int(family.rawValue)] }
        set { families[Int(family.rawValue)] = newValue }
    }
}
