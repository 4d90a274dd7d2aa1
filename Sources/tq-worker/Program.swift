import CommandLineSupport
import Glibc
import Synchronization
import TQModel
import TQWorker

/// A program that is run once for each task.
struct Program: Sendable {
    private let arguments: [String]
    private let environment: [String: String]

    /// Takes the program's name or path, and its arguments.
    init(_ arguments: [String]) {
        self.arguments = arguments
        self.environment = processEnvironment().filter { !$0.key.hasPrefix("TQ_TASK_") }
        // A program that doesn't read its payload closes the pipe early: an error to handle, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Runs the program and returns what it writes.
    ///
    /// Cancellation ends the program and its children: SIGTERM, after five seconds SIGKILL.
    /// - Throws: ``ProgramFailure`` unless it exits with 0; `PermanentFailure` when it writes more than a result may have.
    func result(of payload: Bytes, variables: [String: String]) async throws -> Bytes {
        let run = ProgramRun()
        let environment = environment.merging(variables) { $1 }
        let end = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let body: @Sendable () -> Void = {
                    let end = run.run(arguments: arguments, environment: environment, input: payload)
                    continuation.resume(returning: end)
                }
                // A thread for each child: simple, and no more than the worker's concurrency.
                if !startThread(body) { body() }
            }
        } onCancel: {
            run.stop()
        }
        switch end {
        case .exited(code: 0, let output, _): return output
        case .exited(let code, _, let errors): throw ProgramFailure("exit code \(code)", errors)
        case .signaled(let number, let errors): throw ProgramFailure("killed by signal \(number)", errors)
        case .outputTooLarge: throw PermanentFailure("The output is larger than \(Limits.payloadBytesMax) bytes.")
        case .notStarted(let reason): throw ProgramFailure(reason, [])
        }
    }
}

/// A program did not succeed: how it ended, and the end of what it wrote to standard error.
struct ProgramFailure: Error, CustomStringConvertible {
    let description: String

    init(_ end: String, _ errors: Bytes) {
        let text = String(decoding: errors, as: UTF8.self)
        let trimmed = text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()
        self.description = trimmed.isEmpty ? end : "\(end): \(String(trimmed))"
    }
}
