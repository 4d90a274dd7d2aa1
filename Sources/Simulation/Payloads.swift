import HistoryChecker
import QueueCore
import TQModel

extension Digest {
    /// The digest of a payload or a result and of what it is said to be, so that nobody loses the one without the other.
    init(of bytes: Bytes, _ content: Content) {
        let words = content == .unspecified ? [] : [content.encoding.rawValue] + (content.type?.bytes ?? [])
        self.init(of: bytes + words)
    }

    /// The digest of a task's payload.
    init(ofPayload task: TaskSpec) { self.init(of: task.payload, task.content) }
}

/// What each task's payload and tags are, as the core decided it: whoever sees others has found a mistake.
///
/// The history cannot tell which of several submits that were under way together took a task's place last.
struct Payloads {
    private var decided: [TaskID: (payload: Digest, tags: [TaskTag]?, isAcknowledged: Bool)] = [:]

    /// The core took a submit.
    mutating func decide(_ id: TaskID, _ payload: Digest, _ tags: [TaskTag]) { decided[id] = (payload, tags, false) }

    /// The core took a redrive with another payload.
    mutating func decide(_ id: TaskID, _ payload: Digest) { decided[id] = (payload, decided[id]?.tags, false) }

    /// A client heard that its submit, or its redrive, is stored.
    mutating func acknowledge(_ id: TaskID, _ payload: Digest) {
        if decided[id]?.payload == payload { decided[id]?.isAcknowledged = true }
    }

    /// What no client has heard of may be lost.
    mutating func restart() { decided = decided.filter(\.value.isAcknowledged) }

    /// Looks at a task while nothing else happens.
    func check(_ status: TaskStatus) throws(Broken) {
        guard let tags = decided[status.id]?.tags, status.tags != tags else { return }
        throw Broken("I10", "Task \(status.id) has the tags \(status.tags), it was given \(tags)")
    }

    /// Looks at tasks on their way to a worker; one whose lease has ended meanwhile may be another by now.
    func check(_ reply: Reply, _ core: QueueCore) throws(Broken) {
        let deliveries: [Delivery]
        switch reply {
        case .claimed(let claimed), .delivery(_, let claimed): deliveries = claimed
        default: return
        }
        for delivery in deliveries where core.payloadPlace(of: delivery.lease) != nil {
            let payload = Digest(of: delivery.payload, delivery.content)
            guard let (expected, _, _) = decided[delivery.lease.task], payload != expected else { continue }
            throw Broken("I10", "Task \(delivery.lease.task) leaves with payload \(payload), it has \(expected)")
        }
    }
}
