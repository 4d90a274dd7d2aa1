import CommandLineSupport
import FoundationEssentials
import Glibc
import Synchronization
import TQClient

/// The broker under load: its own child process on fresh data, or one that runs already.
final class MeasuredBroker: Sendable {
    let host: String
    let port: Int
    /// The child, and what starts it; `nil` for a broker that ran before.
    private let own: Own?
    private let namedProcess: pid_t?

    private final class Own: Sendable {
        let launch: ProcessLaunch
        let directory: String
        let log: String
        let child: Mutex<ChildProcess>

        init(_ launch: ProcessLaunch, directory: String, log: String) throws {
            self.launch = launch
            self.directory = directory
            self.log = log
            child = Mutex(try ChildProcess(launch))
        }
    }

    /// Starts a broker from the same installation, on data of its own in `parent`.
    init(dataParent parent: String, settings: [String]) async throws {
        let directory = "\(parent)/tq-bench-\(getpid())"
        let log = directory + ".log"
        host = "127.0.0.1"
        // The same one after a restart.
        port = try findPort()
        namedProcess = nil
        let arguments = [try siblingPath("tq-broker"), "--data-dir", directory, "--port", "\(port)"]
        var launch = ProcessLaunch(arguments + settings.flatMap { ["--set", $0] })
        launch.errors = .appended(to: Array(log.utf8))
        own = try Own(launch, directory: directory, log: log)
        try await awaitReady(count: 1)
    }

    /// Uses a broker that runs already.
    init(_ address: BrokerAddress, pid: pid_t?) {
        host = address.host
        port = address.port
        namedProcess = pid
        own = nil
    }

    /// The process whose use of the machine is measured; `nil` when nobody said which it is.
    var pid: pid_t? { own.map { $0.child.withLock(\.id) } ?? namedProcess }

    /// Kills the child with SIGKILL in the middle of whatever it does, and starts it again on the same data.
    func killAndRestart() async throws {
        guard let own else { throw CommandFailure(.usage, "Only a broker that tq-bench started can be killed.") }
        try own.child.withLock { child in
            child.signal(SIGKILL)
            child.wait()
            child = try ChildProcess(own.launch)
        }
        try await awaitReady(count: 2)
    }

    /// Ends the child and removes its data.
    func stop() {
        guard let own else { return }
        own.child.withLock { child in
            child.signal(SIGTERM)
            child.wait()
        }
        try? FileManager.default.removeItem(atPath: own.directory)
        try? FileManager.default.removeItem(atPath: own.log)
    }

    /// Waits until the log has said so many times that clients can connect.
    private func awaitReady(count: Int) async throws {
        guard let own else { return }
        while (Self.text(own.log) ?? "").ranges(of: "\"broker ready\"").count < count {
            guard own.child.withLock({ !$0.isOver }) else {
                let end = (Self.text(own.log) ?? "").split(separator: "\n").suffix(3).joined(separator: "\n")
                throw CommandFailure(.failed, "The broker ended instead of serving:\n\(end)")
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    // MARK: What it uses

    /// What a process used so far.
    struct Usage {
        var cpuSeconds = 0.0
        var residentBytes = 0
    }

    var usage: Usage {
        guard let pid, let stat = Self.text("/proc/\(pid)/stat"), let status = Self.text("/proc/\(pid)/status")
        else { return Usage() }
        // Fields after the name in parentheses: utime and stime are the 12th and 13th.
        let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
        let ticks = fields.count > 13 ? (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) : 0
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return Usage(cpuSeconds: ticks / Double(sysconf(Int32(_SC_CLK_TCK))), residentBytes: kilobytes * 1024)
    }

    /// Bytes that all disks of the machine wrote so far: `/proc/PID/io` counts whole pages and says nothing here.
    static var deviceBytesWritten: UInt64 {
        guard let text = text("/proc/diskstats") else { return 0 }
        return text.split(separator: "\n").reduce(0) { sum, line in
            let fields = line.split(separator: " ")
            guard fields.count > 9, let sectors = UInt64(fields[9]) else { return sum }
            // Whole disks only: a partition repeats its disk's numbers.
            let isDisk = access("/sys/block/\(fields[2])", F_OK) == 0 && !fields[2].hasPrefix("loop")
            return isDisk ? sum + sectors * 512 : sum
        }
    }

    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
