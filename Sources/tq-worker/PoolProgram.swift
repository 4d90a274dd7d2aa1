import ArgumentParser
import CommandLineSupport
import Glibc
import Logging

/// What the processes of a pool run: a worker of tq-worker itself, or another program that is a worker.
struct PoolProgram {
    /// What a worker of tq-worker itself is told; `nil` for another program.
    let work: WorkOptions?
    private let arguments: [String]

    private static let ownWorkers: [any WorkerSubcommand.Type] = [Exec.self, Demo.self]

    /// Reads what stands behind `--`.
    ///
    /// - Parameters:
    ///   - queues: What a worker of tq-worker itself takes tasks from unless it is told otherwise.
    ///   - options: What it is told besides.
    /// - Throws: `ValidationError` for what would not work as a pool.
    init(_ command: [String], queues: [String], options: ConnectionOptions) throws {
        guard let name = command.first else {
            throw ValidationError("Say which worker to run, after --, such as: -- exec -- ./program")
        }
        guard let worker = Self.ownWorkers.first(where: { $0._commandName == name }) else {
            guard isExecutable(name) else {
                throw ValidationError("There is no program '\(name)' to run; exec and demo are workers of tq-worker.")
            }
            (work, arguments) = (nil, command)
            return
        }
        let work = try worker.readOptions(Array(command.dropFirst()))
        if let name = work.name {
            throw ValidationError("The workers of a pool cannot all be '\(name)': leave out --name.")
        }
        let handedOn =
            (options.file.file.map { ["--config", $0] } ?? [])
            + (options.logging.logLevel.map { ["--log-level", $0.rawValue] } ?? [])
            + (work.queue.isEmpty ? queues.flatMap { ["--queue", $0] } : [])
        self.work = work
        self.arguments = [name] + handedOn + command.dropFirst()
    }

    /// How a process begins, as a ``Member`` of this one's pool.
    ///
    /// - Parameter brokers: Addresses that every worker finds in its environment.
    /// - Throws: ``CommandFailure`` when tq-worker is not where it was.
    func launch(brokers: String) throws -> ProcessLaunch {
        let program = try siblingPath("tq-worker")
        let worker = work == nil ? arguments : [program] + arguments
        var launch = ProcessLaunch([program, "member", "--pool", "\(getpid())", "--"] + worker)
        launch.environment = processEnvironment().merging(["TQ_BROKER_ADDR": brokers]) { $1 }
        // Ctrl-C reaches the pool alone: a worker that gets it too would take the pool's SIGTERM for a second signal.
        launch.group = 0
        launch.input = .nothing
        return launch
    }
}

/// A subcommand that is a worker.
protocol WorkerSubcommand: AsyncParsableCommand {
    var work: WorkOptions { get }
}

extension WorkerSubcommand {
    /// - Throws: `ValidationError` with what is wrong with the arguments.
    fileprivate static func readOptions(_ arguments: [String]) throws -> WorkOptions {
        do { return try parse(arguments).work } catch { throw ValidationError(message(for: error)) }
    }
}
