import HistoryChecker
import TQModel

/// A task in the reference queue.
struct ReferenceTask {
    let id: TaskID
    var spec: SubmitCall
    var state: TaskState
    var attempts: UInt16 = 0
    var crashes: UInt16 = 0
    var token: LeaseToken?
    /// When the lease lapses, on the monotonic clock.
    var lapse: UInt64 = 0
    /// When the attempt is taken back, on the monotonic clock.
    var attemptEnd: UInt64 = 0
    /// Whether somebody cancelled it while it ran.
    var isCancelRequested = false
    /// When a failed or released task comes back, on the monotonic clock.
    var returns: UInt64 = 0
    /// When it ended, on the monotonic clock.
    var ended: UInt64 = 0
    var result: Digest?
    /// Whether nothing ever brings it back; only mutations set this.
    var isStuck = false
}

/// All that the reference queue stores; a value, so that a power cut is an assignment.
struct ReferenceState {
    /// By sequence; `nil` for tasks that expired.
    var tasks: [ReferenceTask?] = []
    var keys: [Key: TaskID] = [:]
    var counters: [QueueNumber: TaskCounts] = [:]
    var epoch: UInt64 = 0
    var tokens: UInt64 = 0

    struct Key: Hashable {
        let queue: QueueNumber
        let key: KeyNumber
    }

    /// The task with that id, whose high half is its place.
    subscript(id: TaskID) -> ReferenceTask? {
        get { tasks.indices.contains(Int(id.high)) ? tasks[Int(id.high)] : nil }
        set {
            if let old = self[id] { counters[old.spec.queue, default: TaskCounts()][old.state] &-= 1 }
            if let new = newValue { counters[new.spec.queue, default: TaskCounts()][new.state] &+= 1 }
            tasks[Int(id.high)] = newValue
        }
    }
}
