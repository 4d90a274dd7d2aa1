import TQModel

extension QueueCore {
    mutating func submit(_ specs: [TaskSpec], _ asker: Asker, _ fetched: [Fetch: Fetched]) {
        do throws(TQError) {
            _ = try checkCount(ofDependenciesIn: specs)
            reply(.submitted(submit(specs, asker.principal, fetched)), to: asker)
        } catch {
            reply(error, to: asker)
        }
    }

    private mutating func submit(
        _ specs: [TaskSpec],
        _ principal: Principal,
        _ fetched: [Fetch: Fetched]
    ) -> [Result<Submission, TQError>] {
        var results: [Result<Submission, TQError>] = []
        results.reserveCapacity(specs.count)
        for spec in specs {
            do throws(TQError) {
                results.append(.success(submit(spec, try admit(spec, principal, fetched))))
            } catch {
                results.append(.failure(error))
            }
        }
        return results
    }

    /// A submit that was checked: nothing can refuse it any more.
    enum Admission {
        case new(Admitted)
        case duplicate(Submission)
    }

    /// What a task becomes in the index.
    struct Admitted {
        var queue: UInt32
        var type: UInt32
        var content: StoredContent
        var options: TaskOptions?
        /// The idempotency key.
        var key: KeyHash?
        var uniqueKey: KeyHash?
        /// The task that waits and whose place it takes, and the tags of that one.
        var replaced: TaskSequence?
        var replacedTags: [TaskTag] = []
    }

    /// Checks a submit; it changes nothing but that names become known.
    ///
    /// - Parameter ending: A task that ends before this one is stored, so that its unique key is free by then.
    mutating func admit(
        _ spec: TaskSpec,
        _ principal: Principal,
        _ fetched: [Fetch: Fetched],
        whileDraining: Bool = false,
        ending: TaskSequence? = nil
    ) throws(TQError) -> Admission {
        try checkBounds(spec)
        let key = spec.idempotencyKey.isEmpty ? nil : hash(spec.idempotencyKey, .idempotency, of: spec, principal)
        if let key, let known = index.keys[key], !known.bucket.isExpired(storeMilliseconds: clock.milliseconds) {
            return .duplicate(try duplicate(known, of: spec))
        }
        let uniqueKey = spec.uniqueKey.map { hash($0.key, .uniqueness, of: spec, principal) }
        var replaced: TaskSequence?
        if let uniqueKey, let unique = spec.uniqueKey, let holder = holder(of: uniqueKey, unique, ending: ending) {
            if unique.onConflict == .existing { return .duplicate(Submission(id: id(of: holder), isDuplicate: true)) }
            replaced = try replaceable(holder, by: unique)
        }
        let replacedTags = try replaced.map { (task) throws(TQError) in try tags(ofReplaced: task, fetched) } ?? []
        try checkAdmittance(whileDraining: whileDraining)
        let queue = try number(of: spec.queue, .queue, principal.namespace)
        let type = try number(of: spec.type, .type, principal.namespace)
        if replaced == nil { try checkDepth(queue) }
        let content = try stored(spec.content)
        var options = try options(of: spec, principal.namespace)
        options.uniqueKey = uniqueKey.flatMap { hold($0, of: spec) }
        options.dependencies = try dependencies(of: spec, replacing: replaced, ending: ending, fetched)
        return .new(
            Admitted(
                queue: queue,
                type: type,
                content: content,
                options: options.isEmpty ? nil : options,
                key: key,
                uniqueKey: uniqueKey,
                replaced: replaced,
                replacedTags: replacedTags
            )
        )
    }

    /// Stores a task that was admitted.
    mutating func submit(_ spec: TaskSpec, _ admission: Admission) -> Submission {
        let task: Admitted
        switch admission {
        case .duplicate(let submission): return submission
        case .new(let new): task = new
        }
        let sequence = task.replaced ?? TaskSequence(index.nextSequence)
        let created = task.replaced.map { index.tasks[$0].createdMilliseconds } ?? now.wallMilliseconds
        let row = TaskRow(
            sequence: sequence,
            createdMilliseconds: created & 0xffff_ffff_ffff,
            queue: task.queue,
            type: task.type,
            rank: spec.rank,
            bodyByteCount: UInt32(spec.payload.count),
            content: task.content,
            options: task.options
        )
        let submission = Submission(
            id: cipher.id(of: sequence, createdMilliseconds: row.createdMilliseconds),
            isReplacement: task.replaced != nil
        )
        if let key = task.key { store(key, of: spec, row) }
        if task.replaced == nil {
            store(row, payload: spec.payload)
            if let uniqueKey = task.uniqueKey { storeWindow(of: uniqueKey, spec, row) }
            totals.submitted += 1
        } else {
            replace(with: row, payload: spec.payload)
            if let uniqueKey = task.uniqueKey, index.keys[uniqueKey] == nil { storeWindow(of: uniqueKey, spec, row) }
            totals.replaced += 1
        }
        tag(sequence, spec.tags, insteadOf: task.replacedTags)
        return submission
    }

    private mutating func store(_ key: KeyHash, of spec: TaskSpec, _ row: TaskRow) {
        let window = nonZero(spec.idempotencyWindowMilliseconds) ?? Defaults.idempotencyWindowMilliseconds
        store(key, row, contentHash: contentHash(spec), keptMilliseconds: window)
    }

    /// Keeps a key that gives a task for so long.
    mutating func store(_ key: KeyHash, _ row: TaskRow, contentHash: UInt64, keptMilliseconds: UInt64) {
        let keyRow = KeyRow(
            key: key,
            sequence: row.sequence,
            createdMilliseconds: row.createdMilliseconds,
            contentHash: contentHash,
            bucket: ExpiryBucket(storeMilliseconds: clock.milliseconds, keptMilliseconds: keptMilliseconds)
        )
        index.apply(keyRow)
        batch.keys.append(keyRow)
    }

    /// Puts a task into the open segment: a fresh one, or one that keeps its old sequence.
    mutating func store(_ row: TaskRow, payload: Bytes, isMoved: Bool = false, isReplacement: Bool = false) {
        let listed = row.options?.dependencies?.byteCount ?? 0
        let part = openPart.flatMap { hasRoom($0, for: payload.count + listed, isMoved: isMoved) ? $0 : nil }
        var open = part ?? openSegment(first: row.sequence, isMoved: isMoved)
        open.dependencyByteCount += listed
        batch.dependencyByteCount += listed
        openPart = open
        let place = UInt16(batch.segments[open.span].taskCount)
        if isReplacement {
            index.apply(replacement: row, segment: open.handle, place: place)
        } else {
            index.apply(row, segment: open.handle, place: place)
        }
        batch.tasks.append(row)
        batch.bodies.append(contentsOf: payload)
        batch.segments[open.span].taskCount += 1
        batch.segments[open.span].bodyByteCount += payload.count
    }

    private func hasRoom(_ part: OpenPart, for byteCount: Int, isMoved: Bool) -> Bool {
        let span = batch.segments[part.span]
        return span.key.isMoved == isMoved && span.taskCount < Int(UInt16.max)
            && (span.taskCount == 0
                || span.bodyByteCount + part.dependencyByteCount + byteCount <= Self.segmentByteCountMax)
    }

    private mutating func openSegment(first: TaskSequence, isMoved: Bool) -> OpenPart {
        let sameKind = isMoved ? movedSegments : batch.segments.count - movedSegments
        precondition(sameKind < Int(SegmentKey.firstMovedPart), "a group has at most 32,768 segments of a kind")
        let part = UInt16(sameKind) + (isMoved ? SegmentKey.firstMovedPart : 0)
        if isMoved { movedSegments += 1 }
        let handle = index.openSegment(part: part, first: first)
        batch.segments.append(
            SegmentSpan(
                key: SegmentKey(group: batch.group, part: part),
                firstTask: batch.tasks.count,
                taskCount: 0,
                firstBody: batch.bodies.count,
                bodyByteCount: 0
            )
        )
        return OpenPart(handle: handle, span: batch.segments.count - 1)
    }

    // MARK: Checks

    func checkSize(ofPayload payload: Bytes) throws(TQError) {
        guard payload.count <= Limits.payloadBytesMax else {
            throw TQError(
                .payloadTooLarge,
                "The payload has \(payload.count) bytes, the limit is \(Limits.payloadBytesMax). "
                    + "Store it elsewhere and submit its address."
            )
        }
    }

    func checkBounds(_ spec: TaskSpec) throws(TQError) {
        try checkSize(ofPayload: spec.payload)
        guard spec.idempotencyKey.count <= Limits.idempotencyKeyBytesMax else {
            throw TQError(
                .invalidArgument,
                "The idempotency key has \(spec.idempotencyKey.count) bytes, the limit is "
                    + "\(Limits.idempotencyKeyBytesMax). Use a hash of it."
            )
        }
        try checkDuration(UInt64(spec.leaseMilliseconds), "lease")
        try checkDuration(UInt64(spec.timeoutMilliseconds), "timeout")
        try checkDuration(spec.idempotencyWindowMilliseconds, "idempotency window")
        try checkLimits(retriesMax: spec.retriesMax, crashesMax: spec.crashesMax)
        try check(spec.start, "delay", "start time")
        try checkStartBy(spec)
        if let unique = spec.uniqueKey { try check(unique) }
        if !spec.tags.isEmpty { try check(spec.tags) }
        if !spec.sharing.isNone { try check(spec.sharing) }
        try checkDuration(spec.retentionMilliseconds, "retention", longest: Self.delayMillisecondsMax)
        try check(deadLetterRetention: spec.deadLetterRetentionMilliseconds)
    }

    private func check(_ sharing: Sharing) throws(TQError) {
        if let key = sharing.limitKey { try check(key, "limit key") }
        if let key = sharing.serialKey { try check(key, "serial key") }
        if let group = sharing.group { try check(group, "group") }
        guard (1...Sharing.weightMax).contains(sharing.weight) else {
            throw TQError(
                .invalidArgument,
                "A group has a weight of 1 to \(Sharing.weightMax), not \(sharing.weight)."
            )
        }
    }

    /// Refuses what is no name of something.
    func check(_ name: Name, _ word: String) throws(TQError) {
        guard name.isValid else {
            throw TQError(
                .invalidArgument,
                "'\(name)' is no \(word) name: use 1 to \(Limits.nameBytesMax) bytes of UTF-8 without blanks, "
                    + "control characters and '*'."
            )
        }
    }

    func checkLimits(retriesMax: UInt16?, crashesMax: UInt16?) throws(TQError) {
        if let retries = retriesMax, retries > Limits.retriesMax {
            throw TQError(
                .invalidArgument,
                "A task may have \(Limits.retriesMax) retries, not \(retries). Ask for fewer."
            )
        }
        if let crashes = crashesMax, crashes > Limits.crashesMax {
            throw TQError(
                .invalidArgument,
                "A task may crash \(Limits.crashesMax) times, not \(crashes), before it is quarantined. Ask for fewer, or "
                    + "for 0: never."
            )
        }
    }

    private func check(_ start: TaskSpec.Start, _ delay: String, _ time: String) throws(TQError) {
        switch start {
        case .now: break
        case .after(let milliseconds): try checkDuration(milliseconds, delay, longest: Self.delayMillisecondsMax)
        case .at(let wall):
            guard wall < 1 << 48 else {
                throw TQError(.invalidArgument, "The \(time) \(wall) ms is after the year 10000. Use an earlier one.")
            }
        }
    }

    /// Refuses a latest start that no attempt could keep to.
    private func checkStartBy(_ spec: TaskSpec) throws(TQError) {
        guard let startBy = spec.startBy?.time else { return }
        try check(startBy, "time to start", "latest start")
        let latest = instant(startBy)
        let earliest = instant(spec.start)
        let text = "The latest start, \(latest) ms since 1970,"
        guard latest > now.wallMilliseconds else {
            throw TQError(.invalidArgument, "\(text) has passed. Give a later one, or none.")
        }
        guard latest > earliest else {
            throw TQError(
                .invalidArgument,
                "\(text) is not after the start, \(earliest) ms since 1970. Give a later one, or none."
            )
        }
    }

    /// About when that is on the wall clock.
    private func instant(_ start: TaskSpec.Start) -> UInt64 {
        switch start {
        case .now: now.wallMilliseconds
        case .after(let milliseconds): now.wallMilliseconds + milliseconds
        case .at(let wall): wall
        }
    }

    /// A hundred years: start times and retention may be far, but stay where sums of milliseconds are safe.
    static let delayMillisecondsMax: UInt64 = 100 * 366 * 86_400_000

    func checkDuration(
        _ milliseconds: UInt64,
        _ what: String,
        longest: UInt64 = Limits.durationMillisecondsMax
    ) throws(TQError) {
        guard milliseconds <= longest else {
            throw TQError(
                .invalidArgument,
                "The \(what) of \(milliseconds) ms is too long: the limit is \(longest) ms."
            )
        }
    }

    /// Segments of one group beyond which it takes no more: a group can number so many of a kind, and twice as many again.
    private static let segmentsPerGroupMax = 16_000

    /// Refuses what would add work while the broker cannot take it.
    func checkAdmittance(whileDraining: Bool) throws(TQError) {
        guard batch.segments.count < Self.segmentsPerGroupMax else {
            throw TQError(
                .rateLimited,
                "More tasks are submitted and replaced in turns than one write takes. Submit this one again.",
                retryAfterMilliseconds: 50
            )
        }
        if isDraining, !whileDraining {
            throw TQError(
                .draining,
                "The broker is shutting down. Submit to another one or later.",
                retryAfterMilliseconds: 1000
            )
        }
        if isDiskLow {
            throw TQError(
                .diskFull,
                "The broker's disk is nearly full, so it takes no new tasks; completions go on. Free space and submit again.",
                retryAfterMilliseconds: 5000
            )
        }
    }

    /// - Parameter count: Tasks that were admitted and are not stored yet.
    func checkDepth(_ queue: UInt32, adding count: UInt64 = 0) throws(TQError) {
        let depth = index.queues[Int(queue)].counts.waiting + count
        guard depth < configuration.queueDepthThreshold else {
            throw TQError(
                .queueFull,
                "Queue '\(index.queueNames.name(queue))' holds \(depth) waiting tasks, its limit. "
                    + "Raise broker.queue_depth_threshold or submit again later.",
                retryAfterMilliseconds: 250
            )
        }
    }

    /// The start of what waits for so long from now.
    func start(after milliseconds: UInt64) -> StartTime {
        milliseconds == 0 ? .none : .at(storeMilliseconds: clock.milliseconds + milliseconds)
    }

    private func startTime(_ start: TaskSpec.Start) -> StartTime {
        switch start {
        case .now: .none
        case .after(let delay): self.start(after: delay)
        case .at(let wall): wall <= now.wallMilliseconds ? .none : .at(wallMilliseconds: wall)
        }
    }

    /// What a task asks for beyond the defaults, its unique key aside.
    mutating func options(of spec: TaskSpec, _ namespace: UInt32) throws(TQError) -> TaskOptions {
        var options = TaskOptions()
        options.start = startTime(spec.start)
        if let startBy = spec.startBy {
            options.startBy = startTime(startBy.time)
            options.buriesLate = startBy.buriesLate
        }
        options.leaseMilliseconds = spec.leaseMilliseconds
        options.timeoutMilliseconds = spec.timeoutMilliseconds
        options.retriesMax = spec.retriesMax
        options.crashesMax = spec.crashesMax
        if let policy = spec.retryPolicy {
            options.retryPolicy = try number(of: policy)
            options.retriesMax = spec.retriesMax ?? policy.listedRetries
        }
        options.retentionMilliseconds = spec.retentionMilliseconds
        options.tagCount = UInt8(spec.tags.count)
        if !spec.sharing.isNone {
            options.sharing = index.sharings.known(spec.sharing, namespace: namespace) ?? spec.sharing.copy
        }
        options.deadLetterRetentionMilliseconds = spec.deadLetterRetentionMilliseconds
        return options
    }

    /// The number of a retry policy, given to it now if it is new.
    private mutating func number(of policy: RetryPolicy) throws(TQError) -> UInt32 {
        if let known = index.retryPolicies.number(of: policy) { return known }
        let text = try storedText(of: policy)
        let count = index.retryPolicies.count
        guard count < Limits.retryPoliciesMax else {
            throw TQError(.limitExceeded, "The broker knows \(count) retry policies, its limit. Use fewer of them.")
        }
        let row = NameRow(kind: .retryPolicy, number: UInt32(count + 1), namespace: 0, name: Name(bytes: text))
        index.apply(row)
        batch.names.append(row)
        return row.number
    }

    /// The text under which a retry policy is stored.
    func storedText(of policy: RetryPolicy) throws(TQError) -> Bytes {
        let text = Bytes(policy.description.utf8)
        // A policy that was not read from a text may say what none can say.
        guard try RetryPolicy(text) == policy else {
            throw TQError(.invalidArgument, "The retry policy '\(policy)' has a factor or a wait out of range.")
        }
        return text
    }

    // MARK: Idempotency

    private func duplicate(_ known: KeyRow, of spec: TaskSpec) throws(TQError) -> Submission {
        let id = cipher.id(of: known.sequence, createdMilliseconds: known.createdMilliseconds)
        guard known.contentHash == contentHash(spec) else {
            throw TQError(
                .conflict,
                "The idempotency key '\(String(decoding: spec.idempotencyKey, as: UTF8.self))' belongs to task \(id), "
                    + "which is not the same. Use another key for another task."
            )
        }
        return Submission(id: id, isDuplicate: true)
    }

    /// What a key is for: equal keys of different kinds are different keys.
    enum KeyKind: UInt8 {
        case idempotency = 0
        case uniqueness = 1
    }

    /// A key as the tables know it; its scope is namespace and queue.
    func hash(_ key: Bytes, _ kind: KeyKind, of spec: TaskSpec, _ principal: Principal) -> KeyHash {
        func hash(_ storeKey: StoreKey) -> UInt64 {
            var hash = SipHash(key: storeKey)
            hash.combine(kind.rawValue)
            hash.combine(principal.namespace)
            hash.combine(spec.queue.bytes)
            hash.combine(key)
            return hash.finish()
        }
        return KeyHash(high: hash(storeKey), low: hash(StoreKey(high: ~storeKey.low, low: storeKey.high)))
    }

    /// What makes two submits with one key the same: the work, not when it shall run.
    private func contentHash(_ spec: TaskSpec) -> UInt64 {
        var hash = SipHash(key: storeKey)
        hash.combine(spec.type.bytes)
        hash.combine(spec.rank.rawValue)
        hash.combine(spec.payload)
        if spec.content != .unspecified {
            hash.combine(spec.content.type?.bytes ?? [])
            hash.combine(spec.content.encoding.rawValue)
        }
        return hash.finish()
    }
}
