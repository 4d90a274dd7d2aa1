public import QueueCore

/// What a broker needs to know to run.
public struct BrokerSettings: Sendable {
    /// The directory that holds the store, its lock and its high-water mark; one broker at a time.
    public var dataDirectory: String
    /// The address to listen on; a loopback address unless exposure was asked for.
    public var host: String
    /// The TCP port of the native protocol; 0 takes a free one.
    public var port: Int
    /// Connections at once; the next one is refused with an error frame.
    public var connectionsMax: Int
    /// How long a connection may be silent that holds and waits for nothing.
    public var idleTimeoutMilliseconds: Int64
    /// How long what was sent to a peer may stay unacknowledged or unread before its connection ends, and with it its
    /// leases: the peer's host has lost its power or its network, or the peer hangs.
    public var unreadTimeoutMilliseconds: UInt32
    /// 0 syncs before every success reply; more is the longest time of acknowledged work that a power cut may take.
    public var syncIntervalMilliseconds: UInt32
    /// Memory for writes that are not in table files yet.
    public var memtableBytes: Int
    /// Memory for payloads that are likely to be claimed soon.
    public var payloadCacheBytes: Int
    /// Free space on the data disk below which submits are refused.
    public var diskReserveBytes: UInt64
    /// How many bytes of the disk of a directory are free; `nil` when the system does not say.
    public var freeBytes: @Sendable (_ directory: String) -> UInt64? = { StoreFiles.freeBytes($0) }
    /// The time between two turns that give the disk space of expired results back; 0 for never.
    public var compactIntervalMilliseconds: Int64
    /// Event loops for connections; one for every core but one is enough.
    public var eventLoops: Int
    /// How the queue itself behaves.
    public var core: CoreConfiguration

    /// Creates settings; the interval between syncs holds for `core` too.
    public init(
        dataDirectory: String,
        host: String = "127.0.0.1",
        port: Int = 6379,
        connectionsMax: Int = 1000,
        idleTimeoutMilliseconds: Int64 = 30_000,
        unreadTimeoutMilliseconds: UInt32 = 30_000,
        syncIntervalMilliseconds: UInt32 = 0,
        memtableBytes: Int = 64 << 20,
        payloadCacheBytes: Int = 16 << 20,
        diskReserveBytes: UInt64 = 256 << 20,
        compactIntervalMilliseconds: Int64 = 3_600_000,
        eventLoops: Int = 1,
        core: CoreConfiguration = CoreConfiguration()
    ) {
        self.dataDirectory = dataDirectory
        self.host = host
        self.port = port
        self.connectionsMax = connectionsMax
        self.idleTimeoutMilliseconds = idleTimeoutMilliseconds
        self.unreadTimeoutMilliseconds = unreadTimeoutMilliseconds
        self.syncIntervalMilliseconds = syncIntervalMilliseconds
        self.memtableBytes = memtableBytes
        self.payloadCacheBytes = payloadCacheBytes
        self.diskReserveBytes = diskReserveBytes
        self.compactIntervalMilliseconds = compactIntervalMilliseconds
        self.eventLoops = eventLoops
        self.core = core
        self.core.syncIntervalMilliseconds = syncIntervalMilliseconds
    }
}
