public import ByteStore
import QueueCore
public import TQModel

/// A store that nobody serves, recovered to be looked at; nothing here changes it.
public struct StoreInspection: Sendable {
    let store: any ByteStoreReader
    let recovered: RecoveredStore
    let reader: StoreReader

    /// Recovers a store as a broker would.
    ///
    /// - Parameter mark: What is known to have been synced.
    /// - Throws: Why a broker would refuse the store, and `notFound` for an empty one.
    public init(_ store: any ByteStoreReader, mark: Mark?) throws(StorageError) {
        guard let recovered = try Recovery.recover(from: store, mark: mark) else {
            throw StorageError(.notFound, "The store is empty: no broker has served it yet.")
        }
        self.store = store
        self.recovered = recovered
        self.reader = StoreReader(store: store, cache: nil, storeKey: recovered.identity.key)
    }

    // MARK: Summary

    /// One family: how much it holds.
    public struct FamilySummary: Hashable, Sendable {
        /// The family.
        public var family: Family
        /// Tasks whose state the family holds: waiting ones in `pending`, leased ones in `in_progress`, ended ones in
        /// `completed`, dead letters in `dead_letter`; 0 in the others.
        public var tasks: UInt64
        /// Rows of the family.
        public var records: UInt64
        /// Bytes of keys and values, before compression.
        public var bytes: UInt64
    }

    /// The store in numbers.
    public struct Summary: Sendable {
        /// Who the store is.
        public var identity: StoreIdentity
        /// How often somebody began to serve it.
        public var epoch: UInt32
        /// The last batch in it.
        public var position: LogPosition
        /// The store's own time, on which retention runs.
        public var storeMilliseconds: UInt64
        /// The sequence that the next task gets.
        public var nextSequence: UInt64
        /// Tasks by state.
        public var counts: TaskCounts
        /// Queues that have a name.
        public var queues: Int
        /// Every family, in the order of their ids.
        public var families: [FamilySummary]
    }

    /// Counts everything; reads the whole store once.
    public func summary() throws(StorageError) -> Summary {
        let counts = recovered.index.counts
        var families: [FamilySummary] = []
        for family in Family.allCases {
            var summary = FamilySummary(family: family, tasks: Self.tasks(of: family, counts), records: 0, bytes: 0)
            try store.scan(family, from: [], to: nil) { key, value throws(StorageError) in
                summary.records += 1
                summary.bytes += UInt64(key.count + value.count)
                return .continue
            }
            families.append(summary)
        }
        return Summary(
            identity: recovered.identity,
            epoch: recovered.epoch,
            position: recovered.position,
            storeMilliseconds: recovered.index.storeMilliseconds,
            nextSequence: recovered.index.nextSequence,
            counts: counts,
            queues: recovered.index.queueCount,
            families: families
        )
    }

    private static func tasks(of family: Family, _ counts: TaskCounts) -> UInt64 {
        switch family {
        case .pending: counts.waiting
        case .inProgress: counts.inProgress
        case .completed: counts.completed + counts.cancelled
        case .deadLetter: counts.deadLetter
        case .default, .payload, .index: 0
        }
    }

    // MARK: Tasks

    /// One task, with everything that is stored of it.
    public struct InspectedTask: Hashable, Sendable {
        /// The id in every API.
        public var id: TaskID
        /// The broker's own number of it.
        public var sequence: TaskSequence
        /// Its queue.
        public var queue: Name
        /// Its task type.
        public var type: Name
        /// Where it is in its life.
        public var state: TaskState
        /// 255 first.
        public var priority: Priority
        /// Attempts begun so far.
        public var attempts: UInt16
        /// Leases that were lost.
        public var crashes: UInt16
        /// Milliseconds since 1970.
        public var createdMilliseconds: UInt64
        /// When a scheduled or failed task may start; 0 otherwise.
        public var startWallMilliseconds: UInt64 = 0
        /// When the task ended; 0 when it has not.
        public var endWallMilliseconds: UInt64 = 0
        /// The worker that holds the lease; `nil` when none does.
        public var worker: Name?
        /// How far the running attempt is; `nil` when its worker has not said.
        public var progress: TaskProgress?
        /// `nil` for an ended task, whose payload is gone, and where it was not asked for.
        public var payload: Bytes?
        /// What the payload is.
        public var payloadContent = Content.unspecified
        /// The result of a completed task; `nil` for any other.
        public var result: Bytes?
        /// What the result is.
        public var resultContent = Content.unspecified
        /// The last error of a failed task or of a dead letter.
        public var error: Bytes?
        /// The tags that it carries.
        public var tags: [TaskTag] = []
        /// How it shares the workers with others; `none` when it has ended for good.
        public var sharing = Sharing.none
        /// The tasks that it waits for or has waited for; none when it has ended for good.
        public var dependencies: [TaskID] = []
        /// What cannot be read of the task.
        public var damage: String?
    }

    /// Hands out every task exactly once: those that wait or run by segment, then ended ones, then dead letters.
    ///
    /// One record is in memory at a time, beside the index.
    public func forEachTask(
        withPayloads: Bool,
        _ body: (InspectedTask) throws(StorageError) -> Void
    ) throws(StorageError) {
        try forEachLiveTask(withPayloads: withPayloads, body)
        try store.scan(.completed, from: [], to: nil) { key, value throws(StorageError) in
            for entry in try OutcomeTable.read(value, at: try KeyReader.outcomes(key)) {
                try body(try endedTask(entry, value))
            }
            return .continue
        }
        try store.scan(.deadLetter, from: [], to: nil) { _, value throws(StorageError) in
            var texts: [UInt8] = []
            let row = try DeadLetterRecord.read(value, texts: &texts)
            try body(try deadTask(row, texts, withPayloads))
            return .continue
        }
    }

    /// Hands out every task that waits or runs.
    func forEachLiveTask(
        withPayloads: Bool,
        _ body: (InspectedTask) throws(StorageError) -> Void
    ) throws(StorageError) {
        try store.scan(.pending, from: [], to: nil) { key, value throws(StorageError) in
            let key = try KeyReader.segment(key)
            let rows = try PendingTable.read(value)
            let payloads = withPayloads ? try payloads(of: key) : nil
            for (place, row) in rows.enumerated() {
                if let task = try liveTask(row, key, place, payloads) { try body(task) }
            }
            return .continue
        }
    }

    /// The bodies of a segment: what is intact, and why the rest is not.
    private enum Payloads {
        case bodies([PayloadRecord.Body], in: [UInt8])
        case lost(String)

        func payload(_ place: Int, of sequence: TaskSequence) -> (payload: Bytes?, damage: String?) {
            switch self {
            case .lost(let reason): return (nil, reason)
            case .bodies(let bodies, let bytes):
                guard bodies.indices.contains(place), bodies[place].isIntact, bodies[place].sequence == sequence else {
                    return (nil, "The payload does not match its checksum.")
                }
                return (bytes[bodies[place].payload], nil)
            }
        }
    }

    private func payloads(of key: SegmentKey) throws(StorageError) -> Payloads {
        do throws(StorageError) {
            guard let bytes = try store.get(.payload, KeyLayout.segment(key)) else {
                return .lost("The payload record of segment \(key) is missing.")
            }
            let bodies = try bytes.withRaw { value throws(StorageError) in try PayloadRecord.read(value) }
            return .bodies(bodies, in: bytes)
        } catch {
            guard error.kind == .corruption else { throw error }
            return .lost(error.description)
        }
    }

    private func liveTask(
        _ row: TaskRow,
        _ key: SegmentKey,
        _ place: Int,
        _ payloads: Payloads?
    ) throws(StorageError) -> InspectedTask? {
        guard let known = recovered.index.task(row.sequence, in: key, place: place),
            known.state.isWaiting || known.state == .inProgress
        else { return nil }
        var task = task(
            row.sequence,
            row.createdMilliseconds,
            known.queue,
            known.type,
            known.rank,
            known.state,
            known.attempts,
            known.crashes
        )
        task.startWallMilliseconds = known.startWallMilliseconds
        task.worker = known.worker
        task.progress = known.progress
        task.payloadContent = recovered.index.content(row.content)
        if let payloads { (task.payload, task.damage) = payloads.payload(place, of: row.sequence) }
        task.sharing = row.options?.sharing ?? .none
        task.dependencies = dependencies(of: row)
        if known.state == .failed { task.error = try reader.history(of: row.sequence).last?.error }
        try addTags(row.options?.tagCount ?? 0, to: &task)
        return task
    }

    private func dependencies(of row: TaskRow) -> [TaskID] {
        row.options?.dependencies?.parents.map {
            reader.id(of: $0.sequence, createdMilliseconds: $0.createdMilliseconds)
        } ?? []
    }

    /// Adds the tags of a task that carries some; what is wrong with them is wrong with the task.
    private func addTags(_ count: UInt8, to task: inout InspectedTask) throws(StorageError) {
        guard count > 0 else { return }
        do throws(StorageError) {
            task.tags = try reader.tags(of: task.sequence)
            if task.tags.count != Int(count) { task.damage = task.damage ?? "Its \(count) tags are missing." }
        } catch {
            guard error.kind == .corruption else { throw error }
            task.damage = task.damage ?? error.description
        }
    }

    private func endedTask(
        _ entry: OutcomeTable.Entry,
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) -> InspectedTask {
        let row = entry.row
        var task = task(
            row.sequence,
            row.createdMilliseconds,
            row.queue,
            row.type,
            row.rank,
            row.state,
            row.attempts,
            row.crashes
        )
        task.endWallMilliseconds = row.endWallMilliseconds
        try addTags(row.tagCount, to: &task)
        guard row.state == .completed else { return task }
        task.resultContent = recovered.index.content(row.content)
        if entry.isIntact(value) {
            task.result = Bytes(value[entry.result])
        } else {
            task.damage = task.damage ?? "The result does not match its checksum."
        }
        return task
    }

    private func deadTask(
        _ row: DeadLetterRow,
        _ texts: [UInt8],
        _ withPayloads: Bool
    ) throws(StorageError) -> InspectedTask {
        var task = task(
            row.task.sequence,
            row.task.createdMilliseconds,
            row.task.queue,
            row.task.type,
            row.task.rank,
            .deadLetter,
            row.attempts,
            row.crashes
        )
        task.endWallMilliseconds = row.buriedWallMilliseconds
        task.error = texts[row.error.range]
        try addTags(row.task.options?.tagCount ?? 0, to: &task)
        task.payloadContent = recovered.index.content(row.task.content)
        task.sharing = row.task.options?.sharing ?? .none
        task.dependencies = dependencies(of: row.task)
        if row.reason == .payloadDamaged {
            task.damage = task.damage ?? "The payload was lost to damage."
        } else if withPayloads {
            task.payload = texts[row.payload.range]
        }
        return task
    }

    private func task(
        _ sequence: TaskSequence,
        _ created: UInt64,
        _ queue: UInt32,
        _ type: UInt32,
        _ rank: Rank,
        _ state: TaskState,
        _ attempts: UInt16,
        _ crashes: UInt16
    ) -> InspectedTask {
        InspectedTask(
            id: reader.id(of: sequence, createdMilliseconds: created),
            sequence: sequence,
            queue: recovered.index.name(.queue, queue),
            type: recovered.index.name(.type, type),
            state: state,
            priority: rank.priority,
            attempts: attempts,
            crashes: crashes,
            createdMilliseconds: created
        )
    }
}
