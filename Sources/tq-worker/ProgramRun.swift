import CommandLineSupport
import Glibc
import Synchronization
import TQModel

/// How a run of a program ended.
enum ProgramEnd: Sendable {
    case exited(code: Int32, output: Bytes, errors: Bytes)
    case signaled(Int32, errors: Bytes)
    /// It wrote more than a result may have, and was killed.
    case outputTooLarge
    case notStarted(String)
}

/// One run of a program: feeds its input, gathers its output, waits for its end.
final class ProgramRun: Sendable {
    private struct State {
        var id: pid_t?
        var isStopping = false
    }
    private let state = Mutex(State())

    /// After SIGTERM the child may tidy up for so long.
    private static let patienceMilliseconds: Int64 = 5000

    /// Ends the child and what it started; does nothing before and after its life.
    func stop() { signal(SIGTERM) { $0.isStopping = true } }

    private func signal(_ number: Int32, _ change: (inout State) -> Void = { _ in }) {
        state.withLock { state in
            change(&state)
            // The child leads a process group of its own.
            if let id = state.id { kill(-id, number) }
        }
    }

    /// Runs a program; blocks until it has ended.
    ///
    /// - Parameter arguments: The program's name or path comes first.
    func run(arguments: [String], environment: [String: String], input: Bytes) -> ProgramEnd {
        var pipes: ProgramPipes
        let id: pid_t
        do throws(CommandFailure) {
            (pipes, id) = try start(arguments, environment, input)
        } catch {
            return .notStarted(error.description)
        }
        let mustStop = state.withLock { state in
            state.id = id
            return state.isStopping
        }
        if mustStop { stop() }
        let status = wait(for: id, &pipes)
        pipes.close()
        if pipes.isOutputTooLarge { return .outputTooLarge }
        // The status word of waitpid: the low seven bits are the signal, the next byte is the exit code.
        let number = status & 0x7f
        return number == 0
            ? .exited(code: status >> 8 & 0xff, output: pipes.output, errors: pipes.errorTail)
            : .signaled(number, errors: pipes.errorTail)
    }

    /// Starts the program as the leader of a process group of its own, with pipes to its standard streams.
    private func start(
        _ arguments: [String],
        _ environment: [String: String],
        _ input: Bytes
    ) throws(CommandFailure) -> (ProgramPipes, pid_t) {
        var pipes: [(readEnd: Int32, writeEnd: Int32)] = []
        do throws(CommandFailure) {
            for _ in 0..<3 { pipes.append(try makePipe()) }
            var launch = ProcessLaunch(arguments)
            (launch.environment, launch.group) = (environment, 0)
            launch.input = .descriptor(pipes[0].readEnd)
            launch.output = .descriptor(pipes[1].writeEnd)
            launch.errors = .descriptor(pipes[2].writeEnd)
            let id = try launch.start()
            for end in [pipes[0].readEnd, pipes[1].writeEnd, pipes[2].writeEnd] { close(end) }
            return (ProgramPipes(pipes[0].writeEnd, pipes[1].readEnd, pipes[2].readEnd, input: input), id)
        } catch {
            for pipe in pipes {
                close(pipe.readEnd)
                close(pipe.writeEnd)
            }
            throw error
        }
    }

    /// Moves bytes until the child has ended and its pipes are empty.
    ///
    /// A child's own children may keep the pipes open; what they write after its end belongs to nobody.
    private func wait(for id: pid_t, _ pipes: inout ProgramPipes) -> Int32 {
        var stopDeadline: Int64?
        var pauseMilliseconds: Int32 = 1
        while true {
            let isMoving = pipes.isOpen
            pipes.move(timeoutMilliseconds: isMoving ? 200 : pauseMilliseconds)
            if !isMoving { pauseMilliseconds = min(100, pauseMilliseconds * 2) }
            if let status = reap(id) {
                pipes.drain()
                return status
            }
            if pipes.isOutputTooLarge { signal(SIGKILL) }
            guard state.withLock({ $0.isStopping }) else { continue }
            let now = monotonicMilliseconds()
            let deadline = stopDeadline ?? now + Self.patienceMilliseconds
            stopDeadline = deadline
            if now >= deadline { signal(SIGKILL) }
        }
    }

    /// The child's status if it has ended; from then on its number may belong to another process.
    private func reap(_ id: pid_t) -> Int32? {
        state.withLock { state in
            var status: Int32 = 0
            guard waitpid(id, &status, WNOHANG) == id else { return nil }
            state.id = nil
            return status
        }
    }
}

private func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
