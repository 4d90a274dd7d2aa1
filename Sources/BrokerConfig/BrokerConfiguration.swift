import TQModel

/// Everything that can be set on a broker, validated; a new value holds the defaults.
///
/// The sections and names are those of the YAML file, the units are the program's own: milliseconds and bytes.
/// ``ConfigurationSchema`` says for every property which key sets it and in which range.
public struct BrokerConfiguration: Hashable, Sendable {
    /// The native protocol's listener and what the queues allow.
    public var broker = Broker()
    /// Where and how safely tasks are kept.
    public var persistence = Persistence()
    /// Replication between brokers.
    public var raft = Raft()
    /// The listeners of the other protocols.
    public var api = API()
    /// Who may connect.
    public var auth = Auth()
    /// Logs and metrics.
    public var monitoring = Monitoring()
    /// What workers do, and when the broker gives them up.
    public var worker = Worker()

    /// Creates the configuration in which nobody set anything.
    public init() {}

    /// The section `broker`.
    public struct Broker: Hashable, Sendable {
        /// The address to listen on; a loopback address unless exposure was asked for.
        public var host = "127.0.0.1"
        /// The TCP port of the native protocol; 0 takes a free one.
        public var port = 6379
        /// Client connections at once.
        public var maxConnections = 1000
        /// Waiting tasks in one queue, above which submits to it are refused.
        public var queueDepthThreshold = Defaults.queueDepthThreshold
        /// How long a lease lasts where neither task nor claim says so.
        public var workerLeaseTimeoutMilliseconds = Int(Defaults.leaseMilliseconds)
        /// The most tasks that one claim gets.
        public var maxBatchClaim = Limits.claimCountMax
        /// How long a connection may keep a half-sent message before it is closed.
        public var idleTimeoutMilliseconds = 30_000
    }

    /// The section `persistence`.
    public struct Persistence: Hashable, Sendable {
        /// The directory that holds all tasks; one broker at a time.
        public var dataDirectory = "./data"
        /// 0 syncs before every success reply; more is the longest time of work that a power cut may take.
        public var walSyncIntervalMilliseconds = 0
        /// How long the results of completed tasks are kept where the task does not say.
        public var completedTaskRetentionMilliseconds = Int(Defaults.retentionMilliseconds)
        /// How long dead letters are kept where neither the task nor its queue says; 0 until somebody decides.
        public var failedTaskRetentionMilliseconds = 0
        /// Whether the store compacts itself from time to time.
        public var isAutoCompacting = true
        /// The time between two of those compactions.
        public var compactIntervalMilliseconds = 3_600_000
        /// Memory for writes that are not in table files yet.
        public var memtableBytes = 64 << 20
        /// Free space on the data disk below which submits are refused.
        public var diskReserveBytes = 256 << 20
        /// Memory for payloads that are likely to be claimed soon.
        public var bodyCacheBytes = 16 << 20
    }

    /// The section `raft`.
    public struct Raft: Hashable, Sendable {
        /// Whether this broker is one of several copies.
        public var isEnabled = false
        /// This broker's name among its peers.
        public var nodeID = "node1"
        /// The addresses of the other brokers.
        public var peers: [String] = []
        /// How long a follower waits for its leader before it stands for election.
        public var electionTimeoutMilliseconds = 1000
        /// The time between two signs of life of a leader.
        public var heartbeatIntervalMilliseconds = 300
        /// The time between two snapshots.
        public var snapshotIntervalMilliseconds = 300_000
    }

    /// The section `api`.
    public struct API: Hashable, Sendable {
        /// The port of the REST interface; 0 takes a free one.
        public var restPort = 8080
        /// The port of the gRPC interface; 0 takes a free one.
        public var grpcPort = 9090
        /// Whether clients must use TLS.
        public var isTLSEnabled = false
        /// The PEM file with the certificate chain.
        public var tlsCertificatePath: String?
        /// The PEM file with the private key.
        public var tlsKeyPath: String?
    }

    /// The section `auth`.
    public struct Auth: Hashable, Sendable {
        /// Whether a client must show a key.
        public var isEnabled = false
        /// The keys that are let in.
        public var apiKeys: [String] = []
    }

    /// The section `monitoring`.
    public struct Monitoring: Hashable, Sendable {
        /// The port of the Prometheus endpoint; 0 takes a free one.
        public var prometheusPort = 9091
        /// The least severe level that is logged.
        public var logLevel = "info"
        /// Whether logs are JSON lines; otherwise they are for people.
        public var isJSONLogging = true
    }

    /// The section `worker`.
    public struct Worker: Hashable, Sendable {
        /// Tasks that one worker runs at once.
        public var concurrency = 4
        /// The time between two heartbeats.
        public var heartbeatIntervalMilliseconds = 15_000
        /// How long a worker that was told to stop lets its tasks end.
        public var gracefulShutdownTimeoutMilliseconds = 60_000
        /// The silence after which the broker takes a worker for dead.
        public var maxInactivityMilliseconds = Int(Defaults.workerInactivityMilliseconds)
    }
}
