public import TQModel

/// Whether the failures of a gate's tasks have closed it to others, as it is stored.
public struct Circuit: Hashable, Sendable {
    /// When it opens.
    public var breaker: CircuitBreaker
    /// Whether it lets tasks through.
    public var state: CircuitState
    /// Since when, in milliseconds since 1970; 0 when it was never open.
    public var sinceWallMilliseconds: UInt64
    /// The same in store time.
    ///
    /// Attempts that began before say nothing of how it is since.
    public var sinceStoreMilliseconds: UInt64

    /// Creates a closed one.
    public init(_ breaker: CircuitBreaker) {
        self.breaker = breaker
        self.state = .closed
        self.sinceWallMilliseconds = 0
        self.sinceStoreMilliseconds = 0
    }

    /// That of a gate without a breaker.
    public static let none = Circuit(.none)

    /// When an open one lets tasks through to see how they end, in store time.
    public var untilStoreMilliseconds: UInt64 {
        let (until, isOverflow) = sinceStoreMilliseconds.addingReportingOverflow(UInt64(breaker.openMilliseconds))
        return isOverflow ? .max : until
    }

    /// Whether nothing but the state of a circuit could make it what it is.
    public var isValid: Bool {
        breaker.isNone
            ? self == .none
            : breaker.failurePercent <= 100 && breaker.attemptsMin > 0 && breaker.openMilliseconds > 0
                && breaker.windowMilliseconds >= CircuitTrial.partCount && breaker.probes > 0
                && (state == .closed || sinceWallMilliseconds > 0)
    }
}

/// How the attempts went that a circuit is judged by; a restart has seen none.
struct CircuitTrial: Sendable {
    /// The window moves on by a tenth of it at once.
    static let partCount: UInt64 = 10

    /// Attempts that ended in one part of the time.
    private struct Part: Sendable {
        var number: UInt64
        var attempts: UInt64 = 0
        var failures: UInt64 = 0
    }

    /// The latest parts, each at its number modulo their count.
    private var parts: [Part] = []
    /// Attempts that a half-open circuit has let through and whose outcomes it waits for, and when the last one began.
    private(set) var begun: UInt64 = 0
    private var lastBegunMilliseconds: UInt64 = 0
    private var succeeded: UInt64 = 0

    /// What becomes of a circuit by the outcome of an attempt; `nil` when it stays as it is.
    mutating func note(hasFailed: Bool, _ circuit: Circuit, at milliseconds: UInt64) -> CircuitState? {
        switch circuit.state {
        case .open: return nil
        case .halfOpen:
            if hasFailed { return .open }
            succeeded += 1
            return succeeded >= UInt64(circuit.breaker.probes) ? .closed : nil
        case .closed:
            count(hasFailed: hasFailed, circuit.breaker, at: milliseconds)
            guard hasFailed else { return nil }
            let (attempts, failures) = counts(circuit.breaker, at: milliseconds)
            let isBad = failures * 100 >= attempts * UInt64(circuit.breaker.failurePercent)
            return isBad && attempts >= UInt64(circuit.breaker.attemptsMin) ? .open : nil
        }
    }

    private mutating func count(hasFailed: Bool, _ breaker: CircuitBreaker, at milliseconds: UInt64) {
        let number = Self.part(at: milliseconds, breaker)
        if parts.isEmpty { parts = (0..<Self.partCount).map { _ in Part(number: number) } }
        let place = Int(number % Self.partCount)
        if parts[place].number != number { parts[place] = Part(number: number) }
        parts[place].attempts += 1
        if hasFailed { parts[place].failures += 1 }
    }

    /// The attempts of the window, and how many of them failed.
    func counts(_ breaker: CircuitBreaker, at milliseconds: UInt64) -> (attempts: UInt64, failures: UInt64) {
        let number = Self.part(at: milliseconds, breaker)
        return parts.filter { $0.number + Self.partCount > number }
            .reduce((0, 0)) { ($0.0 + $1.attempts, $0.1 + $1.failures) }
    }

    private static func part(at milliseconds: UInt64, _ breaker: CircuitBreaker) -> UInt64 {
        milliseconds / max(1, UInt64(breaker.windowMilliseconds) / partCount)
    }

    /// Notes that a half-open circuit has let an attempt through.
    mutating func begin(at milliseconds: UInt64) {
        begun += 1
        lastBegunMilliseconds = milliseconds
    }

    /// Lets as many through again when those before have not ended for as long as the circuit was open: they may have been given
    /// back, or be lost.
    ///
    /// - Returns: Whether somebody who could not pass can now.
    mutating func renew(_ breaker: CircuitBreaker, at milliseconds: UInt64) -> Bool {
        guard begun >= UInt64(breaker.probes),
            milliseconds - min(milliseconds, lastBegunMilliseconds) >= UInt64(breaker.openMilliseconds)
        else { return false }
        begun = 0
        return true
    }
}
