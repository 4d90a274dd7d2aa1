import ByteStore
import HistoryChecker
import QueueCore
import TQModel

extension Simulation {
    /// The one queue that says how often its tasks are tried again: of the others the history knows that exactly.
    private static let retryingQueue = Cast.queues[1]
    /// The one queue that keeps so much of what is over and no more.
    static let cappedQueue = Cast.queues[2]

    /// Says what the tasks of a queue get; recovery must not forget it, and no task gets less than it asks for.
    mutating func putPolicy(_ client: Int) {
        guard let queue = dice.pick(Cast.queues) else { return }
        var policy = QueuePolicy()
        if dice.oneIn(2) { policy.retryPolicy = dice.pick(Cast.retryPolicies) ?? nil }
        if queue == Self.retryingQueue { policy.retriesMax = UInt16(dice.below(Int(Defaults.retriesMax) + 1)) }
        if dice.oneIn(2) { policy.leaseMilliseconds = UInt32(500 + dice.below(8_000)) }
        if dice.oneIn(2) { policy.retentionMilliseconds = Self.shortestKeptMilliseconds * UInt64(1 + dice.below(2)) }
        if dice.oneIn(3) { policy.deadLetterRetentionMilliseconds = Self.shortestKeptMilliseconds }
        if dice.oneIn(3) {
            policy.aging = PriorityAging(
                stepMilliseconds: UInt32(1 + dice.below(200)),
                most: UInt8(1 + dice.below(255))
            )
        }
        if dice.oneIn(3) {
            policy.noisy = NoisyRule(percent: UInt8(1 + dice.below(60)), runningMin: UInt32(1 + dice.below(3)))
        }
        if queue == Self.cappedQueue {
            policy.deadLettersMax = UInt32(dice.below(4))
            policy.deadLetterBytesMax = UInt64(dice.below(4) * 50)
            policy.outcomesMax = UInt32(dice.below(4) * 5)
            policy.resultBytesMax = UInt64(dice.below(3) * 50)
        }
        ask(client, .putQueuePolicy(queue, dice.oneIn(4) ? QueuePolicy() : policy))
    }

    /// A dead letter expires when its time is over, and not before.
    func checkExpiry(of effects: EffectBatch) throws(Broken) {
        let buckets = Dictionary(effects.redrivenDeadLetters.map { ($0.sequence, $0.bucket) }) { $1 }
        for outcome in effects.outcomes where outcome.cancelReason == .expired {
            guard let bucket = buckets[outcome.sequence], bucket.rawValue > 0,
                bucket.isExpired(storeMilliseconds: effects.storeMilliseconds)
            else { throw Broken("I16", "Dead letter \(outcome.sequence) expired before its time") }
        }
    }

    /// At rest: a queue that is to keep fewer dead letters than it has loses the oldest.
    mutating func checkCap() throws(Broken) {
        let before = cappedDeadLetters
        guard before.count > 1, !isReadOnly(), try settle() else { return }
        let most = 1 + dice.below(before.count - 1)
        let policy = QueuePolicy(deadLettersMax: UInt32(most))
        guard try reply(to: .putQueuePolicy(Self.cappedQueue, policy)) == .done else { return }
        displaced = []
        tick()
        guard try settle(), !isReadOnly() else { return }
        let left = cappedDeadLetters
        if displaced.isEmpty, left.count > most {
            throw Broken("I14", "\(left.count) dead letters are kept where the queue keeps \(most)")
        }
        if let old = left.first(where: { old in before.contains(old) && displaced.contains { $0 > old } }) {
            throw Broken("I1", "Dead letter \(old) is kept, and a later one of its queue was one too many")
        }
        report.hits.count(.event(.deadLettersCapped))
    }

    /// At rest: a queue that is to keep fewer outcomes than it has loses those that would expire first.
    mutating func checkOutcomeCap() throws(Broken) {
        guard !isReadOnly(), try settle(), let before = try cappedOutcomes(), before.count > 1 else { return }
        let most = 1 + dice.below(before.count - 1)
        let policy = QueuePolicy(outcomesMax: UInt32(most))
        guard try reply(to: .putQueuePolicy(Self.cappedQueue, policy)) == .done else { return }
        // What a tick ends is stored only then, and may be one too many for the next one.
        try expireWhatIsDue()
        guard try settle(), !isReadOnly(), let left = try cappedOutcomes() else { return }
        guard left.count <= most else {
            throw Broken("I14", "\(left.count) outcomes are kept where the queue keeps \(most)")
        }
        let old = left.filter(before.contains)
        guard old == Array(before.suffix(old.count)), old.count == left.count ? old.count == most : true else {
            throw Broken("I1", "Of outcomes \(before) a queue keeps \(left), and should keep the last \(most)")
        }
        report.hits.count(.event(.outcomesCapped))
    }

    /// The ended tasks of the capped queue in the order in which they expire; `nil` when there are too many to see at once.
    private mutating func cappedOutcomes() throws(Broken) -> [TaskID]? {
        let filter = TaskFilter(states: [.completed, .cancelled], queue: Self.cappedQueue)
        let query = TaskQuery(filter: filter, count: Limits.taskPageMax)
        guard case .tasks(let page)? = try reply(to: .tasks(query)), page.next.isEmpty else { return nil }
        return page.tasks.map(\.id)
    }

    /// The dead letters of the capped queue in the order of their submits.
    private var cappedDeadLetters: [TaskSequence] {
        let index = broker.process.core.index
        let numbers = (0..<UInt32(index.queueCount)).map { $0 + 1 }
        guard let queue = numbers.first(where: { index.name(.queue, $0) == Self.cappedQueue }) else { return [] }
        func key(_ queue: UInt32) -> [UInt8] {
            withUnsafeBytes(of: queue.bigEndian) { [UInt8(ascii: "D"), 1] + Array($0) }
        }
        var found: [TaskSequence] = []
        try? broker.disk.scan(.index, from: key(queue), to: key(queue + 1)) { key, _ throws(StorageError) in
            found.append(TaskSequence(key.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }))
            return .continue
        }
        return found
    }

    /// Long after the last burial no dead letter is left that is not kept until somebody decides.
    func checkNoneExpires() throws(Broken) {
        var left = 0
        let (lower, upper) = ([UInt8(ascii: "E")], [UInt8(ascii: "F")])
        try? broker.disk.scan(.index, from: lower, to: upper) { _, _ throws(StorageError) in
            left += 1
            return .continue
        }
        if left > 0 { throw Broken("I14", "\(left) dead letters are kept although their time is over") }
    }

    /// As many retries as a task has at least, whatever its queue says.
    func retriesMin(of spec: TaskSpec) -> UInt16 {
        let said = spec.retriesMax ?? spec.retryPolicy?.listedRetries
        return said ?? (spec.queue == Self.retryingQueue ? 0 : Defaults.retriesMax)
    }
}
