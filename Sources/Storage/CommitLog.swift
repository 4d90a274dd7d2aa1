public import ByteStore
public import QueueCore
import Synchronization

/// The one door to the store: every change goes through here, one atomic batch per commit group.
///
/// One thread writes. After a failed write or sync nothing is guessed: the log refuses everything until the store is
/// opened anew and recovered.
public final class CommitLog: Sendable {
    private let store: any ByteStore
    private let state: Mutex<State>
    private let cache: PayloadCache?

    private struct State {
        var batch = WriteBatch()
        var written: LogPosition
        var synced: LogPosition
        var subscriptions: [UInt64: @Sendable (CommittedBatch) -> Void] = [:]
        var nextSubscription: UInt64 = 1
    }

    /// - Parameters:
    ///   - store: The store; nobody else writes to it.
    ///   - position: The last batch in the store.
    ///   - cache: Takes the payloads that are written, because most are read soon.
    public init(store: any ByteStore, position: LogPosition, cache: PayloadCache? = nil) {
        self.store = store
        self.cache = cache
        self.state = Mutex(State(written: position, synced: position))
    }

    /// The last batch that is in the system's hands.
    public var written: LogPosition { state.withLock(\.written) }

    /// The last batch that survives a power cut.
    public var synced: LogPosition { state.withLock(\.synced) }

    /// Raises the epoch of whoever starts to serve, synced: everything that recovery read is on disk after it.
    public func begin(epoch: UInt32, index: DurableIndex, identity: StoreIdentity? = nil) throws(StorageError) {
        try append(
            group: GroupID(epoch: epoch, counter: 0),
            epoch: epoch,
            storeMilliseconds: index.storeMilliseconds,
            nextSequence: index.nextSequence,
            sync: true
        ) { batch in
            EpochRecord.write(epoch, to: batch)
            identity?.write(to: batch)
        }
    }

    /// Writes a commit group; with `sync` it and all before it survive a power cut afterwards.
    public func commit(_ effects: EffectBatch, sync: Bool) throws(StorageError) {
        try append(
            group: effects.group,
            epoch: effects.group.epoch,
            storeMilliseconds: effects.storeMilliseconds,
            nextSequence: effects.nextSequence,
            sync: sync
        ) { BatchEncoding.encode(effects, into: $0) }
        cache?.insert(effects)
    }

    /// Makes everything that was written survive a power cut.
    public func sync() throws(StorageError) {
        let written = written
        try store.sync()
        state.withLock { if $0.synced.sequence < written.sequence { $0.synced = written } }
    }

    /// Hands over every batch from the next one on, in order, on the writing thread; be quick.
    ///
    /// - Parameter sequence: The first batch wanted: it must be the next one. Who needs older ones starts from a
    ///   checkpoint.
    public func subscribe(
        from sequence: UInt64,
        _ body: @escaping @Sendable (CommittedBatch) -> Void
    ) throws(StorageError) -> CommitSubscription {
        let number: UInt64? = state.withLock { state in
            guard sequence == state.written.sequence + 1 else { return nil }
            defer { state.nextSubscription += 1 }
            state.subscriptions[state.nextSubscription] = body
            return state.nextSubscription
        }
        guard let number else {
            throw StorageError(
                .invalid,
                "Batch \(sequence) is not the next one, which is \(written.sequence + 1). Start from a checkpoint."
            )
        }
        return CommitSubscription { [weak self] in self?.state.withLock { $0.subscriptions[number] = nil } }
    }

    private func append(
        group: GroupID,
        epoch: UInt32,
        storeMilliseconds: UInt64,
        nextSequence: UInt64,
        sync: Bool,
        _ fill: (WriteBatch) -> Void
    ) throws(StorageError) {
        var failure: StorageError?
        state.withLock { state in
            let batch = state.batch
            batch.removeAll()
            var position = LogPosition(epoch: epoch, sequence: state.written.sequence + 1)
            var header = HeaderRecord(
                position: position,
                previous: state.written,
                storeMilliseconds: storeMilliseconds,
                group: group,
                nextSequence: nextSequence
            )
            let place = batch.put(.default, key: KeyLayout.header, valueByteCount: HeaderRecord.byteCount) { _ in }
            fill(batch)
            header.batchChecksum = batch.withUnsafeBytes { image in
                CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: image[place.upperBound...]))
            }
            position.runningHash = HeaderRecord.chain(
                state.written.runningHash,
                sequence: position.sequence,
                checksum: header.batchChecksum
            )
            header.position = position
            batch.withUnsafeMutableBytes(in: place) { header.write(to: $0) }
            do throws(StorageError) {
                try store.write(batch, sync: sync)
            } catch {
                failure = error
                return
            }
            publish(batch, at: position, &state)
            state.written = position
            if sync { state.synced = position }
        }
        if let failure { throw failure }
    }

    private func publish(_ batch: WriteBatch, at position: LogPosition, _ state: inout State) {
        guard !state.subscriptions.isEmpty else { return }
        let committed = CommittedBatch(
            position: position,
            previous: state.written,
            image: batch.withUnsafeBytes { Array($0) }
        )
        for number in state.subscriptions.keys.sorted() { state.subscriptions[number]?(committed) }
    }
}

/// Ends a subscription when it is cancelled or let go.
public final class CommitSubscription: Sendable {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) { self.end = end }

    deinit { end() }

    /// Ends the subscription; a second call does nothing.
    public func cancel() { end() }
}
