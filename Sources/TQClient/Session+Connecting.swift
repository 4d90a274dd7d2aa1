import Logging
import NIOCore
import NIOPosix
import TQModel
import WireProtocol

/// Connections on the event loop: one at a time, tried address by address, come back after growing waits.
extension Session {
    func connect(_ completion: @escaping @Sendable (Result<Void, TQError>) -> Void) {
        guard !isClosed else { return completion(.failure(TQError(.connectionFailed, "The client was closed."))) }
        guard connection == nil, !isConnecting else { return completion(.success(())) }
        isConnecting = true
        attempt(0, failures: []) { result in
            self.isConnecting = false
            completion(result.map { self.connected($0.connection, $0.reply) })
        }
    }

    /// Tries the address at that offset from the first, which is the one that worked last, then the next ones.
    private func attempt(
        _ offset: Int,
        failures: [TQError],
        _ completion: @escaping @Sendable (Result<(connection: Connection, reply: HelloReply), TQError>) -> Void
    ) {
        guard offset < addresses.count else { return completion(.failure(Self.summary(failures))) }
        let index = (firstAddress + offset) % addresses.count
        let address = addresses[index]
        let hello = Hello(clientName: options.clientName, settings: options.settings)
        let connection = Connection(address: address, hello: hello, options: options, eventLoop: eventLoop)
        connection.isWithBroker = hasBeenConnected
        open(connection, at: address).whenComplete { result in
            switch result {
            case .success(let reply):
                self.firstAddress = index
                completion(.success((connection, reply)))
            case .failure(let error):
                let failure = TQError.notConnected(to: address, because: error)
                self.attempt(offset + 1, failures: failures + [failure], completion)
            }
        }
    }

    private func open(_ connection: Connection, at address: BrokerAddress) -> EventLoopFuture<HelloReply> {
        ClientBootstrap(group: eventLoop)
            .resolver(options.resolver)
            .connectTimeout(options.connectTimeout.timeAmount)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 262_144)
            )
            .connect(host: address.host, port: address.port)
            // Not in an initializer: that runs for every address of the host, and only one of them gets the connection.
            .flatMapThrowing { try $0.pipeline.syncOperations.addHandler(connection) }
            .whenFailure { connection.ready.fail($0) }
        return connection.ready.futureResult
    }

    private func connected(_ connection: Connection, _ reply: HelloReply) {
        guard !isClosed else { return connection.close() }
        options.logger.debug("connected", metadata: ["broker_version": "\(reply.brokerVersion)"])
        self.connection = connection
        hasBeenConnected = true
        lastFailure = nil
        backoff.reset()
        connection.onDelivery = { [weak self] in self?.deliver($0, $1) }
        connection.onCancelRequest = { [weak self] in self?.onCancelRequest($0) }
        connection.onAnswer = { [weak self] in self?.answer($0, $1) }
        connection.onEnd = { [weak self, weak connection] reason, calls in
            self?.lost(connection, because: reason, unanswered: calls)
        }
        connection.send(streams.values.sorted { $0.number < $1.number }.map(openCall))
        sendWaiting()
    }

    private func lost(_ connection: Connection?, because reason: TQError, unanswered: [Call]) {
        if self.connection === connection { self.connection = nil }
        if connection?.fellSilent == true { firstAddress = (firstAddress + 1) % addresses.count }
        options.logger.info("connection lost", metadata: ["reason": "\(reason)"])
        let (again, never) = unanswered.stablySplit { !isClosed && $0.resend != .never && !$0.isAbandoned }
        for call in never { call.fail(becauseOf: reason) }
        let now = NIODeadline.now()
        for call in again { call.wait(from: now) }
        waiting = again + waiting
        watchPatience(of: again)
        if !waiting.isEmpty || !streams.isEmpty { connectAgain() }
    }

    /// Connects now, and after growing waits until it works or nothing waits for it.
    func connectAgain() {
        guard !isConnecting, connection == nil, !isClosed else { return }
        connect { result in
            guard case .failure(let error) = result, !self.isClosed else { return }
            self.lastFailure = error
            self.giveUpOverdue(because: error)
            if !error.retryable { self.endStreams(because: error) }
            guard !self.waiting.isEmpty || !self.streams.isEmpty else { return }
            self.isConnecting = true
            let wait = self.backoff.next(atLeastMilliseconds: error.retryAfterMilliseconds)
            self.eventLoop.scheduleTask(in: wait.timeAmount) {
                self.isConnecting = false
                self.connectAgain()
            }
        }
    }

    /// Makes sure that calls are given up in time, also while an attempt to connect takes longer.
    ///
    /// Those without any patience have one attempt.
    func watchPatience(of calls: [Call]) {
        guard connection == nil else { return }
        let now = NIODeadline.now()
        guard let end = calls.lazy.compactMap(\.deadline).filter({ $0 > now }).min(), end < patienceEnd else { return }
        patienceEnd = end
        eventLoop.scheduleTask(deadline: end) { [weak self] in
            // An earlier end took this one's place, and has found the next one itself.
            guard let self, self.patienceEnd == end else { return }
            self.endPatience()
        }
    }

    private func endPatience() {
        patienceEnd = .distantFuture
        guard connection == nil else { return }
        let list = addresses.map(\.description).joined(separator: ", ")
        let silence = TQError(.connectionFailed, "Nobody answers yet at \(list). \(TQError.wayToABroker)")
        giveUpOverdue(because: lastFailure ?? silence)
        watchPatience(of: waiting)
    }

    /// Fails the calls whose patience is over; all of them when waiting cannot help.
    private func giveUpOverdue(because error: TQError) {
        let now = NIODeadline.now()
        let (over, rest) = waiting.stablySplit { call in
            guard let deadline = call.deadline else { return false }
            return deadline <= now || !error.retryable
        }
        waiting = rest
        for call in over { call.fail(becauseOf: error) }
    }

    private static func summary(_ failures: [TQError]) -> TQError {
        guard let first = failures.first else { return TQError(.invalidArgument, "There is no broker address.") }
        let isUnreached = failures.contains { $0.code == .connectionFailed }
        guard isUnreached || failures.count > 1 else { return first }
        let sentences = failures.map(\.message) + (isUnreached ? [TQError.wayToABroker] : [])
        return TQError(isUnreached ? .connectionFailed : first.code, sentences.joined(separator: " "))
    }
}

extension Array {
    /// The elements that satisfy the condition and the others, both in their order.
    func stablySplit(_ condition: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
        var matching: [Element] = []
        var others: [Element] = []
        for element in self {
            if condition(element) { matching.append(element) } else { others.append(element) }
        }
        return (matching, others)
    }
}
