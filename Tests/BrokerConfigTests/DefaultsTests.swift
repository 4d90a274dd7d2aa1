import BrokerConfig
import Testing

@Suite("Defaults of the configuration")
struct DefaultsTests {
    @Test("every key has the default that the documents promise")
    func pinned() {
        let defaults = ConfigurationSchema.keys.map { "\($0.path) \($0.defaultText)" }
        #expect(
            defaults == [
                "broker.host 127.0.0.1",
                "broker.port 6379",
                "broker.max_connections 1000",
                "broker.queue_depth_threshold 100000",
                "broker.worker_lease_timeout_secs 30",
                "broker.max_batch_claim 1000",
                "broker.idle_timeout_secs 30",
                "persistence.data_dir ./data",
                "persistence.wal_sync_interval_ms 0",
                "persistence.completed_task_retention_days 7",
                "persistence.completed_task_retention_secs 604800",
                "persistence.failed_task_retention_days 0",
                "persistence.failed_task_retention_secs 0",
                "persistence.auto_compact true",
                "persistence.compact_interval_secs 3600",
                "persistence.memtable_mb 64",
                "persistence.disk_reserve_mb 256",
                "persistence.body_cache_mb 16",
                "raft.enabled false",
                "raft.node_id node1",
                "raft.peers []",
                "raft.election_timeout_ms 1000",
                "raft.heartbeat_interval_ms 300",
                "raft.snapshot_interval_secs 300",
                "api.rest_port 8080",
                "api.grpc_port 9090",
                "api.enable_tls false",
                "api.tls_cert_path null",
                "api.tls_key_path null",
                "auth.enabled false",
                "auth.api_keys []",
                "monitoring.prometheus_port 9091",
                "monitoring.log_level info",
                "monitoring.json_logging true",
                "worker.concurrency 4",
                "worker.heartbeat_interval_secs 15",
                "worker.graceful_shutdown_timeout_secs 60",
                "worker.max_inactivity_secs 60",
            ]
        )
    }

    @Test("nothing set is a valid configuration without warnings, and every source is the default")
    func empty() throws {
        let loaded = try LoadedConfiguration.load(ConfigurationInput())
        #expect(loaded.configuration == BrokerConfiguration())
        #expect(loaded.warnings.isEmpty)
        #expect(!loaded.isInsecure)
        #expect(Set(loaded.sources.values) == [.default])
    }
}
