public import TQModel

/// The tags of a task, from now on.
public struct TagsRow: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// Its tags; none for a task that lost those it had.
    public var tags: [TaskTag]
    /// Tags that it had and carries no more.
    public var dropped: [TaskTag]

    /// Creates a row.
    public init(sequence: TaskSequence, tags: [TaskTag], dropped: [TaskTag] = []) {
        self.sequence = sequence
        self.tags = tags
        self.dropped = dropped
    }
}
