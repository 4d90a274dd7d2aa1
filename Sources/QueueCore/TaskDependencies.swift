public import TQModel

/// What a task waits for, as it is kept and stored.
public struct TaskDependencies: Hashable, Sendable {
    /// The tasks that it waits for, in the order in which it named them.
    public var parents: [Parent]
    /// How many of them must succeed.
    public var condition: Dependencies.Condition
    /// What becomes of it when that cannot be any more.
    public var onFailure: Dependencies.OnFailure
    /// How far they are.
    public var progress: Progress

    /// A task that another one waits for.
    public struct Parent: Hashable, Sendable {
        /// The task.
        public var sequence: TaskSequence
        /// When it was submitted, in milliseconds since 1970; a part of its id.
        public var createdMilliseconds: UInt64

        /// Creates a parent.
        public init(sequence: TaskSequence, createdMilliseconds: UInt64) {
            self.sequence = sequence
            self.createdMilliseconds = createdMilliseconds
        }
    }

    /// Which parents are over: bit n for the parent at place n, and above them what follows from it.
    public struct Progress: RawRepresentable, Hashable, Sendable {
        /// The bits.
        public var rawValue: UInt64

        /// Creates a progress.
        public init(rawValue: UInt64 = 0) { self.rawValue = rawValue }

        /// The task waits for nothing any more.
        public static let released = Progress(rawValue: 1 << 63)
        /// The task will not run: its dependencies failed.
        static let doomed = Progress(rawValue: 1 << 62)

        /// Whether the parent at a place is over.
        func isOver(_ place: Int) -> Bool { rawValue >> UInt64(place) & 1 == 1 }
    }

    /// Creates dependencies of which none is over.
    public init(
        parents: [Parent],
        condition: Dependencies.Condition,
        onFailure: Dependencies.OnFailure,
        progress: Progress = Progress()
    ) {
        self.parents = parents
        self.condition = condition
        self.onFailure = onFailure
        self.progress = progress
    }

    /// Whether so many parents may be so far: who waits does so for one that is not over, or to end.
    public var isPossible: Bool {
        let all = (UInt64(1) << UInt64(parents.count)) - 1
        let over = progress.rawValue & ~Progress.doomed.rawValue
        return progress == .released || over & ~all == 0 && (over != all || over != progress.rawValue)
    }

    /// Whether the task waits for its parents, or for its end because they failed.
    var isBlocking: Bool { progress.rawValue & Progress.released.rawValue == 0 }

    /// Whether the task is to end without having run.
    var isDoomed: Bool { isBlocking && progress.rawValue & Progress.doomed.rawValue != 0 }

    /// The bytes that it takes in a pending table.
    public var byteCount: Int { 11 + parents.count * 16 }

    /// Whether a parent is not over, as far as the task was told.
    public func isOpen(_ parent: TaskSequence) -> Bool { open.contains { $0.sequence == parent } }

    /// Parents that are not over.
    var open: [Parent] { parents.indices.filter { !progress.isOver($0) }.map { parents[$0] } }

    /// Takes the end of a parent, and says whether that changes anything.
    mutating func settle(_ parent: TaskSequence, as state: TaskState) -> Bool {
        // It may be put back.
        if state == .deadLetter, onFailure == .wait { return false }
        guard isBlocking, !isDoomed, let place = parents.firstIndex(where: { $0.sequence == parent }),
            !progress.isOver(place)
        else { return false }
        progress.rawValue |= 1 << UInt64(place)
        switch end(isSuccess: state == .completed) {
        case .released: progress = .released
        case .doomed: progress.rawValue |= Progress.doomed.rawValue
        default: break
        }
        return true
    }

    /// What follows from the parents that are over, the last one of which did so just now.
    private func end(isSuccess: Bool) -> Progress? {
        let isLast = open.isEmpty
        switch condition {
        case .all:
            if !isSuccess, onFailure != .run { return .doomed }
            return isLast ? .released : nil
        case .any:
            if isSuccess { return .released }
            return isLast ? (onFailure == .run ? .released : .doomed) : nil
        }
    }
}
