import CommandLineSupport
import FoundationEssentials
import Glibc
import TQModel

/// Where a test keeps its data.
struct TestDirectory {
    let path: String

    /// Makes a directory on a disk.
    init(parent: String, seed: UInt64) throws {
        path = "\(parent)/tq-verify-\(seed)-\(getpid())"
        if try Self.isInMemory(parent) {
            throw CommandFailure(
                .usage,
                "\(parent) is in memory (tmpfs), where nothing is synced. Name a directory on a disk with --data-parent."
            )
        }
        guard mkdir(path, 0o700) == 0 else {
            throw CommandFailure(.failed, "Cannot make \(path): \(String(cString: strerror(errno))).")
        }
    }

    /// Whether the file system of a directory is one without a disk.
    private static func isInMemory(_ path: String) throws -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CommandFailure(.usage, "Cannot use \(path): \(String(cString: strerror(errno))).")
        }
        let device = "\(status.st_dev >> 8 & 0xfff):\(status.st_dev & 0xff | status.st_dev >> 12 & 0xfff00)"
        guard let mounts = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return false }
        // The third field is the device; the type follows a lone dash.
        return mounts.split(separator: "\n").contains { line in
            line.split(separator: " ").dropFirst(2).first == device[...] && line.contains(" - tmpfs ")
        }
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
