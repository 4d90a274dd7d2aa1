import Synchronization
public import TQModel

/// A stream of deliveries as the session keeps it across connections.
///
/// ``credit`` and ``backoff`` belong to the session's event loop, which also calls the closures.
package final class DeliveryStream: @unchecked Sendable {
    package let number: UInt32
    let claim: ClaimSpec
    /// Tasks that the broker may still deliver; a new connection opens the stream with that many.
    var credit: UInt32
    var backoff = Backoff(first: .milliseconds(100), longest: .seconds(5))
    let onDeliveries: @Sendable ([Delivery]) -> Void
    /// The broker refuses the stream, there is none at the address, or the client was closed (`nil`).
    let onEnd: @Sendable (TQError?) -> Void

    init(
        number: UInt32,
        claim: ClaimSpec,
        credit: UInt32,
        onDeliveries: @escaping @Sendable ([Delivery]) -> Void,
        onEnd: @escaping @Sendable (TQError?) -> Void
    ) {
        self.number = number
        self.claim = claim
        self.credit = credit
        self.onDeliveries = onDeliveries
        self.onEnd = onEnd
    }
}

/// Tasks as a broker delivers them, one after the other.
///
/// Taking one lets the broker send another; what was delivered and not taken when the loop ends is given back.
public struct Deliveries: AsyncSequence, Sendable {
    /// One task in the hands of this client.
    public typealias Element = Delivery
    /// What the broker refuses the stream with, or says that there is no broker.
    public typealias Failure = TQError

    let claim: ClaimSpec
    let credit: UInt32
    let client: TQClient

    /// Opens a stream of its own, which ends with the iterator.
    public func makeAsyncIterator() -> Iterator {
        Iterator(DeliveryBuffer(claim: claim, credit: credit, client: client))
    }

    /// The one taker of a stream; letting go of it closes the stream and gives back what was not taken.
    public struct Iterator: AsyncIteratorProtocol {
        private let buffer: DeliveryBuffer

        init(_ buffer: DeliveryBuffer) { self.buffer = buffer }

        /// The next delivery; `nil` when the client was closed or the task was cancelled.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws(TQError) -> Delivery? {
            try await buffer.next(isolation: actor)
        }
    }
}

/// What stands between a stream and the one loop that takes from it.
final class DeliveryBuffer: Sendable {
    fileprivate typealias Waiter = CheckedContinuation<Result<Delivery?, TQError>, Never>
    fileprivate struct State {
        var deliveries: [Delivery] = []
        var taken = 0
        fileprivate var waiter: Waiter?
        var end: Result<Delivery?, TQError>?
    }
    private let state = Mutex(State())
    private let client: TQClient
    private let stream: Mutex<DeliveryStream?>

    init(claim: ClaimSpec, credit: UInt32, client: TQClient) {
        self.client = client
        self.stream = Mutex(nil)
        let opened = client.openStream(
            claim,
            credit: credit,
            onDeliveries: { [weak self] deliveries in
                guard let self else { return client.giveBack(deliveries) }
                self.add(deliveries)
            },
            onEnd: { [weak self] error in self?.finish(error.map { .failure($0) } ?? .success(nil)) }
        )
        stream.withLock { $0 = opened }
    }

    deinit { stop() }

    func next(isolation actor: isolated (any Actor)?) async throws(TQError) -> Delivery? {
        while let delivery = try await nextEncoded(isolation: actor) {
            if let decoded = client.decodedOrFailed(delivery) { return decoded }
        }
        return nil
    }

    private func nextEncoded(isolation actor: isolated (any Actor)?) async throws(TQError) -> Delivery? {
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation(isolation: actor) { continuation in
                let ready = state.withLock { state -> Result<Delivery?, TQError>? in
                    if let delivery = state.popFirst() { return .success(delivery) }
                    if let end = state.end { return end }
                    state.waiter = continuation
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            stop()
        }
        if case .success(.some) = result, let stream = stream.withLock({ $0 }) {
            client.grant(stream, count: 1)
        }
        return try result.get()
    }

    private func add(_ deliveries: [Delivery]) {
        let (isOver, waiter, first) = state.withLock { state -> (Bool, Waiter?, Delivery?) in
            guard state.end == nil else { return (true, nil, nil) }
            state.deliveries.append(contentsOf: deliveries)
            guard let waiter = state.waiter else { return (false, nil, nil) }
            state.waiter = nil
            return (false, waiter, state.popFirst())
        }
        if isOver { client.giveBack(deliveries) }
        waiter?.resume(returning: .success(first))
    }

    private func finish(_ end: Result<Delivery?, TQError>) {
        let waiter = state.withLock { state -> Waiter? in
            if state.end == nil { state.end = end }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: end)
    }

    /// Closes the stream and gives back what nobody took.
    private func stop() {
        finish(.success(nil))
        if let stream = stream.withLock({ $0.take() }) { client.closeStream(stream) }
        let rest = state.withLock { state in
            defer { (state.deliveries, state.taken) = ([], 0) }
            return Array(state.deliveries[state.taken...])
        }
        client.giveBack(rest)
    }
}

extension DeliveryBuffer.State {
    /// Takes the oldest; the array is emptied at once when the last one is taken.
    fileprivate mutating func popFirst() -> Delivery? {
        guard taken < deliveries.count else { return nil }
        defer {
            taken += 1
            if taken == deliveries.count { (deliveries, taken) = ([], 0) }
        }
        return deliveries[taken]
    }
}
