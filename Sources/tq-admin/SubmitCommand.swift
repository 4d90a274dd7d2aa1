import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel

struct Submit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Submit a task, or one for each line of a file.",
        discussion: """
            Prints the id of each task once the broker has it on disk. The type and the payload may also stand by \
            themselves: tq-admin submit send_email '{"to": "a@example.com"}'
            """
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var work: WorkOptions

    @Argument(help: "The type of the task, when --type is not given.")
    var positionalType: String?
    @Argument(help: "The payload, when none of the payload options is given.")
    var positionalPayload: String?
    @Option(help: "What kind of work it is; workers choose by it.")
    var type: String?
    @Option(help: "What the worker gets.")
    var payload: String?
    @Option(help: ArgumentHelp("A file with what the worker gets; - is standard input.", valueName: "file"))
    var payloadFile: String?
    @Option(
        help: ArgumentHelp(
            "A file with one payload a line, each for a task of its own; - is standard input.",
            valueName: "file"
        )
    )
    var lines: String?

    @Option(help: "How long to wait before the task may start.")
    var delay: DurationArgument?
    @Option(help: "When the task may start, such as 2026-12-24T18:00:00Z.")
    var scheduledAt: TimestampArgument?
    @Option(help: "Makes the submit repeatable: the same key and content give the same task.")
    var key: String?
    @Option(help: "Lets no other task with this key in, as long as --unique-while says.")
    var uniqueKey: String?
    @Option(
        help: ArgumentHelp(
            "While what the task holds its key: waiting, active (it waits or runs), unfinished, or so long from now.",
            valueName: "scope"
        )
    )
    var uniqueWhile = UniqueScopeArgument(scope: .active)
    @Option(
        help: ArgumentHelp(
            "What to do when another task holds the key: existing (tell its id), refuse, or replace it while it waits.",
            valueName: "way"
        )
    )
    var onConflict = ConflictArgument.existing
    @Option(help: ArgumentHelp("It waits until that task is completed; may be repeated.", valueName: "id"))
    var after: [TaskIDArgument] = []
    @Flag(help: "With --after: one of them is enough.")
    var any = false
    @Option(
        help: ArgumentHelp(
            """
            With --after, when they fail: cancel it (the default), bury it as a dead letter, run it once they are over however \
            they ended, or let it wait until dead letters among them are put back.
            """,
            valueName: "way"
        )
    )
    var onFailure: DependencyFailureArgument?

    func validate() throws {
        let payloads = [payload, payloadFile, lines, type == nil ? positionalPayload : positionalType].compactMap { $0 }
        if payloads.count > 1 {
            throw ValidationError("Give one payload: by itself, --payload, --payload-file or --lines.")
        }
        if type != nil, positionalPayload != nil { throw ValidationError("The type is given twice.") }
        if type == nil, positionalType == nil { throw ValidationError("Say what kind of work it is: --type TYPE.") }
        if any || onFailure != nil, after.isEmpty { throw ValidationError("--any and --on-failure need --after.") }
        if delay != nil, scheduledAt != nil { throw ValidationError("Give --delay or --scheduled-at.") }
        if uniqueKey != nil, lines != nil {
            throw ValidationError("One --unique-key cannot name several tasks of --lines.")
        }
        if key != nil, lines != nil { throw ValidationError("One --key cannot name several tasks of --lines.") }
    }

    func run() async throws {
        let payloads = try payloads()
        let patience: Duration = lines == nil ? .zero : .seconds(30)
        try await connection.withClient(submitPatience: patience, compression: try work.content.compression()) {
            client in
            let progress = lines == nil ? nil : Progress("tasks submitted", total: UInt64(payloads.count))
            var done: UInt64 = 0
            for batch in payloads.chunked(countMax: 1000, byteCountMax: Limits.frameBytesMax / 2) {
                let results = try await client.submit(batch.map(task))
                // What is stored is told even where the task beside it was refused.
                let stored = results.compactMap { try? $0.get() }
                writeToStandardOutput(stored.map(text).joined())
                done += UInt64(stored.count)
                progress?.update(done)
                for result in results { _ = try result.get() }
            }
            progress?.finish(done)
        }
    }

    /// By default the id alone, because that is what a script wants.
    private func text(of submission: Submission) -> String {
        output.format == .table ? "\(submission.id)\n" : Listings.submission.text(of: submission, format: output.format)
    }

    private func payloads() throws -> [Bytes] {
        if let lines {
            return try readFile(lines).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true)
        }
        if let payloadFile { return [try readFile(payloadFile)[...]] }
        let text = payload ?? (type == nil ? positionalPayload : positionalType) ?? ""
        return [Bytes(text.utf8)]
    }

    private func task(_ payload: Bytes) -> TaskSpec {
        var task = work.task(type: type ?? positionalType ?? "", payload: payload)
        if let delay { task.start = .after(milliseconds: delay.milliseconds) }
        if let scheduledAt { task.start = .at(wallMilliseconds: scheduledAt.wallMilliseconds) }
        if let key { task.idempotencyKey = Bytes(key.utf8) }
        if let uniqueKey {
            let key = Bytes(uniqueKey.utf8)
            task.uniqueKey = UniqueKey(key, scope: uniqueWhile.scope, onConflict: onConflict.onConflict)
        }
        if !after.isEmpty {
            task.dependencies = Dependencies(
                on: after.map(\.id),
                condition: any ? .any : .all,
                onFailure: onFailure?.onFailure ?? .cancel
            )
        }
        return task
    }
}

/// How long a task holds its unique key.
struct UniqueScopeArgument: ExpressibleByArgument {
    let scope: UniqueKey.Scope

    private static let words: [(String, UniqueKey.Scope)] = [
        ("waiting", .waiting), ("active", .active), ("unfinished", .unfinished),
    ]

    init(scope: UniqueKey.Scope) { self.scope = scope }

    init?(argument text: String) {
        if let word = Self.words.first(where: { $0.0 == text }) {
            scope = word.1
        } else if let window = DurationArgument(argument: text) {
            scope = .window(milliseconds: window.milliseconds)
        } else {
            return nil
        }
    }

    var defaultValueDescription: String { Self.words.first { $0.1 == scope }?.0 ?? "" }
}

/// What to do when another task holds the unique key.
enum ConflictArgument: String, ExpressibleByArgument, CaseIterable {
    case existing
    case refuse
    case replace

    var onConflict: UniqueKey.OnConflict {
        switch self {
        case .existing: .existing
        case .refuse: .refuse
        case .replace: .replace
        }
    }
}

/// What becomes of a task whose dependencies failed.
enum DependencyFailureArgument: String, ExpressibleByArgument, CaseIterable {
    case cancel
    case bury
    case run
    case wait

    var onFailure: Dependencies.OnFailure {
        switch self {
        case .cancel: .cancel
        case .bury: .bury
        case .run: .run
        case .wait: .wait
        }
    }
}

/// A time, or how long from now.
struct LatestStartArgument: ExpressibleByArgument {
    let time: TaskSpec.Start

    init?(argument text: String) {
        if let time = TimestampArgument(argument: text) {
            self.time = .at(wallMilliseconds: time.wallMilliseconds)
        } else if let span = DurationArgument(argument: text) {
            time = .after(milliseconds: span.milliseconds)
        } else {
            return nil
        }
    }
}

extension [Bytes] {
    /// Parts of few enough payloads, and few enough bytes, for one request each.
    fileprivate func chunked(countMax: Int, byteCountMax: Int) -> [ArraySlice<Bytes>] {
        var chunks: [ArraySlice<Bytes>] = []
        var start = startIndex
        var byteCount = 0
        for index in indices {
            if index > start, index - start == countMax || byteCount + self[index].count > byteCountMax {
                chunks.append(self[start..<index])
                start = index
                byteCount = 0
            }
            byteCount += self[index].count
        }
        if start < endIndex { chunks.append(self[start...]) }
        return chunks
    }
}
