import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct GateNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gate",
        abstract: "Hold tasks back on their way to workers: pause them, or limit how many run at once.",
        discussion: """
            A gate is that of a queue, of a task type, or of everything. Tasks that wait behind one that is closed stay where \
            they are; what runs goes on. Example: tq-admin gate limit --type video.encode --running 4
            """,
        subcommands: [ListGates.self, PauseGate.self, ResumeGate.self, LimitGate.self]
    )
}

/// Which gate.
struct GateOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The gate of a queue.", valueName: "name"))
    var queue: String?
    @Option(help: ArgumentHelp("The gate of a task type.", valueName: "name"))
    var type: String?
    @Flag(help: "The gate of everything.")
    var all = false

    func validate() throws {
        guard [queue != nil, type != nil, all].count(where: { $0 }) == 1 else {
            throw ValidationError("Name one gate: --queue NAME, --type NAME or --all.")
        }
    }

    var scope: GateScope { queue.map { .queue(Name($0)) } ?? type.map { .type(Name($0)) } ?? .everything }
}

struct ListGates: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show the gates that are paused or have limits."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.gates.print(try await client.gates(), format: output.format)
        }
    }
}

struct PauseGate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Let no task through until somebody resumes it, or for a while."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions
    @Option(name: .customLong("for"), help: ArgumentHelp("How long, such as 30s or 10m.", valueName: "span"))
    var duration: DurationArgument?

    func run() async throws {
        try await connection.withClient { client in
            let duration = Duration.milliseconds(duration?.milliseconds ?? 0)
            Listings.gates.print(try await client.pause(gate.scope, for: duration), format: output.format)
        }
    }
}

struct ResumeGate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Let tasks through again; a limit stays."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions

    func run() async throws {
        try await connection.withClient { client in
            Listings.gates.print(try await client.resume(gate.scope), format: output.format)
        }
    }
}

struct LimitGate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limit",
        abstract: "Let at most so many tasks run at once, whoever runs them."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions
    @Option(
        help: ArgumentHelp("How many, from 1 on; 'none' for any number.", valueName: "count"),
        transform: { try .init(bound: $0) }
    )
    var running: PolicySetting<UInt32>

    func run() async throws {
        try await connection.withClient { client in
            let changed = try await client.limitRunning(gate.scope, to: running.value ?? 0)
            Listings.gates.print(changed, format: output.format)
        }
    }
}
