import TQModel

/// Makes values of every message, reproducibly from a seed.
struct RandomMessages {
    private var generator: SplitMix64

    init(seed: UInt64) { self.generator = SplitMix64(seed: seed) }

    mutating func request(_ kind: Int) -> Request {
        switch kind % Self.requestKinds {
        case 0: .submit(list { $0.task() })
        case 1: .claim(claim())
        case 2: .openStream(stream: number(), claim())
        case 3: .addCredit(stream: number(), count: number())
        case 4: .closeStream(stream: number())
        case 5: .complete(list { $0.completion() })
        case 6: .fail(list { $0.failure() })
        case 7: .release(list { Release(lease: $0.lease(), delayMilliseconds: $0.number()) })
        case 8: .renew(list { $0.renewal() })
        case 9: .cancel(list { $0.taskID() })
        case 10: .status(taskID())
        case 11: .result(taskID(), waitMilliseconds: number())
        case 12: .registerWorker(worker())
        case 13: .heartbeat(worker())
        case 14: .deregisterWorker(name())
        case 15: .statistics
        case 16: .queues
        case 17: .workers
        case 18:
            .deadLetters(DeadLetterQuery(queue: maybe { $0.name() }, after: maybe { $0.taskID() }, count: number()))
        case 19:
            .redrive(list { $0.redrive() })
        case 20: .health
        case 21: .compact
        case 22: .putRecurring(recurring())
        case 23: .removeRecurring(name())
        case 24: .pauseRecurring(name(), isPaused: flag())
        case 25: .runRecurring(name())
        case 26: .recurring(after: maybe { Name(bytes: [1] + $0.bytes(max: 50)) }, count: number())
        case 27: .upcomingTicks(recurrence: bytes(max: 300))
        case 28: .tasks(taskQuery())
        case 29: .purge(list { $0.taskID() })
        case 30: .orderWorker(name(), WorkerOrder.allCases[below(3)])
        case 31: .startBulk(bulk())
        case 32: .bulkOperations
        case 33: .stopBulk(number())
        case 34: .putQueuePolicy(name(), queuePolicy())
        case 35: .changeGate(gateChange())
        case 36: .gates
        case 37: .explain(taskID())
        case 38: .explainQueue(name())
        default: .ping
        }
    }

    static let requestKinds = 40

    mutating func reply(_ kind: Int) -> Reply {
        switch kind % Self.replyKinds {
        case 0: .submitted(list { $0.submission() })
        case 1: .claimed(list { $0.delivery() })
        case 2: .delivery(stream: number(), list { $0.delivery() })
        case 3: .outcomes(list { random in random.maybe { $0.error() } })
        case 4: .status(status())
        case 5: .result(result())
        case 6: .statistics(statistics())
        case 7: .queues(list { QueueStatistics(name: $0.name(), counts: $0.counts(), policy: $0.queuePolicy()) })
        case 8:
            .workers(
                list {
                    WorkerStatus(
                        spec: $0.worker(),
                        leases: $0.number(),
                        silentMilliseconds: $0.number(),
                        order: WorkerOrder.allCases[$0.below(3)]
                    )
                }
            )
        case 9: .deadLetters(DeadLetterPage(letters: list { $0.deadLetter() }, hasMore: flag()))
        case 10: .health(health())
        case 11: .done
        case 12:
            .completed(list { random in random.flag() ? .success(random.submissions()) : .failure(random.error()) })
        case 13:
            .cancellations(list { $0.flag() ? .success($0.flag() ? .cancelled : .requested) : .failure($0.error()) })
        case 14: .cancelRequested(list { $0.lease() })
        case 15: .compacted(Compaction(diskBytesBefore: number(), diskBytesAfter: number()))
        case 16: .recurring(RecurringPage(tasks: list { $0.recurringStatus() }, hasMore: flag()))
        case 17: .ticks(list { $0.number() })
        case 19: .workerOrder(WorkerOrder.allCases[below(3)])
        case 20: .bulkOperations(list { $0.bulkStatus() })
        case 21: .gates(list { $0.gate() })
        case 22: .explanation(Explanation(state: maybe { _ in .pending }, reasons: list { $0.waitReason() }))
        case 18:
            .tasks(
                TaskPage(
                    tasks: list { $0.status() },
                    next: bytes(max: 30),
                    scanned: number(),
                    damaged: number(),
                    count: number()
                )
            )
        default: .error(error())
        }
    }

    static let replyKinds = 24

    private mutating func bulk() -> BulkSpec {
        let changes: [BulkChange] = [
            .redrive, .purge, .cancel, .delete, .move(to: name()), .setPriority(Priority(number())),
        ]
        return BulkSpec(changes[below(changes.count)], filter: taskQuery().filter, perSecond: number())
    }

    fileprivate mutating func bulkStatus() -> BulkStatus {
        BulkStatus(
            number: number(),
            spec: bulk(),
            phase: BulkPhase.allCases[below(3)],
            changed: number(),
            refused: number(),
            problem: bytes(max: 50),
            percent: number(),
            startWallMilliseconds: number(),
            endWallMilliseconds: number()
        )
    }

    private mutating func taskQuery() -> TaskQuery {
        let priorities = [Priority(UInt8(below(256))), Priority(UInt8(below(256)))].sorted()
        return TaskQuery(
            filter: TaskFilter(
                states: Set(TaskState.allCases.filter { _ in flag() }),
                queue: maybe { $0.name() },
                type: maybe { TypePattern(bytes: $0.name().bytes) },
                priorities: priorities[0]...priorities[1],
                createdFrom: number(),
                createdBefore: number(),
                error: bytes(max: 50),
                tag: maybe { $0.tag() }
            ),
            cursor: bytes(max: 30),
            isNewestFirst: flag(),
            count: number(),
            isCount: flag()
        )
    }

    private mutating func recurring() -> RecurringSpec {
        RecurringSpec(
            name: name(),
            recurrence: bytes(max: 300),
            task: task(),
            catchUpMax: number(),
            overlap: RecurringSpec.Overlap.allCases[below(3)]
        )
    }

    private mutating func sharing() -> Sharing {
        Sharing(
            limitKey: maybe { $0.name() },
            serialKey: maybe { $0.name() },
            group: maybe { $0.name() },
            weight: number()
        )
    }

    private mutating func dependencies() -> Dependencies {
        Dependencies(
            on: (0..<below(Limits.dependenciesMax + 1)).map { _ in taskID() },
            condition: Dependencies.Condition.allCases[below(2)],
            onFailure: Dependencies.OnFailure.allCases[below(4)]
        )
    }

    private mutating func gateScope() -> GateScope {
        let kind = GateScope.Kind.allCases[below(GateScope.Kind.allCases.count)]
        return GateScope(kind, kind == .everything ? Name(bytes: []) : name())
    }

    private mutating func gateChange() -> GateChange {
        GateChange(
            gateScope(),
            isPaused: maybe { $0.flag() },
            pauseMilliseconds: number(),
            runningMax: maybe { $0.number() },
            rate: maybe { $0.rate() },
            weight: maybe { $0.number() },
            breaker: maybe { $0.breaker() },
            circuit: maybe { $0.circuitState() }
        )
    }

    private mutating func breaker() -> CircuitBreaker {
        CircuitBreaker(
            failurePercent: number(),
            attemptsMin: number(),
            windowMilliseconds: number(),
            openMilliseconds: number(),
            probes: number()
        )
    }

    private mutating func circuitState() -> CircuitState {
        CircuitState.allCases[below(CircuitState.allCases.count)]
    }

    private mutating func circuit() -> CircuitStatus {
        CircuitStatus(
            breaker(),
            state: circuitState(),
            sinceWallMilliseconds: number(),
            untilWallMilliseconds: number(),
            attempts: number(),
            failures: number()
        )
    }

    private mutating func gate() -> GateStatus {
        GateStatus(
            scope: gateScope(),
            pausedSinceWallMilliseconds: number(),
            pausedUntilWallMilliseconds: number(),
            runningMax: number(),
            running: number(),
            rate: maybe { $0.rate() },
            weight: number(),
            circuit: maybe { $0.circuit() }
        )
    }

    private mutating func rate() -> StartRate {
        StartRate(number(), per: (number() as UInt32) | 1, burst: (number() as UInt32) | 1)
    }

    private mutating func waitReason() -> WaitReason {
        WaitReason(
            WaitReason.Kind.allCases[below(WaitReason.Kind.allCases.count)],
            scope: maybe { $0.gateScope() },
            sinceWallMilliseconds: number(),
            untilWallMilliseconds: number(),
            count: number(),
            countMax: number(),
            worker: maybe { $0.name() },
            task: maybe { $0.taskID() }
        )
    }

    private mutating func queuePolicy() -> QueuePolicy {
        QueuePolicy(
            retryPolicy: maybe { RetryPolicy(.fixed(UInt64($0.below(1_000_000)))) },
            retriesMax: maybe { $0.number() },
            crashesMax: maybe { $0.number() },
            leaseMilliseconds: number(),
            timeoutMilliseconds: number(),
            retentionMilliseconds: number(),
            deadLetterRetentionMilliseconds: number(),
            deadLettersMax: number(),
            deadLetterBytesMax: number(),
            outcomesMax: number(),
            resultBytesMax: number(),
            aging: maybe { PriorityAging(stepMilliseconds: $0.number(), most: $0.number()) },
            noisy: maybe { NoisyRule(percent: $0.number(), runningMin: $0.number()) }
        )
    }

    private mutating func recurringStatus() -> RecurringStatus {
        RecurringStatus(
            name: name(),
            recurrence: bytes(max: 300),
            queue: name(),
            type: name(),
            catchUpMax: number(),
            overlap: RecurringSpec.Overlap.allCases[below(3)],
            isPaused: flag(),
            upcoming: list { $0.number() },
            lastTickWallMilliseconds: number(),
            lastTask: maybe { $0.taskID() },
            submitted: number(),
            skipped: number(),
            problem: bytes(max: 50)
        )
    }

    private mutating func completed() -> Result<[Submission], TQError> {
        flag() ? .success(submissions()) : .failure(error())
    }

    private mutating func cancellation() -> Result<Cancellation, TQError> {
        flag() ? .success(flag() ? .cancelled : .requested) : .failure(error())
    }

    private mutating func submissions() -> [Submission] { list { $0.submission() } }

    private mutating func submission() -> Submission {
        let isDuplicate = flag()
        return Submission(id: taskID(), isDuplicate: isDuplicate, isReplacement: !isDuplicate && flag())
    }

    private mutating func completion() -> Completion {
        Completion(
            lease: lease(),
            result: bytes(max: 300),
            content: content(),
            followUps: flag() ? [] : list { $0.task() },
            cancels: flag() ? [] : list { $0.taskID() }
        )
    }

    /// Any integer; zero and the largest come often.
    mutating func number<Number: FixedWidthInteger & UnsignedInteger>() -> Number {
        switch generator.next() % 4 {
        case 0: 0
        case 1: .max
        default: Number(truncatingIfNeeded: generator.next())
        }
    }

    mutating func below(_ bound: Int) -> Int { Int(generator.next() % UInt64(bound)) }
    mutating func flag() -> Bool { below(2) == 0 }
    mutating func maybe<Value>(_ value: (inout Self) -> Value) -> Value? { flag() ? value(&self) : nil }
    mutating func list<Item>(_ item: (inout Self) -> Item) -> [Item] { (0..<below(5)).map { _ in item(&self) } }

    mutating func bytes(max: Int) -> Bytes {
        let count = below(max + 1)
        return Bytes((0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
    }

    mutating func name() -> Name { Name(bytes: bytes(max: Limits.nameBytesMax)) }
    mutating func taskID() -> TaskID { TaskID(high: number(), low: number()) }
    mutating func lease() -> LeaseHandle { LeaseHandle(task: taskID(), token: LeaseToken(rawValue: number())) }
    mutating func state() -> TaskState { TaskState.allCases[below(TaskState.allCases.count)] }
    mutating func text() -> String { String((0..<below(20)).map { _ in flag() ? "ä" : "x" }) }

    private mutating func task() -> TaskSpec {
        let start: TaskSpec.Start =
            switch below(3) {
            case 0: .now
            case 1: .after(milliseconds: number())
            default: .at(wallMilliseconds: number())
            }
        return TaskSpec(
            queue: name(),
            type: name(),
            payload: bytes(max: 300),
            content: content(),
            rank: Rank(rawValue: number()),
            start: start,
            startBy: maybe { $0.startBy() },
            leaseMilliseconds: number(),
            timeoutMilliseconds: number(),
            retriesMax: maybe { $0.number() },
            crashesMax: maybe { $0.number() },
            retryPolicy: maybe { $0.retryPolicy() },
            retentionMilliseconds: number(),
            deadLetterRetentionMilliseconds: number(),
            idempotencyKey: bytes(max: Limits.idempotencyKeyBytesMax),
            idempotencyWindowMilliseconds: number(),
            uniqueKey: maybe { $0.uniqueKey() },
            tags: list { $0.tag() },
            sharing: sharing(),
            dependencies: maybe { $0.dependencies() }
        )
    }

    private mutating func tag() -> TaskTag { TaskTag(bytes: bytes(max: Limits.tagBytesMax)) }

    private mutating func startBy() -> TaskSpec.StartBy {
        let time = flag() ? TaskSpec.Start.after(milliseconds: number()) : .at(wallMilliseconds: number())
        return TaskSpec.StartBy(time, buriesLate: flag())
    }

    private mutating func uniqueKey() -> UniqueKey {
        let scopes: [UniqueKey.Scope] = [.waiting, .active, .unfinished, .window(milliseconds: number())]
        return UniqueKey(
            [1] + bytes(max: Limits.uniqueKeyBytesMax - 1),
            scope: scopes[below(4)],
            onConflict: UniqueKey.OnConflict.allCases[below(3)]
        )
    }

    private mutating func retryPolicy() -> RetryPolicy {
        let growth: RetryPolicy.Growth =
            switch below(4) {
            case 0: .exponential(first: wait(), factorPercent: UInt32(100 + below(9_901)), longest: wait())
            case 1: .linear(first: wait(), step: wait(), longest: wait())
            case 2: .fixed(wait())
            default: .list((0...below(7)).map { _ in wait() })
            }
        return RetryPolicy(growth, isJittered: below(2) == 0)
    }

    private mutating func wait() -> UInt64 { UInt64(below(Int(Limits.durationMillisecondsMax))) }

    private mutating func claim() -> ClaimSpec {
        ClaimSpec(
            queues: list { $0.name() },
            types: list { TypePattern(bytes: $0.bytes(max: 20)) },
            count: number(),
            waitMilliseconds: number(),
            worker: maybe { $0.name() },
            leaseMilliseconds: number()
        )
    }

    private mutating func failure() -> Failure {
        Failure(
            lease: lease(),
            error: bytes(max: 100),
            isPermanent: flag(),
            retryAfterMilliseconds: maybe { $0.number() },
            pausesKey: flag()
        )
    }

    private mutating func worker() -> WorkerSpec {
        WorkerSpec(
            name: name(),
            metadata: bytes(max: 100),
            concurrency: number(),
            running: number(),
            cpuPermille: number(),
            memoryBytes: number()
        )
    }

    private mutating func submission() -> Result<Submission, TQError> {
        flag() ? .success(submission()) : .failure(error())
    }

    private mutating func delivery() -> Delivery {
        Delivery(
            lease: lease(),
            queue: name(),
            type: name(),
            payload: bytes(max: 300),
            content: content(),
            priority: Priority(number()),
            attempt: number(),
            retriesMax: number(),
            leaseMilliseconds: number(),
            timeoutMilliseconds: number(),
            tickWallMilliseconds: number(),
            checkpoint: bytes(max: 100),
            dependencies: (0..<below(4)).map { _ in taskID() }
        )
    }

    private mutating func status() -> TaskStatus {
        TaskStatus(
            id: taskID(),
            queue: name(),
            type: name(),
            state: state(),
            priority: Priority(number()),
            attempts: number(),
            crashes: number(),
            retriesMax: number(),
            startWallMilliseconds: number(),
            endWallMilliseconds: number(),
            worker: maybe { $0.name() },
            error: bytes(max: 50),
            history: (0..<below(4)).map { _ in attempt() },
            payloadContent: content(),
            resultBytes: number(),
            resultContent: content(),
            progress: progress(),
            tick: maybe { Tick(recurring: $0.name(), wallMilliseconds: $0.number()) },
            checkpoint: bytes(max: 100),
            tags: list { $0.tag() },
            sharing: sharing(),
            dependencies: maybe { $0.dependencies() }
        )
    }

    private mutating func content() -> Content {
        Content(type: maybe { $0.name() }, encoding: Content.Encoding.allCases[below(2)])
    }

    private mutating func redrive() -> Redrive {
        guard flag() else { return Redrive(task: taskID()) }
        return Redrive(task: taskID(), payload: bytes(max: 50), content: content())
    }

    private mutating func result() -> TaskResult {
        TaskResult(id: taskID(), state: state(), result: bytes(max: 300), content: content(), error: bytes(max: 50))
    }

    private mutating func attempt() -> Attempt {
        Attempt(
            number: number(),
            end: AttemptEnd.allCases[below(AttemptEnd.allCases.count)],
            startWallMilliseconds: number(),
            endWallMilliseconds: number(),
            worker: name(),
            error: bytes(max: 50)
        )
    }

    private mutating func renewal() -> Renewal {
        Renewal(
            lease: lease(),
            leaseMilliseconds: number(),
            progress: progress(),
            checkpoint: maybe { $0.bytes(max: 100) }
        )
    }

    private mutating func progress() -> TaskProgress? {
        maybe { TaskProgress(percent: $0.number(), message: $0.bytes(max: 50)) }
    }

    private mutating func deadLetter() -> DeadLetter {
        let reasons = DeadLetterReason.allCases
        return DeadLetter(status: status(), reason: reasons[below(reasons.count)], payload: bytes(max: 300))
    }

    private mutating func counts() -> TaskCounts {
        var counts = TaskCounts()
        for state in TaskState.allCases { counts[state] = number() }
        return counts
    }

    private mutating func statistics() -> BrokerStatistics {
        var totals = BrokerTotals()
        totals.submitted = number()
        totals.claimed = number()
        totals.completed = number()
        totals.failed = number()
        totals.retried = number()
        totals.deadLettered = number()
        totals.cancelled = number()
        totals.expired = number()
        totals.lapsed = number()
        return BrokerStatistics(
            counts: counts(),
            totals: totals,
            queues: number(),
            workers: number(),
            connections: number(),
            uptimeMilliseconds: number(),
            syncIntervalMilliseconds: number()
        )
    }

    private mutating func health() -> Health {
        let all = Health.Status.allCases
        return Health(
            status: all[below(all.count)],
            reason: text(),
            syncIntervalMilliseconds: number(),
            version: text()
        )
    }

    private mutating func error() -> TQError {
        TQError(TQError.Code(rawValue: number()), text(), retryAfterMilliseconds: maybe { $0.number() })
    }
}
