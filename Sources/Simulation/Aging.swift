import HistoryChecker
import QueueCore
import Storage
import TQModel

extension Simulation {
    /// Claims while nothing else happens: of a queue whose priorities rise the task comes that counts as the most urgent.
    mutating func checkAging() throws(Broken) {
        guard !isReadOnly(), try settle(), broker.process.gates.isEmpty else { return }
        let queues = broker.process.core.index.queuePolicies.filter { $0.policy.aging != nil }
        guard let row = dice.pick(queues), let aging = row.policy.aging else { return }
        let name = broker.process.core.index.name(.queue, row.queue)
        for _ in 0..<2 + dice.below(4) {
            let before = pending(in: row.queue)
            let call = Call.claim(queues: [Cast.number(name)])
            guard case .claimed(let deliveries)? = try reply(to: .claim(ClaimSpec(queues: [name])), calls: [call]),
                let delivery = deliveries.first
            else { return }
            let sequence = TaskIDCipher(key: broker.identity.key).sequence(of: delivery.lease.task)
            guard let taken = before.first(where: { $0.sequence == sequence }) else { continue }
            // One that was late is gone, and was none that could be taken.
            let left = pending(in: row.queue)
            try check(taken, against: left, aging)
        }
    }

    /// The tasks of a queue that can be claimed or wait for a turn.
    func pending(in queue: UInt32) -> [IndexedPlace] {
        broker.process.core.index.pendingTasks.filter { $0.queue == queue }
    }

    private mutating func check(
        _ taken: IndexedPlace,
        against left: [IndexedPlace],
        _ aging: PriorityAging
    ) throws(Broken) {
        func comesFirst(_ task: IndexedPlace, _ other: IndexedPlace) -> Bool {
            // Of one priority the earliest submit is first, also when a clock that was set back makes it the younger one.
            let (rank, otherRank) = (task.rank(by: aging, at: now), other.rank(by: aging, at: now))
            return task.rank == other.rank || rank == otherRank ? task.sequence < other.sequence : rank < otherRank
        }
        // Groups take turns among the tasks of one priority, and a serial key has an order of its own.
        let divided = Set(
            (left + [taken]).filter { $0.sharing.group != nil || $0.sharing.serialKey != nil }.map(\.rank)
        )
        var free: [Rank: IndexedPlace] = [:]
        for task in left where !divided.contains(task.rank) && free[task.rank] == nil { free[task.rank] = task }
        if let missed = free.values.filter({ comesFirst($0, taken) }).min(by: { $0.sequence < $1.sequence }) {
            throw Broken("I8", "\(missed) counts as more urgent by \(aging) than \(taken), which was claimed before it")
        }
        if left.contains(where: { $0.rank < taken.rank }) { report.hits.count(.event(.urgentPassedOver)) }
    }
}

extension IndexedPlace {
    /// The rank by which it is claimed at a time.
    fileprivate func rank(by aging: PriorityAging, at now: Now) -> Rank {
        let waited = now.wallMilliseconds - min(now.wallMilliseconds, createdMilliseconds)
        let lane = max(0, Int(rank.rawValue >> 24) - min(Int(aging.most), Int(waited / UInt64(aging.stepMilliseconds))))
        return Rank(rawValue: UInt32(lane) << 24 | rank.rawValue & 0xff_ffff)
    }
}
