/// Which tasks pass a gate on their way to workers.
public enum GateScope: Hashable, Sendable {
    /// Those of all queues.
    case everything
    /// Those that wait in a queue.
    case queue(Name)
    /// Those of a type, in whatever queue.
    case type(Name)

    /// The number of its kind, in records and messages.
    public enum Kind: UInt8, Sendable, CaseIterable {
        case everything = 0
        case queue = 1
        case type = 2
    }

    /// The kind without a name.
    public var kind: Kind {
        switch self {
        case .everything: .everything
        case .queue: .queue
        case .type: .type
        }
    }

    /// The name; empty for everything.
    public var name: Name {
        switch self {
        case .everything: Name(bytes: [])
        case .queue(let name), .type(let name): name
        }
    }

    public init(_ kind: Kind, _ name: Name) {
        switch kind {
        case .everything: self = .everything
        case .queue: self = .queue(name)
        case .type: self = .type(name)
        }
    }
}

extension GateScope: CustomStringConvertible {
    public var description: String {
        switch self {
        case .everything: "everything"
        case .queue(let name): "queue \(name)"
        case .type(let name): "type \(name)"
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
    /// Everything has no such limit.
    public var runningMax: UInt32?

    public init(
        _ scope: GateScope,
        isPaused: Bool? = nil,
        pauseMilliseconds: UInt64 = 0,
        runningMax: UInt32? = nil
    ) {
        self.scope = scope
        self.isPaused = isPaused
        self.pauseMilliseconds = pauseMilliseconds
        self.runningMax = runningMax
    }
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

    public init(
        scope: GateScope,
        pausedSinceWallMilliseconds: UInt64 = 0,
        pausedUntilWallMilliseconds: UInt64 = 0,
        runningMax: UInt32 = 0,
        running: UInt64 = 0
    ) {
        self.scope = scope
        self.pausedSinceWallMilliseconds = pausedSinceWallMilliseconds
        self.pausedUntilWallMilliseconds = pausedUntilWallMilliseconds
        self.runningMax = runningMax
        self.running = running
    }

    /// Whether it lets no task through.
    public var isPaused: Bool { pausedSinceWallMilliseconds > 0 }

    /// Whether as many tasks run as may.
    public var isFull: Bool { runningMax > 0 && running >= UInt64(runningMax) }
}
