/// The column families, in the order in which they are created.
///
/// The raw value is RocksDB's id of the family and part of the batch format; opening a store checks it.
public enum Family: UInt8, CaseIterable, Sendable {
    case `default` = 0
    case pending
    case payload
    case inProgress
    case completed
    case deadLetter
    case index

    /// The name in RocksDB and in every tool.
    public var name: String { "\(staticName)" }

    /// Written once, read seldom: compressed on disk.
    var isCold: Bool { self == .completed || self == .deadLetter }

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
