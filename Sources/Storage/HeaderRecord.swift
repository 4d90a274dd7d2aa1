public import ByteStore
import QueueCore

/// Where a store stands: the last batch that was applied to it.
public struct LogPosition: Hashable, Sendable {
    /// Who wrote the batch: raised each time somebody starts to serve.
    public var epoch: UInt32
    /// The batch's number, dense from 1.
    public var sequence: UInt64
    /// A hash over all batches so far.
    public var runningHash: UInt64

    /// Creates a position; without arguments, that of an empty store.
    public init(epoch: UInt32 = 0, sequence: UInt64 = 0, runningHash: UInt64 = 0) {
        self.epoch = epoch
        self.sequence = sequence
        self.runningHash = runningHash
    }
}

extension RocksDBOptions {
    /// For stores that a commit log writes: its batches are numbered without a gap, and the logs must have each number.
    public static var numbered: RocksDBOptions {
        var options = RocksDBOptions()
        options.counter = BatchCounter(
            key: String(decoding: KeyLayout.header, as: UTF8.self),
            offset: HeaderRecord.sequenceOffset
        )
        return options
    }
}

/// The header of a batch: the first operation of every batch, under the key `applied`.
///
/// | byte | size | content |
/// |---|---|---|
/// | 0 | 2 | format version, 1 |
/// | 2 | 2 | shard, 0 |
/// | 4 | 4 | epoch |
/// | 8 | 8 | sequence of the batch |
/// | 16 | 4 | epoch of the batch before |
/// | 20 | 4 | CRC32C of the batch behind this operation |
/// | 24 | 8 | sequence of the batch before |
/// | 32 | 8 | store time in milliseconds |
/// | 40 | 8 | commit group |
/// | 48 | 8 | sequence that the next task gets |
/// | 56 | 8 | running hash |
/// | 64 | 4 | CRC32C of bytes 0 to 63 |
struct HeaderRecord: Hashable {
    static let byteCount = 68
    static let sequenceOffset = 8

    var position: LogPosition
    var previous: LogPosition
    var batchChecksum: UInt32 = 0
    var storeMilliseconds: UInt64
    var group: GroupID
    var nextSequence: UInt64

    func write(to memory: UnsafeMutableRawBufferPointer) {
        var writer = ByteWriter(memory)
        writer.write(StoreIdentity.formatVersion)
        writer.write(UInt16(0))
        writer.write(position.epoch)
        writer.write(position.sequence)
        writer.write(previous.epoch)
        writer.write(batchChecksum)
        writer.write(previous.sequence)
        writer.write(storeMilliseconds)
        writer.write(group.rawValue)
        writer.write(nextSequence)
        writer.write(position.runningHash)
        writer.write(CRC32C.checksum(of: writer.written))
    }

    init(
        position: LogPosition,
        previous: LogPosition,
        storeMilliseconds: UInt64,
        group: GroupID,
        nextSequence: UInt64
    ) {
        self.position = position
        self.previous = previous
        self.storeMilliseconds = storeMilliseconds
        self.group = group
        self.nextSequence = nextSequence
    }

    init(_ value: UnsafeRawBufferPointer) throws(StorageError) {
        var reader = try ByteReader(sealed: value, "batch header")
        try reader.readFormatVersion(newest: StoreIdentity.formatVersion)
        _ = try reader.read(UInt16.self)
        let epoch: UInt32 = try reader.read()
        let sequence: UInt64 = try reader.read()
        let previousEpoch: UInt32 = try reader.read()
        batchChecksum = try reader.read()
        let previousSequence: UInt64 = try reader.read()
        storeMilliseconds = try reader.read()
        group = GroupID(rawValue: try reader.read())
        nextSequence = try reader.read()
        position = LogPosition(epoch: epoch, sequence: sequence, runningHash: try reader.read())
        previous = LogPosition(epoch: previousEpoch, sequence: previousSequence)
        try reader.end()
    }

    /// The largest count that a store may say: a task's id has 62 bits for its sequence, and nothing else grows faster.
    static let countMax: UInt64 = 1 << 62 - 1

    /// Refuses counts that no store reaches, so that whoever counts on from them cannot overflow.
    func checkCounts() throws(StorageError) {
        let counts = [position.sequence, previous.sequence, nextSequence, storeMilliseconds]
        guard counts.allSatisfy({ $0 <= Self.countMax }), position.epoch <= GroupID.epochMax else {
            throw StorageError(
                .corruption,
                "The batch header counts further than any store: \(position), next task \(nextSequence), "
                    + "store time \(storeMilliseconds). Run 'tq-inspect verify'."
            )
        }
    }

    /// The running hash after a batch with that checksum.
    static func chain(_ hash: UInt64, sequence: UInt64, checksum: UInt32) -> UInt64 {
        // SplitMix64's finalizer over what came before, the number and the checksum: any difference spreads.
        var mixed = hash &+ sequence &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(checksum)
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
