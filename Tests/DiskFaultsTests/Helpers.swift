import CommandLineSupport
import DiskFaults
import Glibc
import Testing

/// A directory of its own, in memory where there is one, with a watched directory `disk` in it.
final class Scratch {
    let path: String

    init() throws {
        let parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(parent)/tq-disk-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
        for name in ["disk", "images"] { try #require(mkdir("\(path)/\(name)", 0o700) == 0) }
    }

    deinit { Files.remove(path) }

    static func / (scratch: Scratch, name: String) -> String { "\(scratch.path)/\(name)" }

    /// Starts a program of this package that is watched, and waits for its end: the exit code, or minus the signal.
    func run(
        _ program: String,
        _ arguments: [String],
        journal: String = "journal",
        control: DiskControl? = nil
    ) throws -> Int32 {
        var launch = ProcessLaunch([Programs.directory + program] + arguments)
        let preload = DiskPreload(
            library: Programs.faults,
            directory: self / "disk",
            journal: self / journal,
            control: control?.path
        )
        launch.environment = processEnvironment().merging(preload.environment) { $1 }
        launch.output = .appended(to: Array((self / "output").utf8))
        launch.errors = .appended(to: Array((self / "errors").utf8))
        let status = try ChildProcess(launch).wait()
        return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    }
}

/// The programs of this package, beside the tests.
enum Programs {
    static let directory = String(
        CommandLine.arguments[0].prefix(
            through: CommandLine.arguments[0].lastIndex(of: "/") ?? CommandLine.arguments[0].startIndex
        )
    )
    static let faults = directory + "libtq-disk-faults.so"
}

/// Files and directories, as a test looks at them.
enum Files {
    /// The content of every file and `nil` for every directory below a path.
    static func tree(_ path: String, _ prefix: String = "") throws -> [String: [UInt8]?] {
        var tree: [String: [UInt8]?] = [:]
        for name in try names(path) {
            let inner = "\(path)/\(name)"
            if opendir(inner).map({ closedir($0) }) != nil {
                tree[prefix + name] = .some(nil)
                tree.merge(try self.tree(inner, "\(prefix)\(name)/")) { $1 }
            } else {
                tree[prefix + name] = try read(inner)
            }
        }
        return tree
    }

    static func names(_ path: String) throws -> [String] {
        let directory = try #require(opendir(path), "\(path)")
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    static func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        try #require(descriptor >= 0, "\(path)")
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
        try #require(pread(descriptor, &bytes, bytes.count, 0) == bytes.count)
        return bytes
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0, "\(path)")
        defer { close(descriptor) }
        try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }

    static func remove(_ path: String) {
        guard unlink(path) != 0, errno == EISDIR else { return }
        for name in (try? names(path)) ?? [] { remove("\(path)/\(name)") }
        rmdir(path)
    }
}
