import CommandLineSupport
import Glibc
import TQModel

/// The process that loads the broker, and the pipes over which it is told what to do.
final class LoadProcess {
    private let child: ChildProcess
    private let orders: Int32
    private let answers: Int32

    /// How long all requests of the load may take to be answered.
    private static let patience: Int32 = 60

    init(port: Int, history: String, seed: UInt64, environment: [String: String], logPath: String) throws {
        let (input, orders) = try makePipe()
        let (answers, output) = try makePipe()
        (self.orders, self.answers) = (orders, answers)
        var launch = ProcessLaunch([
            try siblingPath("tq-verify"), "load", "--broker-addr", "127.0.0.1:\(port)", "--history", history,
            "--load-seed",
            "\(seed)",
        ])
        launch.environment = processEnvironment().merging(environment) { $1 }
        launch.input = .descriptor(input)
        launch.output = .descriptor(output)
        launch.errors = .appended(to: Array(logPath.utf8))
        child = try ChildProcess(launch)
        close(input)
        close(output)
    }

    deinit {
        close(orders)
        close(answers)
    }

    /// Gives an order and waits until it is carried out.
    ///
    /// - Throws: When it is not within a minute: requests are without an answer.
    func tell(_ order: LoadOrder) throws {
        let line = order.rawValue + "\n"
        let isWritten = Array(line.utf8).withUnsafeBytes { write(orders, $0.baseAddress, $0.count) } == line.utf8.count
        guard isWritten else { throw CommandFailure(.failed, "The load has ended; its last words are in load.log.") }
        var answer = ""
        while answer != line {
            var waiting = pollfd(fd: answers, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Self.patience * 1000) > 0 else {
                throw CommandFailure(
                    .failed,
                    "The load did not \(order.rawValue) within \(Self.patience) s: the broker serves, and does not "
                        + "answer every request. The requests without a return are in the history."
                )
            }
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = read(answers, &bytes, bytes.count)
            guard count > 0 else {
                throw CommandFailure(.failed, "The load has ended; its last words are in load.log.")
            }
            answer += String(decoding: bytes[..<count], as: UTF8.self)
        }
    }

    func end() {
        child.signal(SIGKILL)
        child.wait()
    }
}
