import TQModel

/// The order of the deliveries since an `orderBegan`; those of claims with the same queues are compared.
struct OrderCheck {
    /// Where the phase began.
    let began: Int
    private var lines: [[QueueNumber]: Line] = [:]

    private struct Line {
        var rank: Rank
        /// The submit of that rank that was invoked last among the tasks delivered.
        var submitInvoked: Int
        var task: TaskID
    }

    init(began: Int) { self.began = began }

    /// Takes the next delivery; returns what is wrong when a task that comes certainly later was delivered before.
    mutating func check(_ record: TaskRecord, claim: OpenOperation, _ queues: [QueueNumber]) -> String? {
        // Of an arranged one nobody knows where it stands.
        guard claim.invoked > began, let spec = record.spec, record.arrangements.isEmpty, !spec.takesTurns,
            !spec.hasDependencies
        else {
            return nil
        }
        let here = Line(rank: spec.rank, submitInvoked: record.submitInvoked, task: record.id)
        guard let line = lines[queues], line.rank <= spec.rank else {
            defer { lines[queues] = here }
            return lines[queues].map { "Delivered after task \($0.task), which has a lower priority" }
        }
        if line.rank < spec.rank || line.submitInvoked < record.submitInvoked { lines[queues] = here }
        guard line.rank == spec.rank, record.known < line.submitInvoked else { return nil }
        return "Delivered after task \(line.task), which was submitted later"
    }
}
