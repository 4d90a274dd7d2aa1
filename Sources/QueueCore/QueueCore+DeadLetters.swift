import TQModel

// Dead letters go by themselves when their time is over, or when their queue has more than it keeps. The store knows when
// that is (one row for each of them, in the order of buckets); the core knows the first bucket, looks when its time has
// come, and ends what it finds there.
extension QueueCore {
    /// Dead letters that one tick ends; the rest waits for the next one.
    private static let expiredDeadLettersPerTick = 256
    private static let overfullQueuesPerTick = 8
    private static let displacedPerQueue = 32

    /// When a task expires that becomes a dead letter now; 0 for never.
    mutating func expiry(ofDeadLetter task: TaskRow) -> ExpiryBucket {
        let kept = deadLetterRetentionMilliseconds(task.queue, task.options)
        guard kept > 0 else { return ExpiryBucket(rawValue: 0) }
        let bucket = ExpiryBucket(storeMilliseconds: clock.milliseconds, keptMilliseconds: kept)
        deadLettersExpire = min(deadLettersExpire, bucket)
        buriedExpire = min(buriedExpire, bucket)
        return bucket
    }

    /// The dead letters that expire now.
    var expiringDeadLettersRead: Fetch? {
        guard deadLettersExpire.isExpired(storeMilliseconds: clock.milliseconds),
            configuration.expiresOutcomes || deadLettersExpire <= askedToExpireThrough
        else { return nil }
        return .expiringDeadLetters(through: deadLettersExpire, limit: Self.expiredDeadLettersPerTick, readTurn)
    }

    /// Ends dead letters whose time is over, some in each tick.
    mutating func expireDeadLetters(_ fetched: [Fetch: Fetched]) {
        guard let read = expiringDeadLettersRead, case .endingDeadLetters(let rows, let next)? = fetched[read] else {
            return
        }
        for row in rows where isDead(row) { end(row, .expired) }
        // What was buried since then may not have been found yet.
        deadLettersExpire = min(next ?? ExpiryBucket(rawValue: .max), buriedExpire)
        buriedExpire = ExpiryBucket(rawValue: .max)
    }

    /// Changes while dead letters that were put back, or have ended, are still remembered.
    private var readTurn: ReadTurn {
        ReadTurn(epoch: epoch, number: now.monotonicMilliseconds / (Self.redriveMemoryMilliseconds / 2))
    }

    // MARK: Too many

    /// The dead letters of queues that have more than they keep.
    var oldestDeadLettersReads: [Fetch] {
        index.queuesWithSurplusLetters.prefix(Self.overfullQueuesPerTick).map { oldestDeadLettersRead(of: $0.queue) }
    }

    private func oldestDeadLettersRead(of queue: UInt32) -> Fetch {
        .oldestDeadLetters(queue: queue, limit: Self.displacedPerQueue, readTurn)
    }

    /// Ends the oldest dead letters of queues that have more than they keep, some in each tick.
    mutating func displaceDeadLetters(_ fetched: [Fetch: Fetched]) {
        for (queue, surplus) in index.queuesWithSurplusLetters {
            guard case .endingDeadLetters(let rows, next: _)? = fetched[oldestDeadLettersRead(of: queue)] else {
                continue
            }
            var surplus = surplus
            for row in rows where !surplus.isNone && isDead(row) {
                end(row, .displaced)
                surplus.remove(byteCount: UInt64(row.byteCount))
            }
        }
    }
}
