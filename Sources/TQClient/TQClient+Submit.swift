public import TQModel

extension TQClient {
    /// Stores a task; it is on the broker's disk when this returns.
    ///
    /// A queue that is full, or a broker that refuses submits for now, is tried again
    /// for ``ClientOptions/submitPatience``. So is one whose outcome the broker does not know, with its key.
    /// - Throws: The broker's refusal, `connectionFailed` when the task was never sent, `outcomeUnknown` when it was:
    ///   whoever wants to submit it again after that without making a second task gives it a key of his own.
    @discardableResult
    public func submit(_ task: TaskSpec) async throws(TQError) -> TaskID {
        guard let result = try await submit([task]).first else { throw .unexpectedReply }
        return try result.get().id
    }

    /// Stores tasks in one frame; one entry per task, in their order.
    ///
    /// - Throws: What befell the request as a whole; a refusal of single tasks is in their entries.
    public func submit(_ tasks: [TaskSpec]) async throws(TQError) -> [Result<Submission, TQError>] {
        var tasks = tasks
        try encode(&tasks)
        if options.makesIdempotencyKeys { for index in tasks.indices { tasks[index].makeKeyIfMissing() } }
        let resend: Call.Resend = tasks.allSatisfy { !$0.idempotencyKey.isEmpty } ? .always : .never
        let deadline = ContinuousClock.now + options.submitPatience
        var backoff = Backoff(first: .milliseconds(20), longest: .seconds(2))
        var results = try await submitOnce(tasks, resend, until: deadline)
        while let hint = Self.refusedForNow(results).first {
            let wait = backoff.next(atLeastMilliseconds: hint.error.retryAfterMilliseconds)
            guard ContinuousClock.now + wait < deadline else { break }
            do { try await Task.sleep(for: wait) } catch { break }
            let again = Self.refusedForNow(results).map(\.index)
            do throws(TQError) {
                let retried = try await submitOnce(again.map { tasks[$0] }, resend, until: deadline)
                for (index, result) in zip(again, retried) { results[index] = result }
            } catch {
                // The others are stored, and their ids are worth more than one error for all.
                for index in again { results[index] = .failure(error) }
                break
            }
        }
        return results
    }

    /// One frame there and back; an error about all of it becomes an entry for each task when a retry may help.
    private func submitOnce(
        _ tasks: [TaskSpec],
        _ resend: Call.Resend,
        until deadline: ContinuousClock.Instant
    ) async throws(TQError) -> [Result<Submission, TQError>] {
        do throws(TQError) {
            let reply = try await session.call(
                .submit(tasks),
                resend: resend,
                patience: options.connectionPatience,
                persistence: deadline - .now
            )
            guard case .submitted(let results) = reply, results.count == tasks.count else { throw .unexpectedReply }
            return results
        } catch {
            guard error.isRefusalForNow else { throw error }
            return tasks.map { _ in .failure(error) }
        }
    }

    private static func refusedForNow(_ results: [Result<Submission, TQError>]) -> [(index: Int, error: TQError)] {
        results.enumerated().compactMap { index, result in
            guard case .failure(let error) = result, error.isRefusalForNow else { return nil }
            return (index, error)
        }
    }
}

extension TQError {
    /// Nothing has happened, and the same request may succeed later.
    fileprivate var isRefusalForNow: Bool {
        switch code {
        case .queueFull, .rateLimited, .draining, .readOnly, .diskFull: true
        default: false
        }
    }
}

extension TaskSpec {
    /// Gives the task a random key for the time in which a client sends again.
    fileprivate mutating func makeKeyIfMissing() {
        guard idempotencyKey.isEmpty else { return }
        var generator = SystemRandomNumberGenerator()
        let words = (generator.next(), generator.next())
        idempotencyKey = withUnsafeBytes(of: words) { Bytes($0) }
        idempotencyWindowMilliseconds = Defaults.automaticIdempotencyWindowMilliseconds
    }
}
