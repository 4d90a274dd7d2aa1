import TQModel

/// Every key of the configuration, once.
///
/// Parsing, checks, suggestions, `config/tq-broker.yaml`, docs/configuration.md and `--print-config` all read this table.
public enum ConfigurationSchema {
    /// All keys, section by section, in the order of the file.
    public static let keys: [ConfigurationKey] = broker + persistence + raft + api + auth + monitoring + worker

    /// The key with that full name.
    public static func key(_ path: String) -> ConfigurationKey? { byPath[path] }

    private static let byPath = Dictionary(uniqueKeysWithValues: keys.map { ($0.path, $0) })

    private static let ports = 0...65_535
    private static let yearOfSeconds = 366 * 86_400

    private static let broker: [ConfigurationKey] = [
        .init(
            .broker,
            "host",
            .text(\.broker.host),
            "Address to listen on; one that other machines reach needs --insecure while there are no keys.",
            flag: "--host"
        ),
        .init(
            .broker,
            "port",
            .integer(\.broker.port, ports, .one),
            "TCP port of the native protocol; 0 takes a free one.",
            flag: "--port"
        ),
        .init(
            .broker,
            "max_connections",
            .integer(\.broker.maxConnections, 1...1_000_000, .one),
            "Client connections at once; one more is told so and closed."
        ),
        .init(
            .broker,
            "queue_depth_threshold",
            .integer(\.broker.queueDepthThreshold, 1...1_000_000_000, .one),
            "Waiting tasks in one queue above which submits to it are refused; retries and redrives never are."
        ),
        .init(
            .broker,
            "worker_lease_timeout_secs",
            .integer(\.broker.workerLeaseTimeoutMilliseconds, 1...86_400, .seconds),
            "How long a worker holds a task without renewing it, where neither task nor claim says so."
        ),
        .init(
            .broker,
            "max_batch_claim",
            .integer(\.broker.maxBatchClaim, 1...Limits.batchCountMax, .one),
            "The most tasks that one claim gets."
        ),
        .init(
            .broker,
            "idle_timeout_secs",
            .integer(\.broker.idleTimeoutMilliseconds, 1...86_400, .seconds),
            "How long a connection may keep a half-sent message before it is closed."
        ),
    ]

    private static let persistence: [ConfigurationKey] = [
        .init(
            .persistence,
            "data_dir",
            .text(\.persistence.dataDirectory),
            "Directory that holds every task; one broker at a time uses it.",
            flag: "--data-dir"
        ),
        .init(
            .persistence,
            "wal_sync_interval_ms",
            .integer(\.persistence.walSyncIntervalMilliseconds, 0...60_000, .one),
            "0: a success reply means that the disk has it. More: a power cut may take that many milliseconds of replies."
        ),
        .init(
            .persistence,
            "completed_task_retention_days",
            .integer(\.persistence.completedTaskRetentionMilliseconds, 0...3660, .days),
            "How long results are kept where the task does not say; 0 drops them at once."
        ),
        .init(
            .persistence,
            "completed_task_retention_secs",
            .integer(\.persistence.completedTaskRetentionMilliseconds, 0...3660 * 86_400, .seconds),
            "The same in seconds; it goes before the days where both are set in one place."
        ),
        .init(
            .persistence,
            "failed_task_retention_days",
            .integer(\.persistence.failedTaskRetentionMilliseconds, 0...3660, .days),
            "How long dead letters are kept where neither the task nor its queue says; 0 keeps them until somebody decides."
        ),
        .init(
            .persistence,
            "failed_task_retention_secs",
            .integer(\.persistence.failedTaskRetentionMilliseconds, 0...3660 * 86_400, .seconds),
            "The same in seconds; it goes before the days where both are set in one place."
        ),
        .init(
            .persistence,
            "auto_compact",
            .boolean(\.persistence.isAutoCompacting),
            "Whether results go when their time has come and their disk space comes back; else `tq-admin compact` does both."
        ),
        .init(
            .persistence,
            "compact_interval_secs",
            .integer(\.persistence.compactIntervalMilliseconds, 1...yearOfSeconds, .seconds),
            "Time between two of those compactions."
        ),
        .init(
            .persistence,
            "memtable_mb",
            .integer(\.persistence.memtableBytes, 1...65_536, .mebibytes),
            "Memory for writes that are not in table files yet; 16 suits small machines."
        ),
        .init(
            .persistence,
            "disk_reserve_mb",
            .integer(\.persistence.diskReserveBytes, 0...16_777_216, .mebibytes),
            "Free space on the data disk below which submits are refused while completions go on."
        ),
        .init(
            .persistence,
            "body_cache_mb",
            .integer(\.persistence.bodyCacheBytes, 0...65_536, .mebibytes),
            "Memory for payloads that are likely to be claimed soon."
        ),
    ]

    private static let raft: [ConfigurationKey] = [
        .init(
            .raft,
            "enabled",
            .boolean(\.raft.isEnabled),
            "Whether this broker is one of several copies.",
            readiness: .refused
        ),
        .init(
            .raft,
            "node_id",
            .text(\.raft.nodeID),
            "This broker's name among its peers.",
            readiness: .planned
        ),
        .init(
            .raft,
            "peers",
            .list(\.raft.peers),
            "Addresses of the other brokers.",
            readiness: .planned
        ),
        .init(
            .raft,
            "election_timeout_ms",
            .integer(\.raft.electionTimeoutMilliseconds, 10...600_000, .one),
            "How long a follower waits for its leader before an election, in milliseconds.",
            readiness: .planned
        ),
        .init(
            .raft,
            "heartbeat_interval_ms",
            .integer(\.raft.heartbeatIntervalMilliseconds, 1...600_000, .one),
            "Time between two signs of life of a leader, in milliseconds.",
            readiness: .planned
        ),
        .init(
            .raft,
            "snapshot_interval_secs",
            .integer(\.raft.snapshotIntervalMilliseconds, 1...yearOfSeconds, .seconds),
            "Time between two snapshots.",
            readiness: .planned
        ),
    ]

    private static let api: [ConfigurationKey] = [
        .init(
            .api,
            "rest_port",
            .integer(\.api.restPort, ports, .one),
            "Port of the REST interface; 0 takes a free one.",
            readiness: .planned,
            flag: "--rest-port"
        ),
        .init(
            .api,
            "grpc_port",
            .integer(\.api.grpcPort, ports, .one),
            "Port of the gRPC interface; 0 takes a free one.",
            readiness: .planned,
            flag: "--grpc-port"
        ),
        .init(
            .api,
            "enable_tls",
            .boolean(\.api.isTLSEnabled),
            "Whether clients must use TLS.",
            readiness: .refused
        ),
        .init(
            .api,
            "tls_cert_path",
            .path(\.api.tlsCertificatePath),
            "PEM file with the certificate chain.",
            readiness: .planned
        ),
        .init(
            .api,
            "tls_key_path",
            .path(\.api.tlsKeyPath),
            "PEM file with the private key.",
            readiness: .planned
        ),
    ]

    private static let auth: [ConfigurationKey] = [
        .init(
            .auth,
            "enabled",
            .boolean(\.auth.isEnabled),
            "Whether a client must show a key.",
            readiness: .refused
        ),
        .init(
            .auth,
            "api_keys",
            .list(\.auth.apiKeys),
            "Keys that are let in.",
            readiness: .refused,
            isSecret: true
        ),
    ]

    private static let monitoring: [ConfigurationKey] = [
        .init(
            .monitoring,
            "prometheus_port",
            .integer(\.monitoring.prometheusPort, ports, .one),
            "Port of the Prometheus endpoint; 0 takes a free one.",
            readiness: .planned,
            flag: "--prometheus-port"
        ),
        .init(
            .monitoring,
            "log_level",
            .choice(\.monitoring.logLevel, ["trace", "debug", "info", "notice", "warning", "error", "critical"]),
            "The least severe level that is logged.",
            flag: "--log-level"
        ),
        .init(
            .monitoring,
            "json_logging",
            .boolean(\.monitoring.isJSONLogging),
            "Whether logs are JSON lines; otherwise they are for people."
        ),
    ]

    private static let worker: [ConfigurationKey] = [
        .init(
            .worker,
            "concurrency",
            .integer(\.worker.concurrency, 1...10_000, .one),
            "Tasks that one worker runs at once."
        ),
        .init(
            .worker,
            "heartbeat_interval_secs",
            .integer(\.worker.heartbeatIntervalMilliseconds, 1...3600, .seconds),
            "Time between two heartbeats of a worker."
        ),
        .init(
            .worker,
            "graceful_shutdown_timeout_secs",
            .integer(\.worker.gracefulShutdownTimeoutMilliseconds, 0...86_400, .seconds),
            "How long a worker that was told to stop lets its tasks end."
        ),
        .init(
            .worker,
            "max_inactivity_secs",
            .integer(\.worker.maxInactivityMilliseconds, 2...86_400, .seconds),
            "Silence after which the broker takes a worker for dead and gives its tasks to others."
        ),
    ]
}
