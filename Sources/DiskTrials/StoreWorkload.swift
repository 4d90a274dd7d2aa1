public import ByteStore
import CommandLineSupport
import Glibc
import QueueCore
import Storage
import TQModel

/// A fixed piece of work on a data directory, done by one thread as a broker does it: the process under test.
///
/// Each commit group submits, claims and completes tasks; in between the store is flushed and compacted and the
/// high-water mark is written. What was decided and what was acknowledged goes into a ``WorkRecord``.
public struct StoreWorkload {
    /// The data directory; it is made where it is missing.
    public var directory: String
    /// Where the record goes: a file outside the directory that is watched.
    public var record: String
    /// How many commit groups there are.
    public var groups = 30
    /// Whether a group is synced before it is acknowledged; without, a check of power cuts must find losses.
    public var syncsGroups = true

    /// Names the places.
    public init(directory: String, record: String) {
        self.directory = directory
        self.record = record
    }

    /// Does the work.
    ///
    /// - Throws: The first failure; nothing was acknowledged after it.
    public func run() throws(StorageError) {
        let lock = try DirectoryLock(directory)
        defer { withExtendedLifetime(lock) {} }
        let known = try HighWaterMark.read(directory + "/mark")
        let store = try StoreOpening(directory + "/db", options: Self.options, mark: known).store
        defer { store.close() }
        try run(on: store, after: try Recovery.recover(from: store, mark: known))
    }

    /// Does the work as all that a process does.
    ///
    /// - Returns: The exit code: 0, or 1 for a failure, which is then said on standard error. A process that hangs is
    ///   ended by SIGALRM.
    public func runAsProcess(secondsMax: UInt32 = 120) -> Int32 {
        alarm(secondsMax)
        do throws(StorageError) {
            try run()
            return 0
        } catch {
            writeToStandardError("\(error)\n")
            return 1
        }
    }

    private static var options: RocksDBOptions {
        var options = RocksDBOptions.numbered
        options.memtableBytes = 1 << 20
        return options
    }

    private func run(on store: RocksDBStorage, after recovered: RecoveredStore?) throws(StorageError) {
        let identity =
            recovered?.identity ?? StoreIdentity(id: 1, key: StoreKey(high: 2, low: 3), createdWallMilliseconds: 4)
        let index = recovered?.index ?? DurableIndex()
        let epoch = (recovered?.epoch ?? 0) + 1
        let notes = try WorkRecord.Writer(record)
        let log = CommitLog(store: store, position: recovered?.position ?? LogPosition())
        notes.decided(log.written.sequence + 1, index)
        try log.begin(epoch: epoch, index: index, identity: recovered == nil ? identity : nil)
        func mark() -> Mark {
            Mark(
                storeID: identity.id,
                syncedSequence: log.synced.sequence,
                runningHash: log.synced.runningHash
            )
        }
        let markFile = try HighWaterMark(directory + "/mark", initial: mark())
        notes.acknowledged(log.written.sequence)
        var queue = WorkQueue(index: index, epoch: epoch, key: identity.key)
        for group in 0..<groups {
            let effects = queue.work(group)
            notes.decided(log.written.sequence + 1, queue.index)
            try log.commit(effects, sync: syncsGroups)
            notes.acknowledged(log.written.sequence)
            if group % 10 == 4 { try markFile.write(mark()) }
            if group % 20 == 9 { try store.flush() }
            if group % 20 == 19 { for family in Family.allCases { try store.compact(family, from: nil, to: nil) } }
        }
        try log.sync()
        try markFile.write(mark())
    }
}

/// The core with a client that submits, claims and completes.
private struct WorkQueue {
    private var core: QueueCore
    private var now = Now(monotonicMilliseconds: 5_000, wallMilliseconds: 1_700_000_000_000)
    private var leases: [LeaseHandle] = []
    private var request: UInt32 = 0

    var index: DurableIndex { core.index }

    init(index: DurableIndex, epoch: UInt32, key: StoreKey) {
        core = QueueCore(configuration: CoreConfiguration(), index: index, epoch: epoch, storeKey: key, now: now)
        _ = core.decide(.openSession(1, SessionSettings()), now: now)
    }

    /// Decides one commit group.
    mutating func work(_ group: Int) -> EffectBatch {
        now.monotonicMilliseconds += 10
        now.wallMilliseconds += 10
        let payload = Bytes([UInt8](repeating: UInt8(truncatingIfNeeded: group), count: 100 << (group % 7)))
        ask(.submit((0..<4).map { _ in TaskSpec(queue: "mail", type: "send", payload: payload) }))
        ask(.complete(leases.map { Completion(lease: $0, result: payload) }))
        leases = []
        ask(.claim(ClaimSpec(queues: ["mail"], count: 3)))
        return core.closeGroup()
    }

    private mutating func ask(_ question: Request) {
        request += 1
        _ = core.decide(.request(1, id: request, .anonymous, question), now: now)
        for answer in core.takeAnswers() {
            if case .claimed(let deliveries) = answer.reply { leases += deliveries.map(\.lease) }
        }
    }
}
