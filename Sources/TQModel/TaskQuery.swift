/// Which tasks are meant: those that all of these hold for.
public struct TaskFilter: Hashable, Sendable {
    /// Only tasks in one of these states; empty for all.
    public var states: Set<TaskState>
    /// Only this queue's; `nil` for all.
    public var queue: Name?
    /// Only this type's, or those of all types with a prefix; `nil` for all.
    public var type: TypePattern?
    /// Only tasks as urgent as that.
    public var priorities: ClosedRange<Priority>
    /// Only tasks that were submitted at this time or later, in milliseconds since 1970.
    public var createdFrom: UInt64
    /// Only tasks that were submitted before this time, in milliseconds since 1970.
    public var createdBefore: UInt64
    /// Only failed and dead tasks in whose last error these bytes are; empty for all.
    public var error: Bytes
    /// Only tasks that carry this tag; `nil` for all.
    public var tag: TaskTag?

    /// All priorities.
    public static let allPriorities = Priority(0)...Priority(255)

    public init(
        states: Set<TaskState> = [],
        queue: Name? = nil,
        type: TypePattern? = nil,
        priorities: ClosedRange<Priority> = Self.allPriorities,
        createdFrom: UInt64 = 0,
        createdBefore: UInt64 = .max,
        error: Bytes = [],
        tag: TaskTag? = nil
    ) {
        self.states = states
        self.queue = queue
        self.type = type
        self.priorities = priorities
        self.createdFrom = createdFrom
        self.createdBefore = createdBefore
        self.error = error
        self.tag = tag
    }
}

extension TaskFilter: CustomStringConvertible {
    /// What it asks for, as words with values; `all` for everything.
    public var description: String {
        var words: [String] = []
        if !states.isEmpty { words.append("status=" + states.map(\.name).sorted().joined(separator: ",")) }
        if let queue { words.append("queue=\(queue)") }
        if let type { words.append("type=\(type)") }
        if priorities != Self.allPriorities {
            words.append("priority=\(priorities.lowerBound)..\(priorities.upperBound)")
        }
        if createdFrom > 0 { words.append("since=\(createdFrom)") }
        if createdBefore < .max { words.append("until=\(createdBefore)") }
        if let tag { words.append("tag=\(tag)") }
        if !error.isEmpty { words.append("error='\(String(decoding: error, as: UTF8.self))'") }
        return words.isEmpty ? "all" : words.joined(separator: " ")
    }
}

/// Which tasks to list, a page at a time.
///
/// A list has three parts, one behind the other: tasks that have not ended and then dead letters, both in the order of their
/// submits, and then tasks that have ended, in the order in which they expire, which is that of their ends where all are kept
/// for the same time. A task that moves from one part to the next while somebody turns the pages may come twice.
///
/// A list of the tasks with a tag has one part, in the order of their submits, whatever became of them; when it is for dead
/// letters alone, it is theirs, which is the same.
public struct TaskQuery: Hashable, Sendable {
    /// Which tasks.
    public var filter: TaskFilter
    /// Where the page begins: ``TaskPage/next`` of the page before; empty for the first page.
    public var cursor: Bytes
    /// Whether each part of the list goes backwards.
    public var isNewestFirst: Bool
    /// At most that many, 1 to ``Limits/taskPageMax``.
    public var count: UInt32
    /// Whether the tasks are only to be counted: a page then goes as far as the broker looks for one request.
    public var isCount: Bool

    public init(
        filter: TaskFilter = TaskFilter(),
        cursor: Bytes = [],
        isNewestFirst: Bool = false,
        count: UInt32 = 100,
        isCount: Bool = false
    ) {
        self.filter = filter
        self.cursor = cursor
        self.isNewestFirst = isNewestFirst
        self.count = count
        self.isCount = isCount
    }
}

/// Some tasks of a list.
public struct TaskPage: Hashable, Sendable {
    /// The tasks of this page, without their histories and checkpoints.
    public var tasks: [TaskStatus]
    /// Where the next page begins; empty after the last one.
    ///
    /// A page that holds less than was asked for and is not the last one ended because the broker had looked at as many
    /// tasks as it does for one request.
    public var next: Bytes
    /// Tasks and records that were looked at for this page.
    public var scanned: UInt64
    /// Records, and runs of records, that could not be read: the tasks in them are left out, and a task may be without its error
    /// and its tags.
    public var damaged: UInt64
    /// Where tasks were only to be counted, how many were found for this page.
    public var count: UInt64

    public init(
        tasks: [TaskStatus] = [],
        next: Bytes = [],
        scanned: UInt64 = 0,
        damaged: UInt64 = 0,
        count: UInt64 = 0
    ) {
        self.tasks = tasks
        self.next = next
        self.scanned = scanned
        self.damaged = damaged
        self.count = count
    }
}
