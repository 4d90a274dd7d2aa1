import TQModel

// What a task asks for goes before what its queue says, and that before the broker's settings. It is looked up when it is
// used, so that a change reaches tasks that wait already.
extension QueueCore {
    mutating func put(_ policy: QueuePolicy, of name: Name, _ asker: Asker) {
        do throws(TQError) {
            try check(policy)
            let namespace = asker.principal.namespace
            // Nothing is kept of a queue that nobody has used and that is to say nothing.
            guard !policy.isEmpty || index.queueNames.number(of: name, namespace: namespace) != nil else {
                return reply(.done, to: asker)
            }
            let row = QueuePolicyRow(queue: try number(of: name, .queue, namespace), policy: policy)
            if index.policies[row.queue] ?? QueuePolicy() != policy {
                index.apply(row)
                batch.queuePolicies.append(row)
            }
            reply(.done, to: asker)
        } catch {
            reply(error, to: asker)
        }
    }

    private func check(_ policy: QueuePolicy) throws(TQError) {
        if let retry = policy.retryPolicy { _ = try storedText(of: retry) }
        try checkLimits(retriesMax: policy.retriesMax, crashesMax: policy.crashesMax)
        try checkDuration(UInt64(policy.leaseMilliseconds), "lease")
        try checkDuration(UInt64(policy.timeoutMilliseconds), "timeout")
        try checkDuration(policy.retentionMilliseconds, "retention", longest: Self.delayMillisecondsMax)
        try check(deadLetterRetention: policy.deadLetterRetentionMilliseconds)
        if let aging = policy.aging { try check(aging) }
        guard let noisy = policy.noisy, noisy.runningMin == 0 || !(1...99).contains(noisy.percent) else { return }
        throw TQError(
            .invalidArgument,
            "A group is noisy with more than 1 to 99 % of what runs, and 1 task or more, not with \(noisy.percent) % and "
                + "\(noisy.runningMin)."
        )
    }

    private func check(_ aging: PriorityAging) throws(TQError) {
        guard aging.stepMilliseconds > 0, aging.most > 0 else {
            throw TQError(
                .invalidArgument,
                "Priorities rise by 1 to 255 at most, after 1 ms or more, not by \(aging.most) after \(aging.stepMilliseconds) ms."
            )
        }
        try checkDuration(UInt64(aging.stepMilliseconds), "time after which a priority rises")
    }

    func check(deadLetterRetention milliseconds: UInt64) throws(TQError) {
        try checkDuration(milliseconds, "retention as a dead letter", longest: Self.delayMillisecondsMax)
    }

    private func options(_ sequence: TaskSequence, _ slot: TaskSlot) -> TaskOptions? {
        slot.hasOptions ? index.options[sequence] : nil
    }

    /// What a queue says of its tasks; `nil` for nothing, which most say.
    private func policy(_ queue: UInt32) -> QueuePolicy? { index.policies.isEmpty ? nil : index.policies[queue] }

    /// How a task waits between its attempts.
    func retryPolicy(_ sequence: TaskSequence, _ slot: TaskSlot) -> RetryPolicy {
        index.retryPolicies.policy(options(sequence, slot)?.retryPolicy ?? 0)
            ?? policy(slot.queue)?.retryPolicy ?? .standard
    }

    /// Attempts after the first that a task has.
    func retriesMax(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt16 {
        let options = options(sequence, slot)
        let policy = policy(slot.queue)
        // How many waits the queue's list has says nothing of a task that waits in its own way.
        let fromQueue = options?.retryPolicy ?? 0 > 0 ? policy?.retriesMax : policy?.effectiveRetriesMax
        return options?.retriesMax ?? fromQueue ?? Defaults.retriesMax
    }

    /// Crashes that quarantine a task; 0 for never.
    func crashesMax(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt16 {
        options(sequence, slot)?.crashesMax ?? policy(slot.queue)?.crashesMax ?? Defaults.crashesMax
    }

    /// How long one lease of a task lasts.
    func leaseMilliseconds(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt32 {
        nonZero(options(sequence, slot)?.leaseMilliseconds) ?? nonZero(policy(slot.queue)?.leaseMilliseconds)
            ?? configuration.leaseMilliseconds
    }

    /// How long an attempt of a task may last in all.
    func timeoutMilliseconds(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt32 {
        nonZero(options(sequence, slot)?.timeoutMilliseconds) ?? nonZero(policy(slot.queue)?.timeoutMilliseconds)
            ?? Defaults.timeoutMilliseconds
    }

    /// How long the outcome of a task is kept.
    func retentionMilliseconds(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt64 {
        nonZero(options(sequence, slot)?.retentionMilliseconds) ?? nonZero(policy(slot.queue)?.retentionMilliseconds)
            ?? configuration.retentionMilliseconds
    }

    /// How long a task is kept as a dead letter; 0 until somebody decides.
    func deadLetterRetentionMilliseconds(_ queue: UInt32, _ options: TaskOptions?) -> UInt64 {
        nonZero(options?.deadLetterRetentionMilliseconds) ?? nonZero(policy(queue)?.deadLetterRetentionMilliseconds)
            ?? configuration.deadLetterRetentionMilliseconds
    }
}
