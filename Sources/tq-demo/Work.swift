import CommandLineSupport
import Glibc
import TQClient
import TQModel

/// The work on the tasks by one worker process; the broker is killed in the middle of it.
struct Work {
    let client: TQClient
    let broker: DemoBroker
    let count: Int

    /// The silence after which something is wrong: longer than every wait that a kill can cause.
    private static let patience = Duration.seconds(120)

    /// Waits until every task has ended.
    ///
    /// - Throws: When the broker or the worker ends by itself, or nothing happens any more.
    func run(_ worker: ChildProcess, log: Path) async throws {
        let progress = Progress("tasks completed", total: UInt64(count))
        var isKillDue = true
        var ended = 0
        var deadline = ContinuousClock.now + Self.patience
        while ended < count {
            let counts = try await client.statistics().counts
            if isKillDue, isInTheMiddle(counts) {
                isKillDue = false
                try await broker.killAndRestart()
                say("broker killed: \(counts.completed) of \(count) tasks completed, \(counts.inProgress) leases live")
            }
            let now = Int(counts.completed + counts.deadLetter + counts.cancelled)
            if now > ended { deadline = ContinuousClock.now + Self.patience }
            ended = now
            progress.update(UInt64(ended))
            try await broker.check()
            if worker.isOver { throw CommandFailure(.failed, "The worker has ended by itself; see \(log).") }
            guard ContinuousClock.now < deadline else {
                throw CommandFailure(.failed, "Nothing has happened for \(Self.patience): \(counts).")
            }
            if !isKillDue { try await Task.sleep(for: .milliseconds(20)) }
        }
        progress.finish(UInt64(ended))
        worker.signal(SIGTERM)
        guard worker.wait() == 0 else { throw CommandFailure(.failed, "The worker did not end well; see \(log).") }
    }

    private func isInTheMiddle(_ counts: TaskCounts) -> Bool {
        let percent = Int(counts.completed) * 100 / count
        return (30...90).contains(percent) && counts.inProgress > 0
    }
}
