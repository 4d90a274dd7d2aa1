import ByteStore
import QueueCore
import Recurrence
import Storage
import TQModel

/// A broker on a simulated disk: processes come and go, the disk and the high-water mark beside it stay.
struct SimulatedBroker {
    let settings: Settings
    let disk = SimulatedDisk()
    let identity: StoreIdentity
    var process: BrokerProcess
    /// The file beside the store; nothing but a sync moves it.
    private(set) var mark: Mark?
    /// The index after each batch that may be the last one on the disk, by the batch's number.
    private var states: [UInt64: DurableIndex] = [:]
    /// The last batch that is synced, and the one that must be there at the next start.
    private var syncedSequence: UInt64 = 0
    private var leastSequence: UInt64 = 0
    private var follower: Follower?

    /// What differs from one run to the next.
    struct Settings {
        var core: CoreConfiguration
        var cacheByteCount: Int
        /// Whether a replica takes the committed batches as bytes and is compared with the core.
        var isFollowed: Bool
    }

    init(_ settings: Settings, _ dice: inout Dice, at now: Now) throws(Broken) {
        self.settings = settings
        identity = StoreIdentity(
            id: UInt128(dice.next()) + 1,
            key: StoreKey(high: dice.next(), low: dice.next()),
            createdWallMilliseconds: now.wallMilliseconds
        )
        process = Self.process(settings, disk, DurableIndex(), LogPosition(), 1, identity.key, now, [])
        _ = try start(at: now)
    }

    static func process(
        _ settings: Settings,
        _ disk: SimulatedDisk,
        _ index: DurableIndex,
        _ position: LogPosition,
        _ epoch: UInt32,
        _ key: StoreKey,
        _ now: Now,
        _ errands: [BrokerProcess.Errand]
    ) -> BrokerProcess {
        let cache = settings.cacheByteCount > 0 ? PayloadCache(byteCountMax: settings.cacheByteCount) : nil
        return BrokerProcess(
            core: QueueCore(configuration: settings.core, index: index, epoch: epoch, storeKey: key, now: now),
            log: CommitLog(store: disk, position: position, cache: cache),
            reader: StoreReader(store: disk, cache: cache, storeKey: key) { zone in
                zone.description == "Test/Zone" ? .zone(.utc) : .missing
            },
            errands: errands
        )
    }

    // MARK: Ending and starting

    /// The process dies; what it wrote stays.
    mutating func kill() {
        leastSequence = max(syncedSequence, process.log.written.sequence)
        disk.kill()
    }

    /// The power fails: of the batches that are not synced only the first ones stay.
    mutating func powerCut(keepingUnsynced count: Int) {
        leastSequence = syncedSequence
        disk.powerCut(keepingUnsynced: count)
    }

    /// Opens the disk, recovers and begins to serve.
    ///
    /// - Parameter keepsErrands: A broker that rebuilds its store goes on with what waits for stored bytes.
    /// - Returns: `false` when the first batch failed as planned: the disk must be opened anew.
    mutating func start(at now: Now, keepsErrands: Bool = false) throws(Broken) -> Bool {
        let recovered = try open()
        let index = recovered?.index ?? DurableIndex()
        let epoch = (recovered?.epoch ?? 0) + 1
        let position = recovered?.position ?? LogPosition()
        let errands = keepsErrands ? process.errands : []
        process = Self.process(settings, disk, index, position, epoch, identity.key, now, errands)
        states = states.filter { $0.key <= position.sequence }
        states[position.sequence + 1] = index
        let log = process.log
        let isBegun = try attempt { () throws(StorageError) in
            try log.begin(epoch: epoch, index: index, identity: recovered == nil ? identity : nil)
        }
        guard isBegun else { return false }
        forgetStates()
        writeMark()
        follower = settings.isFollowed ? try Follower(log, index) : nil
        return true
    }

    /// Reopens the disk and compares what recovery finds with what the core had when it decided the last batch.
    private func open() throws(Broken) -> RecoveredStore? {
        let recovered: RecoveredStore?
        do throws(StorageError) {
            try disk.reopen()
            recovered = try Recovery.recover(from: disk, mark: mark)
        } catch {
            throw Broken("recovery", "The broker refuses to start: \(error)")
        }
        let sequence = recovered?.position.sequence ?? 0
        guard sequence >= leastSequence else {
            throw Broken("I11", "Batch \(leastSequence) was safe, but the store ends with batch \(sequence)")
        }
        guard let recovered, let before = states[sequence] else {
            guard sequence == 0 else {
                throw Broken("I11", "Nobody wrote batch \(sequence), with which the store ends")
            }
            return nil
        }
        try compare(recovered.index, with: before, "recovered from batch \(sequence)")
        try expectRefusals(at: recovered.position)
        return recovered
    }

    /// A store that has less than was marked, or something else, must be refused.
    private func expectRefusals(at position: LogPosition) throws(Broken) {
        let (sequence, hash) = (position.sequence, position.runningHash)
        for mark in [
            Mark(storeID: identity.id, syncedSequence: sequence + 1, runningHash: hash),
            Mark(storeID: identity.id, syncedSequence: sequence, runningHash: ~hash),
            Mark(storeID: ~identity.id, syncedSequence: sequence, runningHash: hash),
        ] where (try? Recovery.recover(from: disk, mark: mark)) != nil {
            throw Broken("I11", "A store that ends with \(position) was recovered in spite of \(mark)")
        }
    }

    /// Takes all planned failures back.
    func healDisk() {
        disk.plan(.init())
        disk.setOutOfSpace(nil)
    }

    // MARK: Committing

    /// Does what the committer does next.
    ///
    /// - Parameter isTogether: Whether a write is synced at once.
    mutating func commitStep(_ step: BrokerProcess.CommitStep, isTogether: Bool) throws(Broken) -> EffectBatch? {
        switch step {
        case .close:
            process.closeGroup()
            return nil
        case .write:
            guard let (effects, index) = process.closedGroup else { return nil }
            states[process.log.written.sequence + 1] = index
            guard try run({ process throws(StorageError) in try process.write(sync: isTogether) }) else { return nil }
            try follower?.take(effects)
            if isTogether { forgetStates() }
            return effects
        case .sync:
            if try run({ process throws(StorageError) in try process.sync() }) { forgetStates() }
            return nil
        }
    }

    /// Lets the process write or sync; when that fails as planned, it turns read-only.
    private mutating func run(_ body: (inout BrokerProcess) throws(StorageError) -> Void) throws(Broken) -> Bool {
        var failed: StorageError?
        let isDone = try attempt { () throws(StorageError) in
            do throws(StorageError) {
                try body(&process)
            } catch {
                failed = error
                throw error
            }
        }
        if let failed { process.fail(failed) }
        return isDone
    }

    /// Tells a failure that was planned from one that must not be.
    private func attempt(_ body: () throws(StorageError) -> Void) throws(Broken) -> Bool {
        do throws(StorageError) {
            try body()
            return true
        } catch  where error.kind == .io || error.kind == .noSpace {
            return false
        } catch {
            throw Broken("storage", "The store refuses a batch: \(error)")
        }
    }

    /// Lets go of what no power cut brings back.
    private mutating func forgetStates() {
        syncedSequence = process.log.synced.sequence
        states = states.filter { $0.key >= syncedSequence }
    }

    /// Notes beside the store how far it is synced.
    mutating func writeMark() {
        let synced = process.log.synced
        mark = Mark(storeID: identity.id, syncedSequence: synced.sequence, runningHash: synced.runningHash)
    }

    // MARK: Comparing

    /// Compares the replica with the core; only right when no group is open.
    func compareFollower() throws(Broken) {
        guard let follower else { return }
        try compare(follower.index, with: process.core.index, "replayed from the committed batches")
    }
}

/// Compares two indexes by all that is durable in them.
private func compare(_ index: DurableIndex, with live: DurableIndex, _ what: String) throws(Broken) {
    if index.canonicalText != live.canonicalText {
        let (found, expected) = (index.canonicalDump, live.canonicalDump)
        let extra = found.filter { !expected.contains($0) }.map { "\n  only \(what): \($0)" }
        let missing = expected.filter { !found.contains($0) }.map { "\n  only in the core: \($0)" }
        throw Broken("I12", "The index \(what) is not the core's:" + (extra + missing).joined())
    }
    guard index.pendingOrder == live.pendingOrder else {
        throw Broken("I8", "The order of pending tasks \(what) is not the core's")
    }
}
