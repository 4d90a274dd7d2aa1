import Synchronization

/// A store on a disk that fails as it is told to: power cuts, kills, failed writes and syncs, a full disk, flipped bits.
///
/// It keeps the batches written since the last sync apart, in order: a power cut loses a suffix of them, never part of
/// one. It has no clock and no randomness; the same calls give the same states. It is the disk and the process's handle
/// in one: ``kill()``, ``powerCut(keepingUnsynced:)`` and ``close()`` end the process, ``reopen()`` starts the next.
public final class SimulatedDisk: ByteStore {
    /// What became of a write or sync whose caller was told of a failure.
    public enum FailedOutcome: Hashable, Sendable {
        /// It took place: a failed write is there after a reopening, and a failed sync made everything durable.
        case happened
        /// Nothing of it reached the disk.
        case lost
    }

    /// Which writes and syncs fail, counted from 1 since the disk was made; the sync of a synced write counts as one.
    public struct FaultPlan: Sendable {
        /// The writes that fail by their number, and what became of each.
        public var failingWrites: [Int: FailedOutcome]
        /// The syncs that fail by their number, and what became of each.
        public var failingSyncs: [Int: FailedOutcome]

        public init(failingWrites: [Int: FailedOutcome] = [:], failingSyncs: [Int: FailedOutcome] = [:]) {
            self.failingWrites = failingWrites
            self.failingSyncs = failingSyncs
        }
    }

    fileprivate struct State {
        /// What a power cut leaves.
        var durable = MemoryFamilies()
        /// The images of the batches since, in order.
        var unsynced: [[UInt8]] = []
        /// What the process sees: after a failure less than what is on disk.
        var visible = MemoryFamilies()
        var plan: FaultPlan
        var outOfSpace: FailedOutcome?
        var writes = 0
        var syncs = 0
        var failure: StorageError?
        var isOpen = true
    }

    private let state: Mutex<State>

    public init(faults: FaultPlan = FaultPlan()) { state = Mutex(State(plan: faults)) }

    // MARK: Faults

    /// Replaces the plan; the counts go on.
    public func plan(_ faults: FaultPlan) { state.withLock { $0.plan = faults } }

    /// How many writes have been asked for since the disk was made.
    public var writeCount: Int { state.withLock { $0.writes } }

    /// How many syncs have been asked for since the disk was made, those of synced writes included.
    public var syncCount: Int { state.withLock { $0.syncs } }

    /// The batches that a power cut may lose.
    public var unsyncedCount: Int { state.withLock { $0.unsynced.count } }

    /// Lets every write fail for lack of space, with the outcome given, until nil lifts it.
    public func setOutOfSpace(_ outcome: FailedOutcome?) { state.withLock { $0.outOfSpace = outcome } }

    /// Flips one bit of a durable value, counted from the lowest bit of its first byte.
    ///
    /// Returns false, and changes nothing, if there is no such durable row or bit.
    public func flipBit(_ bit: Int, in family: Family, key: [UInt8]) -> Bool {
        state.withLock { state in
            key.withUnsafeBytes { key in
                guard state.durable[family].flipBit(bit, of: key) else { return false }
                _ = state.visible[family].flipBit(bit, of: key)
                return true
            }
        }
    }

    /// A disk with all that the next process would find on this one, all of it durable.
    public func copy() throws(StorageError) -> SimulatedDisk {
        let copy = SimulatedDisk()
        let onDisk = try withState { state throws(StorageError) in try state.onDisk() }
        copy.state.withLock { ($0.durable, $0.visible) = (onDisk, onDisk) }
        return copy
    }

    /// The process dies; everything that was written stays.
    public func kill() { state.withLock { $0.isOpen = false } }

    /// The power fails: of the batches not synced only the first `count` stay.
    public func powerCut(keepingUnsynced count: Int) {
        state.withLock { state in
            state.unsynced.removeLast(state.unsynced.count - min(max(count, 0), state.unsynced.count))
            state.isOpen = false
        }
    }

    /// The next process opens the store and sees all that is on the disk.
    public func reopen() throws(StorageError) {
        try withState { state throws(StorageError) in
            state.visible = try state.onDisk()
            state.failure = nil
            state.isOpen = true
        }
    }

    // MARK: Writing

    /// Writes the batch, and makes it and all before it durable when `sync` is set, or fails as planned.
    public func write(_ batch: WriteBatch, sync: Bool) throws(StorageError) {
        let image = batch.withUnsafeBytes { [UInt8]($0) }
        try withState { state throws(StorageError) in
            try state.checkWritable()
            var next = state.visible
            try next.apply(image)
            state.writes += 1
            if let outcome = state.outOfSpace {
                if outcome == .happened { state.unsynced.append(image) }
                throw state.fail(.noSpace, "write \(state.writes): no space left on the simulated disk")
            }
            if let outcome = state.plan.failingWrites[state.writes] {
                if outcome == .happened { state.unsynced.append(image) }
                throw state.fail(.io, "write \(state.writes) failed as planned")
            }
            state.unsynced.append(image)
            if sync { try state.sync(to: next) }
            state.visible = next
        }
    }

    /// Makes every earlier write durable, or fails as planned.
    public func sync() throws(StorageError) {
        try withState { state throws(StorageError) in
            try state.checkWritable()
            try state.sync(to: state.visible)
        }
    }

    // MARK: Reading

    private func visible() throws(StorageError) -> MemoryFamilies {
        try withState { state throws(StorageError) in
            guard state.isOpen else { throw .closedStore }
            return state.visible
        }
    }

    /// The value of a key as the process sees it: without writes that failed, whatever became of them.
    public func get(_ family: Family, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        try visible().get(family, key)
    }

    /// Hands out the rows that the process sees at this moment in key order.
    public func scan(
        _ family: Family,
        from lower: [UInt8],
        to upper: [UInt8]?,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> ScanStep
    ) throws(StorageError) {
        try visible().scan(family, from: lower, to: upper, body)
    }

    /// The last row whose key is at least `lower` and at most `upper`, nil where there is none.
    public func last(
        _ family: Family,
        from lower: [UInt8],
        through upper: [UInt8]
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        try visible().last(family, from: lower, through: upper)
    }

    /// What the process sees now; it throws ``StorageError/Kind/closed`` while the process is ended.
    public func snapshot() throws(StorageError) -> any ByteStoreSnapshot {
        MemorySnapshot(try visible()) { [self] () throws(StorageError) in _ = try visible() }
    }

    // MARK: Upkeep

    /// There are no files to copy.
    public func checkpoint(to path: String) throws(StorageError) {
        throw StorageError(.invalid, "a simulated disk has no files to copy to \(path)", path: path)
    }

    /// Makes nothing durable, which a flush does not promise.
    public func flush() throws(StorageError) { _ = try visible() }

    /// Does nothing but throw while the process is ended.
    public func compact(_ family: Family, from lower: [UInt8]?, to upper: [UInt8]?) throws(StorageError) {
        _ = try visible()
    }

    /// Exact counts of what the process sees; zeros while it is ended.
    public func statistics(_ family: Family) -> FamilyStatistics {
        state.withLock { $0.isOpen ? $0.visible.statistics(family) : FamilyStatistics() }
    }

    /// The process ends in an orderly way, which is a kill here: a close does not promise durability either.
    public func close() { kill() }

    private func withState<Result: Sendable>(
        _ body: (inout State) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        try state.withLock { state throws(StorageError) in try body(&state) }
    }
}

extension SimulatedDisk.State {
    /// What was written, whatever the process sees of it.
    fileprivate func onDisk() throws(StorageError) -> MemoryFamilies {
        var onDisk = durable
        for image in unsynced { try onDisk.apply(image) }
        return onDisk
    }

    fileprivate func checkWritable() throws(StorageError) {
        guard isOpen else { throw .closedStore }
        if let failure { throw .writesStopped(after: failure) }
    }

    fileprivate mutating func fail(_ kind: StorageError.Kind, _ message: String) -> StorageError {
        let error = StorageError(kind, message)
        failure = error
        return error
    }

    /// Makes everything written durable, which gives `result`, or fails as planned.
    fileprivate mutating func sync(to result: MemoryFamilies) throws(StorageError) {
        syncs += 1
        let outcome = plan.failingSyncs[syncs]
        if outcome != .lost {
            durable = result
            unsynced.removeAll()
        }
        if outcome != nil { throw fail(.io, "sync \(syncs) failed as planned") }
    }
}

extension MemoryFamilies {
    fileprivate mutating func apply(_ image: [UInt8]) throws(StorageError) {
        try image.withRawBytes { image throws(StorageError) in try apply(image) }
    }
}
