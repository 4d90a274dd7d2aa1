import ArgumentParser
import ByteStore
import CommandLineSupport

/// Looks into a data directory that no broker uses: `tq-inspect VERB --data-dir DIR`.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-inspect",
        abstract: "Reads, verifies and repairs a store without a broker.",
        discussion: """
            Nothing in the store is changed. Data goes to standard output, everything else to standard error. Exit codes: \
            0 done and nothing wrong, 1 damage or another failure, 2 no store there, 3 the directory is in use, \
            64 wrong usage.
            """,
        version: tqVersion,
        subcommands: [ShowSummary.self, Dump.self, Verify.self, Repair.self]
    )
}

/// `--data-dir DIR`.
struct DirectoryOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Data directory of a broker that is stopped.", valueName: "dir"))
    var dataDir: String

    /// Opens the directory, or says why that cannot be.
    func open() throws -> DataDirectory { try explained { try DataDirectory(dataDir) } }
}

/// Runs a body whose storage errors end the command with their own exit codes.
func explained<Value>(_ body: () throws -> Value) throws -> Value {
    do {
        return try body()
    } catch let error as StorageError {
        throw CommandFailure(error.exitStatus, error.description)
    }
}
