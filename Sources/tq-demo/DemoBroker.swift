import CommandLineSupport
import Glibc
import TQModel

/// The broker of the demo: killed and started again on the same data and the same port.
actor DemoBroker {
    nonisolated let port: Int
    nonisolated var address: String { "127.0.0.1:\(port)" }
    private(set) var kills = 0
    private let arguments: [Path]
    private let group: pid_t
    private let log: Path
    private var child: ChildProcess?

    init(data: Path, log: Path, group: pid_t) throws {
        port = try findPort()
        self.log = log
        self.group = group
        arguments = [
            Path(try siblingPath("tq-broker")), Path("--data-dir"), data, Path("--port"), Path("\(port)"),
            // However large the directory is: the files are submitted before the work begins.
            Path("--set"), Path("broker.queue_depth_threshold=1000000000"),
        ]
    }

    func start() throws {
        child = try ChildProcess(launch(arguments, group: group, log: log))
    }

    /// Takes everything from the process at once, and starts another.
    func killAndRestart() throws {
        child?.signal(SIGKILL)
        child?.wait()
        kills += 1
        try start()
    }

    func stop() throws {
        child?.signal(SIGTERM)
        guard child?.wait() == 0 else { throw CommandFailure(.failed, "The broker did not end well; see \(log).") }
        child = nil
    }

    /// - Throws: When the process has ended by itself.
    func check() throws {
        if child?.isOver == true { throw CommandFailure(.failed, "The broker has ended by itself; see \(log).") }
    }
}
