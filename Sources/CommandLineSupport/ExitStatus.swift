import ArgumentParser
public import TQModel

/// The exit codes of all commands; README.md and docs/errors.md list the same.
public enum ExitStatus: Int32, Sendable, CaseIterable {
    /// Done.
    case success = 0
    /// The operation failed.
    case failed = 1
    /// The task, queue or worker does not exist.
    case notFound = 2
    /// The broker refuses it at the moment, or for good: full, draining, conflict.
    case refused = 3
    /// No broker could be reached.
    case unreachable = 4
    /// The broker does not let the caller do that.
    case unauthorized = 5
    /// The task that was waited for became a dead letter.
    case taskFailed = 10
    /// The task that was waited for was cancelled.
    case taskCancelled = 11
    /// The command line or the configuration is wrong.
    case usage = 64
    /// Something that must be installed is missing.
    case missingInstall = 69
}

extension TQError {
    /// The exit code of a command that ends with this error.
    public var exitCode: Int32 { code.tableRow?.exitCode ?? ExitStatus.failed.rawValue }
}
