/// The column families, in the order in which they are created.
///
/// The raw value is RocksDB's id of the family and part of the batch format; opening a store checks it.
public enum Family: UInt8, CaseIterable, Sendable {
    /// What there is once per store: the header of the last commit group, the epoch, identity and format version.
    case `default` = 0
    /// Tables of submitted tasks, one or more per commit group: all of a task that recovery needs, without its payload.
    case pending
    /// The payloads of those tables under the same keys, written once and never moved.
    case payload
    /// What happened to tasks that are not finished: the transitions of a commit group in one table.
    case inProgress
    /// Finished tasks and their results, by the time at which they expire.
    case completed
    /// Dead letters, one record each, by sequence.
    case deadLetter
    /// Where tasks have moved, idempotency keys, names, workers and counters; the key's first letter says which.
    case index

    /// The name in RocksDB and in every tool.
    public var name: String { "\(staticName)" }

    /// Written once, read seldom: compressed on disk.
    var isCold: Bool { self == .completed || self == .deadLetter }

    /// Read from its first row to its last whenever a broker starts.
    public var isScannedAtStart: Bool { self == .pending || self == .inProgress || self == .index }

    var staticName: StaticString {
        switch self {
        case .default: "default"
        case .pending: "pending"
        case .payload: "payload"
        case .inProgress: "in_progress"
        case .completed: "completed"
        case .deadLetter: "dead_letter"
        case .index: "index"
        }
    }
}
