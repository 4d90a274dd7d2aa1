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
        let settings: [String]
        let directory: String
        let log: String
        let child: Mutex<ChildProcess>

        init(_ launch: ProcessLaunch, settings: [String], directory: String, log: String) throws {
            self.launch = launch
            self.settings = settings
            self.directory = directory
            self.log = log
            child = Mutex(try ChildProcess(launch))
        }
    }

    /// Starts a broker from the same installation, on data of its own in `parent`.
    init(dataParent parent: String, settings: [String]) async throws {
        host = "127.0.0.1"
        // The same one after a restart.
        port = try findPort()
        // One command may compare two brokers.
        let directory = "\(parent)/tq-bench-\(getpid())-\(port)"
        let log = directory + ".log"
        namedProcess = nil
        let arguments = [try siblingPath("tq-broker"), "--data-dir", directory, "--port", "\(port)"]
        var launch = ProcessLaunch(arguments + settings.flatMap { ["--set", $0] })
        launch.errors = .appended(to: Array(log.utf8))
        own = try Own(launch, settings: settings, directory: directory, log: log)
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

    /// How it is set, for whoever reads the figures.
    var configurationText: String {
        guard let own else { return "as it runs" }
        return own.settings.joined(separator: ", ") + ", else the defaults: every reply is synced"
    }

    /// Kills the child with SIGKILL in the middle of whatever it does, and starts it again on the same data.
    ///
    /// - Returns: When the new process was started; it is ready by now.
    func killAndRestart() async throws -> ContinuousClock.Instant {
        guard let own else { throw CommandFailure(.usage, "Only a broker that tq-bench started can be killed.") }
        let started = try own.child.withLock { child in
            child.signal(SIGKILL)
            child.wait()
            let now = ContinuousClock.now
            child = try ChildProcess(own.launch)
            return now
        }
        try await awaitReady(count: 2)
        return started
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

    /// What the broker and the disk do while the body runs.
    func usage(during body: () async throws -> Void) async throws -> Usage {
        let before = (clock: ContinuousClock.now, cpuSeconds: cpuSeconds, deviceBytes: Self.deviceBytesWritten)
        try await body()
        return Usage(
            seconds: (ContinuousClock.now - before.clock) / .seconds(1),
            cpuSeconds: cpuSeconds - before.cpuSeconds,
            residentBytes: residentBytes,
            deviceBytes: Self.deviceBytesWritten - before.deviceBytes
        )
    }

    /// Processor time so far; 0 for an unknown process.
    var cpuSeconds: Double {
        guard let pid, let stat = Self.text("/proc/\(pid)/stat") else { return 0 }
        // Fields after the name in parentheses: utime and stime are the 12th and 13th.
        let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
        let ticks = fields.count > 13 ? (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) : 0
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Memory at the moment; 0 for an unknown process.
    var residentBytes: Int {
        guard let pid, let status = Self.text("/proc/\(pid)/status") else { return 0 }
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
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
