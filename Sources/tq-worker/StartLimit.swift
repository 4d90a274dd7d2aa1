import TQClient

/// How many processes a pool may start now.
///
/// No more than ten for each look at the backlog, so that a pool grows fast and forks no storm; and none for a while after
/// one has ended by itself soon after its start. That while grows when it happens again and again.
struct StartLimit {
    typealias Instant = ContinuousClock.Instant

    static let countMax = 10
    /// An end within this time after a start is an early one.
    static let youth: Duration = .seconds(10)
    static let waitMax: Duration = .seconds(60)

    private var left = countMax
    private var backoff = Backoff(first: .milliseconds(500), longest: waitMax)
    private var wait: Range<Instant>?

    /// There was a look at the backlog.
    mutating func renew() { left = Self.countMax }

    /// How many of so many may be started; they count as started.
    mutating func take(_ count: Int, at now: Instant) -> Int {
        if let wait, now < wait.upperBound { return 0 }
        let taken = max(0, min(count, left))
        left -= taken
        return taken
    }

    /// Takes notice of a process that has ended, or could not be started, and that nobody had told to end.
    ///
    /// - Returns: For how long none is started; `nil` when this end is no reason to wait.
    mutating func ended(startedAt start: Instant, at now: Instant) -> Duration? {
        guard now - start < Self.youth else { return nil }
        if let wait {
            // What was started together ends together: that is one reason to wait, not many.
            guard start >= wait.lowerBound else { return nil }
            if now - wait.upperBound > Self.waitMax { backoff.reset() }
        }
        let duration = backoff.next()
        wait = now..<(now + duration)
        return duration
    }
}
