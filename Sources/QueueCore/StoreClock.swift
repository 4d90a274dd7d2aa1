import TQModel

/// The time that retention and windows run on: it is stored with each group and never jumps.
///
/// It advances with the monotonic clock. When the wall clock is ahead (the broker was off, or somebody set the
/// clock), it catches up at a tenth of the elapsed time, so that a wrong clock deletes nothing before somebody
/// notices; it never follows the wall clock back.
struct StoreClock: Sendable {
    private static let catchUpDivisor: UInt64 = 10

    private(set) var milliseconds: UInt64
    private var monotonicMilliseconds: UInt64?
    /// Elapsed time for which nothing was caught up yet: a busy broker asks every millisecond.
    private var uncountedMilliseconds: UInt64 = 0

    init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    mutating func advance(to now: Now) {
        // A new store begins at the wall clock's time.
        if milliseconds == 0 { milliseconds = now.wallMilliseconds }
        defer { monotonicMilliseconds = max(monotonicMilliseconds ?? 0, now.monotonicMilliseconds) }
        guard let last = monotonicMilliseconds, now.monotonicMilliseconds > last else { return }
        let elapsed = now.monotonicMilliseconds - last
        milliseconds += elapsed
        uncountedMilliseconds += elapsed
        let catchUp = uncountedMilliseconds / Self.catchUpDivisor
        uncountedMilliseconds %= Self.catchUpDivisor
        if now.wallMilliseconds > milliseconds { milliseconds += min(now.wallMilliseconds - milliseconds, catchUp) }
    }
}
