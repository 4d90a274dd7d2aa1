import QueueCore
import TQModel

/// Rows with random values in every field, among them zeros, the largest values and empty bytes.
struct RandomRows {
    var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    mutating func number<Number: FixedWidthInteger & UnsignedInteger>(_ type: Number.Type = Number.self) -> Number {
        switch below(8) {
        case 0: 0
        case 1: .max
        case 2: 1
        default: Number(truncatingIfNeeded: random.next())
        }
    }

    mutating func maybe<Value>(_ value: (inout Self) -> Value) -> Value? { below(2) == 0 ? nil : value(&self) }

    mutating func bytes(_ most: Int) -> [UInt8] {
        (0..<below(most + 1)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    mutating func span(_ arena: inout [UInt8], _ most: Int) -> EffectBatch.Span {
        let bytes = bytes(most)
        defer { arena += bytes }
        return EffectBatch.Span(offset: UInt32(arena.count), count: UInt32(bytes.count))
    }

    mutating func circuit() -> Circuit {
        let breaker = CircuitBreaker(
            failurePercent: UInt8(1 + below(100)),
            attemptsMin: number(UInt32.self) | 1,
            windowMilliseconds: max(10, number()),
            openMilliseconds: number(UInt32.self) | 1,
            probes: number(UInt16.self) | 1
        )
        var circuit = Circuit(breaker)
        circuit.state = CircuitState(rawValue: UInt8(below(3))) ?? .closed
        circuit.sinceWallMilliseconds = number(UInt64.self) | 1
        circuit.sinceStoreMilliseconds = number()
        return circuit
    }

    mutating func options() -> TaskOptions {
        var options = TaskOptions()
        options.start = maybe { StartTime(rawValue: $0.number()) } ?? .none
        options.leaseMilliseconds = maybe { $0.number() } ?? 0
        options.timeoutMilliseconds = maybe { $0.number() } ?? 0
        // 65,535 stands for "not asked for"; the bound on retries is far below.
        options.retriesMax = maybe { UInt16($0.below(65_535)) }
        options.crashesMax = maybe { UInt16($0.below(65_535)) }
        options.retryPolicy = maybe { $0.number() } ?? 0
        options.retentionMilliseconds = maybe { $0.number() } ?? 0
        options.deadLetterRetentionMilliseconds = maybe { $0.number() } ?? 0
        if below(2) == 0 {
            options.startBy = StartTime(rawValue: number(UInt64.self) & ~(1 << 62) | 1)
            options.buriesLate = below(2) == 0
        }
        options.sharing = maybe { $0.sharing() } ?? .none
        options.uniqueKey = maybe {
            let hash = KeyHash(high: $0.number(), low: $0.number())
            return UniqueHold(hash: hash, scope: UniqueHold.Scope(rawValue: UInt8(1 + $0.below(3))) ?? .active)
        }
        options.dependencies = maybe { $0.dependencies() }
        options.batch = maybe { $0.number() } ?? 0
        options.tick = maybe { TaskTick(recurring: $0.number() | 1, wallMilliseconds: $0.number()) }
        options.clientID = maybe { TaskID(high: $0.random.next() | 1, low: $0.number()) }
        options.tagCount = maybe { UInt8($0.below(Limits.tagsMax + 1)) } ?? 0
        return options
    }

    /// A key, or a group; some come again.
    mutating func name() -> Name { below(2) == 0 ? "tenant" : Name(bytes: Bytes(bytes(254) + [1])) }

    mutating func dependencies() -> TaskDependencies {
        let parents = (0..<1 + below(Limits.dependenciesMax)).map { _ in
            TaskDependencies.Parent(sequence: TaskSequence(number()), createdMilliseconds: number())
        }
        // Never all of them, but for one that waits for none any more.
        let over = number(UInt64.self) & (1 << UInt64(parents.count - 1) - 1)
        return TaskDependencies(
            parents: parents,
            condition: Dependencies.Condition.allCases[below(2)],
            onFailure: Dependencies.OnFailure.allCases[below(4)],
            progress: maybe { _ in .released } ?? TaskDependencies.Progress(rawValue: over)
        )
    }

    mutating func sharing() -> Sharing {
        Sharing(
            limitKey: maybe { $0.name() },
            serialKey: maybe { $0.name() },
            group: maybe { $0.name() },
            weight: UInt16(1 + below(Int(UInt16.max)))
        )
    }

    mutating func task(bodyByteCount: Int) -> TaskRow {
        let options = maybe { $0.options() }
        return TaskRow(
            sequence: TaskSequence(number()),
            createdMilliseconds: number(),
            queue: number(),
            type: number(),
            rank: Rank(rawValue: number()),
            bodyByteCount: UInt32(bodyByteCount),
            content: maybe { StoredContent(rawValue: $0.number()) } ?? .unspecified,
            options: options?.isEmpty == false ? options : nil
        )
    }

    mutating func transition(_ texts: inout [UInt8]) -> Transition {
        var row = Transition(
            sequence: TaskSequence(number()),
            operation: Transition.Operation.allCases[below(Transition.Operation.allCases.count)],
            state: TaskState.allCases[below(TaskState.allCases.count)],
            attempts: number(),
            crashes: number(),
            token: LeaseToken(rawValue: number())
        )
        row.worker = number()
        row.leaseMilliseconds = number()
        row.start = StartTime(rawValue: number())
        if below(2) == 0 {
            row.bucket = ExpiryBucket(rawValue: number(UInt32.self) | 1)
            row.outcomePart = number()
        }
        row.outcomeGroup = maybe { GroupID(rawValue: $0.number()) }
        row.rank = maybe { Rank(rawValue: $0.number()) }
        row.queue = maybe { $0.number() }
        row.progress = maybe { .init(percent: $0.number(), message: $0.span(&texts, 40)) }
        if below(3) == 0 {
            let saved = span(&texts, 60)
            if saved.count > 0 { row.checkpoint = saved }
        }
        row.byteCount = number()
        row.isCancelRequested = below(2) == 0
        row.isRedriven = below(2) == 0
        row.hasEarlierAttempts = below(2) == 0
        if row.state == .inProgress { row.claimedStoreMilliseconds = number() }
        row.blocker = number()
        return row
    }

    mutating func outcome(_ sequence: UInt64, at location: OutcomeLocation, _ results: inout [UInt8]) -> OutcomeRow {
        OutcomeRow(
            sequence: TaskSequence(sequence),
            createdMilliseconds: number(),
            endWallMilliseconds: number(),
            token: LeaseToken(rawValue: number()),
            queue: number(),
            type: number(),
            rank: Rank(rawValue: number()),
            state: below(2) == 0 ? .completed : .cancelled,
            cancelReason: CancelReason.allCases[below(CancelReason.allCases.count)],
            attempts: number(),
            crashes: number(),
            bucket: location.bucket,
            part: location.part,
            tagCount: UInt8(below(9)),
            result: span(&results, 40),
            content: StoredContent(rawValue: number())
        )
    }

    mutating func deadLetter(_ texts: inout [UInt8]) -> DeadLetterRow {
        let payload = span(&texts, 60)
        return DeadLetterRow(
            task: task(bodyByteCount: Int(payload.count)),
            reason: DeadLetterReason.allCases[below(DeadLetterReason.allCases.count)],
            attempts: number(),
            crashes: number(),
            token: LeaseToken(rawValue: number()),
            buriedWallMilliseconds: number(),
            bucket: ExpiryBucket(rawValue: number()),
            error: span(&texts, 40),
            payload: payload
        )
    }

    mutating func recurring() -> RecurringRow {
        let payload = bytes(200)
        let task = task(bodyByteCount: payload.count)
        return RecurringRow(
            number: number(),
            namespace: number(),
            name: Name(bytes: bytes(255)[...]),
            recurrence: bytes(255)[...],
            createdMilliseconds: number(),
            catchUpMax: number(),
            overlap: RecurringSpec.Overlap.allCases[below(3)],
            startByMilliseconds: number(),
            buriesLate: below(2) == 0,
            task: task,
            payload: payload[...],
            tags: tags(Int(task.options?.tagCount ?? 0))
        )
    }

    mutating func tags(_ count: Int) -> [TaskTag] {
        (0..<count).map { _ in TaskTag(bytes: [1] + bytes(Limits.tagBytesMax - 1)) }
    }

    /// A policy that says something.
    mutating func queuePolicy() -> QueuePolicy {
        QueuePolicy(
            retryPolicy: maybe { RetryPolicy(.fixed(UInt64($0.below(1_000_000)))) },
            retriesMax: maybe { UInt16($0.below(65_535)) },
            crashesMax: maybe { UInt16($0.below(65_535)) },
            leaseMilliseconds: number(),
            timeoutMilliseconds: number(),
            retentionMilliseconds: number(UInt64.self) | 1,
            deadLetterRetentionMilliseconds: number(),
            deadLettersMax: number(),
            deadLetterBytesMax: number(),
            outcomesMax: number(),
            resultBytesMax: number(),
            aging: maybe {
                PriorityAging(stepMilliseconds: $0.number(UInt32.self) | 1, most: $0.number(UInt8.self) | 1)
            },
            noisy: maybe { NoisyRule(percent: UInt8(1 + $0.below(99)), runningMin: $0.number(UInt32.self) | 1) }
        )
    }

    mutating func recurringState() -> RecurringState {
        var state = RecurringState(number: number(), throughWallMilliseconds: number())
        state.isPaused = below(2) == 0
        state.lastTickWallMilliseconds = number()
        state.lastSequence = TaskSequence(number())
        state.lastCreatedMilliseconds = number()
        state.submitted = number()
        state.skipped = number()
        return state
    }

    mutating func bulkOperation() -> BulkOperation {
        let ranks = [number(UInt32.self), number(UInt32.self)].sorted()
        let times = [number(UInt64.self), number(UInt64.self)].sorted()
        var operation = BulkOperation(
            number: number(),
            change: BulkChange.Kind.allCases[below(5)],
            target: number(),
            selection: TaskSelection(
                namespace: number(),
                states: Set(TaskState.allCases.filter { _ in below(2) == 0 }),
                queue: maybe { $0.number() | 1 },
                type: maybe { $0.number() | 1 },
                types: maybe { TypePattern(bytes: ([7] + $0.bytes(200))[...]) },
                ranks: Rank(rawValue: ranks[0])...Rank(rawValue: ranks[1]),
                created: times[0]..<times[1],
                error: bytes(255)[...],
                tag: maybe { TaskTag(bytes: ([7] + $0.bytes(60))[...]) }
            ),
            perSecond: number(),
            last: TaskSequence(number()),
            startWallMilliseconds: number()
        )
        operation.phase = BulkPhase.allCases[below(3)]
        operation.next = TaskSequence(number())
        operation.changed = number()
        operation.refused = number()
        operation.problem = bytes(255)[...]
        operation.endWallMilliseconds = number()
        return operation
    }

    mutating func attempt(_ texts: inout [UInt8]) -> AttemptRow {
        AttemptRow(
            sequence: TaskSequence(number()),
            number: number(),
            end: AttemptEnd.allCases[below(AttemptEnd.allCases.count)],
            token: LeaseToken(rawValue: number()),
            startWallMilliseconds: number(),
            endWallMilliseconds: number(),
            worker: span(&texts, 255),
            error: span(&texts, 40)
        )
    }

    mutating func location() -> OutcomeLocation {
        OutcomeLocation(
            bucket: ExpiryBucket(rawValue: number(UInt32.self) | 1),
            group: GroupID(rawValue: number()),
            part: number()
        )
    }

    mutating func locator() -> Locator {
        let key = LocatorKey(sequence: TaskSequence(number()), isSegment: below(2) == 0)
        guard below(2) == 0 else {
            return Locator(key: key, locations: [location()] + (0..<below(6)).map { _ in maybe { $0.location() } })
        }
        let bucket = ExpiryBucket(rawValue: number(UInt32.self) | 1)
        let base = GroupID(epoch: 3, counter: UInt64(below(1 << 40)))
        let near = (0..<below(20) + 1).map { _ in
            OutcomeLocation(
                bucket: bucket,
                group: GroupID(rawValue: base.rawValue + UInt64(below(1 << 32))),
                part: 0
            )
        }
        return Locator(key: key, locations: [near[0]] + near.map { below(3) == 0 ? nil : $0 })
    }
}
