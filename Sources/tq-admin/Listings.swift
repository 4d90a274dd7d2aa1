import CommandLineSupport
import FoundationEssentials
import TQClient
import TQModel
import Telemetry

/// What is shown of each thing; the names of the fields are those of the REST interface.
enum Listings {
    static let submission = Listing<Submission>([
        Column("id", "task_id") { "\($0.id)" },
        Column("duplicate", "is_duplicate", json: { .bool($0.isDuplicate) }, text: { $0.isDuplicate ? "yes" : "" }),
        Column(
            "replaced",
            "is_replacement",
            json: { .bool($0.isReplacement) },
            text: { $0.isReplacement ? "yes" : "" }
        ),
    ])

    static let status = Listing<TaskStatus>([
        Column("id", "task_id") { "\($0.id)" },
        Column("queue", "queue") { "\($0.queue)" },
        Column("type", "task_type") { "\($0.type)" },
        Column("state", "state") { $0.state.name },
        Column("priority", "priority", count: { UInt64($0.priority.rawValue) }),
        Column("attempts", "attempts", count: { UInt64($0.attempts) }),
        Column("crashes", "crashes", count: { UInt64($0.crashes) }),
        Column("max retries", "max_retries", count: { UInt64($0.retriesMax) }),
        Column("starts", "starts_at", time: \.startWallMilliseconds),
        Column("ended", "ended_at", time: \.endWallMilliseconds),
        Column("worker", "worker", optional: { $0.worker.map { "\($0)" } }),
        Column("running since", "attempt_started_at", time: \.attemptStartWallMilliseconds),
        Column(
            "cancel requested",
            "is_cancel_requested",
            json: { .bool($0.isCancelRequested) },
            text: { $0.isCancelRequested ? "yes" : "" }
        ),
        Column("cancelled because", "cancel_reason", optional: { $0.cancelReason?.name }),
        Column("progress", "progress_percent", optional: { $0.progress.map { "\($0.percent) %" } }),
        Column("message", "progress_message", optional: { $0.progress.flatMap { message($0) } }),
        Column(
            "checkpoint",
            "checkpoint",
            optional: {
                $0.checkpoint.isEmpty
                    ? nil : base64IfBinary($0.checkpoint) ?? String(decoding: $0.checkpoint, as: UTF8.self)
            }
        ),
        Column(
            "recurring task",
            "recurring",
            optional: { $0.tick.flatMap { $0.recurring.bytes.isEmpty ? nil : "\($0.recurring)" } }
        ),
        Column(
            "tags",
            "tags",
            json: { .array($0.tags.map { .string("\($0)") }) },
            text: { $0.tags.map(\.description).joined(separator: " ") }
        ),
        Column("limit key", "limit_key", optional: { $0.sharing.limitKey.map { "\($0)" } }),
        Column("serial key", "serial_key", optional: { $0.sharing.serialKey.map { "\($0)" } }),
        Column("group", "group", optional: { $0.sharing.group.map { "\($0)" } }),
        Column(
            "weight",
            "weight",
            json: { $0.sharing.group == nil ? .null : .unsigned(UInt64($0.sharing.weight)) },
            text: { $0.sharing.group == nil ? "" : "\($0.sharing.weight)" }
        ),
        Column(
            "depends on",
            "dependencies",
            json: { .array(($0.dependencies?.tasks ?? []).map { .string("\($0)") }) },
            text: { $0.dependencies?.tasks.map(\.description).joined(separator: " ") ?? "" }
        ),
        Column("condition", "dependency_condition", optional: { $0.dependencies?.condition.name }),
        Column("if they fail", "on_dependency_failure", optional: { $0.dependencies?.onFailure.name }),
        Column("due", "tick_at", time: { $0.tick?.wallMilliseconds ?? 0 }),
        Column("error", "error", optional: { $0.error.isEmpty ? nil : String(decoding: $0.error, as: UTF8.self) }),
        Column("payload type", "payload_content_type", optional: { $0.payloadContent.type.map { "\($0)" } }),
        Column("payload encoding", "payload_encoding", optional: { encoding(of: $0.payloadContent) }),
        Column("result bytes", "result_bytes", count: { UInt64($0.resultBytes) }),
        Column("result type", "result_content_type", optional: { $0.resultContent.type.map { "\($0)" } }),
        Column("result encoding", "result_encoding", optional: { encoding(of: $0.resultContent) }),
        // For people it is a table of its own.
        Column("history", "history", json: { history.json(of: $0.history) }, text: { _ in "" }),
    ])

    /// Attempts that did not succeed.
    static let history = Listing<Attempt>([
        Column("attempt", "attempt", count: { UInt64($0.number) }),
        Column("end", "end") { $0.end.name },
        Column("started", "started_at", time: \.startWallMilliseconds),
        Column("ended", "ended_at", time: \.endWallMilliseconds),
        Column("worker", "worker", optional: { $0.worker.bytes.isEmpty ? nil : "\($0.worker)" }),
        Column("error", "error") { String(decoding: $0.error, as: UTF8.self) },
    ])

    /// How bytes are encoded, when they are.
    private static func encoding(of content: Content) -> String? {
        content.encoding == .identity ? nil : content.encoding.name
    }

    private static func message(_ progress: TaskProgress) -> String? {
        progress.message.isEmpty ? nil : String(decoding: progress.message, as: UTF8.self)
    }

    static let result = Listing<TaskResult>([
        Column("id", "task_id") { "\($0.id)" },
        Column("state", "state") { $0.state.name },
        Column("content type", "content_type", optional: { $0.content.type.map { "\($0)" } }),
        Column("result", "result", optional: { String(validating: $0.result, as: UTF8.self) }),
        Column("result base64", "result_base64", optional: { base64IfBinary($0.result) }),
        Column("error", "error", optional: { $0.error.isEmpty ? nil : String(decoding: $0.error, as: UTF8.self) }),
    ])

    static let recurring = Listing<RecurringStatus>([
        Column("name", "name") { "\($0.name)" },
        Column("recurrence", "recurrence") { String(decoding: $0.recurrence, as: UTF8.self) },
        Column("queue", "queue") { "\($0.queue)" },
        Column("type", "task_type") { "\($0.type)" },
        Column("paused", "is_paused", json: { .bool($0.isPaused) }, text: { $0.isPaused ? "yes" : "" }),
        Column("next", "next_at", time: { $0.upcoming.first ?? 0 }),
        // The others are for programs, and for who asks for one recurring task.
        Column("upcoming", "upcoming", json: { .array($0.upcoming.map { .string(text(of: $0)) }) }, text: { _ in "" }),
        Column("last", "last_tick_at", time: \.lastTickWallMilliseconds),
        Column("last task", "last_task_id", optional: { $0.lastTask.map { "\($0)" } }),
        Column("submitted", "submitted", count: { $0.submitted }),
        Column("skipped", "skipped", count: { $0.skipped }),
        Column("catch up", "catch_up", count: { UInt64($0.catchUpMax) }),
        Column("overlap", "overlap") { name(of: $0.overlap) },
        Column(
            "problem",
            "problem",
            optional: { $0.problem.isEmpty ? nil : String(decoding: $0.problem, as: UTF8.self) }
        ),
    ])

    static let ticks = Listing<UInt64>([Column("due", "due_at") { text(of: $0) }])

    private static func text(of tick: UInt64) -> String { rfc3339(wallMilliseconds: Int64(clamping: tick)) }

    private static func name(of overlap: RecurringSpec.Overlap) -> String {
        switch overlap {
        case .allow: "allow"
        case .skip: "skip"
        case .replace: "replace"
        }
    }

    static let compaction = Listing<Compaction>([
        Column("disk bytes before", "disk_bytes_before", count: { $0.diskBytesBefore }),
        Column("disk bytes after", "disk_bytes_after", count: { $0.diskBytesAfter }),
    ])

    static let statistics = Listing<BrokerStatistics>(
        counts(\.counts) + [
            Column("total submitted", "total_submitted", count: { $0.totals.submitted }),
            Column("total claimed", "total_claimed", count: { $0.totals.claimed }),
            Column("total completed", "total_completed", count: { $0.totals.completed }),
            Column("attempts failed", "total_failed", count: { $0.totals.failed }),
            Column("total retried", "total_retried", count: { $0.totals.retried }),
            Column("total dead-lettered", "total_dead_lettered", count: { $0.totals.deadLettered }),
            Column("total cancelled", "total_cancelled", count: { $0.totals.cancelled }),
            Column("total expired", "total_expired", count: { $0.totals.expired }),
            Column("total forgotten", "total_forgotten", count: { $0.totals.forgotten }),
            Column("leases lapsed", "total_lapsed", count: { $0.totals.lapsed }),
            Column("attempts timed out", "total_timed_out", count: { $0.totals.timedOut }),
            Column("total replaced", "total_replaced", count: { $0.totals.replaced }),
            Column("queues", "queues", count: { UInt64($0.queues) }),
            Column("workers", "workers", count: { UInt64($0.workers) }),
            Column("connections", "connections", count: { UInt64($0.connections) }),
            Column("uptime", "uptime_ms", span: \.uptimeMilliseconds),
            durability { $0.syncIntervalMilliseconds },
        ]
    )

    static let health = Listing<Health>([
        Column("status", "status") { $0.status.name },
        Column("reason", "reason", optional: { $0.reason.isEmpty ? nil : $0.reason }),
        Column("version", "version") { $0.version },
        durability { $0.syncIntervalMilliseconds },
    ])

    static let queues = Listing<QueueStatistics>(
        [Column("queue", "queue") { "\($0.name)" }] + counts(\.counts) + [
            Column("policy", "policy", json: { json(of: $0.policy) }, text: { text(of: $0.policy) })
        ]
    )

    /// What a policy says, by the options of `queue set`.
    private static func text(of policy: QueuePolicy) -> String {
        let spans: [(String, UInt64)] = [
            ("lease", UInt64(policy.leaseMilliseconds)), ("timeout", UInt64(policy.timeoutMilliseconds)),
            ("retention", policy.retentionMilliseconds),
            ("dead-letter-retention", policy.deadLetterRetentionMilliseconds),
        ]
        let bounds: [(String, UInt64)] = [
            ("max-dead-letters", UInt64(policy.deadLettersMax)),
            ("max-dead-letter-bytes", policy.deadLetterBytesMax), ("max-results", UInt64(policy.outcomesMax)),
            ("max-result-bytes", policy.resultBytesMax),
        ]
        let aging = policy.aging.map {
            "\(DurationArgument(milliseconds: UInt64($0.stepMilliseconds))) up to \($0.most)"
        }
        let texts: [(String, String?)] =
            [
                ("retry", policy.retryPolicy?.description), ("max-retries", policy.retriesMax.map { "\($0)" }),
                ("max-crashes", policy.crashesMax.map { "\($0)" }),
                ("aging", aging), ("noisy", policy.noisy.map { "\($0.percent) % from \($0.runningMin) on" }),
            ] + bounds.map { ($0, $1 == 0 ? nil : "\($1)") }
            + spans.map { ($0, $1 == 0 ? nil : "\(DurationArgument(milliseconds: $1))") }
        return texts.compactMap { name, text in text.map { "\(name) \($0)" } }.joined(separator: "; ")
    }

    private static func json(of policy: QueuePolicy) -> JSONValue {
        func said(_ value: UInt64) -> JSONValue { value == 0 ? .null : .unsigned(value) }
        return .object([
            .init("retry_policy", policy.retryPolicy.map { .string($0.description) } ?? .null),
            .init("max_retries", policy.retriesMax.map { .unsigned(UInt64($0)) } ?? .null),
            .init("max_crashes", policy.crashesMax.map { .unsigned(UInt64($0)) } ?? .null),
            .init("lease_ms", said(UInt64(policy.leaseMilliseconds))),
            .init("timeout_ms", said(UInt64(policy.timeoutMilliseconds))),
            .init("retention_ms", said(policy.retentionMilliseconds)),
            .init("dead_letter_retention_ms", said(policy.deadLetterRetentionMilliseconds)),
            .init("max_dead_letters", said(UInt64(policy.deadLettersMax))),
            .init("max_dead_letter_bytes", said(policy.deadLetterBytesMax)),
            .init("max_results", said(UInt64(policy.outcomesMax))),
            .init("max_result_bytes", said(policy.resultBytesMax)),
            .init("aging_ms", policy.aging.map { .unsigned(UInt64($0.stepMilliseconds)) } ?? .null),
            .init("noisy_percent", policy.noisy.map { .unsigned(UInt64($0.percent)) } ?? .null),
            .init("noisy_running", policy.noisy.map { .unsigned(UInt64($0.runningMin)) } ?? .null),
            .init("max_aging", policy.aging.map { .unsigned(UInt64($0.most)) } ?? .null),
        ])
    }

    static let gates = Listing<GateStatus>([
        Column("gate", "scope") { "\($0.scope)" },
        Column("running", "running", count: \.running),
        Column(
            "max",
            "running_max",
            .right,
            json: { $0.runningMax == 0 ? .null : .unsigned(UInt64($0.runningMax)) },
            text: { $0.runningMax == 0 ? "" : "\($0.runningMax)" }
        ),
        Column("rate", "rate", optional: { $0.rate.map { text(of: $0) } }),
        Column(
            "weight",
            "weight",
            .right,
            json: { $0.weight == 0 ? .null : .unsigned(UInt64($0.weight)) },
            text: { $0.weight == 0 ? "" : "\($0.weight)" }
        ),
        Column(
            "circuit",
            "circuit",
            json: { $0.circuit.map { value(of: $0) } ?? .null },
            text: { $0.circuit.map { "\($0.state.name), \($0.failures) of \($0.attempts) failed" } ?? "" }
        ),
        Column("paused", "paused_since", time: \.pausedSinceWallMilliseconds),
        Column("until", "paused_until", time: \.pausedUntilWallMilliseconds),
    ])

    private static func value(of circuit: CircuitStatus) -> JSONValue {
        let breaker = circuit.breaker
        return .object([
            .init("state", .string(circuit.state.name)),
            .init("since", jsonTime(circuit.sinceWallMilliseconds)),
            .init("until", jsonTime(circuit.untilWallMilliseconds)),
            .init("attempts", .unsigned(circuit.attempts)),
            .init("failures", .unsigned(circuit.failures)),
            .init("failure_percent", .unsigned(UInt64(breaker.failurePercent))),
            .init("min_attempts", .unsigned(UInt64(breaker.attemptsMin))),
            .init("window_ms", .unsigned(UInt64(breaker.windowMilliseconds))),
            .init("open_ms", .unsigned(UInt64(breaker.openMilliseconds))),
            .init("probes", .unsigned(UInt64(breaker.probes))),
        ])
    }

    private static func text(of rate: StartRate) -> String {
        "\(rate.count)/\(DurationArgument(milliseconds: UInt64(rate.milliseconds))), \(rate.burst) at once"
    }

    static let reasons = Listing<ExplainedReason>([
        Column("reason", "reason", optional: { $0.reason?.kind.name }),
        Column("scope", "scope", optional: { $0.reason?.scope.map { "\($0)" } }),
        Column("since", "since", time: { $0.reason?.sinceWallMilliseconds ?? 0 }),
        Column("until", "until", time: { $0.reason?.untilWallMilliseconds ?? 0 }),
        Column(
            "count",
            "count",
            .right,
            json: { .unsigned($0.reason?.count ?? 0) },
            text: { $0.reason.map { $0.count == 0 ? "" : "\($0.count)" } ?? "" }
        ),
        Column("task", "task_id", optional: { $0.reason?.task.map { "\($0)" } }),
        Column("worker", "worker", optional: { $0.reason?.worker.map { "\($0)" } }),
        Column("", "explanation") { $0.sentence },
    ])

    static let workers = Listing<WorkerStatus>([
        Column("worker", "worker") { "\($0.spec.name)" },
        Column("running", "running", count: { UInt64($0.spec.running) }),
        Column("concurrency", "concurrency", count: { UInt64($0.spec.concurrency) }),
        Column("leases", "leases", count: { UInt64($0.leases) }),
        Column("cpu %", "cpu_permille", .right, json: { .unsigned(UInt64($0.spec.cpuPermille)) }) {
            "\($0.spec.cpuPermille / 10).\($0.spec.cpuPermille % 10)"
        },
        Column("memory", "memory_bytes", .right, json: { .unsigned($0.spec.memoryBytes) }) {
            "\($0.spec.memoryBytes >> 20) MiB"
        },
        Column("silent", "silent_ms", span: \.silentMilliseconds),
        Column("order", "order", json: { .string($0.order.name) }, text: { $0.order == .work ? "" : $0.order.name }),
        Column("about", "metadata") { String(decoding: $0.spec.metadata, as: UTF8.self) },
    ])

    /// What tells one of many tasks from another.
    static let tasks = status.only([
        "task_id", "queue", "task_type", "state", "priority", "attempts", "starts_at", "ended_at", "worker",
        "progress_percent", "tags", "error",
    ])

    static let errorGroups = Listing<ErrorGroup>([
        Column("tasks", "count", count: { $0.count }),
        Column(
            "queues",
            "queues",
            json: { group in .object(group.queuesByName.map { .init($0.name, .unsigned($0.count)) }) },
            text: { group in group.queuesByName.map { "\($0.name) \($0.count)" }.joined(separator: ", ") }
        ),
        Column("first", "oldest_at", time: \.oldestWallMilliseconds),
        Column("last", "newest_at", time: \.newestWallMilliseconds),
        Column("example", "example_task_id") { "\($0.example)" },
        Column("error", "error_pattern") { $0.pattern },
    ])

    static let bulk = Listing<BulkStatus>([
        Column("operation", "bulk_operation", count: { UInt64($0.number) }),
        Column("change", "change") { "\($0.spec.change)" },
        Column("tasks", "filter") { "\($0.spec.filter)" },
        Column("phase", "phase") { $0.phase.name },
        Column("%", "percent", count: { UInt64($0.percent) }),
        Column("changed", "changed", count: { $0.changed }),
        Column("refused", "refused", count: { $0.refused }),
        Column("rate", "per_second", count: { UInt64($0.spec.perSecond) }),
        Column("started", "started_at", time: \.startWallMilliseconds),
        Column("ended", "ended_at", time: \.endWallMilliseconds),
        Column("problem", "problem") { String(decoding: $0.problem, as: UTF8.self) },
    ])

    static let counts = Listing<TaskCount>([
        Column("tasks", "tasks", .right, json: { .unsigned($0.count) }) {
            ($0.isExact ? "" : "at least ") + "\($0.count)"
        },
        Column("exact", "is_exact", json: { .bool($0.isExact) }, text: { $0.isExact ? "yes" : "no" }),
    ])

    static let deadLetters = Listing<DeadLetter>([
        Column("id", "task_id") { "\($0.status.id)" },
        Column("queue", "queue") { "\($0.status.queue)" },
        Column("type", "task_type") { "\($0.status.type)" },
        Column("reason", "reason") { $0.reason.name },
        Column("attempts", "attempts", count: { UInt64($0.status.attempts) }),
        Column("crashes", "crashes", count: { UInt64($0.status.crashes) }),
        Column("ended", "ended_at", time: \.status.endWallMilliseconds),
        Column("error", "error") { String(decoding: $0.status.error, as: UTF8.self) },
    ])

    private static func counts<Row>(_ counts: any KeyPath<Row, TaskCounts> & Sendable) -> [Column<Row>] {
        [
            Column("pending", "pending_tasks", count: { $0[keyPath: counts].pending }),
            Column("in progress", "processing_tasks", count: { $0[keyPath: counts].inProgress }),
            Column("scheduled", "scheduled_tasks", count: { $0[keyPath: counts].scheduled }),
            Column("blocked", "blocked_tasks", count: { $0[keyPath: counts].blocked }),
            Column("failed", "failed_tasks", count: { $0[keyPath: counts].failed }),
            Column("completed", "completed_tasks", count: { $0[keyPath: counts].completed }),
            Column("dead letters", "dead_letter_tasks", count: { $0[keyPath: counts].deadLetter }),
            Column("cancelled", "cancelled_tasks", count: { $0[keyPath: counts].cancelled }),
        ]
    }

    private static func durability<Row>(_ interval: @escaping @Sendable (Row) -> UInt32) -> Column<Row> {
        Column("durability", "wal_sync_interval_ms", json: { .unsigned(UInt64(interval($0))) }) {
            let milliseconds = interval($0)
            return milliseconds == 0
                ? "a success reply means that it is on disk"
                : "a power cut may take \(milliseconds) ms of acknowledged work"
        }
    }
}

extension ErrorGroup {
    fileprivate var queuesByName: [(name: String, count: UInt64)] {
        queues.map { ("\($0.key)", $0.value) }.sorted { $0.0 < $1.0 }
    }
}

/// Bytes that are no text, as base64.
private func base64IfBinary(_ bytes: Bytes) -> String? {
    String(validating: bytes, as: UTF8.self) == nil ? Data(bytes).base64EncodedString() : nil
}

extension Column {
    /// A column of texts that may be missing.
    fileprivate init(_ title: String, _ name: String, optional: @escaping @Sendable (Row) -> String?) {
        self.init(title, name, json: { optional($0).map { .string($0) } ?? .null }, text: { optional($0) ?? "" })
    }

    /// A column of times, 0 for none: relative to now for people, RFC 3339 for programs.
    fileprivate init(_ title: String, _ name: String, time: @escaping @Sendable (Row) -> UInt64) {
        self.init(title, name) { row in
            jsonTime(time(row))
        } text: { row in
            let milliseconds = time(row)
            if milliseconds == 0 { return "" }
            return relativeTime(wallMilliseconds: milliseconds, now: UInt64(clamping: wallMillisecondsNow()))
        }
    }

    /// A column of spans of time.
    fileprivate init(_ title: String, _ name: String, span: any KeyPath<Row, UInt64> & Sendable) {
        self.init(title, name, .right, json: { .unsigned($0[keyPath: span]) }) {
            "\(DurationArgument(milliseconds: $0[keyPath: span]))"
        }
    }
}

/// A time in milliseconds since 1970 for programs; null for none.
private func jsonTime(_ milliseconds: UInt64) -> JSONValue {
    milliseconds == 0 ? .null : .string(rfc3339(wallMilliseconds: Int64(clamping: milliseconds)))
}
