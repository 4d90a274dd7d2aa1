import CommandLineSupport
import Glibc
import Synchronization
import TQModel

/// The process that must not outlive the test; 0 while there is none.
private let runningBroker = Atomic<pid_t>(0)

/// The broker under test: started, killed and started again on the same data and the same port.
final class BrokerProcess {
    let port: Int
    private let program: String
    private let directory: String
    private let environment: [String: String]
    private var child: ChildProcess?
    /// Where in the log the present process begins.
    private var logStart = 0
    private var searchStart = 0

    /// How long a broker may take to start.
    static let startPatience = Duration.seconds(60)

    /// - Parameters:
    ///   - program: The path of a tq-broker.
    ///   - directory: Holds its data and its log.
    ///   - environment: Variables besides those of this process.
    init(_ program: String, directory: String, environment: [String: String], random: inout SplitMix64) throws {
        self.program = program
        self.directory = directory
        self.environment = environment
        self.port = try findPort(using: &random)
    }

    var logPath: String { directory + "/broker.log" }

    /// Starts a process; it is not ready yet.
    ///
    /// - Parameter variables: More of its environment.
    func spawn(_ variables: [String: String] = [:]) throws {
        logStart = Self.size(of: logPath)
        searchStart = logStart
        // Small memtables, so that the store has table files and compactions too; a small reserve, because every image of the
        // disk has it.
        var launch = ProcessLaunch([
            program, "--data-dir", directory + "/data", "--port", "\(port)", "--rest-port", "0", "--grpc-port", "0",
            "--prometheus-port", "0", "--set", "persistence.memtable_mb=1", "--set", "persistence.disk_reserve_mb=2",
        ])
        launch.environment = processEnvironment().merging(environment) { $1 }.merging(variables) { $1 }
        launch.errors = .appended(to: Array(logPath.utf8))
        let child = try ChildProcess(launch)
        runningBroker.store(child.id, ordering: .relaxed)
        self.child = child
    }

    /// Makes a test that is interrupted take its broker along; the load ends by itself.
    static func endWithTest() {
        // The handler must find the variable made.
        _ = runningBroker.load(ordering: .relaxed)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            _ = Glibc.signal(number) { number in
                let pid = runningBroker.load(ordering: .relaxed)
                if pid > 0 { Glibc.kill(pid, SIGKILL) }
                _exit(128 + number)
            }
        }
    }

    /// Whether the process has said that it is ready.
    var isReady: Bool { log.contains("\"broker ready\"") }

    /// Waits until the process is ready.
    ///
    /// - Throws: When it ended instead, with the end of its log.
    func awaitReady() async throws {
        let deadline = ContinuousClock.now + Self.startPatience
        while !isReady {
            guard child?.isOver == false else { throw failure("ended instead of serving") }
            guard ContinuousClock.now < deadline else { throw failure("did not start within \(Self.startPatience)") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// Waits until the process has logged a text, after the text that was waited for before.
    ///
    /// - Returns: Whether it has within that time.
    /// - Throws: When the process is over.
    func hasLogged(_ text: String, within patience: Duration = startPatience) async throws -> Bool {
        let deadline = ContinuousClock.now + patience
        while true {
            if let end = find(text) {
                searchStart = end
                return true
            }
            guard child?.isOver == false else { throw failure("ended before it logged \(text)") }
            guard ContinuousClock.now < deadline else { return false }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Where in the log the text ends for the first time behind what was found before.
    private func find(_ text: String) -> Int? {
        guard let file = fopen(logPath, "re") else { return nil }
        defer { fclose(file) }
        fseek(file, searchStart, SEEK_SET)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        guard let place = bytes.firstRange(of: Array(text.utf8)) else {
            // The text may be half written.
            searchStart += max(0, bytes.count - text.utf8.count)
            return nil
        }
        return searchStart + place.upperBound
    }

    /// Sends the process a signal.
    func signal(_ number: Int32) { child?.signal(number) }

    /// Takes all processing time away from it, at once.
    func kill() {
        child?.signal(SIGKILL)
        child?.wait()
        runningBroker.store(0, ordering: .relaxed)
    }

    /// Asks it to stop, as an operator would.
    ///
    /// - Throws: When it ends otherwise than with success.
    func stop() throws {
        child?.signal(SIGTERM)
        guard let status = child?.wait(), status != 0 else { return }
        throw failure("ended with status \(status >> 8), signal \(status & 0x7f) after SIGTERM")
    }

    private func failure(_ what: String) -> CommandFailure {
        let end = log.split(separator: "\n").suffix(3).joined(separator: "\n")
        return CommandFailure(.failed, "The broker \(what):\n\(end)")
    }

    /// What the present process has logged.
    private var log: String {
        guard let file = fopen(logPath, "re") else { return "" }
        defer { fclose(file) }
        fseek(file, logStart, SEEK_SET)
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    private static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_size : 0
    }
}
