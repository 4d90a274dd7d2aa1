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
        guard !name.bytes.isEmpty else { return }
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
