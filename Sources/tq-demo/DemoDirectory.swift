import CommandLineSupport
import FoundationEssentials
import Glibc

/// Where the demo keeps its data: a new directory on a disk.
struct DemoDirectory: Sendable {
    let path: Path

    init(parent: String) throws {
        guard mkdir(parent, 0o777) == 0 || errno == EEXIST, let resolved = realpath(parent, nil) else {
            throw CommandFailure(.usage, "Cannot use \(parent): \(String(cString: strerror(errno))).")
        }
        defer { free(resolved) }
        let parent = Path(String(cString: resolved))
        if Self.isInMemory(parent) {
            throw CommandFailure(
                .usage,
                "\(parent) is in memory (tmpfs), where a sync means nothing. Name a directory on a disk: --data-parent DIR."
            )
        }
        path = parent.appending("tq-demo-\(getpid())".utf8)
        guard mkdir(path.cString, 0o700) == 0 else {
            throw CommandFailure(.failed, "Cannot make \(path): \(String(cString: strerror(errno))).")
        }
    }

    var data: Path { path.appending("data".utf8) }
    var brokerLog: Path { path.appending("broker.log".utf8) }
    var workerLog: Path { path.appending("worker.log".utf8) }
    var checkLog: Path { path.appending("check.log".utf8) }

    func remove() {
        do {
            try FileManager.default.removeItem(atPath: String(decoding: path.bytes, as: UTF8.self))
        } catch {
            writeToStandardError("tq-demo: cannot remove \(path): \(error)\n")
        }
    }

    /// Whether a directory is on a file system without a disk.
    private static func isInMemory(_ path: Path) -> Bool {
        var status = stat()
        guard stat(path.cString, &status) == 0,
            let mounts = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
        else { return false }
        let (major, minor) = (status.st_dev >> 8 & 0xfff, status.st_dev & 0xff | status.st_dev >> 12 & 0xfff00)
        // The third field is the device; the type follows a lone dash.
        return mounts.split(separator: "\n").contains { line in
            line.split(separator: " ").dropFirst(2).first == "\(major):\(minor)" && line.contains(" - tmpfs ")
        }
    }
}
