/// Where a task is in its life; docs/task-lifecycle.md draws the transitions.
public enum TaskState: UInt8, Sendable, CaseIterable {
    /// Waits for its start time. Next: `pending`, `cancelled`.
    case scheduled = 1
    /// Waits for other tasks. Next: `pending`, `scheduled`, `cancelled`, `deadLetter`.
    case blocked = 2
    /// Can be claimed. Next: `inProgress`, `cancelled`.
    case pending = 3
    /// A worker holds its lease. Next: `completed`, `failed`, `pending`, `scheduled`, `deadLetter`.
    case inProgress = 4
    /// Waits out the backoff after a failed attempt. Next: `pending`, `cancelled`.
    case failed = 5
    /// Done; its result is kept for its retention. Final.
    case completed = 6
    /// Needs a person: its attempts are used up, it was quarantined or too late, or its dependencies failed. Next: `pending` by a
    /// redrive.
    case deadLetter = 7
    /// Stopped by request before it was done. Final.
    case cancelled = 8

    /// The name in JSON, on the command line and in metrics.
    public var name: String {
        switch self {
        case .scheduled: "scheduled"
        case .blocked: "blocked"
        case .pending: "pending"
        case .inProgress: "inProgress"
        case .failed: "failed"
        case .completed: "completed"
        case .deadLetter: "deadLetter"
        case .cancelled: "cancelled"
        }
    }

    /// Whether the task waits to be run: it counts towards its queue's depth.
    public var isWaiting: Bool {
        switch self {
        case .scheduled, .blocked, .pending, .failed: true
        case .inProgress, .completed, .deadLetter, .cancelled: false
        }
    }

    /// Whether nothing can happen to the task any more, but for its expiry.
    public var isFinal: Bool { self == .completed || self == .cancelled }

    public init?(name: some StringProtocol) {
        guard let state = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}
