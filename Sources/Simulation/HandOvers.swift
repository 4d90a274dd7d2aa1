import HistoryChecker
import QueueCore
import TQModel

/// What completions hand over: a batch must hold a completion together with all of its follow-ups, or none of it.
///
/// Follow-ups with a key may be there already, so they are not looked at.
struct HandOvers {
    /// What the completions with a lease hand over; a client may try again with other tasks.
    private var byLease: [LeaseToken: Set<Set<Digest>>] = [:]
    private var leases: [Digest: LeaseToken] = [:]

    /// Remembers what a client is about to ask.
    mutating func note(_ completion: Completion) {
        let token = completion.lease.token
        let followUps = completion.followUps
            .filter { $0.idempotencyKey.isEmpty && $0.uniqueKey == nil }
            .map { Digest(of: $0.payload) }
        byLease[token, default: []].insert(Set(followUps))
        for followUp in followUps { leases[followUp] = token }
    }

    /// Compares a group with what was asked.
    func check(_ effects: EffectBatch) throws(Broken) {
        var found: [LeaseToken: Set<Digest>] = [:]
        for segment in effects.segments where !segment.key.isMoved {
            var start = segment.firstBody
            for row in effects.tasks[segment.firstTask..<segment.firstTask + segment.taskCount] {
                let end = start + Int(row.bodyByteCount)
                let payload = Digest(of: effects.bodies[start..<end])
                if let token = leases[payload] { found[token, default: []].insert(payload) }
                start = end
            }
        }
        for outcome in effects.outcomes where outcome.state == .completed {
            guard let asked = byLease[outcome.token] else { continue }
            let followUps = found.removeValue(forKey: outcome.token) ?? []
            guard asked.contains(followUps) else {
                throw Broken("I2", "A completion with token \(outcome.token) has \(followUps.count) of its follow-ups")
            }
        }
        guard let (token, _) = found.min(by: { $0.key < $1.key }) else { return }
        throw Broken("I2", "Follow-ups of the completion with token \(token) are stored without it")
    }
}
