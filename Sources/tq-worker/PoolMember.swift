import CommandLineSupport
import Glibc
import Synchronization

/// One process of a pool.
///
/// A thread of its own starts it and waits for its end. The process gets SIGTERM when that thread ends (``Member``), and
/// the thread ends before it only with the whole pool.
final class PoolMember: Sendable {
    let id: pid_t
    private let isOver = Mutex(false)

    private init(id: pid_t) { self.id = id }

    /// Starts a process.
    ///
    /// - Parameter onEnd: Called once, with what `waitpid` says of its end.
    /// - Throws: ``CommandFailure`` when the system has no room for it.
    static func start(
        _ launch: ProcessLaunch,
        onEnd: @escaping @Sendable (PoolMember, _ status: Int32) -> Void
    ) async throws -> PoolMember {
        try await withCheckedThrowingContinuation { continuation in
            let hasThread = startThread {
                do {
                    let member = PoolMember(id: try launch.start())
                    continuation.resume(returning: member)
                    onEnd(member, member.wait())
                } catch {
                    continuation.resume(throwing: error)
                }
            }
            if !hasThread {
                continuation.resume(throwing: CommandFailure(.failed, "The system has no thread left for a worker."))
            }
        }
    }

    /// Lets it finish what it runs, and end.
    func stop() { signal(SIGTERM, to: id) }

    /// Ends it and what it has started in its process group.
    func kill() { signal(SIGKILL, to: -id) }

    private func signal(_ number: Int32, to target: pid_t) {
        isOver.withLock { isOver in
            if !isOver { _ = Glibc.kill(target, number) }
        }
    }

    private func wait() -> Int32 {
        var information = siginfo_t()
        // The number stays the process's own until its status is taken, and nobody sends a signal meanwhile.
        while waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        return isOver.withLock { isOver in
            isOver = true
            var status: Int32 = 0
            while waitpid(id, &status, 0) < 0, errno == EINTR {}
            return status
        }
    }
}
