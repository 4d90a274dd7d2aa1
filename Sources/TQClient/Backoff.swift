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

/// Asks again and again, after waits that grow to half a second, until an answer is the last one; a cancelled wait ends.
///
/// - Parameter onProgress: Called with each answer.
func poll<Answer>(
    until isLast: (Answer) -> Bool,
    onProgress: (Answer) -> Void,
    _ ask: () async throws -> Answer
) async throws -> Answer {
    var backoff = Backoff(first: .milliseconds(20), longest: .milliseconds(500))
    while true {
        let answer = try await ask()
        onProgress(answer)
        if isLast(answer) { return answer }
        try await Task.sleep(for: backoff.next())
    }
}
