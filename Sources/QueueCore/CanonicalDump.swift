public import TQModel

extension DurableIndex {
    /// Every durable fact, one line each, in one order: equal for equal indexes however they came about.
    ///
    /// For tests and the simulator; it is as long as the queue.
    public var canonicalDump: [String] {
        canonicalText.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The lines of `canonicalDump` as UTF-8, each with a line feed at its end: what is compared all the time.
    public var canonicalText: [UInt8] {
        var text = DumpText()
        text.line("next", nextSequence)
        tasks.forEach { sequence, slot in add(sequence, slot, to: &text) }
        for number in queues.indices.dropFirst() {
            text.add("queue", number)
            text.add("", queueNames.namespace(UInt32(number)))
            text.add("", queueNames.name(UInt32(number)).bytes)
            for state in TaskState.allCases { text.add("", queues[number].counts[state]) }
            text.endLine()
        }
        for number in (0..<typeNames.count).map({ $0 + 1 }) {
            text.add("type", number)
            text.line("", typeNames.name(UInt32(number)).bytes)
        }
        for number in (0..<contentTypes.count).map({ $0 + 1 }) {
            text.add("content type", number)
            text.line("", contentTypes.name(UInt32(number)).bytes)
        }
        for number in workers.keys.sorted() {
            text.add("worker", number)
            text.line("", workers[number]?.spec.name.bytes ?? [])
        }
        for row in queuePolicies { text.add(row) }
        for row in gates.sorted {
            text.add(row)
            if row.key.kind == .type { text.line("running", gates.running(ofType: row.key.number) ?? 0) }
        }
        for key in sharings.sortedKeys {
            text.add("sharing", key.gateKey.kind.rawValue)
            text.add("", key.gateKey.number)
            text.add("", key.gateKey.name.bytes)
            text.add("running", key.running)
            text.line("", key.serialRunning)
        }
        for number in recurring.keys.sorted() { if let task = recurring[number] { text.add(task) } }
        for operation in bulkInOrder { text.add(operation) }
        for row in keys.sorted { text.add(row) }
        for (hash, holder) in uniqueKeys.sorted {
            text.add("held", hash.high)
            text.add("", hash.low)
            text.add("by", holder.sequence.rawValue)
            text.line("", holder.createdMilliseconds)
        }
        for key in counters.keys.sorted() {
            text.add(key)
            text.line("", counters[key] ?? 0)
        }
        for record in records.sorted {
            text.add(record.isSegment ? "record segment" : "record transitions", record.key)
            text.line("", record.live)
        }
        return text.bytes
    }

    private func add(_ sequence: TaskSequence, _ slot: TaskSlot, to text: inout DumpText) {
        text.add("task", sequence.rawValue)
        text.add("", word: slot.state.name)
        text.add("created", slot.createdMilliseconds)
        text.add("queue", slot.queue)
        text.add("type", slot.type)
        text.add("rank", slot.rank.rawValue)
        text.add("attempts", slot.attempts)
        text.add("crashes", slot.crashes)
        if slot.content != .unspecified { text.add("content", slot.content.rawValue) }
        text.add("segment", records[slot.segment].key)
        if !slot.state.isFinal { text.add("place", slot.place) }
        for older in olderRows[sequence] ?? [] { text.add("older", records[older].key) }
        if slot.transition != 0 { text.add("transition", records[slot.transition].group) }
        if slot.isRedriven { text.add("", word: "redriven") }
        if slot.isArranged { text.add("", word: "arranged") }
        if slot.hasEarlierAttempts { text.add("", word: "again") }
        if slot.state == .inProgress {
            let lease = leases[slot.link]
            text.add("token", lease.token.rawValue)
            text.add("worker", lease.worker)
            text.add("lease", lease.durationMilliseconds)
            text.add("since", lease.claimedStoreMilliseconds)
            if lease.isCancelRequested { text.add("", word: "cancelRequested") }
            if let progress = progress[sequence] {
                text.add("progress", progress.percent)
                text.add("", progress.message)
            }
        }
        if let checkpoint = checkpoints[sequence] { text.add("checkpoint", checkpoint) }
        if let location = outcomeLocation(slot, sequence) {
            text.add("outcome", location.bucket.rawValue)
            text.add("", location.group)
            text.add("", location.part)
        }
        if let options = options[sequence] { text.add(options) }
        text.endLine()
    }

    /// Pending tasks in the order in which a claim would take them, queue by queue, and behind them those that share something;
    /// for tests.
    public var pendingOrder: [[TaskSequence]] {
        var copy = self
        return (0..<queues.count).map { number in
            var order: [TaskSequence] = []
            var seen: Set<TaskSequence> = []
            while let entry = copy.queues[number].first(type: nil, tasks: copy.tasks, queue: UInt32(number)) {
                copy.queues[number].removeFirst(entry, type: nil)
                if seen.insert(entry.sequence).inserted { order.append(entry.sequence) }
            }
            return order + sharedPending(queue: UInt32(number))
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
        tasks.count + records.liveCount + options.count + starts.count + latestStarts.count + leases.count + keys.count
            + progress.count + checkpoints.count + olderRows.count
            + uniqueKeys.sorted.count { tasks[$0.holder.sequence].isLive }
            + carriedOutcomes.count + bucketCounters.count + sharings.count + dependents.count
    }
}

/// Lines of labels and values: written by hand, because interpolated strings take ten times as long.
private struct DumpText {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ label: StaticString, _ number: some FixedWidthInteger) {
        begin(label)
        var digits: InlineArray<20, UInt8> = .init(repeating: 0)
        var count = 0
        var rest = number.magnitude
        repeat {
            digits[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
            count += 1
        } while rest > 0
        if number < 0 { bytes.append(UInt8(ascii: "-")) }
        while count > 0 {
            count -= 1
            bytes.append(digits[count])
        }
    }

    mutating func add(_ label: StaticString, _ group: GroupID) {
        add(label, group.epoch)
        add("", group.counter)
    }

    mutating func add(_ label: StaticString, _ segment: SegmentKey) {
        add(label, segment.group)
        add("", segment.part)
    }

    mutating func add(_ label: StaticString, _ text: Bytes) {
        begin(label)
        bytes.append(contentsOf: text)
    }

    mutating func add(_ label: StaticString, word: String) {
        begin(label)
        bytes.append(contentsOf: word.utf8)
    }

    mutating func endLine() { bytes.append(UInt8(ascii: "\n")) }

    mutating func line(_ label: StaticString, _ number: some FixedWidthInteger) {
        add(label, number)
        endLine()
    }

    mutating func line(_ label: StaticString, _ text: Bytes) {
        add(label, text)
        endLine()
    }

    private mutating func begin(_ label: StaticString) {
        if let last = bytes.last, last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: " ")) }
        guard label.utf8CodeUnitCount > 0 else { return }
        bytes.append(contentsOf: UnsafeBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount))
        bytes.append(UInt8(ascii: " "))
    }
}

// Spelled out, because the default description of a structure takes a hundred times as long.

extension DumpText {
    fileprivate mutating func add(_ options: TaskOptions) {
        add("options start", options.start.rawValue)
        add("lease", options.leaseMilliseconds)
        add("timeout", options.timeoutMilliseconds)
        add("retries", options.retriesMax.map(Int.init) ?? -1)
        add("crashes", options.crashesMax.map(Int.init) ?? -1)
        add("retry", options.retryPolicy)
        add("retention", options.retentionMilliseconds)
        add("", options.deadLetterRetentionMilliseconds)
        add("by", options.startBy.rawValue)
        add("", word: options.buriesLate ? "bury" : "cancel")
        add("keys", options.sharing.limitKey?.bytes ?? [])
        add("", options.sharing.serialKey?.bytes ?? [])
        add("", options.uniqueKey?.hash.high ?? 0)
        add("", options.uniqueKey?.hash.low ?? 0)
        add("", options.uniqueKey?.scope.rawValue ?? 0)
        add("fair", options.sharing.group?.bytes ?? [])
        add("", options.sharing.weight)
        if let dependencies = options.dependencies { add(dependencies) }
        add("batch", options.batch)
        add("tick", options.tick?.recurring ?? 0)
        add("", options.tick?.wallMilliseconds ?? 0)
        add("client", word: options.clientID?.description ?? "-")
        add("tags", options.tagCount)
    }

    fileprivate mutating func add(_ dependencies: TaskDependencies) {
        add("after", word: dependencies.condition.name)
        add("", word: dependencies.onFailure.name)
        for parent in dependencies.parents {
            add("", parent.sequence.rawValue)
            add("", parent.createdMilliseconds)
        }
        add("progress", dependencies.progress.rawValue)
    }

    fileprivate mutating func add(_ task: RecurringTask) {
        let (row, state) = (task.row, task.state)
        add("recurring", row.number)
        add("", row.namespace)
        add("", row.name.bytes)
        add("", row.recurrence)
        add("created", row.createdMilliseconds)
        add("catchUp", row.catchUpMax)
        add("overlap", row.overlap.rawValue)
        add("by", row.startByMilliseconds)
        add("", word: row.buriesLate ? "bury" : "cancel")
        add("queue", row.task.queue)
        add("type", row.task.type)
        add("rank", row.task.rank.rawValue)
        add("payload", row.payload)
        for tag in row.tags { add("tag", tag.bytes) }
        add("content", row.task.content.rawValue)
        if let options = row.task.options { add(options) }
        add("", word: state.isPaused ? "paused" : "running")
        add("through", state.throughWallMilliseconds)
        add("last", state.lastTickWallMilliseconds)
        add("", state.lastSequence.rawValue)
        add("", state.lastCreatedMilliseconds)
        add("submitted", state.submitted)
        line("skipped", state.skipped)
    }

    fileprivate mutating func add(_ operation: BulkOperation) {
        add("bulk", operation.number)
        add("", word: operation.phase.name)
        add("", word: operation.change.name)
        add("", operation.target)
        let selection = operation.selection
        add("namespace", selection.namespace)
        for state in selection.states.sorted(by: { $0.rawValue < $1.rawValue }) { add("", word: state.name) }
        add("queue", selection.queue ?? 0)
        add("type", selection.type ?? 0)
        add("", selection.types?.bytes ?? [])
        add("ranks", selection.ranks.lowerBound.rawValue)
        add("", selection.ranks.upperBound.rawValue)
        add("created", selection.created.lowerBound)
        add("", selection.created.upperBound)
        add("error", selection.error)
        add("tag", selection.tag?.bytes ?? [])
        add("rate", operation.perSecond)
        add("next", operation.next.rawValue)
        add("last", operation.last.rawValue)
        add("changed", operation.changed)
        add("refused", operation.refused)
        add("", operation.problem)
        add("from", operation.startWallMilliseconds)
        line("to", operation.endWallMilliseconds)
    }

    fileprivate mutating func add(_ row: QueuePolicyRow) {
        let policy = row.policy
        add("policy", row.queue)
        add("retry", word: policy.retryPolicy?.description ?? "-")
        add("retries", policy.retriesMax.map(Int.init) ?? -1)
        add("crashes", policy.crashesMax.map(Int.init) ?? -1)
        add("lease", policy.leaseMilliseconds)
        add("timeout", policy.timeoutMilliseconds)
        add("retention", policy.retentionMilliseconds)
        add("", policy.deadLetterRetentionMilliseconds)
        add("deadLetters", policy.deadLettersMax)
        add("", policy.deadLetterBytesMax)
        add("outcomes", policy.outcomesMax)
        add("", policy.resultBytesMax)
        add("aging", policy.aging?.stepMilliseconds ?? 0)
        add("", policy.aging?.most ?? 0)
        add("noisy", policy.noisy?.percent ?? 0)
        line("", policy.noisy?.runningMin ?? 0)
    }

    fileprivate mutating func add(_ row: GateRow) {
        add("gate", row.key.kind.rawValue)
        add("", row.key.number)
        add("since", row.pausedSinceWallMilliseconds)
        add("until", row.pausedUntilStoreMilliseconds)
        add("max", row.runningMax)
        add("rate", row.rate.count)
        add("", row.rate.milliseconds)
        add("", row.rate.burst)
        add("weight", row.weight)
        add("breaker", row.circuit.breaker.failurePercent)
        add("", row.circuit.breaker.attemptsMin)
        add("", row.circuit.breaker.windowMilliseconds)
        add("", row.circuit.breaker.openMilliseconds)
        add("", row.circuit.breaker.probes)
        add("circuit", row.circuit.state.rawValue)
        add("", row.circuit.sinceWallMilliseconds)
        add("", row.circuit.sinceStoreMilliseconds)
        line("", row.key.name.bytes)
    }

    fileprivate mutating func add(_ row: KeyRow) {
        add("key", row.key.high)
        add("", row.key.low)
        add("task", row.sequence.rawValue)
        add("", row.createdMilliseconds)
        add("content", row.contentHash)
        line("bucket", row.bucket.rawValue)
    }

    fileprivate mutating func add(_ key: CounterKey) {
        switch key {
        case .outcomes(let bucket, let queue, let state):
            add("counter outcomes", bucket.rawValue)
            add("", queue)
            add("", word: state.name)
        case .deadLetters(let queue): add("counter deadLetters", queue)
        case .resultBytes(let bucket, let queue):
            add("counter resultBytes", bucket.rawValue)
            add("", queue)
        case .deadLetterBytes(let queue): add("counter deadLetterBytes", queue)
        }
    }
}
