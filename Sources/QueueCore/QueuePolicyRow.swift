public import TQModel

/// What a queue says of its tasks.
public struct QueuePolicyRow: Hashable, Sendable {
    /// The queue's number.
    public var queue: UInt32
    /// What it says; nothing ends what it said before.
    public var policy: QueuePolicy

    /// Creates a row.
    public init(queue: UInt32, policy: QueuePolicy) {
        self.queue = queue
        self.policy = policy
    }
}

extension DurableIndex {
    mutating func apply(_ row: QueuePolicyRow) {
        policies[row.queue] = row.policy.isEmpty ? nil : row.policy
        queues[Int(row.queue)].aging = row.policy.aging
        queues[Int(row.queue)].noisy = row.policy.noisy
        if row.policy.isCapped { cappedQueues.insert(row.queue) } else { cappedQueues.remove(row.queue) }
    }

    /// Queues with more dead letters than they keep, in order of their numbers.
    var queuesWithSurplusLetters: [(queue: UInt32, surplus: Surplus)] {
        queues(with: { state, policy in
            Surplus(
                count: state.counts.deadLetter,
                of: UInt64(policy.deadLettersMax),
                byteCount: state.deadLetterBytes,
                of: policy.deadLetterBytesMax
            )
        })
    }

    /// Queues with more outcomes than they keep, in order of their numbers.
    var queuesWithSurplusOutcomes: [(queue: UInt32, surplus: Surplus)] {
        queues(with: { state, policy in
            Surplus(
                count: state.counts.completed + state.counts.cancelled,
                of: UInt64(policy.outcomesMax),
                byteCount: state.resultBytes,
                of: policy.resultBytesMax
            )
        })
    }

    private func queues(with surplus: (QueueState, QueuePolicy) -> Surplus) -> [(queue: UInt32, surplus: Surplus)] {
        guard !cappedQueues.isEmpty else { return [] }
        return cappedQueues.sorted().compactMap { queue in
            guard let policy = policies[queue] else { return nil }
            let surplus = surplus(queues[Int(queue)], policy)
            return surplus.isNone ? nil : (queue, surplus)
        }
    }

    /// Takes what a queue says of its tasks.
    ///
    /// - Throws: A sentence when the store does not know the queue.
    public mutating func recover(_ row: QueuePolicyRow) throws(RecoveryError) {
        guard row.queue > 0, Int(row.queue) < queues.count else {
            throw RecoveryError("a policy is that of queue \(row.queue), which is unknown")
        }
        apply(row)
    }

    /// What queues say of their tasks, in order of their numbers.
    public var queuePolicies: [QueuePolicyRow] {
        policies.keys.sorted().compactMap { queue in policies[queue].map { QueuePolicyRow(queue: queue, policy: $0) } }
    }
}

/// By how much something is more than is kept.
struct Surplus {
    private var count: UInt64
    private var byteCount: UInt64

    /// - Parameters:
    ///   - countMax: 0 for no bound.
    ///   - byteCountMax: 0 for no bound.
    init(count: UInt64, of countMax: UInt64, byteCount: UInt64, of byteCountMax: UInt64) {
        self.count = countMax > 0 && count > countMax ? count - countMax : 0
        self.byteCount = byteCountMax > 0 && byteCount > byteCountMax ? byteCount - byteCountMax : 0
    }

    var isNone: Bool { count == 0 && byteCount == 0 }

    /// Notes that one goes that has so many bytes.
    mutating func remove(byteCount: UInt64) {
        count -= min(1, count)
        self.byteCount -= min(byteCount, self.byteCount)
    }
}

extension QueuePolicy {
    fileprivate var isCapped: Bool {
        deadLettersMax > 0 || deadLetterBytesMax > 0 || outcomesMax > 0 || resultBytesMax > 0
    }
}
