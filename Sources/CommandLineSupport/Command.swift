public import ArgumentParser
import Glibc
import TQModel
import Telemetry

/// An error whose text says everything, with the exit code that goes with it.
public struct CommandFailure: Error, CustomStringConvertible {
    /// What the program exits with.
    public let status: ExitStatus
    /// What is written to standard error, after the program's name.
    public let description: String

    /// Creates a failure.
    public init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}

extension ParsableCommand {
    /// Parses the command line, runs the command, and ends the process with the documented exit code.
    ///
    /// Errors go to standard error as one line; use it instead of `main()`, which knows no codes but 0, 1 and 64.
    public static func runAndExit() async -> Never {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            Glibc.exit(ExitStatus.success.rawValue)
        } catch let error as TQError {
            complain(error.description)
            Glibc.exit(error.exitCode)
        } catch let error as CommandFailure {
            complain(error.description)
            Glibc.exit(error.status.rawValue)
        } catch {
            exit(withError: error)
        }
    }

    private static func complain(_ text: String) {
        writeToStandardError("\(configuration.commandName ?? _commandName): \(text.printableLines)\n")
    }
}

extension String {
    /// Each line of the text with its control characters as escapes.
    fileprivate var printableLines: String {
        split(separator: "\n", omittingEmptySubsequences: false).map { String($0).printable }.joined(separator: "\n")
    }
}
