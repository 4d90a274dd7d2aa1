import HistoryChecker
import TQClient
import TQModel

/// A client whose requests and replies are in the history: each request before it leaves, each reply before it is used.
struct RecordedClient: Sendable {
    let load: Load
    private let client: TQClient
    private let number: UInt32
    private let recorder: Recorder

    init(_ client: TQClient, number: UInt32, _ load: Load, _ recorder: Recorder) {
        self.client = client
        self.number = number
        self.load = load
        self.recorder = recorder
    }

    /// A task to submit, and what the checker is told of it.
    struct Draft {
        var spec: TaskSpec
        var call: SubmitCall
    }

    /// Submits tasks; the ids of those that were taken, `nil` for the others.
    func submit(_ drafts: [Draft]) async -> [TaskID?] {
        let outcomes = await perform(drafts.map { .submit($0.call) }) { () async throws(TQError) in
            try await client.submit(drafts.map(\.spec)).map { result -> Outcome in
                switch result {
                case .success(let submission) where submission.isReplacement: .replaced(submission.id)
                case .success(let submission): .submitted(submission.id, isDuplicate: submission.isDuplicate)
                case .failure(let error): Outcome(error)
                }
            }
        }
        return outcomes.map { if case .submitted(let id, _) = $0 { id } else { nil } }
    }

    /// Claims tasks from queues with these numbers.
    func claim(_ queues: [QueueNumber], count: UInt32, leaseMilliseconds: UInt32) async -> [Delivery] {
        let claim = ClaimSpec(
            queues: queues.map { Load.queues[Int($0) - 1] },
            count: count,
            waitMilliseconds: 100,
            leaseMilliseconds: leaseMilliseconds
        )
        var deliveries: [Delivery] = []
        _ = await perform([.claim(queues: queues)]) { () async throws(TQError) in
            deliveries = try await client.claim(claim)
            return [.delivered(deliveries.map(Delivered.init))]
        }
        return deliveries
    }

    func complete(_ completions: [Completion]) async {
        let calls = completions.map { Call.complete($0.lease, result: Digest(of: $0.result)) }
        await end(calls) { () async throws(TQError) in try await client.complete(completions) }
    }

    func fail(_ failures: [Failure]) async {
        let calls = failures.map {
            Call.fail($0.lease, isPermanent: $0.isPermanent, retryAfterMilliseconds: $0.retryAfterMilliseconds)
        }
        await end(calls) { () async throws(TQError) in try await client.fail(failures) }
    }

    func release(_ releases: [Release]) async {
        let calls = releases.map { Call.release($0.lease, delayMilliseconds: $0.delayMilliseconds) }
        await end(calls) { () async throws(TQError) in try await client.release(releases) }
    }

    func renew(_ renewals: [Renewal]) async {
        let calls = renewals.map { Call.renew($0.lease, leaseMilliseconds: $0.leaseMilliseconds) }
        await end(calls) { () async throws(TQError) in try await client.renew(renewals) }
    }

    func cancel(_ ids: [TaskID]) async {
        guard !ids.isEmpty else { return }
        _ = await perform(ids.map { .cancel($0) }) { () async throws(TQError) in
            try await client.cancel(ids).map { entry -> Outcome in
                switch entry {
                case .success(.cancelled): .done
                case .success(.requested): .cancelRequested
                case .failure(let error): Outcome(error)
                }
            }
        }
    }

    func redrive(_ ids: [TaskID]) async {
        await end(ids.map { .redrive($0, payload: nil) }) { () async throws(TQError) in try await client.redrive(ids) }
    }

    private func end(_ calls: [Call], _ request: () async throws(TQError) -> [TQError?]) async {
        guard !calls.isEmpty else { return }
        _ = await perform(calls) { () async throws(TQError) in
            try await request().map { $0.map { Outcome($0) } ?? .done }
        }
    }

    /// Records the calls, makes the request that stands for all of them, and records what became of each.
    private func perform(
        _ calls: [Call],
        _ request: () async throws(TQError) -> [Outcome]
    ) async -> [Outcome] {
        await load.gate.pass {
            let operations = calls.map { (number: load.newOperation(), call: $0) }
            recorder.record(operations.map { .invoked($0.number, $0.call) }, client: number)
            let outcomes: [Outcome]
            do throws(TQError) {
                outcomes = try await request()
            } catch {
                outcomes = calls.map { _ in Outcome(error) }
            }
            let returns = zip(operations, outcomes).map { Event.Kind.returned($0.number, $1) }
            recorder.record(returns, client: number)
            return outcomes
        }
    }
}

extension Outcome {
    /// What an error tells of a request: that nothing was done, unless the answer is lost or leaves it open.
    init(_ error: TQError) {
        switch error.code {
        case .outcomeUnknown, .connectionFailed, .timedOut, .internalError: self = .unknown
        default: self = .refused(error.code)
        }
    }
}

extension Delivered {
    init(_ delivery: Delivery) {
        self.init(
            lease: delivery.lease,
            attempt: delivery.attempt,
            leaseMilliseconds: delivery.leaseMilliseconds,
            payload: Digest(of: delivery.payload)
        )
    }
}
