import ByteStore
import Glibc
import QueueCore
import Storage
import TQModel

/// The data directory of a broker: the lock, the store, and the high-water mark beside it.
final class StoreFiles {
    let log: CommitLog
    /// Why the end of the log was cut off; `nil` when all of it was there.
    let cutOff: StorageError?
    let reader: StoreReader
    let identity: StoreIdentity
    let epoch: UInt32
    private(set) var index: DurableIndex
    private let store: RocksDBStorage
    private let directory: String
    private let mark: HighWaterMark
    private var marked: LogPosition

    /// Opens the store, recovers it, and raises its epoch.
    ///
    /// - Parameters:
    ///   - acknowledged: What this process has acknowledged, when it opens the store anew.
    ///   - checksTables: Whether all table files are read first, which takes long; those that recovery scans always are.
    /// - Throws: What is wrong with the store, and the way out; a damaged store is left as it is.
    init(
        _ settings: BrokerSettings,
        acknowledged: Mark? = nil,
        checksTables: Bool = false
    ) throws(StorageError) {
        let markPath = settings.dataDirectory + "/mark"
        let knownMark = if let acknowledged { acknowledged as Mark? } else { try HighWaterMark.read(markPath) }
        var options = RocksDBOptions.numbered
        options.memtableBytes = settings.memtableBytes
        directory = settings.dataDirectory + "/db"
        let opening = try StoreOpening(directory, options: options, mark: knownMark)
        store = opening.store
        cutOff = opening.cutOff
        do throws(StorageError) {
            if checksTables { try store.checkTables(of: Family.allCases) }
            let recovered = try Recovery.recover(from: store, mark: knownMark)
            let wall = BrokerClock.now().wallMilliseconds
            identity = recovered?.identity ?? Self.makeIdentity(createdWallMilliseconds: wall)
            index = recovered?.index ?? DurableIndex()
            epoch = (recovered?.epoch ?? 0) + 1
            guard epoch <= GroupID.epochMax else {
                throw StorageError(.invalid, "The store was started \(epoch) times, which is its limit.")
            }
            let cache = PayloadCache(byteCountMax: settings.payloadCacheBytes)
            log = CommitLog(store: store, position: recovered?.position ?? LogPosition(), cache: cache)
            try log.begin(epoch: epoch, index: index, identity: recovered == nil ? identity : nil)
            reader = StoreReader(store: store, cache: cache, storeKey: identity.key, zones: ZoneFiles.read)
            mark = try HighWaterMark(markPath, initial: Self.mark(identity, log.synced))
            marked = log.synced
            try mark.write(Self.mark(identity, marked))
        } catch {
            store.close()
            throw error
        }
    }

    /// What was acknowledged: a store that has less has lost something.
    var acknowledged: Mark { Self.mark(identity, log.synced) }

    /// Notes how far the store is synced, as far as a kill goes.
    func noteMark() throws(StorageError) { try mark.note(Self.mark(identity, log.synced)) }

    /// Notes durably how far the store is synced; a store that has less at the next start has lost something.
    func writeMark() throws(StorageError) {
        let synced = log.synced
        guard synced != marked else { return }
        try mark.write(Self.mark(identity, synced))
        marked = synced
    }

    /// Forgets what recovery found, once the core has it.
    func releaseIndex() { index = DurableIndex() }

    /// Gives the disk space of outcomes back that are gone; may take long, and disturbs nobody.
    func reclaim(expiredThrough bucket: ExpiryBucket, forgotten: ClosedRange<OutcomeLocation>?) throws(StorageError) {
        try Compaction.reclaim(in: store, expiredThrough: bucket, forgotten: forgotten)
    }

    /// What the store's tables and its log hold; 0 where that cannot be read.
    ///
    /// The log reserves about as much beyond it as memory tables take.
    var diskBytes: UInt64 {
        let directory = directory
        let names = (try? Salvage.fileNames(in: directory)) ?? []
        return names.reduce(0) { sum, name in
            guard name.hasSuffix(".sst") || name.hasSuffix(".log") else { return sum }
            var status = stat()
            return stat("\(directory)/\(name)", &status) == 0 ? sum + UInt64(max(0, status.st_size)) : sum
        }
    }

    func close() { store.close() }

    private static func mark(_ identity: StoreIdentity, _ position: LogPosition) -> Mark {
        Mark(
            storeID: identity.id,
            syncedSequence: position.sequence,
            runningHash: position.runningHash,
            epoch: position.epoch
        )
    }

    private static func makeIdentity(createdWallMilliseconds: UInt64) -> StoreIdentity {
        var random = SystemRandomNumberGenerator()
        return StoreIdentity(
            id: UInt128.random(in: 1 ... .max, using: &random),
            key: StoreKey(high: random.next(), low: random.next()),
            createdWallMilliseconds: createdWallMilliseconds
        )
    }

    /// How many bytes of the disk of a directory are free for the broker.
    static func freeBytes(_ directory: String) -> UInt64? {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return nil }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }
}
