import HistoryChecker
import QueueCore
import Storage
import TQModel

extension Simulation {
    /// A group of weight 3 has three turns where one of weight 1 waits for its next one, and one more at the same time as that;
    /// the one that waits may have had a turn of its own just before others came.
    private static let turnsMax = 8

    /// Claims one task after the other while nothing else happens: groups of which some task could run take turns.
    mutating func checkTurns() throws(Broken) {
        guard !isReadOnly(), try settle(), broker.process.gates.isEmpty else { return }
        let queue = UInt32(1 + dice.below(Cast.queues.count))
        let name = broker.process.core.index.name(.queue, queue)
        // Where noisy groups wait, it is not only turns that count.
        let isNoiseHeard = broker.process.core.index.queuePolicies.contains {
            $0.queue == queue && $0.policy.noisy != nil
        }
        guard !name.bytes.isEmpty, !isNoiseHeard else { return }
        var turns = TurnCount(most: Self.turnsMax)
        for _ in 0..<16 {
            let waiting = broker.process.core.index.sharedTasks.filter { $0.state == .pending && $0.queue == queue }
            let call = Call.claim(queues: [Cast.number(name)])
            guard case .claimed(let deliveries)? = try reply(to: .claim(ClaimSpec(queues: [name])), calls: [call]),
                let delivery = deliveries.first
            else { return }
            let sequence = TaskIDCipher(key: broker.identity.key).sequence(of: delivery.lease.task)
            let group = waiting.first { $0.sequence == sequence }?.sharing.group
            report.hits.count(.event(.turnTaken), by: try turns.take(group, delivery.priority, waiting))
        }
    }
}

extension Simulation {
    /// Claims one task after the other while nothing else happens: none of a noisy group comes as long as a quieter one has
    /// something to do.
    mutating func checkNoise() throws(Broken) {
        guard !isReadOnly(), try settle(), broker.process.gates.isEmpty else { return }
        if dice.oneIn(2), let task = dice.pick(broker.process.core.index.sharedTasks.filter { $0.sharing.group != nil })
        {
            // Each group of which a task runs is noisy.
            let policy = QueuePolicy(noisy: NoisyRule(percent: 1, runningMin: 1))
            let queue = broker.process.core.index.name(.queue, task.queue)
            guard try reply(to: .putQueuePolicy(queue, policy)) == .done else { return }
        }
        let queues = broker.process.core.index.queuePolicies.filter { $0.policy.noisy != nil }
        guard let row = dice.pick(queues), let rule = row.policy.noisy else { return }
        let name = broker.process.core.index.name(.queue, row.queue)
        for _ in 0..<16 {
            let noise = Noise(rule, broker.process.core.index.runningTasks)
            let before = pending(in: row.queue)
            let call = Call.claim(queues: [Cast.number(name)])
            guard case .claimed(let deliveries)? = try reply(to: .claim(ClaimSpec(queues: [name])), calls: [call]),
                let delivery = deliveries.first
            else { return }
            let sequence = TaskIDCipher(key: broker.identity.key).sequence(of: delivery.lease.task)
            guard let taken = before.first(where: { $0.sequence == sequence }) else { continue }
            // One that was late is gone, and was none that could be taken.
            let others = pending(in: row.queue).filter {
                $0.rank.priority == taken.rank.priority && $0.sharing.serialKey == nil
            }
            if let quieter = others.first(where: { noise.of($0) < noise.of(taken) }) {
                throw Broken("I23", "\(taken) of a noisy group was claimed before \(quieter): \(noise)")
            }
            guard others.contains(where: { noise.of($0) > noise.of(taken) }) else { continue }
            report.hits.count(.event(noise.of(taken) == 0 ? .quietFirst : .leastNoisyFirst))
        }
    }
}

/// Which groups are noisy.
private struct Noise {
    private let rule: NoisyRule
    private let count: Int
    private var running: [Name: Int] = [:]

    init(_ rule: NoisyRule, _ tasks: [IndexedPlace]) {
        (self.rule, count) = (rule, tasks.count)
        for task in tasks { if let group = task.sharing.group { running[group, default: 0] += 1 } }
    }

    /// How many tasks of a task's group run, 0 when it is quiet.
    func of(_ task: IndexedPlace) -> Int {
        guard let own = task.sharing.group.flatMap({ running[$0] }), own >= Int(rule.runningMin),
            own * 100 > count * Int(rule.percent)
        else { return 0 }
        return own
    }
}

/// The turns of other groups since each group had its own.
private struct TurnCount {
    let most: Int
    private var priority: Priority?
    private var passed: [Name: [Name?: Int]] = [:]

    init(most: Int) { self.most = most }

    /// Takes the next turn, and says how many groups waited for theirs.
    mutating func take(_ group: Name?, _ priority: Priority, _ waiting: [IndexedPlace]) throws(Broken) -> Int {
        // Turns are those of one priority.
        if self.priority != priority { (self.priority, passed) = (priority, [:]) }
        if let group { passed[group] = nil }
        let free = waiting.filter {
            $0.rank == priority.rank && $0.sharing.limitKey == nil && $0.sharing.serialKey == nil
        }
        let others = Set(free.compactMap(\.sharing.group)).subtracting([group].compactMap { $0 })
        for other in others {
            passed[other, default: [:]][group, default: 0] += 1
            guard passed[other]?[group] ?? 0 <= most else {
                let served = group.map { "group \($0)" } ?? "what has no group"
                throw Broken("I23", "Group \(other) waits while \(served) has \(most + 1) turns")
            }
        }
        return others.count
    }
}
