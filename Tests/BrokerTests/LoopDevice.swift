import Glibc
import Testing

/// A file system on a sparse image in memory: when the memory behind it is full, writes to new places of the disk fail after
/// they were taken, as they do on a dying disk.
final class LoopDevice {
    private let directory: ScratchDirectory
    /// Where the file system is mounted.
    let path: String
    private let memory: String
    private var mounted: [String] = []

    /// `nil`, with a line that says why, where this cannot be done.
    init?(memoryMegabytes: Int) throws {
        directory = try ScratchDirectory()
        (path, memory) = ("\(directory.path)/disk", "\(directory.path)/memory")
        for name in [path, memory] { try #require(mkdir(name, 0o700) == 0) }
        guard mount("tmpfs", memory, "tmpfs", 0, "size=\(memoryMegabytes)m") == 0 else {
            print("skipped: no tmpfs can be mounted here: \(String(cString: strerror(errno)))")
            return nil
        }
        mounted.append(memory)
        guard Self.run("truncate", "-s", "1G", image),
            Self.run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0", image),
            Self.run("mount", "-o", "loop", image, path)
        else {
            print("skipped: no loop device can be mounted here")
            return nil
        }
        mounted.append(path)
    }

    deinit { for path in mounted.reversed() { umount2(path, CInt(MNT_DETACH)) } }

    private var image: String { "\(memory)/image" }
    private var ballast: String { "\(memory)/ballast" }

    /// Makes every write to a new place of the disk fail.
    func exhaust() throws {
        let descriptor = open(ballast, O_WRONLY | O_CREAT, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let piece = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, piece, piece.count) == piece.count {}
    }

    /// Makes writes succeed again.
    func relieve() { unlink(ballast) }

    /// Hands out a directory with what a power cut would leave now: what is in the page cache alone is not in it.
    func withPowerCut<Result>(_ body: (String) throws -> Result) throws -> Result {
        let (copy, path) = ("\(directory.path)/copy", "\(directory.path)/after")
        try #require(Self.run("cp", "--sparse=always", image, copy) && mkdir(path, 0o700) == 0)
        try #require(Self.run("mount", "-o", "loop", copy, path))
        defer {
            umount2(path, CInt(MNT_DETACH))
            rmdir(path)
            unlink(copy)
        }
        return try body(path)
    }

    /// Whether a program ran and succeeded.
    private static func run(_ arguments: String...) -> Bool {
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var id = pid_t()
        var status: CInt = -1
        guard posix_spawnp(&id, arguments[0], nil, nil, &words, environ) == 0 else { return false }
        return waitpid(id, &status, 0) == id && status == 0
    }
}
