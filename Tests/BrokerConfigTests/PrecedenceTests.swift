import BrokerConfig
import Testing

@Suite("Sources of the configuration")
struct PrecedenceTests {
    @Test("a flag wins over the environment, that over the file, that over the default")
    func order() throws {
        let file = "broker:\n  port: 1\n  max_connections: 1\n  queue_depth_threshold: 1\n"
        try withFile(file) { path in
            var input = ConfigurationInput(
                environment: ["TQ_BROKER_PORT": "2", "TQ_BROKER_MAX_CONNECTIONS": "2"],
                filePath: path
            )
            input.setFlag("broker.port", 3)
            let loaded = try LoadedConfiguration.load(input)
            #expect(loaded.configuration.broker.port == 3)
            #expect(loaded.configuration.broker.maxConnections == 2)
            #expect(loaded.configuration.broker.queueDepthThreshold == 1)
            #expect(loaded.configuration.broker.maxBatchClaim == 1000)
            #expect(loaded.sources["broker.port"] == .flag("--port"))
            #expect(loaded.sources["broker.max_connections"] == .environment("TQ_BROKER_MAX_CONNECTIONS"))
            #expect(loaded.sources["broker.queue_depth_threshold"] == .file(path))
            #expect(loaded.sources["broker.max_batch_claim"] == .default)
        }
    }

    @Test("every kind of value can be set in every source, in the key's unit")
    func kinds() throws {
        let file = """
            broker: {host: "::1", worker_lease_timeout_secs: 10}
            persistence:
              auto_compact: no
              memtable_mb: 16
              completed_task_retention_days: 0
            raft:
              peers: [a:1, b:2]
            api:
              tls_cert_path: /etc/tq/cert.pem
              tls_key_path: null
            monitoring: {log_level: debug}
            """
        let fromFile = try withFile(file) {
            try LoadedConfiguration.load(ConfigurationInput(filePath: $0)).configuration
        }
        let fromEnvironment = try LoadedConfiguration.load(
            ConfigurationInput(environment: [
                "TQ_BROKER_HOST": "::1",
                "TQ_BROKER_WORKER_LEASE_TIMEOUT_SECS": "10",
                "TQ_PERSISTENCE_AUTO_COMPACT": "no",
                "TQ_PERSISTENCE_MEMTABLE_MB": "16",
                "TQ_PERSISTENCE_COMPLETED_TASK_RETENTION_DAYS": "0",
                "TQ_RAFT_PEERS": "a:1, b:2",
                "TQ_API_TLS_CERT_PATH": "/etc/tq/cert.pem",
                "TQ_MONITORING_LOG_LEVEL": "debug",
            ])
        ).configuration
        var expected = BrokerConfiguration()
        expected.broker.host = "::1"
        expected.broker.workerLeaseTimeoutMilliseconds = 10_000
        expected.persistence.isAutoCompacting = false
        expected.persistence.memtableBytes = 16 * 1024 * 1024
        expected.persistence.completedTaskRetentionMilliseconds = 0
        expected.raft.peers = ["a:1", "b:2"]
        expected.api.tlsCertificatePath = "/etc/tq/cert.pem"
        expected.monitoring.logLevel = "debug"
        #expect(fromFile == expected)
        #expect(fromEnvironment == expected)
    }

    @Test("--set reaches every key")
    func set() throws {
        var input = ConfigurationInput()
        try input.set("persistence.wal_sync_interval_ms=100")
        let loaded = try LoadedConfiguration.load(input)
        #expect(loaded.configuration.persistence.walSyncIntervalMilliseconds == 100)
        #expect(loaded.sources["persistence.wal_sync_interval_ms"] == .flag("--set persistence.wal_sync_interval_ms"))
        #expect(loaded.warnings.count == 1)
    }

    @Test(
        "a file that says nothing keeps all defaults",
        arguments: ["", "# only a comment\n", "---\n", "broker:\n  # port: 1\nraft:\n"]
    )
    func silence(content: String) throws {
        let loaded = try withFile(content) { try LoadedConfiguration.load(ConfigurationInput(filePath: $0)) }
        #expect(loaded.configuration == BrokerConfiguration())
    }

    @Test("an empty variable counts as one that is not set")
    func emptyVariable() throws {
        let loaded = try LoadedConfiguration.load(ConfigurationInput(environment: ["TQ_BROKER_PORT": ""]))
        #expect(loaded.configuration.broker.port == 6379)
    }

    @Test("variables of clients, tasks, other programs and Kubernetes are left alone")
    func foreignVariables() throws {
        let environment = [
            "TQ_BROKER_ADDR": "10.0.0.1:6379", "TQ_API_KEY": "k", "TQ_CONTEXT": "prod", "TQ_TASK_ID": "1",
            "TQ_VERSION": "3", "PATH": "/bin",
            "TQ_BROKER_SERVICE_HOST": "10.0.0.1", "TQ_BROKER_SERVICE_PORT": "6379",
            "TQ_BROKER_PORT": "tcp://10.0.0.1:6379", "TQ_BROKER_PORT_6379_TCP_ADDR": "10.0.0.1",
        ]
        let loaded = try LoadedConfiguration.load(ConfigurationInput(environment: environment))
        #expect(loaded.configuration == BrokerConfiguration())
    }

    @Test("the printed configuration names the source of each key and no secret")
    func printed() throws {
        let loaded = try LoadedConfiguration.load(ConfigurationInput(environment: ["TQ_BROKER_PORT": "7000"]))
        #expect(loaded.lines.count == ConfigurationSchema.keys.count)
        #expect(loaded.lines.contains { $0.hasPrefix("broker.port: 7000 ") && $0.hasSuffix("# TQ_BROKER_PORT") })
        #expect(loaded.lines.contains { $0.hasPrefix("broker.host: 127.0.0.1 ") && $0.hasSuffix("# default") })
        #expect(loaded.lines.contains { $0.hasPrefix("auth.api_keys: [] ") })
    }
}
