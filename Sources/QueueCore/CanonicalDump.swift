public import TQModel

extension DurableIndex {
    /// Every durable fact, one line each, in one order: equal for equal indexes however they came about.
    ///
    /// For tests and the simulator; it is as long as the queue.
    public var canonicalDump: [String] {
        var lines = ["next \(nextSequence)"]
        tasks.forEach { sequence, slot in lines.append(line(sequence, slot)) }
        lines += (1..<max(1, queues.count)).map {
            "queue \($0) \(queueNames.namespace(UInt32($0))) \(queueNames.name(UInt32($0))) \(queues[$0].counts.dumpText)"
        }
        lines += (1..<max(1, typeNames.count + 1)).map { "type \($0) \(typeNames.name(UInt32($0)))" }
        lines += workers.keys.sorted().map { "worker \($0) \(workers[$0].map { "\($0.spec.name)" } ?? "")" }
        lines += keys.sorted.map { "key \($0.dumpText)" }
        lines += counters.keys.sorted().map { "counter \($0.dumpText) \(counters[$0] ?? 0)" }
        lines += records.sorted.map {
            "record \($0.isSegment ? "segment" : "transitions") \($0.key) \($0.live)"
        }
        return lines
    }

    private func line(_ sequence: TaskSequence, _ slot: TaskSlot) -> String {
        var line =
            "task \(sequence) \(slot.state.name) created \(slot.createdMilliseconds) queue \(slot.queue) "
            + "type \(slot.type) rank \(slot.rank.rawValue) attempts \(slot.attempts) crashes \(slot.crashes) "
            + "segment \(records[slot.segment].key)"
        if slot.transition != 0 { line += " transition \(records[slot.transition].group)" }
        if slot.state == .inProgress {
            let lease = leases[slot.link]
            line += " token \(lease.token) worker \(lease.worker) lease \(lease.durationMilliseconds)"
            if let progress = progress[sequence] { line += " progress \(progress.percent) \(progress.message)" }
        }
        if let location = outcomeLocation(slot, sequence) {
            line += " outcome \(location.bucket.rawValue) \(location.group) \(location.part)"
        }
        if let options = options[sequence] { line += " options \(options.dumpText)" }
        return line
    }

    /// Pending tasks in the order in which a claim would take them, queue by queue; for tests.
    public var pendingOrder: [[TaskSequence]] {
        var copy = self
        return (0..<queues.count).map { number in
            var order: [TaskSequence] = []
            var seen: Set<TaskSequence> = []
            while let entry = copy.queues[number].first(type: nil, tasks: copy.tasks, queue: UInt32(number)) {
                copy.queues[number].removeFirst(entry, type: nil)
                if seen.insert(entry.sequence).inserted { order.append(entry.sequence) }
            }
            return order
        }
    }

    /// Counters of one queue, by its number.
    public func counts(queue: UInt32) -> TaskCounts { queues[Int(queue)].counts }

    /// Counters of all queues.
    public var counts: TaskCounts {
        var sum = TaskCounts()
        for queue in queues { for state in TaskState.allCases { sum[state] += queue.counts[state] } }
        return sum
    }

    /// Records with live entries.
    public var recordCount: Int { records.liveCount }

    /// Records of earlier starts that a turn of cleaning would rewrite; for tests.
    public func sparseRecordCount(before epoch: UInt32) -> Int {
        records.sorted.count { $0.isSparse && $0.group.epoch < epoch }
    }

    /// Everything that is kept because of some task, dead letters aside; for tests.
    public var taskEntryCount: Int {
        tasks.count + records.liveCount + options.count + starts.count + leases.count + keys.count + progress.count
            + carriedOutcomes.count + bucketCounters.count
    }
}

// Spelled out, because the default description of a structure takes a hundred times as long.

extension TaskCounts {
    fileprivate var dumpText: String { TaskState.allCases.map { "\(self[$0])" }.joined(separator: " ") }
}

extension TaskOptions {
    fileprivate var dumpText: String {
        "start \(start.rawValue) lease \(leaseMilliseconds) timeout \(timeoutMilliseconds) "
            + "retries \(retriesMax.map(Int.init) ?? -1) crashes \(crashesMax.map(Int.init) ?? -1) "
            + "backoff \(backoffMillisecondsMin) \(backoffMillisecondsMax) retention \(retentionMilliseconds) "
            + "expires \(expiresWallMilliseconds) keys \(limitKey) \(serialKey) \(uniqueKey) "
            + "fair \(fairGroup) \(fairWeight) dependencies \(dependencyCount) batch \(batch) schedule \(schedule) "
            + "client \(clientID?.description ?? "-")"
    }
}

extension KeyRow {
    fileprivate var dumpText: String {
        "\(key.high) \(key.low) task \(sequence) \(createdMilliseconds) content \(contentHash) bucket \(bucket.rawValue)"
    }
}

extension CounterKey {
    fileprivate var dumpText: String {
        switch self {
        case .outcomes(let bucket, let queue, let state): "outcomes \(bucket.rawValue) \(queue) \(state.name)"
        case .deadLetters(let queue): "deadLetters \(queue)"
        }
    }
}
