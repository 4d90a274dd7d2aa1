import Synchronization
import TQModel

/// Where the replies of a session go.
protocol SessionSink: AnyObject, Sendable {
    /// Takes replies in their order; any thread may call, one at a time for one sink.
    func deliver(_ replies: [(request: UInt32, reply: Reply)])

    /// Whether the peer reads more slowly than it is answered: what it asks for is not read from the store meanwhile.
    ///
    /// A sink that was congested tells the engine when it no longer is (``Engine/resume(_:)``).
    var isCongested: Bool { get }

    /// Ends the session: the broker's state was rebuilt, and it does not know it any more.
    func disconnect()
}

/// The sessions that are open, by number.
final class SessionTable: Sendable {
    private struct State {
        var sinks: [UInt64: any SessionSink] = [:]
        var next: UInt64 = 1
    }

    private let state = Mutex(State())

    func add(_ sink: any SessionSink) -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            state.sinks[state.next] = sink
            return state.next
        }
    }

    func remove(_ session: UInt64) { state.withLock { $0.sinks[session] = nil } }

    subscript(session: UInt64) -> (any SessionSink)? { state.withLock { $0.sinks[session] } }

    /// Forgets all sessions.
    ///
    /// - Returns: Their sinks, in the order in which they were opened, and the number that the next session gets.
    func removeAll() -> (sinks: [any SessionSink], next: UInt64) {
        state.withLock { state in
            defer { state.sinks = [:] }
            return (state.sinks.keys.sorted().compactMap { state.sinks[$0] }, state.next)
        }
    }
}
