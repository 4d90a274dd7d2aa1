public import TQModel

/// A filter with the numbers that stand for its names.
public struct TaskSelection: Hashable, Sendable {
    /// Tasks of other namespaces do not exist for who asks.
    public var namespace: UInt32
    /// Only tasks in these states.
    public var states: Set<TaskState>
    /// Only this queue's; `nil` for all of the namespace.
    public var queue: UInt32?
    /// Only this type's; `nil` for all, or those that the pattern matches.
    public var type: UInt32?
    /// Only types with a prefix; `nil` for all, or a single one.
    public var types: TypePattern?
    /// Only tasks as urgent as that.
    public var ranks: ClosedRange<Rank>
    /// Only tasks that were submitted then, on the wall clock.
    public var created: Range<UInt64>
    /// Only tasks in whose last error these bytes are; empty for all.
    public var error: Bytes
    /// Only tasks that carry this tag; `nil` for all.
    public var tag: TaskTag?

    /// Creates a selection.
    public init(
        namespace: UInt32,
        states: Set<TaskState> = [],
        queue: UInt32? = nil,
        type: UInt32? = nil,
        types: TypePattern? = nil,
        ranks: ClosedRange<Rank> = Self.allRanks,
        created: Range<UInt64> = 0..<UInt64.max,
        error: Bytes = [],
        tag: TaskTag? = nil
    ) {
        self.namespace = namespace
        self.states = states
        self.queue = queue
        self.type = type
        self.types = types
        self.ranks = ranks
        self.created = created
        self.error = error
        self.tag = tag
    }

    /// All ranks.
    public static let allRanks = Rank(rawValue: 0)...Rank(rawValue: .max)

    /// States of tasks that are kept in memory.
    public static let liveStates: Set<TaskState> = [.scheduled, .blocked, .pending, .inProgress, .failed]

    /// Whether what can be told without a name holds for a task.
    public func matches(queue: UInt32, type: UInt32, _ rank: Rank, createdMilliseconds: UInt64) -> Bool {
        self.queue ?? queue == queue && self.type ?? type == type && ranks.contains(rank)
            && created.contains(createdMilliseconds)
    }

    /// Whether an outcome of which no more is known may be meant.
    public func mayMean(queue: UInt32, type: UInt32, state: UInt8) -> Bool {
        self.queue ?? queue == queue && self.type ?? type == type
            && (TaskState(rawValue: state).map(states.contains) ?? true)
    }

    /// Whether the error that a task ended its last attempt with is asked for.
    public func matches(error text: Bytes) -> Bool { error.isEmpty || text.contains(error) }
}

extension QueueCore {
    /// Finds the numbers of a filter.
    ///
    /// - Returns: `nil` when there can be no such task.
    func selection(_ filter: TaskFilter, _ principal: Principal) throws(TQError) -> TaskSelection? {
        guard filter.error.count <= Limits.errorSearchBytesMax else {
            throw TQError(
                .invalidArgument,
                "The error text of a filter has \(filter.error.count) bytes, the limit is \(Limits.errorSearchBytesMax). "
                    + "Search for a part of it."
            )
        }
        if let tag = filter.tag { try check(tag) }
        if let type = filter.type, !type.isValid {
            throw TQError(
                .invalidArgument,
                "'\(type)' is no task type: use a name, a prefix with a * behind it, or * alone."
            )
        }
        var states = filter.states.isEmpty ? Set(TaskState.allCases) : filter.states
        // Other states have no error.
        if !filter.error.isEmpty { states.formIntersection([.failed, .deadLetter]) }
        let urgencies = filter.priorities
        var selection = TaskSelection(
            namespace: principal.namespace,
            states: states,
            ranks: urgencies.upperBound.rank...Rank(rawValue: urgencies.lowerBound.rank.rawValue | 0xff_ffff),
            created: filter.createdFrom..<max(filter.createdFrom, filter.createdBefore),
            error: filter.error,
            tag: filter.tag
        )
        if let queue = filter.queue {
            guard let number = index.queueNames.known(queue, namespace: principal.namespace) else { return nil }
            selection.queue = number
        }
        if let pattern = filter.type, pattern.bytes.last == UInt8(ascii: "*") {
            selection.types = pattern.bytes.count > 1 ? pattern : nil
        } else if let pattern = filter.type {
            let name = Name(bytes: pattern.bytes)
            guard let number = index.typeNames.known(name, namespace: principal.namespace) else { return nil }
            selection.type = number
        }
        return selection
    }
}
