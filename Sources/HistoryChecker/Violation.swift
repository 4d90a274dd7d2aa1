public import TQModel

/// A promise that a history shows to be broken.
public struct Violation: Hashable, Sendable, CustomStringConvertible {
    /// The promise that is broken.
    public var invariant: Invariant
    /// The task that shows it; `nil` when it is about counters or the history itself.
    public var task: TaskID?
    /// Positions in the history, counted from 0, of the events that contradict each other; the last one shows it.
    public var events: [Int]
    /// What is wrong, in a sentence.
    public var sentence: String

    public init(invariant: Invariant, task: TaskID?, events: [Int], sentence: String) {
        self.invariant = invariant
        self.task = task
        self.events = events
        self.sentence = sentence
    }

    public var description: String {
        let place = events.map(String.init).joined(separator: ", ")
        return "\(invariant): \(sentence) (\(task.map { "task \($0), " } ?? "")events \(place))"
    }
}
