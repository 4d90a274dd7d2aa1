import TQModel

/// The tasks that a worker runs: when their leases must be renewed and when their time is up.
struct LeaseTable {
    /// One running attempt.
    struct Entry {
        let lease: LeaseHandle
        let leaseDuration: Duration
        let deadline: ContinuousClock.Instant
        var renewAt: ContinuousClock.Instant
        /// The handler's Swift task; `nil` for the moment before it starts.
        var handler: Task<Void, Never>?
        /// The broker has been told, or knows better: whatever the handler returns is dropped.
        var isOver = false
        /// Somebody cancelled the task: the handler is cancelled and says how it ended, the lease is not renewed.
        var isCancelRequested = false
    }

    private var entries: [LeaseToken: Entry] = [:]

    var count: Int { entries.count }
    /// Whether nothing runs whose end the broker still has to be told.
    var isIdle: Bool { entries.values.allSatisfy(\.isOver) }

    /// Leases are renewed after a third of their duration: the second third is for the answer (``renewalLimit``), the last
    /// one for another connection when none came.
    static func renewalDelay(_ lease: Duration) -> Duration { max(lease / 3, .milliseconds(10)) }

    /// How long a renewal may go unanswered before its connection counts as lost: a third of the shortest lease.
    ///
    /// At least a second, because a broker whose disk is slow for less than that is not gone.
    var renewalLimit: Duration? {
        entries.values.lazy.filter { !$0.isOver }.map(\.leaseDuration).min().map { max($0 / 3, .seconds(1)) }
    }

    mutating func add(_ delivery: Delivery, now: ContinuousClock.Instant) -> Entry {
        let duration = Duration.milliseconds(Int64(delivery.leaseMilliseconds))
        let timeout = nonZero(delivery.timeoutMilliseconds) ?? Defaults.timeoutMilliseconds
        let entry = Entry(
            lease: delivery.lease,
            leaseDuration: duration,
            deadline: now + .milliseconds(Int64(timeout)),
            renewAt: now + Self.renewalDelay(duration)
        )
        entries[delivery.lease.token] = entry
        return entry
    }

    /// Remembers the handler of a running attempt, so that it can be cancelled.
    ///
    /// - Returns: Whether it must be cancelled at once.
    mutating func setHandler(_ handler: Task<Void, Never>, of token: LeaseToken) -> Bool {
        entries[token]?.handler = handler
        return entries[token].map { $0.isOver || $0.isCancelRequested } ?? false
    }

    /// Marks attempts that somebody cancelled, and gives those that were not marked yet.
    mutating func requestCancel(of tokens: Set<LeaseToken>) -> [Entry] {
        tokens.compactMap { token in
            guard let entry = entries[token], !entry.isOver, !entry.isCancelRequested else { return nil }
            entries[token]?.isCancelRequested = true
            return entry
        }
    }

    /// Takes an attempt out; `nil` when its end needs no report.
    mutating func remove(_ token: LeaseToken) -> Entry? {
        guard let entry = entries.removeValue(forKey: token), !entry.isOver else { return nil }
        return entry
    }

    /// Marks attempts as over and gives those that were not yet.
    mutating func end(_ isMeant: (Entry) -> Bool) -> [Entry] {
        var ended: [Entry] = []
        for (token, entry) in entries where !entry.isOver && isMeant(entry) {
            entries[token]?.isOver = true
            ended.append(entry)
        }
        return ended
    }

    /// The leases to renew now, in one frame; those due within a tenth of their duration come along.
    mutating func takeDue(at now: ContinuousClock.Instant) -> [LeaseHandle] {
        var due: [LeaseHandle] = []
        for (token, entry) in entries
        where !entry.isOver && !entry.isCancelRequested && entry.renewAt <= now + entry.leaseDuration / 10 {
            entries[token]?.renewAt = now + Self.renewalDelay(entry.leaseDuration)
            due.append(entry.lease)
        }
        return due
    }

    /// When something must be done next; while a renewal is under way, only deadlines count.
    func nextInstant(isRenewing: Bool) -> ContinuousClock.Instant? {
        entries.values.lazy.filter { !$0.isOver }
            .map { isRenewing || $0.isCancelRequested ? $0.deadline : min($0.renewAt, $0.deadline) }.min()
    }
}
