#if TQ_PLANT_BUGS

import TQModel

/// A bug that a broker has on purpose, to show that the crash test sees it.
///
/// `tools/crash-test --self-test` builds such a broker, in a directory of its own, with the compilation condition
/// `TQ_PLANT_BUGS`. The condition is the guard: without it neither this type nor any use of it exists.
public enum PlantedBug: String, Sendable, CaseIterable {
    /// Replies leave as soon as they are decided, before their commit group is written.
    case replyBeforeWrite
    /// A completion is accepted whatever token it shows, as long as the task is in progress.
    case completionWithoutToken
    /// Recovery does not see the first segment of tasks.
    case recoverySkipsSegment
}

extension QueueCore {
    /// The completion as the task's present holder would send it.
    func withPresentToken(_ item: Completion) -> Completion {
        guard configuration.plantedBug == .completionWithoutToken,
            case .slot(_, let slot) = find(item.lease.task), slot.state == .inProgress
        else { return item }
        let lease = LeaseHandle(task: item.lease.task, token: index.leases[slot.link].token)
        return Completion(lease: lease, result: item.result)
    }
}

#endif
