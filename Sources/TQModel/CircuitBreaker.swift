/// When the gate of a queue or a type stops letting tasks through because their attempts fail.
///
/// The states are those of M. Nygard, Release It! (2007): a closed circuit lets tasks through, an open one lets none, and a
/// half-open one lets a few through to see how they end.
public struct CircuitBreaker: Hashable, Sendable {
    /// The circuit opens when so many of a hundred attempts fail, from 1 to 100; 0 for never.
    public var failurePercent: UInt8
    /// Fewer attempts than that in the window open nothing, from 1 on.
    public var attemptsMin: UInt32
    /// How far back attempts count, in milliseconds from 10 on.
    public var windowMilliseconds: UInt32
    /// How long it stays open before it lets some through, in milliseconds from 1 on.
    public var openMilliseconds: UInt32
    /// How many it lets through then, and how many of them must succeed to close it, from 1 on.
    public var probes: UInt16

    /// - Parameters:
    ///   - failurePercent: From 1 to 100.
    ///   - attemptsMin: 20 unless said otherwise: few enough for a slow queue, and more than two unlucky ones.
    ///   - windowMilliseconds: A minute unless said otherwise.
    ///   - openMilliseconds: Half a minute unless said otherwise.
    public init(
        failurePercent: UInt8,
        attemptsMin: UInt32 = 20,
        windowMilliseconds: UInt32 = 60_000,
        openMilliseconds: UInt32 = 30_000,
        probes: UInt16 = 1
    ) {
        self.failurePercent = failurePercent
        self.attemptsMin = attemptsMin
        self.windowMilliseconds = windowMilliseconds
        self.openMilliseconds = openMilliseconds
        self.probes = probes
    }

    /// One that never opens.
    public static let none = CircuitBreaker(
        failurePercent: 0,
        attemptsMin: 0,
        windowMilliseconds: 0,
        openMilliseconds: 0,
        probes: 0
    )

    /// Whether it never opens.
    public var isNone: Bool { failurePercent == 0 }
}

/// Whether a circuit lets tasks through.
public enum CircuitState: UInt8, Sendable, CaseIterable {
    /// All of them.
    case closed = 0
    /// None.
    case open = 1
    /// A few, to see how they end.
    case halfOpen = 2

    /// The name in JSON and on command lines.
    public var name: String {
        switch self {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half-open"
        }
    }
}

/// A circuit as it is.
public struct CircuitStatus: Hashable, Sendable {
    /// When it opens.
    public var breaker: CircuitBreaker
    /// Whether it lets tasks through.
    public var state: CircuitState
    /// Since when, in milliseconds since 1970; 0 when it was never open.
    public var sinceWallMilliseconds: UInt64
    /// About when an open one lets some through, in milliseconds since 1970; 0 for others.
    public var untilWallMilliseconds: UInt64
    /// Attempts that count now: those of the window, or those that a half-open one has let through.
    public var attempts: UInt64
    /// How many of them failed.
    public var failures: UInt64

    public init(
        _ breaker: CircuitBreaker,
        state: CircuitState = .closed,
        sinceWallMilliseconds: UInt64 = 0,
        untilWallMilliseconds: UInt64 = 0,
        attempts: UInt64 = 0,
        failures: UInt64 = 0
    ) {
        self.breaker = breaker
        self.state = state
        self.sinceWallMilliseconds = sinceWallMilliseconds
        self.untilWallMilliseconds = untilWallMilliseconds
        self.attempts = attempts
        self.failures = failures
    }
}
