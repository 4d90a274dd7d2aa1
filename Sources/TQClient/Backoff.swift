import TQModel

/// Growing waits between attempts: each is random between half and all of the double of the one before.
///
/// The jitter keeps the clients of one broker from coming back all at once.
package struct Backoff {
    private let first: Duration
    private let longest: Duration
    private var attempts: Int
    private var generator = SystemRandomNumberGenerator()

    package init(first: Duration, longest: Duration, attempts: Int = 0) {
        self.first = first
        self.longest = longest
        self.attempts = attempts
    }

    /// The next wait, at least `atLeast` where the broker asked for that.
    package mutating func next(atLeastMilliseconds: UInt32? = nil) -> Duration {
        let doubled = min(first * (1 << min(attempts, 20)), longest)
        attempts += 1
        let wait = doubled * Double.random(in: 0.5...1, using: &generator)
        return max(wait, .milliseconds(Int64(atLeastMilliseconds ?? 0)))
    }

    package mutating func reset() { attempts = 0 }
}
