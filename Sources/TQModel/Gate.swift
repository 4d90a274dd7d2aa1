/// Which tasks pass a gate on their way to workers.
public enum GateScope: Hashable, Sendable {
    /// Those of all queues.
    case everything
    /// Those that wait in a queue.
    case queue(Name)
    /// Those of a type, in whatever queue.
    case type(Name)
    /// Those with a limit key or a serial key, in whatever queue. With a `*` at its end the name is that of all keys that begin so:
    /// each of them has such a gate of its own, unless it has one by its whole name or by more of it.
    case key(Name)
    /// Those of a fair group, in whatever queue.
    case group(Name)

    /// The number of its kind, in records and messages.
    public enum Kind: UInt8, Sendable, CaseIterable {
        case everything = 0
        case queue = 1
        case type = 2
        case key = 3
        case group = 4
    }

    /// The kind without a name.
    public var kind: Kind {
        switch self {
        case .everything: .everything
        case .queue: .queue
        case .type: .type
        case .key: .key
        case .group: .group
        }
    }

    /// The name; empty for everything.
    public var name: Name {
        switch self {
        case .everything: Name(bytes: [])
        case .queue(let name), .type(let name), .key(let name), .group(let name): name
        }
    }

    public init(_ kind: Kind, _ name: Name) {
        switch kind {
        case .everything: self = .everything
        case .queue: self = .queue(name)
        case .type: self = .type(name)
        case .key: self = .key(name)
        case .group: self = .group(name)
        }
    }
}

extension GateScope: CustomStringConvertible {
    public var description: String {
        switch self {
        case .everything: "everything"
        case .queue(let name): "queue \(name)"
        case .type(let name): "type \(name)"
        case .key(let name): "key \(name)"
        case .group(let name): "group \(name)"
        }
    }
}

/// A change to a gate; what it does not name stays as it is.
public struct GateChange: Hashable, Sendable {
    /// Which gate.
    public var scope: GateScope
    /// Whether it is to let no task through; attempts that run go on.
    public var isPaused: Bool?
    /// How long a pause lasts; 0 until somebody ends it.
    public var pauseMilliseconds: UInt64
    /// How many tasks may run at once that have passed it; 0 for any number.
    ///
    /// Everything and groups have no such limit.
    public var runningMax: UInt32?
    /// How fast it lets tasks through; ``StartRate/unlimited`` for as fast as they are claimed.
    ///
    /// Everything and groups have no such rate.
    public var rate: StartRate?
    /// How many turns a group takes where another one takes one, whatever its tasks say; 0 for what they say.
    ///
    /// Only groups have a weight.
    public var weight: UInt16?
    /// When failures close it to tasks; ``CircuitBreaker/none`` for never.
    ///
    /// Only queues and types have a breaker.
    public var breaker: CircuitBreaker?
    /// The state that its circuit is to have now, whatever attempts say; only with a breaker.
    public var circuit: CircuitState?

    public init(
        _ scope: GateScope,
        isPaused: Bool? = nil,
        pauseMilliseconds: UInt64 = 0,
        runningMax: UInt32? = nil,
        rate: StartRate? = nil,
        weight: UInt16? = nil,
        breaker: CircuitBreaker? = nil,
        circuit: CircuitState? = nil
    ) {
        self.scope = scope
        self.isPaused = isPaused
        self.pauseMilliseconds = pauseMilliseconds
        self.runningMax = runningMax
        self.rate = rate
        self.weight = weight
        self.breaker = breaker
        self.circuit = circuit
    }
}

/// How fast attempts begin, evenly but for a burst after a while without any.
public struct StartRate: Hashable, Sendable {
    /// So many attempts; 0 for no bound.
    public var count: UInt32
    /// In so many milliseconds, from 1 on.
    public var milliseconds: UInt32
    /// At most so many at once; fewer than what comes in a tenth of a second count as that.
    public var burst: UInt32

    /// - Parameter burst: 0 for what comes in a second, or 1.
    public init(_ count: UInt32, per milliseconds: UInt32 = 1_000, burst: UInt32 = 0) {
        self.count = count
        self.milliseconds = max(1, milliseconds)
        let inSecond = UInt64(count) * 1_000 / UInt64(self.milliseconds)
        self.burst = burst > 0 ? burst : UInt32(clamping: max(1, inSecond))
    }

    /// No bound.
    public static let unlimited = StartRate(0, burst: 1)

    /// Whether there is no bound.
    public var isUnlimited: Bool { count == 0 }
}

/// A gate as it is.
public struct GateStatus: Hashable, Sendable {
    /// Which tasks pass it.
    public var scope: GateScope
    /// Since when it lets none through, in milliseconds since 1970; 0 when it does.
    public var pausedSinceWallMilliseconds: UInt64
    /// About when the pause ends, in milliseconds since 1970; 0 when somebody must end it.
    public var pausedUntilWallMilliseconds: UInt64
    /// How many tasks may run at once that have passed it; 0 for any number.
    public var runningMax: UInt32
    /// How many do.
    public var running: UInt64
    /// How fast it lets tasks through; `nil` for as fast as they are claimed.
    public var rate: StartRate?
    /// How many turns a group takes where another one takes one; 0 for what its tasks say.
    public var weight: UInt16
    /// When failures close it to tasks, and how far they have; `nil` for never.
    public var circuit: CircuitStatus?

    public init(
        scope: GateScope,
        pausedSinceWallMilliseconds: UInt64 = 0,
        pausedUntilWallMilliseconds: UInt64 = 0,
        runningMax: UInt32 = 0,
        running: UInt64 = 0,
        rate: StartRate? = nil,
        weight: UInt16 = 0,
        circuit: CircuitStatus? = nil
    ) {
        self.scope = scope
        self.pausedSinceWallMilliseconds = pausedSinceWallMilliseconds
        self.pausedUntilWallMilliseconds = pausedUntilWallMilliseconds
        self.runningMax = runningMax
        self.running = running
        self.rate = rate
        self.weight = weight
        self.circuit = circuit
    }

    /// Whether it lets no task through.
    public var isPaused: Bool { pausedSinceWallMilliseconds > 0 }

    /// Whether as many tasks run as may.
    public var isFull: Bool { runningMax > 0 && running >= UInt64(runningMax) }
}
