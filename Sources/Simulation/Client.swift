import HistoryChecker
import QueueCore
import TQModel

/// Somebody at the other end of a connection.
struct Client {
    /// The number in the history.
    let number: UInt32
    /// The worker that it claims for; several clients may share one.
    let worker: Name?
    /// The connection; `nil` when there is none.
    var session: SessionID?
    /// Whether its leases end with the connection.
    var endsLeases = false
    var streams: [Stream] = []
    /// The claims behind deliveries that are decided and have not come.
    var streamed: [LeaseToken: OperationNumber] = [:]
    /// When the worker was last heard of at the latest, on the monotonic clock.
    var heardMilliseconds: UInt64 = 0
    /// Whether the history says already that the broker may take back what it holds.
    var isGivenUp = false

    /// A stream that the client has asked for.
    struct Stream {
        let number: UInt32
        /// The request that opened it.
        let request: UInt32
        /// Who takes its tasks.
        let worker: Name?
        /// The task types that it takes; empty for all.
        let types: [TypePattern]
        /// What its credit stands for, oldest first, one claim for each task.
        var claims: [OperationNumber] = []
        /// Whether its end is on the way.
        var isClosing = false
    }
}

/// A request whose reply has not come.
struct Asked {
    var client: Int
    var request: Request
    /// What it means, one call for each item, and the numbers of these in the history.
    var calls: [Call]
    var operations: [OperationNumber]
    /// When it reached the broker, on the monotonic clock, and whether the broker was shutting down by then.
    var arrival: (milliseconds: UInt64, isDraining: Bool)?

    /// How long the broker may wait before it answers.
    var waitMilliseconds: UInt64 {
        switch request {
        case .claim(let spec): spec.waitMilliseconds
        case .result(_, let wait): wait
        default: 0
        }
    }
}

/// Which request of which connection.
struct AskedKey: Hashable, Comparable {
    var session: SessionID
    var request: UInt32

    static func < (left: Self, right: Self) -> Bool {
        (left.session, left.request) < (right.session, right.request)
    }
}

/// The names that a run uses, and their numbers in the history.
enum Cast {
    static let queues: [Name] = ["a", "b", "c"]
    static let types: [Name] = ["email.send", "email.read", "image", "sum"]
    static let contentTypes: [Name] = ["application/json", "text/plain"]
    static let patterns: [[TypePattern]] = [[], [], [], ["email.*"], ["sum"], ["image", "email.read"], ["*"]]
    static let retryPolicies: [RetryPolicy?] = [
        nil,
        RetryPolicy(.exponential(first: 300, factorPercent: 170, longest: 4_000)),
        RetryPolicy(.exponential(first: 50, factorPercent: 300, longest: 4_000), isJittered: false),
        RetryPolicy(.linear(first: 200, step: 300, longest: 4_000), isJittered: false),
        RetryPolicy(.fixed(700)),
        RetryPolicy(.list([900, 30, 2_000])),
    ]
    /// By the number of a unique key; the shortest window is as long as nothing else is kept.
    ///
    /// The last one is that of a task that waits behind all others, and is replaced many times at once.
    static let uniqueScopes: [UniqueKey.Scope] = [
        .active, .waiting, .unfinished, .window(milliseconds: Simulation.shortestKeptMilliseconds), .active,
        .unfinished, .unfinished,
    ]
    static let keys: [Name] = ["account-1", "account-2", "host-1"]
    static let keyPatterns: [Name] = ["account-*", "*"]
    static let groups: [Name] = ["g1", "g2", "g3"]
    static let tags: [TaskTag] = ["customer:1", "customer:2", "urgent"]
    static let workers: [Name?] = ["w1", "w2", "w1", nil, nil]

    static func number(_ queue: Name) -> QueueNumber {
        QueueNumber(queues.firstIndex(of: queue).map { $0 + 1 } ?? 0)
    }
}
