import TQModel
import WireProtocol

/// A message of every kind, with every optional field in one of them.
enum MessageSamples {
    private static let id = TaskID(high: 0, low: 0)
    private static let lease = LeaseHandle(task: id, token: LeaseToken(rawValue: 0))
    private static let claim = ClaimSpec(
        queues: ["q"],
        types: ["t", "t*"],
        count: 4,
        waitMilliseconds: 10,
        worker: "w",
        leaseMilliseconds: 500
    )
    private static let worker = WorkerSpec(
        name: "w",
        metadata: [1],
        concurrency: 2,
        running: 1,
        cpuPermille: 3,
        memoryBytes: 4
    )

    /// In an order that gives a broker something to do.
    static let requests: [Request] = [
        .submit([TaskSpec(queue: "q", type: "t", payload: [1, 2, 3]), fullTask]),
        .registerWorker(worker),
        .claim(claim),
        .renew([Renewal(lease: lease, leaseMilliseconds: 900, progress: TaskProgress(percent: 50, message: [104]))]),
        .status(id),
        .complete([Completion(lease: lease, result: [9], content: Content(type: "text/csv"))]),
        .complete([Completion(lease: lease, followUps: [TaskSpec(queue: "q", type: "t"), fullTask], cancels: [id])]),
        .openStream(stream: 1, claim),
        .addCredit(stream: 1, count: 2),
        .fail([
            Failure(lease: lease, error: [101], isPermanent: true),
            Failure(lease: lease, error: [], retryAfterMilliseconds: 5),
        ]),
        .release([Release(lease: lease, delayMilliseconds: 5)]),
        .closeStream(stream: 1),
        .result(id, waitMilliseconds: 10),
        .cancel([id]),
        .redrive([Redrive(task: id), Redrive(task: id, payload: [7, 8], content: Content(encoding: .zstd))]),
        .purge([id]),
        .deadLetters(DeadLetterQuery(queue: "q", after: id, count: 10)),
        .tasks(TaskQuery()),
        .tasks(
            TaskQuery(
                filter: TaskFilter(
                    states: [.deadLetter, .completed],
                    queue: "q",
                    type: "t*",
                    priorities: .low ... .high,
                    createdFrom: 1,
                    createdBefore: 2,
                    error: [101],
                    tag: "a:1"
                ),
                cursor: [4] + [UInt8](repeating: 0, count: 8),
                isNewestFirst: true,
                count: 10
            )
        ),
        .startBulk(BulkSpec(.redrive, filter: TaskFilter(queue: "q"), perSecond: 5)),
        .startBulk(BulkSpec(.move(to: "r"))),
        .startBulk(BulkSpec(.setPriority(.high))), .bulkOperations, .stopBulk(1),
        .heartbeat(worker), .orderWorker("w", .quiet), .deregisterWorker("w"), .statistics, .queues, .workers, .compact,
        .health, .ping,
        .putRecurring(recurring), .removeRecurring("r"), .pauseRecurring("r", isPaused: true), .runRecurring("r"),
        .putQueuePolicy("q", policy),
        .changeGate(GateChange(.type("t"), isPaused: true, pauseMilliseconds: 5, runningMax: 3, rate: StartRate(4))),
        .changeGate(
            GateChange(.queue("q"), weight: 2, breaker: CircuitBreaker(failurePercent: 50), circuit: .halfOpen)
        ),
        .gates,
        .explain(id), .explainQueue("q"),
        .recurring(after: "a", count: 5), .upcomingTicks(recurrence: recurring.recurrence),
    ]

    private static let policy = QueuePolicy(
        retryPolicy: RetryPolicy(.list([1_000, 5_000])),
        retriesMax: 2,
        crashesMax: 0,
        leaseMilliseconds: 1,
        timeoutMilliseconds: 2,
        retentionMilliseconds: 3,
        deadLetterRetentionMilliseconds: 4,
        deadLettersMax: 5,
        deadLetterBytesMax: 6,
        outcomesMax: 7,
        resultBytesMax: 8,
        aging: PriorityAging(stepMilliseconds: 9, most: 10),
        noisy: NoisyRule()
    )

    private static let recurring = RecurringSpec(
        name: "r",
        recurrence: Bytes("cron:*/5 8-17 * * MON-FRI UTC".utf8),
        task: TaskSpec(queue: "q", type: "t", payload: [1]),
        catchUpMax: 3,
        overlap: .skip
    )

    private static let fullTask = TaskSpec(
        queue: "q",
        type: "t",
        payload: [4],
        content: Content(type: "text/plain", encoding: .zstd),
        rank: Rank(rawValue: 7),
        start: .after(milliseconds: 20),
        startBy: .init(.after(milliseconds: 40), buriesLate: true),
        leaseMilliseconds: 1000,
        timeoutMilliseconds: 2000,
        retriesMax: 1,
        crashesMax: 1,
        retryPolicy: RetryPolicy(.list([10, 20])),
        retentionMilliseconds: 60_000,
        deadLetterRetentionMilliseconds: 120_000,
        idempotencyKey: [107],
        idempotencyWindowMilliseconds: 60_000,
        uniqueKey: UniqueKey([8], scope: .window(milliseconds: 60_000), onConflict: .replace),
        tags: ["a:1", "b"]
    )

    static let replies: [Reply] = [
        .submitted([
            .success(Submission(id: id)), .success(Submission(id: id, isDuplicate: true)),
            .success(Submission(id: id, isReplacement: true)), .failure(error),
        ]),
        .claimed([delivery]), .delivery(stream: 1, [delivery]), .outcomes([nil, error]),
        .completed([.success([Submission(id: id), Submission(id: id, isDuplicate: true)]), .failure(error)]),
        .cancellations([.success(.cancelled), .success(.requested), .failure(error)]), .cancelRequested([lease]),
        .status(status), .result(TaskResult(id: id, state: .completed, result: [1], error: [2])),
        .statistics(BrokerStatistics(syncIntervalMilliseconds: 1)),
        .queues([QueueStatistics(name: "q", counts: TaskCounts(), policy: policy)]),
        .workers([WorkerStatus(spec: worker, leases: 1, silentMilliseconds: 2)]),
        .deadLetters(
            DeadLetterPage(
                letters: [DeadLetter(status: status, reason: .retriesExhausted, payload: [1])],
                hasMore: true
            )
        ),
        .workerOrder(.stop),
        .bulkOperations([BulkStatus(number: 1, spec: BulkSpec(.cancel), phase: .stopped, problem: [1])]),
        .tasks(TaskPage(tasks: [status], next: [1, 2], scanned: 3, damaged: 4, count: 5)),
        .gates([GateStatus(scope: .queue("q"), pausedSinceWallMilliseconds: 1, runningMax: 2, running: 3)]),
        .gates([
            GateStatus(
                scope: .type("t"),
                circuit: CircuitStatus(CircuitBreaker(failurePercent: 50), state: .open, sinceWallMilliseconds: 7)
            )
        ]),
        .explanation(
            Explanation(
                state: .pending,
                reasons: [WaitReason(.paused, scope: .everything, sinceWallMilliseconds: 1, worker: "w")]
            )
        ),
        .compacted(Compaction(diskBytesBefore: 1, diskBytesAfter: 2)),
        .ticks([1, 2]),
        .recurring(
            RecurringPage(
                tasks: [
                    RecurringStatus(
                        name: "r",
                        recurrence: recurring.recurrence,
                        queue: "q",
                        type: "t",
                        upcoming: [1, 2],
                        lastTickWallMilliseconds: 1,
                        lastTask: id,
                        submitted: 1,
                        skipped: 1,
                        problem: [104]
                    )
                ],
                hasMore: true
            )
        ),
        .health(Health(status: .readOnly, reason: "r", syncIntervalMilliseconds: 1, version: "1")), .done,
        .error(error),
    ]

    private static let error = TQError(.malformedFrame, "m", retryAfterMilliseconds: 1)
    private static let delivery = Delivery(
        lease: lease,
        queue: "q",
        type: "t",
        payload: [1],
        priority: .high,
        attempt: 1,
        retriesMax: 2,
        leaseMilliseconds: 3,
        timeoutMilliseconds: 4
    )
    private static let status = TaskStatus(
        id: id,
        queue: "q",
        type: "t",
        state: .inProgress,
        priority: .normal,
        startWallMilliseconds: 1,
        endWallMilliseconds: 2,
        worker: "w",
        error: [1],
        history: [
            Attempt(
                number: 1,
                end: .failed,
                startWallMilliseconds: 1,
                endWallMilliseconds: 2,
                worker: "w",
                error: [1]
            )
        ],
        resultBytes: 1,
        progress: TaskProgress(percent: 1, message: [1]),
        tags: ["a:1", "b"]
    )

    static func hello() throws -> [UInt8] {
        var bytes: [UInt8] = []
        try Hello(
            capabilities: 1,
            clientName: "c",
            settings: SessionSettings(endsLeasesOnClose: true),
            credentials: [1],
            namespace: "n"
        ).encode(id: 1, into: &bytes)
        return bytes
    }

    static func helloReply() throws -> [UInt8] {
        var bytes: [UInt8] = []
        try HelloReply(brokerVersion: "1").encode(id: 1, into: &bytes)
        return bytes
    }
}

func frame(_ request: Request) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try request.encode(id: 1, into: &bytes)
    return bytes
}

func frame(_ reply: Reply) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try reply.encode(id: 1, into: &bytes)
    return bytes
}
