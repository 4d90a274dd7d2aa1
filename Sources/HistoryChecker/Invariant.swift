/// The promises that a history is checked against.
///
/// Not seen in a history of this kind, and so not here: I11 (high-water mark), I14 (disk and memory), I15
/// (dependencies; ticks of recurring tasks are looked for in what is stored), I17 (principals), I18 (fairness between connections).
public enum Invariant: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// An acknowledged submit exists until its end is recorded.
    case submitStays = 1
    /// An acknowledged completion, failure or cancel stays.
    case endStays = 2
    /// Nothing is delivered after its completion, cancel or dead-lettering.
    case noDeliveryAfterEnd = 3
    /// A task is completed once, and one submit, or all with one idempotency key, make one task.
    case once = 4
    /// A task has at most one valid lease, and a leased task has a holder.
    case oneLease = 5
    /// Lease tokens increase for ever, and a stale one changes nothing.
    case fencing = 6
    /// Attempts rise by one per delivery up to the limit, where the task becomes a dead letter.
    case attempts = 7
    /// In a quiescent state tasks come by rank, then in the order of their submits.
    case order = 8
    /// Counters equal a recount.
    case counters = 9
    /// Payloads, results and properties are what was given.
    case bytes = 10
    /// Recovery is idempotent: another crash during it changes nothing.
    case recovery = 12
    /// With live workers and no faults nothing stays pending.
    case liveness = 13
    /// Nothing is delivered before its time.
    case startTime = 16
    /// A unique key keeps other tasks out while one holds it, and only then.
    case unique = 19
    /// The history itself is well formed: this one blames the recorder.
    case history = 255

    public var description: String { self == .history ? "history" : "I\(rawValue)" }
}
