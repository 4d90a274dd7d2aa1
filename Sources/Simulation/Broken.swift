/// A promise that a run found to be broken.
struct Broken: Error {
    /// The invariant: its number in docs/guarantees.md, or what the simulator itself compares.
    var invariant: String
    var sentence: String
    /// Positions of the events that contradict each other, when the history shows it.
    var events: [Int] = []

    init(_ invariant: String, _ sentence: String, events: [Int] = []) {
        self.invariant = invariant
        self.sentence = sentence
        self.events = events
    }
}
