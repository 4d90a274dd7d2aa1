import HistoryChecker
import QueueCore
import TQModel

/// What each task's payload is, as the core decided it: whoever sees another one when a delivery leaves has found a mistake.
///
/// The history cannot tell which of several submits that were under way together took a task's place last.
struct Payloads {
    private var decided: [TaskID: (payload: Digest, group: GroupID, isAcknowledged: Bool)] = [:]

    /// The core took a submit, in that group.
    mutating func decide(_ id: TaskID, _ payload: Digest, in group: GroupID) { decided[id] = (payload, group, false) }

    /// The core may give a task another payload from now on.
    mutating func doubt(_ id: TaskID) { decided[id] = nil }

    /// A group puts a dead letter back, with the payload that the last of its rows has.
    mutating func redrive(_ id: TaskID, _ payload: Digest, in group: GroupID) {
        if let last = decided[id], last.payload == payload || last.group.rawValue > group.rawValue { return }
        decided[id] = (payload, group, false)
    }

    /// A client heard that its submit, or its redrive, is stored.
    mutating func acknowledge(_ id: TaskID, _ payload: Digest) {
        if decided[id]?.payload == payload { decided[id]?.isAcknowledged = true }
    }

    /// What no client has heard of may be lost.
    mutating func restart() { decided = decided.filter(\.value.isAcknowledged) }

    /// Looks at tasks on their way to a worker; one whose lease has ended meanwhile may be another by now.
    func check(_ reply: Reply, _ core: QueueCore) throws(Broken) {
        let deliveries: [Delivery]
        switch reply {
        case .claimed(let claimed), .delivery(_, let claimed): deliveries = claimed
        default: return
        }
        for delivery in deliveries where core.payloadPlace(of: delivery.lease) != nil {
            let payload = Digest(of: delivery.payload)
            guard let (expected, _, _) = decided[delivery.lease.task], payload != expected else { continue }
            throw Broken("I10", "Task \(delivery.lease.task) leaves with payload \(payload), it has \(expected)")
        }
    }
}
