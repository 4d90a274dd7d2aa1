import Glibc

/// The right to use a data directory: an advisory lock on its file `tq.lock`, which holds the holder's process id.
///
/// The system releases it when the process ends, however it ends; the file stays.
public final class DirectoryLock: Sendable {
    /// The directory that is held.
    public let directory: String
    private let descriptor: CInt

    /// Creates the directory, with access for its owner only, where it is missing, and takes the lock.
    ///
    /// Throws ``StorageError/Kind/locked``, with the process id of the holder, where another process has it.
    public init(_ directory: String) throws(StorageError) {
        // Unless its name is durable, a power cut takes the directory with all that was acknowledged.
        if mkdir(directory, 0o700) == 0 {
            try syncEntry(of: directory)
        } else if errno == EEXIST {
            // Whoever made it was perhaps killed before that; where its parent cannot be read, it was not a broker.
            try? syncEntry(of: directory)
        } else {
            throw .system("create the data directory", directory)
        }
        guard access(directory, R_OK | W_OK | X_OK) == 0 else {
            throw StorageError(
                .io,
                "the data directory \(directory) cannot be used: \(String(cString: strerror(errno))); "
                    + "it must be a directory that user \(geteuid()) may read and write",
                path: directory
            )
        }
        let path = directory + "/tq.lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            defer { close(descriptor) }
            guard code == EWOULDBLOCK else { throw .system("lock", path, code) }
            let holder = Self.holder(descriptor).map { "process \($0)" } ?? "another process"
            throw StorageError(
                .locked,
                "the data directory \(directory) is in use by \(holder); stop it or choose another directory",
                path: path
            )
        }
        self.directory = directory
        self.descriptor = descriptor
        do throws(StorageError) { try writeHolder(path) } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    private func writeHolder(_ path: String) throws(StorageError) {
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
            throw .system("write", path)
        }
    }

    private static func holder(_ descriptor: CInt) -> Int32? {
        var text = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &text, text.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: text[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
}
