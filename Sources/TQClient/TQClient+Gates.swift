public import TQModel

extension TQClient {
    /// Lets no task through a gate, for a while or until ``resume(_:)``; attempts that run go on.
    ///
    /// - Throws: `invalidArgument` when the pause is too long, among others.
    @discardableResult
    public func pause(_ scope: GateScope, for duration: Duration = .zero) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, isPaused: true, pauseMilliseconds: duration.wholeMilliseconds))
    }

    /// Waits until no task runs any more that has passed a paused gate; a cancelled wait leaves it paused.
    ///
    /// - Parameters:
    ///   - scope: Which one.
    ///   - onProgress: Called now and then with how many tasks still run.
    /// - Returns: The gate. When somebody resumes it meanwhile, or its pause ends, that is over early, and it is not paused.
    @discardableResult
    public func waitForDrain(
        of scope: GateScope,
        onProgress: (GateStatus) -> Void = { _ in }
    ) async throws -> GateStatus {
        try await poll(until: { $0.running == 0 || $0.pausedSinceWallMilliseconds == 0 }, onProgress: onProgress) {
            // One that is open and has no limits is not listed.
            try await gates().first { $0.scope == scope } ?? GateStatus(scope: scope)
        }
    }

    /// Ends the pause of a gate.
    @discardableResult
    public func resume(_ scope: GateScope) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, isPaused: false))
    }

    /// Lets so many tasks run at once that have passed a gate; 0 for any number.
    ///
    /// - Throws: `invalidArgument` for everything, among others.
    @discardableResult
    public func limitRunning(_ scope: GateScope, to count: UInt32) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, runningMax: count))
    }

    /// Lets tasks begin at a rate that have passed a gate; ``StartRate/unlimited`` for as fast as they are claimed.
    ///
    /// - Throws: `invalidArgument` for everything, among others.
    @discardableResult
    public func limitRate(_ scope: GateScope, to rate: StartRate) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, rate: rate))
    }

    /// Closes the gate of a queue or a type to tasks while the attempts of those before them fail; ``CircuitBreaker/none`` for never.
    ///
    /// - Throws: `invalidArgument` for other gates and for values out of range, among others.
    @discardableResult
    public func setBreaker(_ scope: GateScope, to breaker: CircuitBreaker) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, breaker: breaker))
    }

    /// Opens or closes the circuit of a gate whatever attempts say; what they say from now on counts again.
    ///
    /// - Throws: `invalidArgument` for a gate without a breaker, among others.
    @discardableResult
    public func setCircuit(_ scope: GateScope, to state: CircuitState) async throws(TQError) -> GateStatus {
        try await change(GateChange(scope, circuit: state))
    }

    /// The gates that are paused, or have limits or circuit breakers.
    public func gates() async throws(TQError) -> [GateStatus] {
        guard case .gates(let gates) = try await call(.gates) else { throw .unexpectedReply }
        return gates
    }

    /// Changes what a change names, all at once.
    @discardableResult
    public func change(_ change: GateChange) async throws(TQError) -> GateStatus {
        guard case .gates(let gates) = try await call(.changeGate(change)), let gate = gates.first else {
            throw .unexpectedReply
        }
        return gate
    }

    // MARK: Why

    /// Why a task does not run now.
    ///
    /// - Throws: `taskNotFound` when no task can have this id, among others.
    public func explain(_ id: TaskID) async throws(TQError) -> Explanation {
        try await explanation(.explain(id))
    }

    /// Why the tasks of a queue do not run now.
    ///
    /// - Throws: `queueNotFound` when nobody has used it, among others.
    public func explain(queue: Name) async throws(TQError) -> Explanation {
        try await explanation(.explainQueue(queue))
    }

    private func explanation(_ request: Request) async throws(TQError) -> Explanation {
        guard case .explanation(let explanation) = try await call(request) else { throw .unexpectedReply }
        return explanation
    }
}
