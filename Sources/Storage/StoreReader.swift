public import ByteStore
public import QueueCore
public import Recurrence
public import TQModel

/// Reads what commands and replies need of a store: payloads, outcomes, dead letters.
///
/// Any thread may read; nothing here changes anything.
public struct StoreReader: Sendable {
    let store: any ByteStoreReader
    private let cache: PayloadCache?
    private let cipher: TaskIDCipher
    private let zones: @Sendable (ZoneName) -> Fetched

    /// Creates a reader; without a cache every payload comes from the store, and without zones there is UTC alone.
    public init(
        store: any ByteStoreReader,
        cache: PayloadCache?,
        storeKey: StoreKey,
        zones: @escaping @Sendable (ZoneName) -> Fetched = { _ in .missing }
    ) {
        self.store = store
        self.zones = zones
        self.cache = cache
        self.cipher = TaskIDCipher(key: storeKey)
    }

    // MARK: What commands ask for

    /// Bytes after which a command's other reads are postponed: a request may name thousands of large payloads.
    private static let fetchByteCountMax = 16 << 20

    /// Reads what a command asked for; damage is an answer, a failing disk is an error.
    ///
    /// About 16 MiB are read, the first payload in any case; what is left is answered with ``QueueCore/Fetched/postponed``.
    ///
    /// - Parameter onFailure: Takes what cannot be read, which is answered with `postponed` then, so that one bad block holds
    ///   up nothing else; without it the first failure is thrown.
    public func fetch(
        _ fetches: [Fetch],
        onFailure: ((StorageError) -> Void)? = nil
    ) throws(StorageError) -> [Fetch: Fetched] {
        var found: [Fetch: Fetched] = [:]
        var byteCount = 0
        for fetch in fetches where found[fetch] == nil {
            guard byteCount < Self.fetchByteCountMax else {
                found[fetch] = .postponed
                continue
            }
            do throws(StorageError) {
                let fetched = try self.fetch(fetch) ?? .missing
                byteCount += fetched.byteCount
                found[fetch] = fetched
            } catch  where error.kind == .corruption {
                found[fetch] = .damaged(error.description)
            } catch {
                guard let onFailure else { throw error }
                onFailure(error)
                found[fetch] = .postponed
            }
        }
        return found
    }

    private func fetch(_ fetch: Fetch) throws(StorageError) -> Fetched? {
        switch fetch {
        case .task(let key, let place):
            guard let rows = try rows(key), rows.indices.contains(Int(place)),
                let payload = try payload(PayloadPlace(segment: key, place: place), of: rows[Int(place)].sequence)
            else { return nil }
            return .task(rows[Int(place)], payload: payload)
        case .segment(let key): return try segment(key)
        case .transitions(let group): return try transitions(group).map { .transitions($0) }
        case .deadLetter(let sequence):
            guard let (row, error, payload) = try deadLetter(sequence) else { return nil }
            return .deadLetter(row, error: error, payload: payload)
        case .deadLetters(let selection, let first, let last, let limit):
            return try deadLetters(selection, from: first, through: last, limit: limit)
        case .lastError(let sequence): return .lastError(try history(of: sequence).last?.error ?? [])
        case .fate(let id, let sequence, _):
            return try endedTask(id, sequence, .anywhere(redrives: 0)).map { .fate($0.status.state) }
        case .zone(let zone): return zones(zone)
        case .expiring(let bucket, let limit): return .expiring(try expiring(through: bucket, limit))
        case .tags(let sequence, _): return .tags(try tags(of: sequence))
        case .tagged(let tag, let first, let isDescending, let limit):
            return .tagged(try tagged(tag, from: first, isDescending: isDescending, limit: limit))
        case .expiringDeadLetters(let bucket, let limit, _):
            return try expiringDeadLetters(through: bucket, limit)
        case .oldestDeadLetters(let queue, let limit, _): return try oldestDeadLetters(of: queue, limit)
        case .outcomes(let selection, let position, let last, let limit, _):
            return try outcomes(selection, from: position, through: last, limit: limit)
        }
    }

    private func rows(_ key: SegmentKey) throws(StorageError) -> [TaskRow]? {
        guard let bytes = try store.get(.pending, KeyLayout.segment(key)) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in try PendingTable.read(value) }
    }

    private func segment(_ key: SegmentKey) throws(StorageError) -> Fetched? {
        guard let rows = try rows(key) else { return nil }
        var tasks: [(row: TaskRow, payload: Bytes)] = []
        for (place, row) in rows.enumerated() {
            let payload = try payload(PayloadPlace(segment: key, place: UInt16(place)), of: row.sequence)
            guard let payload else { return nil }
            tasks.append((row, payload))
        }
        return .segment(tasks)
    }

    private func transitions(_ group: GroupID) throws(StorageError) -> [TaskSequence]? {
        guard let bytes = try store.get(.inProgress, KeyLayout.transitions(group)) else { return nil }
        var texts: [UInt8] = []
        return try bytes.withRaw { value throws(StorageError) in
            try TransitionTable.read(value, texts: &texts).rows.map(\.sequence)
        }
    }

    private func deadLetter(
        _ sequence: TaskSequence
    ) throws(StorageError) -> (row: DeadLetterRow, error: Bytes, payload: Bytes)? {
        try deadLetter(at: KeyLayout.deadLetter(sequence))
    }

    func deadLetter(
        at key: [UInt8]
    ) throws(StorageError) -> (row: DeadLetterRow, error: Bytes, payload: Bytes)? {
        guard let bytes = try store.get(.deadLetter, key) else { return nil }
        return try bytes.withRaw { value throws(StorageError) in try deadLetter(value) }
    }

    func deadLetter(
        _ value: UnsafeRawBufferPointer
    ) throws(StorageError) -> (row: DeadLetterRow, error: Bytes, payload: Bytes) {
        var texts: [UInt8] = []
        let row = try DeadLetterRecord.read(value, texts: &texts)
        return (row, texts[row.error.range], texts[row.payload.range])
    }

    private func expiring(through bucket: ExpiryBucket, _ limit: Int) throws(StorageError) -> [ExpiringRecord] {
        var records: [ExpiringRecord] = []
        try store.scan(
            .index,
            from: KeyLayout.expiry(from: ExpiryBucket(rawValue: 0)),
            to: KeyLayout.expiry(from: KeyLayout.next(bucket))
        ) { key, _ throws(StorageError) in
            records.append(try KeyReader.expiry(key))
            return records.count < limit ? .continue : .stop
        }
        for place in records.indices {
            guard case .tags(let sequence, _) = records[place].kind else { continue }
            records[place].kind = .tags(sequence, try readableTags(of: sequence))
        }
        return records
    }

    // MARK: Tags

    /// The tags of a task; none for a task without tags.
    func tags(of sequence: TaskSequence) throws(StorageError) -> [TaskTag] {
        let key = KeyLayout.tags(of: sequence)
        guard let value = try store.get(.index, key) else { return [] }
        return try key.withRaw { key throws(StorageError) in
            try value.withRaw { value throws(StorageError) in try TagsRecord.read(key: key, value: value).tags }
        }
    }

    /// The tags of a task that goes; damaged ones hold nothing up.
    private func readableTags(of sequence: TaskSequence) throws(StorageError) -> [TaskTag] {
        do throws(StorageError) { return try tags(of: sequence) } catch {
            guard error.kind == .corruption else { throw error }
            return []
        }
    }

    private func tagged(
        _ tag: TaskTag,
        from first: TaskSequence,
        isDescending: Bool,
        limit: Int
    ) throws(StorageError) -> [TaskSequence] {
        let walk = RowWalk(store: store, family: .index, prefix: Posting.tagged(tag), isDescending: isDescending)
        let ends = try walk.ends(from: KeyLayout.bytes(first.rawValue), limit: limit)
        return ends.map { TaskSequence(key: $0) }
    }

    /// Dead letters that expire up to a bucket; one that is damaged stays for a repair.
    private func expiringDeadLetters(through bucket: ExpiryBucket, _ limit: Int) throws(StorageError) -> Fetched {
        var found = FoundDeadLetters(limit: limit)
        var next: ExpiryBucket?
        let (lower, upper) = KeyLayout.range("E")
        try store.scan(.index, from: lower, to: upper) { key, _ throws(StorageError) in
            let (due, sequence) = try Posting.expiringDeadLetter(key)
            guard due <= bucket, !found.isFull else {
                next = due
                return .stop
            }
            if let row = try intactDeadLetter(sequence), row.bucket == due { found.add(row) }
            return .continue
        }
        return .endingDeadLetters(found.rows, next: next)
    }

    /// The dead letters of a queue that were submitted first; one that is damaged stays for a repair.
    private func oldestDeadLetters(of queue: UInt32, _ limit: Int) throws(StorageError) -> Fetched {
        var found = FoundDeadLetters(limit: limit)
        let lower = Posting.deadLetters(.queue, queue)
        try store.scan(.index, from: lower, to: Posting.deadLetters(.queue, queue + 1)) { key, _ throws(StorageError) in
            if let row = try intactDeadLetter(try Posting.deadLetter(key).sequence) { found.add(row) }
            return found.isFull ? .stop : .continue
        }
        return .endingDeadLetters(found.rows, next: nil)
    }

    /// As many dead letters as a command may end, without their errors and payloads.
    private struct FoundDeadLetters {
        private(set) var rows: [DeadLetterRow] = []
        private let limit: Int
        private var byteCount = 0

        init(limit: Int) { self.limit = limit }

        /// Whether enough was found, or read.
        var isFull: Bool { rows.count >= limit || byteCount >= StoreReader.fetchByteCountMax }

        mutating func add(_ row: DeadLetterRow) {
            byteCount += Int(row.byteCount)
            rows.append(row)
        }
    }

    private func intactDeadLetter(_ sequence: TaskSequence) throws(StorageError) -> DeadLetterRow? {
        do throws(StorageError) {
            return try deadLetter(sequence)?.row
        } catch  where error.kind == .corruption {
            return nil
        }
    }

    // MARK: Payloads

    /// The payload at a place, checked to be that task's; `nil` when the segment is gone.
    public func payload(_ place: PayloadPlace, of sequence: TaskSequence) throws(StorageError) -> Bytes? {
        if let payload = cachedPayload(place) { return payload }
        guard let bytes = try store.get(.payload, KeyLayout.segment(place.segment)) else { return nil }
        let bodies = try bytes.withRaw { value throws(StorageError) in try PayloadRecord.read(value) }
        guard bodies.indices.contains(Int(place.place)) else { return nil }
        let body = bodies[Int(place.place)]
        guard body.isIntact, body.sequence == sequence else {
            throw StorageError(
                .corruption,
                "The payload of task \(sequence) in segment \(place.segment) does not match its checksum."
            )
        }
        if bodies.allSatisfy(\.isIntact) {
            cache?.insertRead(place.segment, PayloadCache.Segment(bytes: bytes, payloads: bodies.map(\.payload)))
        }
        return bytes[body.payload]
    }

    /// The payload at a place, if it is in memory.
    public func cachedPayload(_ place: PayloadPlace) -> Bytes? {
        cache?.segment(place.segment)?.payload(place.place)
    }

    /// The task that an id of this store names.
    public func sequence(of id: TaskID) -> TaskSequence? { cipher.sequence(of: id) }

    /// The id that names a task of this store.
    func id(of sequence: TaskSequence, createdMilliseconds: UInt64) -> TaskID {
        cipher.id(of: sequence, createdMilliseconds: createdMilliseconds)
    }

    // MARK: Ended tasks

    /// A task that has ended, as it is stored.
    public struct EndedTask: Sendable {
        /// The status, as ``TQModel/Reply/status(_:)`` says it.
        public var status: TaskStatus
        /// The result; empty for a task that has none.
        public var result: Bytes
        /// Whether it carries tags.
        public var isTagged: Bool

        /// What ``TQModel/Reply/result(_:)`` says of it.
        public var asResult: TaskResult {
            TaskResult(
                id: status.id,
                state: status.state,
                result: result,
                content: status.resultContent,
                error: status.error,
                cancelReason: status.cancelReason
            )
        }
    }

    /// What became of a task; `nil` when nothing is stored of it any more.
    public func endedTask(
        _ id: TaskID,
        _ sequence: TaskSequence,
        _ ended: Ended
    ) throws(StorageError) -> EndedTask? {
        let task: EndedTask? =
            switch ended {
            case .outcome(let location): try outcome(sequence, at: location)
            case .deadLetter: try deadTask(sequence)
            case .anywhere: try anywhere(sequence)
            }
        // Whoever makes an id up, with a true sequence and another time, finds nothing.
        return task?.status.id == id ? task : nil
    }

    private func anywhere(_ sequence: TaskSequence) throws(StorageError) -> EndedTask? {
        if let dead = try deadTask(sequence) { return dead }
        guard let location = try location(of: sequence) else { return nil }
        return try outcome(sequence, at: location)
    }

    func location(of sequence: TaskSequence) throws(StorageError) -> OutcomeLocation? {
        try locator(of: sequence)?.location(of: sequence)
    }

    /// The locator that would lead to the outcome of a task: its own, or that of the segment before it.
    func locator(of sequence: TaskSequence) throws(StorageError) -> Locator? {
        let single = KeyLayout.locator(LocatorKey(sequence: sequence, isSegment: false))
        if let bytes = try store.get(.index, single) { return try locator(single, bytes) }
        let own = KeyLayout.locator(LocatorKey(sequence: sequence, isSegment: true))
        let first = KeyLayout.locator(LocatorKey(sequence: TaskSequence(0), isSegment: true))
        guard let (key, value) = try store.last(.index, from: first, through: own) else { return nil }
        return try locator(key, value)
    }

    private func locator(_ key: [UInt8], _ value: [UInt8]) throws(StorageError) -> Locator {
        try key.withRaw { key throws(StorageError) in
            try value.withRaw { value throws(StorageError) in try LocatorRecord.read(key: key, value: value) }
        }
    }

    private func outcome(
        _ sequence: TaskSequence,
        at location: OutcomeLocation
    ) throws(StorageError) -> EndedTask? {
        guard let bytes = try store.get(.completed, KeyLayout.outcomes(location)) else { return nil }
        let entry = try bytes.withRaw { value throws(StorageError) -> OutcomeTable.Entry? in
            guard let found = try OutcomeTable.read(value, at: location, of: sequence) else { return nil }
            guard found.isIntact(value) else {
                throw StorageError(.corruption, "The result of task \(sequence) does not match its checksum.")
            }
            return found
        }
        guard let entry else { return nil }
        let status = status(
            entry.row,
            queue: try name(.queue, entry.row.queue),
            type: try name(.type, entry.row.type),
            try content(entry.row.content)
        )
        return EndedTask(status: status, result: bytes[entry.result], isTagged: entry.row.tagCount > 0)
    }

    func status(_ row: OutcomeRow, queue: Name, type: Name, _ content: Content) -> TaskStatus {
        TaskStatus(
            id: cipher.id(of: row.sequence, createdMilliseconds: row.createdMilliseconds),
            queue: queue,
            type: type,
            state: row.state,
            priority: row.rank.priority,
            attempts: row.attempts,
            crashes: row.crashes,
            endWallMilliseconds: row.endWallMilliseconds,
            resultBytes: row.result.count,
            resultContent: content,
            cancelReason: row.state == .cancelled ? row.cancelReason : nil
        )
    }

    private func deadTask(_ sequence: TaskSequence) throws(StorageError) -> EndedTask? {
        guard let (row, error, _) = try deadLetter(sequence) else { return nil }
        let isTagged = row.task.options?.tagCount ?? 0 > 0
        return EndedTask(status: try status(row, error: error), result: [], isTagged: isTagged)
    }

    private func status(_ row: DeadLetterRow, error: Bytes) throws(StorageError) -> TaskStatus {
        let (queue, type) = (try name(.queue, row.task.queue), try name(.type, row.task.type))
        return status(
            row,
            error: error,
            queue: queue,
            type: type,
            try content(row.task.content),
            retriesMax: try retriesMax(of: row.task.queue)
        )
    }

    /// Attempts after the first of a queue's tasks that name no number of them.
    func retriesMax(of queue: UInt32) throws(StorageError) -> UInt16 {
        let key = KeyLayout.queuePolicy(queue)
        let row = try store.get(.index, key)?.withRaw { value throws(StorageError) in
            try key.withRaw { key throws(StorageError) in try QueuePolicyRecord.read(key: key, value: value) }
        }
        return row?.policy.effectiveRetriesMax ?? Defaults.retriesMax
    }

    /// - Parameter retriesMax: Attempts after the first, where the task does not say.
    func status(
        _ row: DeadLetterRow,
        error: Bytes,
        queue: Name,
        type: Name,
        _ content: Content,
        retriesMax: UInt16
    ) -> TaskStatus {
        TaskStatus(
            id: cipher.id(of: row.task.sequence, createdMilliseconds: row.task.createdMilliseconds),
            queue: queue,
            type: type,
            state: .deadLetter,
            priority: row.task.rank.priority,
            attempts: row.attempts,
            crashes: row.crashes,
            retriesMax: row.task.options?.retriesMax ?? retriesMax,
            endWallMilliseconds: row.buriedWallMilliseconds,
            error: error,
            payloadContent: content
        )
    }

    private func name(_ kind: NameKind, _ number: UInt32) throws(StorageError) -> Name {
        try nameRow(kind, number)?.name ?? Name(bytes: [])
    }

    /// What a number of a record stands for.
    ///
    /// - Throws: Corruption when its type has no name: to leave it out would make other bytes of these.
    func content(_ stored: StoredContent) throws(StorageError) -> Content {
        guard stored.type > 0 else { return Content(encoding: stored.encoding) }
        guard let row = try nameRow(.contentType, stored.type) else {
            throw StorageError(.corruption, "Content type \(stored.type) has no name. Run 'tq-inspect verify'.")
        }
        return Content(type: row.name, encoding: stored.encoding)
    }

    func nameRow(_ kind: NameKind, _ number: UInt32) throws(StorageError) -> NameRow? {
        let key = KeyLayout.name(kind, number)
        guard let bytes = try store.get(.index, key) else { return nil }
        return try key.withRaw { key throws(StorageError) in
            try bytes.withRaw { value throws(StorageError) in try NameRecord.read(key: key, value: value) }
        }
    }

    /// Adds to a status what is stored of a task beside the records that tell its state.
    public func addDetails(
        to status: inout TaskStatus,
        of sequence: TaskSequence,
        hasHistory: Bool,
        isTagged: Bool
    ) throws(StorageError) {
        if hasHistory { status.history = try history(of: sequence) }
        if status.state == .failed { status.error = status.history.last?.error ?? [] }
        if isTagged { status.tags = try tags(of: sequence) }
    }

    /// The attempts of a task that did not succeed and are kept, the oldest first.
    public func history(of sequence: TaskSequence) throws(StorageError) -> [Attempt] {
        var attempts: [(token: LeaseToken, attempt: Attempt)] = []
        try store.scan(
            .index,
            from: KeyLayout.attempts(of: sequence),
            to: KeyLayout.attempts(of: sequence) + [Limits.historyMax]
        ) { key, value throws(StorageError) in
            var texts: [UInt8] = []
            let row = try AttemptRecord.read(key: key, value: value, texts: &texts)
            let attempt = Attempt(
                number: row.number,
                end: row.end,
                startWallMilliseconds: row.startWallMilliseconds,
                endWallMilliseconds: row.endWallMilliseconds,
                worker: Name(bytes: texts[row.worker.range]),
                error: texts[row.error.range]
            )
            attempts.append((row.token, attempt))
            return .continue
        }
        return attempts.sorted { $0.token < $1.token }.map(\.attempt)
    }

    // MARK: Lists

    /// A page of dead letters after a sequence.
    public func deadLetters(
        _ query: DeadLetterQuery,
        after sequence: TaskSequence
    ) throws(StorageError) -> DeadLetterPage {
        var page = DeadLetterPage(letters: [], hasMore: false)
        var byteCount = 0
        try store.scan(
            .deadLetter,
            from: KeyLayout.deadLetter(TaskSequence(sequence.rawValue &+ 1)),
            to: nil
        ) { _, value throws(StorageError) in
            let (row, error, payload) = try deadLetter(value)
            let status = try status(row, error: error)
            if let queue = query.queue, queue != status.queue { return .continue }
            byteCount += error.count + payload.count
            let isFull = page.letters.count >= Int(query.count) || byteCount > Limits.replyPayloadBytesMax
            guard page.letters.isEmpty || !isFull else {
                page.hasMore = true
                return .stop
            }
            page.letters.append(DeadLetter(status: status, reason: row.reason, payload: payload))
            return .continue
        }
        return page
    }
}
