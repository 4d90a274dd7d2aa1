import QueueCore
import Synchronization
public import TQModel

extension Broker {
    /// A session inside this process: the same requests and promises as over a connection, without a socket.
    ///
    /// - Parameters:
    ///   - settings: How the session treats its leases when it is let go.
    ///   - onUnasked: Takes what the broker says unasked: deliveries of streams, requests to end attempts. Called on the
    ///     broker's threads, be quick.
    /// - Returns: `nil` unless the broker runs.
    public func session(
        _ settings: SessionSettings = .init(),
        onUnasked: @escaping @Sendable (Reply) -> Void = { _ in }
    ) -> BrokerSession? {
        engine.map { BrokerSession($0, settings, onUnasked) }
    }
}

/// A user of a broker in the same process; see ``Broker/session(_:onUnasked:)``.
///
/// Letting it go ends its waits and streams, as the end of a connection does.
public final class BrokerSession: Sendable {
    private let inbox: Inbox

    init(
        _ engine: Engine,
        _ settings: SessionSettings,
        _ onUnasked: @escaping @Sendable (Reply) -> Void
    ) {
        inbox = Inbox(engine, settings, onUnasked)
    }

    deinit { inbox.close() }

    /// Carries out a request; a success reply means that it is on disk.
    ///
    /// Returns ``TQModel/Reply/done`` at once for a credit, which the broker does not answer. A cancelled caller waits no
    /// longer; what its claim took is released then.
    /// - Throws: The broker's refusal of the request, or `outcomeUnknown` when the broker stopped or rebuilt its store
    ///   before it answered: streams are gone then, and the next request finds the session as new.
    public func perform(_ request: Request) async throws(TQError) -> Reply { try await inbox.perform(request) }
}

/// Where the replies of a session in this process arrive.
private final class Inbox: SessionSink {
    private typealias Waiter = CheckedContinuation<Result<Reply, TQError>, Never>

    private struct State {
        /// `nil` before the first request, and after the broker forgot the session.
        var session: SessionID?
        /// How often the broker forgot the session.
        var endings = 0
        var lastRequest: UInt32 = 0
        var waiters: [UInt32: Waiter] = [:]
        /// Requests whose callers were cancelled.
        var abandoned: Set<UInt32> = []
    }

    private let engine: Engine
    private let settings: SessionSettings
    private let onUnasked: @Sendable (Reply) -> Void
    private let state = Mutex(State())

    init(_ engine: Engine, _ settings: SessionSettings, _ onUnasked: @escaping @Sendable (Reply) -> Void) {
        self.engine = engine
        self.settings = settings
        self.onUnasked = onUnasked
    }

    func perform(_ request: Request) async throws(TQError) -> Reply {
        let id = state.withLock { state in
            repeat { state.lastRequest &+= 1 } while state.lastRequest == 0 || state.waiters[state.lastRequest] != nil
            return state.lastRequest
        }
        if case .addCredit = request {
            send(id, request)
            return .done
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                state.withLock { $0.waiters[id] = waiter }
                guard !Task.isCancelled else {
                    abandon(id)
                    // Nothing was sent, so no reply will come.
                    return state.withLock { _ = $0.abandoned.remove(id) }
                }
                send(id, request)
            }
        } onCancel: {
            abandon(id)
        }
        return try result.get()
    }

    private func send(_ id: UInt32, _ request: Request) {
        let session = state.withLock(\.session) ?? open()
        engine.perform([.request(session, id: id, .anonymous, request)])
    }

    /// Opens the session, outside the lock that the engine's threads take to reply.
    private func open() -> SessionID {
        let endings = state.withLock(\.endings)
        let opened = engine.openSession(self, settings)
        let session = state.withLock { state -> SessionID? in
            guard state.endings == endings else { return nil }
            if state.session == nil { state.session = opened }
            return state.session
        }
        if session != opened { engine.closeSession(opened) }
        return session ?? open()
    }

    /// Releases what nobody waits for any more: on another thread, because the one that delivers is the one that commits,
    /// and a command may have to wait for a commit.
    private func giveBack(_ deliveries: [Delivery]) {
        engine.reads.submit { [self] in send(0, .release(deliveries.map { Release(lease: $0.lease) })) }
    }

    private func abandon(_ id: UInt32) {
        let waiter = state.withLock { state in
            let waiter = state.waiters.removeValue(forKey: id)
            if waiter != nil { state.abandoned.insert(id) }
            return waiter
        }
        waiter?.resume(
            returning: .failure(TQError(.outcomeUnknown, "The caller was cancelled before the request was answered."))
        )
    }

    // MARK: What the engine says

    func deliver(_ replies: [(request: UInt32, reply: Reply)]) {
        for (id, reply) in replies {
            if reply.isUnasked {
                onUnasked(reply)
                continue
            }
            let (waiter, isAbandoned) = state.withLock { state in
                (state.waiters.removeValue(forKey: id), state.abandoned.remove(id) != nil)
            }
            if isAbandoned, case .claimed(let deliveries) = reply, !deliveries.isEmpty {
                giveBack(deliveries)
            }
            if case .error(let error) = reply {
                waiter?.resume(returning: .failure(error))
            } else {
                waiter?.resume(returning: .success(reply))
            }
        }
    }

    /// Who asks in this process also takes what it asked for.
    var isCongested: Bool { false }

    func disconnect() {
        let waiters = state.withLock { state in
            defer { (state.session, state.waiters, state.abandoned) = (nil, [:], []) }
            state.endings += 1
            return state.waiters
        }
        let lost = TQError(
            .outcomeUnknown,
            "The broker stopped or rebuilt its store before it answered: it may have happened."
        )
        for waiter in waiters.values { waiter.resume(returning: .failure(lost)) }
    }

    func close() {
        if let session = state.withLock({ $0.session.take() }) { engine.closeSession(session) }
    }
}
