/// A change to all tasks that a filter is for, made piece by piece while everything else goes on.
///
/// It is for tasks that were submitted before it began, and meets each of them once.
public struct BulkSpec: Hashable, Sendable {
    /// What becomes of the tasks.
    public var change: BulkChange
    /// Which tasks; of the states that it names, those in which a task can be changed so.
    public var filter: TaskFilter
    /// At most that many changes a second; 0 for as many as leave room for the requests of others.
    public var perSecond: UInt32

    public init(_ change: BulkChange, filter: TaskFilter = TaskFilter(), perSecond: UInt32 = 0) {
        self.change = change
        self.filter = filter
        self.perSecond = perSecond
    }
}

/// What a bulk operation does to a task.
public enum BulkChange: Hashable, Sendable, CustomStringConvertible {
    /// Puts dead letters back as pending.
    case redrive
    /// Ends dead letters for good.
    case purge
    /// Cancels tasks that have not ended; of those that run it asks their workers.
    case cancel
    /// Forgets tasks that have ended, with their results, before their time.
    case delete
    /// Lets tasks that wait do so in another queue.
    case move(to: Name)
    /// Makes tasks that wait more urgent, or less.
    case setPriority(Priority)

    /// The kinds of changes.
    public enum Kind: UInt8, Sendable, CaseIterable {
        case redrive = 1
        case purge = 2
        case cancel = 3
        case move = 4
        case setPriority = 5
        case delete = 6

        /// The states in which a task can be changed so.
        public var states: Set<TaskState> {
            switch self {
            case .redrive, .purge: [.deadLetter]
            case .cancel: [.scheduled, .blocked, .pending, .failed, .inProgress]
            case .delete: [.completed, .cancelled]
            case .move, .setPriority: [.scheduled, .blocked, .pending, .failed]
            }
        }

        /// Those of some states in which a task can be changed so.
        ///
        /// - Throws: `invalidArgument` when there is none among them.
        public func states(among asked: Set<TaskState>) throws(TQError) -> Set<TaskState> {
            let states = self.states.intersection(asked)
            guard states.isEmpty else { return states }
            let names = self.states.map(\.name).sorted().joined(separator: ", ")
            throw TQError(
                .invalidArgument,
                "A bulk \(name) is for tasks that are \(names), and the filter is for none of them. Change its states."
            )
        }

        /// The name in JSON and on the command line.
        public var name: String {
            switch self {
            case .redrive: "redrive"
            case .purge: "purge"
            case .cancel: "cancel"
            case .delete: "delete"
            case .move: "move"
            case .setPriority: "priority"
            }
        }
    }

    /// What it does, in a few words.
    public var description: String {
        switch self {
        case .redrive, .purge, .cancel, .delete: kind.name
        case .move(let queue): "move to \(queue)"
        case .setPriority(let priority): "priority \(priority)"
        }
    }

    /// The change without what it needs to know.
    public var kind: Kind {
        switch self {
        case .redrive: .redrive
        case .purge: .purge
        case .cancel: .cancel
        case .delete: .delete
        case .move: .move
        case .setPriority: .setPriority
        }
    }
}

/// A bulk operation and how far it is.
public struct BulkStatus: Hashable, Sendable {
    /// The broker's number of it, from 1.
    public var number: UInt32
    /// What was asked for, with all states that are meant.
    public var spec: BulkSpec
    /// Whether it goes on.
    public var phase: BulkPhase
    /// Tasks that were changed.
    public var changed: UInt64
    /// Tasks that the filter is for and that could not be changed; they are as they were.
    public var refused: UInt64
    /// Why the first of them could not; empty when there is none.
    public var problem: Bytes
    /// How much of the sequences it has behind it, 0 to 100.
    public var percent: UInt8
    /// When it began, in milliseconds since 1970.
    public var startWallMilliseconds: UInt64
    /// When it ended, in milliseconds since 1970; 0 while it goes on.
    public var endWallMilliseconds: UInt64

    public init(
        number: UInt32,
        spec: BulkSpec,
        phase: BulkPhase = .running,
        changed: UInt64 = 0,
        refused: UInt64 = 0,
        problem: Bytes = [],
        percent: UInt8 = 0,
        startWallMilliseconds: UInt64 = 0,
        endWallMilliseconds: UInt64 = 0
    ) {
        self.number = number
        self.spec = spec
        self.phase = phase
        self.changed = changed
        self.refused = refused
        self.problem = problem
        self.percent = percent
        self.startWallMilliseconds = startWallMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
    }
}

/// Whether a bulk operation goes on.
public enum BulkPhase: UInt8, Sendable, CaseIterable {
    case running = 1
    /// It met every task that it was for.
    case finished = 2
    /// Somebody stopped it; what it had changed stays changed.
    case stopped = 3

    /// The name in JSON and on the command line.
    public var name: String {
        switch self {
        case .running: "running"
        case .finished: "finished"
        case .stopped: "stopped"
        }
    }
}
