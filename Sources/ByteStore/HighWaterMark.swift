import Glibc

/// What was durable when the mark was last written; a store that has less has lost acknowledged work.
public struct Mark: Hashable, Sendable {
    /// The identity of the store.
    public var storeID: UInt128
    /// The highest sequence of a commit group known to be synced.
    public var syncedSequence: UInt64
    /// The running hash of the groups up to that sequence.
    public var runningHash: UInt64
    /// The epoch of whoever wrote the mark; 0 in marks of versions that did not note it.
    ///
    /// Without the log that raised it nothing else would tell which lease tokens may be out.
    public var epoch: UInt32

    public init(storeID: UInt128, syncedSequence: UInt64, runningHash: UInt64, epoch: UInt32 = 0) {
        self.storeID = storeID
        self.syncedSequence = syncedSequence
        self.runningHash = runningHash
        self.epoch = epoch
    }
}

/// The high-water mark: a file beside the store, because no setting of RocksDB notices a log that was deleted.
///
/// The file has 8192 bytes: two slots, at byte 0 and at byte 4096, so that a torn write of one never touches the other.
/// The slots are written in turn; the valid one with the higher generation counts. A slot is 64 bytes followed by
/// zeros, all integers little-endian:
///
/// | byte | size | content |
/// |---|---|---|
/// | 0 | 4 | magic `TQHM` |
/// | 4 | 2 | format version, 1 |
/// | 6 | 2 | zero |
/// | 8 | 16 | store id |
/// | 24 | 8 | synced sequence |
/// | 32 | 8 | running hash |
/// | 40 | 8 | generation, from 1 |
/// | 48 | 4 | epoch |
/// | 52 | 8 | zero |
/// | 60 | 4 | CRC32C of bytes 0 to 59 |
///
/// A slot of zeros was never written. One thread writes at a time.
public final class HighWaterMark {
    static let slotByteCount = 64
    static let slotDistance = 4096
    static let version: UInt16 = 1

    /// The file.
    public let path: String
    private let descriptor: CInt
    private var generation: UInt64

    /// Reads the mark of a file; nil where there is no file.
    ///
    /// Throws ``StorageError/Kind/corruption`` where there is a file without a valid slot, and
    /// ``StorageError/Kind/newerFormat`` where a later version wrote it.
    public static func read(_ path: String) throws(StorageError) -> Mark? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .system("open", path)
        }
        defer { close(descriptor) }
        return try newest(descriptor, path).mark
    }

    /// Opens the file for writing; where it is missing it is created holding `initial`, durably.
    public init(_ path: String, initial: Mark) throws(StorageError) {
        var descriptor = open(path, O_RDWR | O_CLOEXEC)
        if descriptor < 0, errno == ENOENT {
            try Self.create(path, initial)
            descriptor = open(path, O_RDWR | O_CLOEXEC)
        }
        guard descriptor >= 0 else { throw .system("open", path) }
        do throws(StorageError) {
            generation = try Self.newest(descriptor, path).generation
            // The newest slot was perhaps noted by a process that was killed; the other one is the next to be written.
            guard fdatasync(descriptor) == 0 else { throw .system("sync", path) }
            // Nor are the names in the directory, the store's among them, durable yet if it was killed early.
            try syncEntry(of: path)
        } catch {
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Writes the mark over the older slot and waits until it is durable.
    public func write(_ mark: Mark) throws(StorageError) {
        try note(mark)
        guard fdatasync(descriptor) == 0 else { throw .system("sync", path) }
        generation += 1
    }

    /// Writes the mark over the older slot, so that it survives the death of the process.
    public func note(_ mark: Mark) throws(StorageError) {
        let (next, isOverflow) = generation.addingReportingOverflow(1)
        guard !isOverflow else {
            throw StorageError(
                .corruption,
                "the high-water mark \(path) has the last generation there is, which no writer reaches; see `tq-inspect verify`",
                path: path
            )
        }
        let slot = Self.encode(mark, generation: next)
        let offset = off_t(Int(next % 2) * Self.slotDistance)
        guard pwrite(descriptor, slot, slot.count, offset) == slot.count else { throw .system("write", path) }
    }

    /// Made whole under another name, so that a power cut leaves a complete file or none.
    private static func create(_ path: String, _ mark: Mark) throws(StorageError) {
        let newPath = path + ".new"
        let descriptor = open(newPath, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("create", newPath) }
        defer { close(descriptor) }
        var file = [UInt8](repeating: 0, count: 2 * slotDistance)
        file.replaceSubrange(slotDistance..<slotDistance + slotByteCount, with: encode(mark, generation: 1))
        guard pwrite(descriptor, file, file.count, 0) == file.count else { throw .system("write", newPath) }
        guard fsync(descriptor) == 0 else { throw .system("sync", newPath) }
        guard rename(newPath, path) == 0 else { throw .system("rename \(newPath) to", path) }
    }

    // MARK: Slots

    private static func newest(
        _ descriptor: CInt,
        _ path: String
    ) throws(StorageError) -> (mark: Mark, generation: UInt64) {
        var best: (mark: Mark, generation: UInt64)?
        for slot in 0..<2 {
            var bytes = [UInt8](repeating: 0, count: slotByteCount)
            let count = pread(descriptor, &bytes, bytes.count, off_t(slot * slotDistance))
            guard count >= 0 else { throw .system("read", path) }
            guard count == bytes.count, let found = try decode(bytes, path) else { continue }
            if found.generation >= best?.generation ?? 0 { best = found }
        }
        guard let best else {
            throw StorageError(
                .corruption,
                "The high-water mark \(path) is damaged in both slots.",
                path: path
            )
        }
        return best
    }

    static func encode(_ mark: Mark, generation: UInt64) -> [UInt8] {
        var slot = [UInt8](repeating: 0, count: slotByteCount)
        slot.withUnsafeMutableBytes { slot in
            slot.copyBytes(from: "TQHM".utf8)
            slot.storeBytes(of: version.littleEndian, toByteOffset: 4, as: UInt16.self)
            slot.storeBytes(of: mark.storeID.littleEndian, toByteOffset: 8, as: UInt128.self)
            slot.storeBytes(of: mark.syncedSequence.littleEndian, toByteOffset: 24, as: UInt64.self)
            slot.storeBytes(of: mark.runningHash.littleEndian, toByteOffset: 32, as: UInt64.self)
            slot.storeBytes(of: generation.littleEndian, toByteOffset: 40, as: UInt64.self)
            slot.storeBytes(of: mark.epoch.littleEndian, toByteOffset: 48, as: UInt32.self)
            let crc = CRC32C.checksum(of: UnsafeRawBufferPointer(rebasing: slot[..<60]))
            slot.storeBytes(of: crc.littleEndian, toByteOffset: 60, as: UInt32.self)
        }
        return slot
    }

    /// The content of a slot; nil where its checksum or magic is wrong.
    static func decode(_ slot: [UInt8], _ path: String) throws(StorageError) -> (mark: Mark, generation: UInt64)? {
        guard slot.count == slotByteCount, slot.starts(with: "TQHM".utf8) else { return nil }
        func integer<Integer: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Integer.Type) -> Integer {
            Integer(littleEndian: slot.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Integer.self) })
        }
        guard CRC32C.checksum(of: slot[..<60]) == integer(60, UInt32.self) else { return nil }
        let version = integer(4, UInt16.self)
        guard version == Self.version else {
            throw StorageError(
                .newerFormat,
                "the high-water mark \(path) has format \(version); this version of tq reads \(Self.version)",
                path: path
            )
        }
        let mark = Mark(
            storeID: integer(8, UInt128.self),
            syncedSequence: integer(24, UInt64.self),
            runningHash: integer(32, UInt64.self),
            epoch: integer(48, UInt32.self)
        )
        return (mark, integer(40, UInt64.self))
    }
}
