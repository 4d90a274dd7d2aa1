import Glibc
import Testing

@testable import ByteStore

@Suite("The lock of a data directory")
struct DirectoryLockTests {
    @Test("creates the directory for its owner alone and writes the process id")
    func creation() throws {
        let scratch = try ScratchDirectory()
        let lock = try DirectoryLock(scratch / "data")
        var status = stat()
        #expect(stat(lock.directory, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o700)
        #expect(try ScratchDirectory.read(scratch / "data/tq.lock") == bytes("\(getpid())\n"))
    }

    @Test(
        "makes the name of a new directory durable in the directory that holds it",
        arguments: [("a", "."), ("a/", "."), ("/a", "/"), ("/a/", "/"), ("a/b//", "a/"), ("/a/b", "/a/"), ("/", "/")]
    )
    func parents(path: String, parent: String) {
        #expect(directory(of: path) == parent)
    }

    @Test("refuses a second holder, names the directory and the first one, and is free again afterwards")
    func secondHolder() throws {
        let scratch = try ScratchDirectory()
        var lock: DirectoryLock? = try DirectoryLock(scratch.path)
        let refusal = try #require(throws: StorageError.self) { _ = try DirectoryLock(scratch.path) }
        #expect(refusal.kind == .locked)
        #expect(refusal.path == scratch / "tq.lock")
        #expect(
            refusal.description
                == "\(scratch / "tq.lock"): the data directory \(scratch.path) is in use by process \(getpid()); "
                + "stop it or choose another directory"
        )
        #expect(lock?.directory == scratch.path)
        lock = nil
        _ = try DirectoryLock(scratch.path)
    }

    @Test("refuses a directory that is a file, or whose parent is missing")
    func unusable() throws {
        let scratch = try ScratchDirectory()
        try ScratchDirectory.write([], to: scratch / "file")
        let file = try #require(throws: StorageError.self) { _ = try DirectoryLock(scratch / "file") }
        #expect(file.kind == .io && file.message.contains(scratch / "file"))
        let missing = try #require(throws: StorageError.self) { _ = try DirectoryLock(scratch / "no/data") }
        #expect(missing.message == "cannot create the data directory \(scratch / "no/data"): No such file or directory")
    }

    @Test("refuses a directory that may not be written", .enabled(if: geteuid() != 0, "root may write anywhere"))
    func unwritable() throws {
        let scratch = try ScratchDirectory()
        #expect(chmod(scratch.path, 0o500) == 0)
        let refusal = try #require(throws: StorageError.self) { _ = try DirectoryLock(scratch.path) }
        #expect(refusal.kind == .io)
        #expect(refusal.message.contains("must be a directory that user"))
    }
}
