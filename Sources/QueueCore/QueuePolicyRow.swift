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
        if row.policy.deadLettersMax > 0 { cappedQueues.insert(row.queue) } else { cappedQueues.remove(row.queue) }
    }

    /// Queues with more dead letters than they keep, and how many more, in order of their numbers.
    var overfullQueues: [(queue: UInt32, excess: UInt64)] {
        cappedQueues.compactMap { queue in
            let count = queues[Int(queue)].counts.deadLetter
            let most = UInt64(policies[queue]?.deadLettersMax ?? .max)
            return count > most ? (queue, count - most) : nil
        }
        .sorted { $0.queue < $1.queue }
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
