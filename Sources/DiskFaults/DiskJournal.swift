import Glibc

/// What a process did to a directory while `CDiskFaults` was loaded into it, in the order in which it took effect.
///
/// The format is in CDiskFaults.h. The file stays mapped and must not be made shorter.
public final class DiskJournal: Sendable {
    /// One operation.
    struct Record {
        var kind: Kind
        var outcome: SyncOutcome
        /// The inode of the file or directory.
        var file: UInt64
        /// An offset, a size, or the number of a sync.
        var number: UInt64
        /// Where in the journal the bytes or names are.
        var payload: Range<Int>
    }

    enum Kind: UInt16 {
        case started = 1
        case create, directory, write, truncate, rename, link, remove, syncBegin, syncEnd
    }

    enum SyncOutcome: UInt16 {
        case durable, kept, dropped
    }

    private static let magic: StaticString = "TQDISKJ1"
    private static let headerByteCount = 16
    private static let recordByteCount = 32

    // Nobody writes to the mapping.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer
    private let mappedByteCount: Int
    /// Where each record begins.
    private let offsets: [Int]
    /// The inode of the directory.
    let directory: UInt64

    /// Whether bytes follow the last record: the process was killed while it wrote one.
    public let isTorn: Bool
    /// The first cut: the records before it say what was there when the process started.
    public let start: Int

    /// Maps a journal and finds its records, up to the first that is not whole.
    ///
    /// - Throws: When there is no journal, or it ends before the process ran.
    public init(_ path: String) throws(DiskFailure) {
        let (base, byteCount) = try Self.map(path)
        let bytes = UnsafeRawBufferPointer(start: base, count: byteCount)
        var offsets: [Int] = []
        var end = Self.headerByteCount
        var start: Int?
        while let record = Self.record(bytes, at: end) {
            offsets.append(end)
            if record.kind == .started, start == nil { start = offsets.count }
            end = record.payload.upperBound
        }
        guard byteCount >= Self.headerByteCount, bytes.starts(with: Self.magicBytes), let start else {
            munmap(base, byteCount)
            throw DiskFailure("\(path) is no journal of a process that has started.")
        }
        self.base = base
        mappedByteCount = byteCount
        self.offsets = offsets
        self.start = start
        isTorn = end != byteCount
        directory = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    }

    deinit { munmap(base, mappedByteCount) }

    /// The count of operations, and the last cut: that of a power failure after all of them.
    public var count: Int { offsets.count }

    /// The length of the file.
    public var byteCount: Int { mappedByteCount }

    /// When the first operation after a cut was noted, in nanoseconds of CLOCK_MONOTONIC; the greatest value for the last.
    ///
    /// An image of that cut must hold whatever was promised before this moment.
    public func nanoseconds(atCut cut: Int) -> UInt64 {
        guard offsets.indices.contains(cut) else { return .max }
        return bytes.loadUnaligned(fromByteOffset: offsets[cut] + 8, as: UInt64.self)
    }

    /// The first cut that is later than a moment.
    public func firstCut(after nanoseconds: UInt64) -> Int {
        var (low, high) = (start, count)
        while low < high {
            let middle = low + (high - low) / 2
            if self.nanoseconds(atCut: middle) > nanoseconds { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The moment on the clock that journals use.
    public static var nanosecondsNow: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    // MARK: Reading

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: mappedByteCount) }

    subscript(index: Int) -> Record {
        guard let record = Self.record(bytes, at: offsets[index]) else { preconditionFailure("it was read before") }
        return record
    }

    private static var magicBytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount)
    }

    /// The record at a place; `nil` where there is no whole one.
    private static func record(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Record? {
        guard bytes.count - offset >= recordByteCount else { return nil }
        func integer<Integer: FixedWidthInteger & BitwiseCopyable>(_ place: Int, _: Integer.Type) -> Integer {
            bytes.loadUnaligned(fromByteOffset: offset + place, as: Integer.self)
        }
        let length = Int(integer(0, UInt32.self))
        let payload = offset + recordByteCount
        guard bytes.count - payload >= length,
            let kind = Kind(rawValue: integer(4, UInt16.self)),
            let outcome = SyncOutcome(rawValue: integer(6, UInt16.self))
        else { return nil }
        return Record(
            kind: kind,
            outcome: outcome,
            file: integer(16, UInt64.self),
            number: integer(24, UInt64.self),
            payload: payload..<payload + length
        )
    }

    private static func map(_ path: String) throws(DiskFailure) -> (base: UnsafeMutableRawPointer, byteCount: Int) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", path) }
        defer { close(descriptor) }
        let byteCount = Int(lseek(descriptor, 0, SEEK_END))
        guard byteCount > 0 else { throw DiskFailure("\(path) is empty.") }
        guard let base = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw .system("map", path)
        }
        return (base, byteCount)
    }
}
