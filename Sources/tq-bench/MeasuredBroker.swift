import CommandLineSupport
import FoundationEssentials
import Glibc
import TQClient

/// The broker under load: its own child process on fresh data, or one that runs already.
final class MeasuredBroker: Sendable {
    let host: String
    let port: Int
    /// The process whose use of the machine is measured; `nil` when nobody said which it is.
    let pid: pid_t?
    private let directory: String?

    /// Starts a broker from the same installation, on data of its own in `parent`.
    init(dataParent parent: String, settings: [String]) throws {
        let directory = "\(parent)/tq-bench-\(getpid())"
        let log = directory + ".log"
        let program = try Self.sibling("tq-broker")
        var arguments = [program, "--data-dir", directory, "--port", "0"]
        for setting in settings { arguments += ["--set", setting] }
        pid = try Self.spawn(arguments, standardErrorTo: log)
        host = "127.0.0.1"
        self.directory = directory
        port = try Self.awaitPort(log)
    }

    /// Uses a broker that runs already.
    init(_ address: BrokerAddress, pid: pid_t?) {
        host = address.host
        port = address.port
        self.pid = pid
        directory = nil
    }

    /// Kills the child as a power failure would, and starts it again on the same data; the new process is measured.
    func stop() {
        guard let directory, let pid else { return }
        kill(pid, SIGTERM)
        var status: CInt = 0
        waitpid(pid, &status, 0)
        try? FileManager.default.removeItem(atPath: directory)
        try? FileManager.default.removeItem(atPath: directory + ".log")
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

    // MARK: Starting

    private static func sibling(_ name: String) throws -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        guard count > 0 else { throw CommandFailure(.failed, "Cannot find out where tq-bench is installed.") }
        let own = String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let program = String(own[...(own.lastIndex(of: "/") ?? own.startIndex)]) + name
        guard access(program, X_OK) == 0 else {
            throw CommandFailure(
                .failed,
                "There is no \(program). Build it, or name a running broker with --broker-addr."
            )
        }
        return program
    }

    private static func spawn(_ arguments: [String], standardErrorTo log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        pointers.append(nil)
        var pid: pid_t = 0
        let code = posix_spawn(&pid, arguments[0], &actions, nil, pointers, environ)
        guard code == 0 else {
            throw CommandFailure(.failed, "Cannot start \(arguments[0]): \(String(cString: strerror(code))).")
        }
        return pid
    }

    /// Waits for the line that names the port.
    private static func awaitPort(_ log: String) throws -> Int {
        for _ in 0..<3000 {
            if let text = text(log) {
                for line in text.split(separator: "\n") where line.contains("\"broker ready\"") {
                    if let found = line.firstRange(of: "\"port\":\""),
                        let port = Int(line[found.upperBound...].prefix { $0.isNumber })
                    {
                        return port
                    }
                }
            }
            usleep(10_000)
        }
        throw CommandFailure(.failed, "The broker did not start within 30 s; see \(log).")
    }
}
