import TQModel

// What has ended is counted as it is stored: nobody counts it again when the broker starts.
extension DurableIndex {
    /// Takes a task out of the dead letters; its row tells the queue, so this comes after rows and before transitions.
    mutating func apply(redriven sequence: TaskSequence) {
        count(.deadLetters(queue: tasks[sequence].queue), by: -1)
    }

    mutating func apply(expiredOutcomes bucket: ExpiryBucket) {
        expiringThrough = max(expiringThrough, bucket)
        for key in bucketCounters.removeValue(forKey: bucket) ?? [] {
            guard let value = counters.removeValue(forKey: key) else { continue }
            addToQueue(key, 0 &- value)
            touchedCounters.insert(key)
        }
    }

    /// Counts a task that has just ended, for good or as a dead letter.
    mutating func count(ended slot: TaskSlot, _ transition: Transition) {
        guard !isRecovering else { return }
        let byteCount = Int64(transition.byteCount)
        if slot.state == .deadLetter {
            count(.deadLetters(queue: slot.queue), by: 1)
            count(.deadLetterBytes(queue: slot.queue), by: byteCount)
        } else {
            count(.outcomes(bucket: transition.bucket, queue: slot.queue, state: slot.state), by: 1)
            count(.resultBytes(bucket: transition.bucket, queue: slot.queue), by: byteCount)
        }
    }

    /// Takes what a transition ends out of what is counted: an outcome that is forgotten, the bytes of a dead letter that is
    /// put back.
    mutating func uncount(_ transition: Transition) {
        guard !isRecovering else { return }
        switch transition.operation {
        case .forget:
            guard let queue = transition.queue else { return }
            count(.outcomes(bucket: transition.bucket, queue: queue, state: transition.state), by: -1)
            count(.resultBytes(bucket: transition.bucket, queue: queue), by: -Int64(transition.byteCount))
        case .stage, .replace:
            let queue = tasks[transition.sequence].queue
            count(.deadLetterBytes(queue: queue), by: -Int64(transition.byteCount))
        default: break
        }
    }

    /// Buckets of outcomes whose time has come, earliest first.
    var expiredOutcomeBuckets: [ExpiryBucket] {
        bucketCounters.keys.filter { $0.isExpired(storeMilliseconds: storeMilliseconds) }.sorted()
    }

    /// How many outcomes a bucket holds.
    func outcomeCount(in bucket: ExpiryBucket) -> UInt64 {
        bucketCounters[bucket, default: []].reduce(0) { sum, key in
            if case .outcomes = key { sum + (counters[key] ?? 0) } else { sum }
        }
    }

    /// The first bucket with outcomes of a queue; 0 when it has none.
    func firstBucket(of queue: UInt32) -> ExpiryBucket {
        let buckets = bucketCounters.filter { $0.value.contains { $0.queue == queue } }
        return buckets.keys.min() ?? ExpiryBucket(rawValue: 0)
    }

    private mutating func count(_ key: CounterKey, by change: Int64) {
        guard change != 0 else { return }
        let old = counters[key] ?? 0
        let value = change < 0 ? old - min(old, change.magnitude) : old + change.magnitude
        if let bucket = key.bucket, old == 0 || value == 0 {
            bucketCounters[bucket, default: []].removeAll { $0 == key }
            if value > 0 { bucketCounters[bucket, default: []].append(key) }
        }
        counters[key] = value == 0 ? nil : value
        addToQueue(key, value &- old)
        touchedCounters.insert(key)
    }

    /// Takes a stored counter.
    mutating func set(_ row: CounterRow) {
        counters[row.key] = row.value
        if let bucket = row.key.bucket { bucketCounters[bucket, default: []].append(row.key) }
        addToQueue(row.key, row.value)
    }

    /// Adds to what a queue has in all; what is taken off is added as a negative number would be.
    private mutating func addToQueue(_ key: CounterKey, _ change: UInt64) {
        let queue = Int(key.queue)
        switch key {
        case .outcomes(_, _, let state): queues[queue].counts[state] &+= change
        case .deadLetters: queues[queue].counts.deadLetter &+= change
        case .resultBytes: queues[queue].resultBytes &+= change
        case .deadLetterBytes: queues[queue].deadLetterBytes &+= change
        }
    }
}
