import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct GateNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gate",
        abstract: "Hold tasks back on their way to workers: pause them, or limit how many run at once.",
        discussion: """
            A gate is that of a queue, a task type, a limit key or serial key, a group, or of everything. Tasks that wait behind \
            one that is closed stay where they are; what runs goes on. A key that ends with * is for all keys that begin so, each \
            by itself. Example: tq-admin gate limit --key 'host:*' --running 4
            """,
        subcommands: [
            ListGates.self, PauseGate.self, DrainGate.self, ResumeGate.self, LimitGate.self, WeighGroup.self,
            BreakGate.self,
        ]
    )
}

/// Which gate.
struct GateOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The gate of a queue.", valueName: "name"))
    var queue: String?
    @Option(help: ArgumentHelp("The gate of a task type.", valueName: "name"))
    var type: String?
    @Option(help: ArgumentHelp("The gate of a key; with * at its end, of each one that begins so.", valueName: "name"))
    var key: String?
    @Option(help: ArgumentHelp("The gate of a group.", valueName: "name"))
    var group: String?
    @Flag(help: "The gate of everything.")
    var all = false

    func validate() throws {
        guard scopes.count == 1 else {
            throw ValidationError("Name one gate: --queue NAME, --type NAME, --key NAME, --group NAME or --all.")
        }
    }

    private var scopes: [GateScope] {
        let named: [GateScope?] = [
            queue.map { .queue(Name($0)) }, type.map { .type(Name($0)) }, key.map { .key(Name($0)) },
            group.map { .group(Name($0)) }, all ? .everything : nil,
        ]
        return named.compactMap { $0 }
    }

    var scope: GateScope { scopes.first ?? .everything }
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

struct DrainGate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Let no task through, and wait until none runs any more that has passed.",
        discussion: """
            It stays paused afterwards, and also when the wait is ended with ^C. When somebody resumes it meanwhile, the exit \
            code is 1. Example, before the mail server is shut down: tq-admin gate drain --queue mail
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions

    func run() async throws {
        try await connection.withClient { client in
            let running = try await client.pause(gate.scope).running
            let progress = Progress("running tasks ended", total: running)
            // More run than before when somebody has resumed it.
            func ended(_ gate: GateStatus) -> UInt64 { running - min(running, gate.running) }
            let drained = try await client.waitForDrain(of: gate.scope) { progress.update(ended($0)) }
            progress.finish(ended(drained))
            Listings.gates.print(drained, format: output.format)
            guard drained.pausedSinceWallMilliseconds == 0 else { return }
            throw CommandFailure(.failed, "Gate '\(drained.scope)' was resumed before its last task had ended.")
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
        abstract: "Let at most so many tasks run at once, whoever runs them, or begin in a time.",
        discussion: "Example: tq-admin gate limit --queue mail --rate 100/1m --burst 20"
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions
    @Option(
        help: ArgumentHelp("How many run at once, from 1 on; 'none' for any number.", valueName: "count"),
        transform: { try .init(bound: $0) }
    )
    var running: PolicySetting<UInt32>?
    @Option(
        help: ArgumentHelp("How many begin, such as 5 (a second) or 100/1m; 'none' for no bound.", valueName: "rate"),
        transform: { try .init(rate: $0) }
    )
    var rate: PolicySetting<StartRate>?
    @Option(help: ArgumentHelp("How many begin at once after a while without any.", valueName: "count"))
    var burst: UInt32?

    func validate() throws {
        guard running != nil || rate != nil else { throw ValidationError("Say --running, --rate, or both.") }
        if burst != nil, rate?.value == nil { throw ValidationError("--burst needs a --rate.") }
        if burst == 0 { throw ValidationError("--burst 0 lets no task begin; choose 1 or more.") }
    }

    func run() async throws {
        var change = GateChange(gate.scope, runningMax: running.map { $0.value ?? 0 })
        change.rate = rate.map { $0.value ?? .unlimited }
        if let burst { change.rate?.burst = burst }
        try await connection.withClient { client in
            Listings.gates.print(try await client.change(change), format: output.format)
        }
    }
}

struct WeighGroup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weigh",
        abstract: "Let a group take so many turns where another one takes one, whatever its tasks say.",
        discussion: "Example: tq-admin gate weigh big-customer 5"
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The group.")
    var group: String
    @Argument(
        help: ArgumentHelp("From 1 to 1000; 'none' for what its tasks say.", valueName: "weight"),
        transform: { try PolicySetting<UInt16>(count: $0) }
    )
    var weight: PolicySetting<UInt16>

    func validate() throws {
        if weight.value == 0 { throw ValidationError("A weight of 0 lets no task begin; choose 1 to 1000, or 'none'.") }
    }

    func run() async throws {
        let change = GateChange(.group(Name(group)), weight: weight.value ?? 0)
        try await connection.withClient { client in
            Listings.gates.print(try await client.change(change), format: output.format)
        }
    }
}

struct BreakGate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "breaker",
        abstract: "Let no more tasks through while the attempts of those before them fail.",
        discussion: """
            When so many percent of the attempts of a while have failed, the circuit opens, and no task passes. After a time it lets \
            a few through: when they succeed it closes, and when one fails it stays open for as long again. Example, for a payment \
            provider that is down now and then: tq-admin gate breaker --type charge --failures 50 --open-for 1m
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var gate: GateOptions
    @Option(
        help: ArgumentHelp("Open it when so many percent fail, from 1 to 100; 'none' for never.", valueName: "percent"),
        transform: { try .init(percent: $0) }
    )
    var failures: PolicySetting<UInt8>?
    @Option(help: ArgumentHelp("Only when so many attempts have ended. (default: 20)", valueName: "count"))
    var attempts: UInt32?
    @Option(
        help: ArgumentHelp("How far back attempts count. (default: 1m)", valueName: "span"),
        transform: BreakGate.milliseconds
    )
    var within: UInt32?
    @Option(
        help: ArgumentHelp("How long it stays open. (default: 30s)", valueName: "span"),
        transform: BreakGate.milliseconds
    )
    var openFor: UInt32?
    @Option(help: ArgumentHelp("How many pass then, and must succeed. (default: 1)", valueName: "count"))
    var probes: UInt16?
    @Option(
        help: ArgumentHelp("What it is to be now: closed, open or half-open.", valueName: "state"),
        transform: { text in
            guard let state = CircuitState.allCases.first(where: { $0.name == text }) else {
                throw ValidationError("'\(text)' is no state of a circuit: use closed, open or half-open.")
            }
            return state
        }
    )
    var circuit: CircuitState?

    private static func milliseconds(_ text: String) throws -> UInt32 {
        guard let span = DurationArgument(argument: text), let milliseconds = UInt32(exactly: span.milliseconds) else {
            throw ValidationError("'\(text)' is no time such as 30s or 5m, up to 49d.")
        }
        return milliseconds
    }

    func validate() throws {
        guard failures != nil || circuit != nil else {
            throw ValidationError("Say --failures PERCENT to set a breaker, or --circuit STATE to turn one.")
        }
        let hasDetails = attempts != nil || within != nil || openFor != nil || probes != nil
        if hasDetails, failures?.value == nil { throw ValidationError("The other options need --failures PERCENT.") }
    }

    func run() async throws {
        let breaker = failures.map { failures in
            guard let percent = failures.value else { return CircuitBreaker.none }
            var breaker = CircuitBreaker(failurePercent: percent)
            if let attempts { breaker.attemptsMin = attempts }
            if let within { breaker.windowMilliseconds = within }
            if let openFor { breaker.openMilliseconds = openFor }
            if let probes { breaker.probes = probes }
            return breaker
        }
        let change = GateChange(gate.scope, breaker: breaker, circuit: circuit)
        try await connection.withClient { client in
            Listings.gates.print(try await client.change(change), format: output.format)
        }
    }
}

extension PolicySetting<UInt8> {
    init(percent text: String) throws {
        try self.init(text) { text in
            if let percent = UInt8(text), (1...100).contains(percent) { return percent }
            throw ValidationError("'\(text)' is neither a number from 1 to 100 nor 'none'.")
        }
    }
}

extension PolicySetting<StartRate> {
    init(rate text: String) throws {
        try self.init(text) { text in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let span = parts.count == 2 ? DurationArgument(argument: String(parts[1])) : .init(milliseconds: 1_000)
            if parts.count <= 2, let count = UInt32(parts[0]), count > 0, let span,
                let milliseconds = UInt32(exactly: span.milliseconds), milliseconds > 0
            {
                return StartRate(count, per: milliseconds)
            }
            throw ValidationError("'\(text)' is neither a rate such as 5 or 100/1m nor 'none'.")
        }
    }
}
