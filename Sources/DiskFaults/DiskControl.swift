import Glibc
import Synchronization

/// Says which calls of a process fail, while it runs; the layout of the file is in CDiskFaults.h.
public final class DiskControl: Sendable {
    /// What can fail, by its place in the file.
    public enum Operation: Int, CaseIterable, Sendable {
        /// A write.
        case write
        /// A sync of a file or directory.
        case sync
        /// A change of a file's size, or room reserved for it.
        case allocate
        /// A new, changed or removed name.
        case name
    }

    /// What else happens when an operation fails.
    public enum Manner: UInt64, Sendable {
        /// Nothing; after a failed sync the next one may succeed with the same bytes.
        case plain
        /// Half of a write takes place, and the caller is told so; there is no error.
        case short
        /// Half of a write takes place, and the caller is told of the error.
        case torn
        /// What a failed sync was to make durable never will be: so Linux behaves.
        case drop
        /// A sync reports success, and nothing is durable: for tests that must notice it.
        case lie
    }

    private static let byteCount = 4096
    private static let ruleWordCount = 8

    /// The places in the file, in words of 64 bits; the last six within the rule of an operation.
    private enum Word: Int {
        case syncDelay = 1
        case isFull = 2
        case wallClock = 3
        case rules = 8

        static let operations = 0
        static let failed = 1
        static let from = 2
        static let times = 3
        static let error = 4
        static let manner = 5
    }

    /// The control file.
    public let path: String
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// Makes a control file by which nothing fails, over one that may be there.
    public init(_ path: String) throws(DiskFailure) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("create", path) }
        defer { close(descriptor) }
        let magic = Array("TQFAULT1".utf8)
        guard ftruncate(descriptor, off_t(Self.byteCount)) == 0,
            pwrite(descriptor, magic, magic.count, 0) == magic.count,
            let base = mmap(nil, Self.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
        else { throw .system("prepare", path) }
        self.path = path
        words = base.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    deinit { munmap(words, Self.byteCount) }

    // MARK: Faults

    /// Lets operations of a kind fail, by the error given or in another manner.
    ///
    /// - Parameters:
    ///   - number: The first one that fails, counted from 1 since the process started.
    ///   - times: How many fail; `nil` until ``restore(_:)``.
    public func fail(
        _ operation: Operation,
        with error: CInt,
        _ manner: Manner = .plain,
        from number: UInt64 = 1,
        times: UInt64? = nil
    ) {
        set(operation, Word.times, 0)
        set(operation, Word.from, number)
        set(operation, Word.error, UInt64(UInt32(bitPattern: error)))
        set(operation, Word.manner, manner.rawValue)
        set(operation, Word.times, times ?? .max)
    }

    /// Lets operations of a kind succeed again.
    public func restore(_ operation: Operation) { set(operation, Word.times, 0) }

    /// Makes each sync take so much longer.
    public func delaySyncs(by duration: Duration) {
        let (seconds, attoseconds) = duration.components
        words[Word.syncDelay.rawValue].store(
            UInt64(max(seconds, 0)) * 1_000_000_000 + UInt64(max(attoseconds, 0) / 1_000_000_000),
            ordering: .releasing
        )
    }

    /// Whether files can no longer grow; what is removed makes no room.
    public func setFull(_ isFull: Bool) {
        words[Word.isFull.rawValue].store(isFull ? 1 : 0, ordering: .releasing)
    }

    /// Puts the wall clock of the process forward, or back, from where it really is.
    public func setWallClock(aheadBySeconds seconds: Int64) {
        words[Word.wallClock.rawValue].store(UInt64(bitPattern: seconds), ordering: .releasing)
    }

    // MARK: Counts

    /// How many operations of a kind were asked for since the process started.
    public func count(of operation: Operation) -> UInt64 { get(operation, Word.operations) }

    /// How many of them failed because they were told to.
    public func failures(of operation: Operation) -> UInt64 { get(operation, Word.failed) }

    private func get(_ operation: Operation, _ word: Int) -> UInt64 {
        words[Self.place(operation, word)].load(ordering: .acquiring)
    }

    private func set(_ operation: Operation, _ word: Int, _ value: UInt64) {
        words[Self.place(operation, word)].store(value, ordering: .releasing)
    }

    private static func place(_ operation: Operation, _ word: Int) -> Int {
        Word.rules.rawValue + operation.rawValue * ruleWordCount + word
    }
}

/// The variables that load `CDiskFaults` into a process.
public struct DiskPreload: Sendable {
    /// The path of `libtq-disk-faults.so`.
    public var library: String
    /// The directory that is watched, with all below it; it must exist.
    public var directory: String
    /// The journal to be written, which must not exist; without it nothing is noted.
    public var journal: String?
    /// The file of a ``DiskControl``; without it nothing fails.
    public var control: String?

    /// Names the files.
    public init(library: String, directory: String, journal: String? = nil, control: String? = nil) {
        self.library = library
        self.directory = directory
        self.journal = journal
        self.control = control
    }

    /// To be added to the variables of a process.
    public var environment: [String: String] {
        var environment = ["LD_PRELOAD": Self.preloading(library), "TQ_FAULTS_DIRECTORY": directory]
        environment["TQ_FAULTS_JOURNAL"] = journal
        environment["TQ_FAULTS_CONTROL"] = control
        return environment
    }

    /// The value of LD_PRELOAD that loads a library before all that this process was to load, such as a sanitizer's.
    public static func preloading(_ library: String) -> String {
        let inherited = getenv("LD_PRELOAD").map { String(cString: $0) } ?? ""
        return inherited.isEmpty ? library : "\(library):\(inherited)"
    }
}
