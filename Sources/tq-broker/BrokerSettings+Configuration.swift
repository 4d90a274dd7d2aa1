import Broker
import BrokerConfig
import CommandLineSupport
import QueueCore

extension BrokerSettings {
    /// The settings that a configuration file and its flags ask for.
    init(_ configuration: BrokerConfiguration) {
        let (broker, persistence) = (configuration.broker, configuration.persistence)
        self.init(
            dataDirectory: persistence.dataDirectory,
            host: broker.host,
            port: broker.port,
            connectionsMax: broker.maxConnections,
            idleTimeoutMilliseconds: Int64(broker.idleTimeoutMilliseconds),
            syncIntervalMilliseconds: UInt32(clamping: persistence.walSyncIntervalMilliseconds),
            memtableBytes: persistence.memtableBytes,
            payloadCacheBytes: persistence.bodyCacheBytes,
            diskReserveBytes: UInt64(clamping: persistence.diskReserveBytes),
            compactIntervalMilliseconds: persistence.isAutoCompacting
                ? Int64(persistence.compactIntervalMilliseconds) : 0
        )
        core.queueDepthThreshold = UInt64(clamping: broker.queueDepthThreshold)
        core.claimCountMax = UInt32(clamping: broker.maxBatchClaim)
        core.leaseMilliseconds = UInt32(clamping: broker.workerLeaseTimeoutMilliseconds)
        core.retentionMilliseconds = UInt64(clamping: persistence.completedTaskRetentionMilliseconds)
        core.deadLetterRetentionMilliseconds = UInt64(clamping: persistence.failedTaskRetentionMilliseconds)
        core.expiresOutcomes = persistence.isAutoCompacting
        core.workerInactivityMilliseconds = UInt64(clamping: configuration.worker.maxInactivityMilliseconds)
        core.version = tqVersion
    }
}
