import Glibc

/// A file in memory, for parsers that read files.
enum ScratchFile {
    private static let path: String = {
        let path = "/dev/shm/tq-fuzz-\(getpid())"
        atexit { unlink(ScratchFile.path) }
        return path
    }()

    /// Calls the body with the path of a file of that content; one call at a time.
    static func with(_ content: [UInt8], _ body: (String) -> Void) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        expect(write(descriptor, content, content.count) == content.count, "\(path) cannot be written")
        close(descriptor)
        body(path)
    }
}
