import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct ShowQueue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Count the tasks of one queue, and show its policy."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            Listings.queues.print(try await client.queue(name), format: output.format)
        }
    }
}

struct SetQueue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Say what the tasks of a queue get where they say nothing themselves.",
        discussion: """
            What is not named stays as it is; 'none' takes the default again. A change reaches tasks that wait already. \
            Example: tq-admin queue set mail --max-retries 10 --retention 1d --timeout none
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var policy: PolicyOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            let known = try await client.queues().first { $0.name == Name(name) }
            try await client.setPolicy(policy.changed(known?.policy ?? QueuePolicy()), of: Name(name))
            guard let queue = try await client.queues().first(where: { $0.name == Name(name) }) else { return }
            Listings.queues.print(queue, format: output.format)
        }
    }
}

/// What a queue is to say of its tasks.
struct PolicyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("How long a failed task waits, as for submit.", valueName: "policy"),
        transform: { try .init($0) { try RetryPolicy($0.utf8) } }
    )
    var retry: PolicySetting<RetryPolicy>?
    @Option(
        help: ArgumentHelp("Attempts after the first.", valueName: "count"),
        transform: { try .init(count: $0) }
    )
    var maxRetries: PolicySetting<UInt16>?
    @Option(
        help: ArgumentHelp("Crashes that quarantine a task; 0 for never.", valueName: "count"),
        transform: { try .init(count: $0) }
    )
    var maxCrashes: PolicySetting<UInt16>?
    @Option(
        help: ArgumentHelp("How long a worker holds a task without renewing it.", valueName: "span"),
        transform: { try .init(span: $0) }
    )
    var lease: PolicySetting<UInt64>?
    @Option(
        help: ArgumentHelp("How long one attempt may last in all.", valueName: "span"),
        transform: { try .init(span: $0) }
    )
    var timeout: PolicySetting<UInt64>?
    @Option(
        help: ArgumentHelp("How long a result is kept.", valueName: "span"),
        transform: { try .init(span: $0) }
    )
    var retention: PolicySetting<UInt64>?
    @Option(
        help: ArgumentHelp("How long a dead letter is kept; then it is over.", valueName: "span"),
        transform: { try .init(span: $0) }
    )
    var deadLetterRetention: PolicySetting<UInt64>?
    @Option(
        help: ArgumentHelp("Dead letters beyond which the oldest are over.", valueName: "count"),
        transform: { try .init(bound: $0) }
    )
    var maxDeadLetters: PolicySetting<UInt32>?
    @Option(
        help: ArgumentHelp("Bytes of their payloads and errors beyond which the oldest are over.", valueName: "bytes"),
        transform: { try .init(bytes: $0) }
    )
    var maxDeadLetterBytes: PolicySetting<UInt64>?
    @Option(
        help: ArgumentHelp("Ended tasks beyond which those go first that would expire first.", valueName: "count"),
        transform: { try .init(bound: $0) }
    )
    var maxResults: PolicySetting<UInt32>?
    @Option(
        help: ArgumentHelp("Bytes of their results beyond which the same happens.", valueName: "bytes"),
        transform: { try .init(bytes: $0) }
    )
    var maxResultBytes: PolicySetting<UInt64>?

    @Option(
        help: ArgumentHelp("Waiting time after which a task counts as one more urgent.", valueName: "span"),
        transform: { try .init(span: $0) }
    )
    var aging: PolicySetting<UInt64>?
    @Option(help: ArgumentHelp("By how much more urgent at most, from 1 to 255. (default: 255)", valueName: "count"))
    var maxAging: UInt8?

    @Option(
        help: ArgumentHelp("Groups with more than this part of all that runs wait for others.", valueName: "percent"),
        transform: { try .init(percent: $0) }
    )
    var noisy: PolicySetting<UInt8>?
    @Option(help: ArgumentHelp("Only with so many running tasks of their own. (default: 30)", valueName: "count"))
    var noisyRunning: UInt32?

    private var isEmpty: Bool {
        retry == nil && maxRetries == nil && maxCrashes == nil && lease == nil && timeout == nil && retention == nil
            && deadLetterRetention == nil && maxDeadLetters == nil && maxDeadLetterBytes == nil && maxResults == nil
            && maxResultBytes == nil && aging == nil && noisy == nil
    }

    func validate() throws {
        if maxAging != nil, aging?.value == nil {
            throw ValidationError("--max-aging needs --aging, such as --aging 1m.")
        }
        if noisyRunning != nil, noisy?.value == nil {
            throw ValidationError("--noisy-running needs --noisy, such as --noisy 10.")
        }
        guard isEmpty else { return }
        throw ValidationError("Say what to set, such as --max-retries 10; 'queue show' shows what is set.")
    }

    /// The policy with what the options say.
    func changed(_ policy: QueuePolicy) -> QueuePolicy {
        var policy = policy
        if let retry { policy.retryPolicy = retry.value }
        if let maxRetries { policy.retriesMax = maxRetries.value }
        if let maxCrashes { policy.crashesMax = maxCrashes.value }
        if let lease { policy.leaseMilliseconds = UInt32(clamping: lease.value ?? 0) }
        if let timeout { policy.timeoutMilliseconds = UInt32(clamping: timeout.value ?? 0) }
        if let retention { policy.retentionMilliseconds = retention.value ?? 0 }
        if let deadLetterRetention { policy.deadLetterRetentionMilliseconds = deadLetterRetention.value ?? 0 }
        if let maxDeadLetters { policy.deadLettersMax = maxDeadLetters.value ?? 0 }
        if let maxDeadLetterBytes { policy.deadLetterBytesMax = maxDeadLetterBytes.value ?? 0 }
        if let maxResults { policy.outcomesMax = maxResults.value ?? 0 }
        if let maxResultBytes { policy.resultBytesMax = maxResultBytes.value ?? 0 }
        if let aging {
            policy.aging = aging.value.map {
                PriorityAging(stepMilliseconds: UInt32(clamping: $0), most: maxAging ?? .max)
            }
        }
        if let noisy { policy.noisy = noisy.value.map { NoisyRule(percent: $0, runningMin: noisyRunning ?? 30) } }
        return policy
    }
}

/// A value, or `none` for the default.
struct PolicySetting<Value: Sendable>: Sendable {
    /// `nil` for the default.
    let value: Value?

    init(_ text: String, _ read: (String) throws -> Value) throws { value = text == "none" ? nil : try read(text) }
}

extension PolicySetting<UInt16> {
    init(count text: String) throws {
        try self.init(text) { text in
            if let count = UInt16(text) { return count }
            throw ValidationError("'\(text)' is neither a count nor 'none'.")
        }
    }
}

extension PolicySetting<UInt32> {
    init(bound text: String) throws {
        try self.init(text) { text in
            if let bound = UInt32(text), bound > 0 { return bound }
            throw ValidationError("'\(text)' is neither a count from 1 on nor 'none'.")
        }
    }
}

extension PolicySetting<UInt64> {
    init(bytes text: String) throws {
        try self.init(text) { text in
            if let bytes = UInt64(text), bytes > 0 { return bytes }
            throw ValidationError("'\(text)' is neither a number of bytes from 1 on nor 'none'.")
        }
    }

    init(span text: String) throws {
        try self.init(text) { text in
            if let span = DurationArgument(argument: text), span.milliseconds > 0 { return span.milliseconds }
            throw ValidationError("'\(text)' is neither a time such as 30s, 5m or 7d nor 'none'.")
        }
    }
}

extension TQClient {
    /// Counters and policy of one queue.
    ///
    /// - Throws: `queueNotFound` when nobody has used it.
    fileprivate func queue(_ name: String) async throws(TQError) -> QueueStatistics {
        guard let queue = try await queues().first(where: { $0.name == Name(name) }) else {
            throw TQError(.queueNotFound, "There is no queue '\(name)'. See the list of them.")
        }
        return queue
    }
}
