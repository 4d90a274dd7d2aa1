/// Other tasks that one waits for, in any queues.
///
/// One of them *succeeds* when it is completed, and *fails* when it is cancelled or becomes a dead letter.
public struct Dependencies: Hashable, Sendable {
    /// The tasks, each once: 1 to ``Limits/dependenciesMax``.
    public var tasks: [TaskID]
    /// How many of them must succeed.
    public var condition: Condition
    /// What becomes of the one that waits when that cannot be any more.
    public var onFailure: OnFailure

    public init(on tasks: [TaskID], condition: Condition = .all, onFailure: OnFailure = .cancel) {
        self.tasks = tasks
        self.condition = condition
        self.onFailure = onFailure
    }

    /// How many dependencies must succeed.
    public enum Condition: UInt8, Sendable, CaseIterable {
        /// Each of them.
        case all = 1
        /// One of them; the others may go on.
        case any = 2

        /// The name in JSON.
        public var name: String {
            switch self {
            case .all: "all"
            case .any: "any"
            }
        }
    }

    /// What becomes of a task whose dependencies failed.
    public enum OnFailure: UInt8, Sendable, CaseIterable {
        /// It is cancelled.
        case cancel = 1
        /// It becomes a dead letter; put back, it runs.
        case bury = 2
        /// It runs when all of them are over, however they ended.
        case run = 3
        /// It waits until dead letters among them are put back and succeed; when one is over otherwise, it is cancelled.
        case wait = 4

        /// The name in JSON.
        public var name: String {
            switch self {
            case .cancel: "cancel"
            case .bury: "bury"
            case .run: "run"
            case .wait: "wait"
            }
        }
    }
}
