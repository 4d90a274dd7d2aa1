import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

/// The programs below Examples, run as their readers run them.
@Suite("What Examples has to copy", .timeLimit(.minutes(10)))
struct ExamplesTests {
    private func environment(_ broker: BrokerProcess) -> [String: String] {
        ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
    }

    /// Runs an example, perhaps against a broker that is not there.
    private func run(_ name: String, _ arguments: [String], _ broker: BrokerProcess?) throws -> CommandOutcome {
        let variables = broker.map { environment($0) } ?? ["TQ_BROKER_ADDR": "127.0.0.1:1"]
        return try Commands.run(name, arguments, environment: variables)
    }

    private func startWorker(_ broker: BrokerProcess?) throws -> ObservedProcess {
        let variables = broker.map { environment($0) } ?? ["TQ_BROKER_ADDR": "127.0.0.1:1"]
        return try ObservedProcess(Commands.launch("SimpleWorker", [], environment: variables), reads: \.errors)
    }

    /// A directory with files.
    private func directory(_ files: [String: String]) throws -> DataDirectory {
        let directory = DataDirectory()
        try FileManager.default.createDirectory(at: directory.url, withIntermediateDirectories: false)
        for (name, text) in files { try Data(text.utf8).write(to: directory.url.appending(path: name)) }
        return directory
    }

    private func text(_ directory: DataDirectory, _ path: String) throws -> String {
        try String(contentsOf: directory.url.appending(path: path), encoding: .utf8)
    }

    private func client(_ broker: BrokerProcess) async throws -> TQClient {
        try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
    }

    /// The word behind another one, in the line that begins with a text.
    private func word(after mark: String, in output: String, line: String = "") throws -> String {
        let words = try #require(output.split(separator: "\n").first { $0.hasPrefix(line) }, "\(output)").split(
            separator: " "
        )
        let index = try #require(words.firstIndex { $0 == mark }, "\(output)")
        return String(try #require(words[(index + 1)...].first, "\(output)"))
    }

    // MARK: Worker

    @Test("the simple worker goes on at its checkpoint, shows its progress, and ends what it runs at SIGTERM")
    func simpleWorker() async throws {
        let broker = try BrokerProcess()
        let files = try directory(["one": "a b c"])
        let paths = ["one", "two", "three"].map { files.url.appending(path: $0).path }
        // Whoever reads it waits for its writer.
        #expect(mkfifo(paths[2], 0o600) == 0)
        let worker = try startWorker(broker)
        let payload = String(decoding: try JSONEncoder().encode(["files": paths]), as: UTF8.self)
        let submit = ["submit", "count_words", payload, "--retry", "fixed,100ms", "--max-retries", "10000"]
        let id = try Commands.run("tq-admin", submit, environment: environment(broker)).output.dropLast()

        // The second file is missing: attempts fail, but the first file is counted once only.
        try worker.wait(forLineWith: ["files=1/3", "attempt 2 begins"])
        try Data("many words more than there were".utf8).write(to: URL(filePath: paths[0]))
        try Data("d".utf8).write(to: URL(filePath: paths[1]))
        try worker.wait(forLineWith: ["files=2/3", "progress"])
        let client = try await client(broker)
        let task = try #require(TaskID(id))
        let status = try await client.status(task)
        // Otherwise nobody would read the third file, and its writer would wait for ever.
        try #require(status.state == .inProgress, "\(worker.text)")
        #expect(status.progress == TaskProgress(percent: 66, message: Bytes("4 words so far".utf8)))
        #expect(try JSONPayload.decode([String: Int].self, from: status.checkpoint) == ["filesDone": 2, "words": 4])
        let attempt = try #require(status.history.first)
        #expect(attempt.end == .failed && String(decoding: attempt.error, as: UTF8.self).contains("two"), "\(attempt)")

        worker.process.signal(SIGTERM)
        try worker.wait(forLineWith: ["worker stops"])
        let fifo = try FileHandle(forWritingTo: URL(filePath: paths[2]))
        try fifo.write(contentsOf: Data("e f".utf8))
        try fifo.close()
        #expect(worker.process.exitCode() == 0)
        #expect(try broker.admin("wait", String(id)).output == #"{"words":6}"#)
        await client.close()
    }

    @Test("the simple worker stops while it waits for a broker, and says when its address is none")
    func simpleWorkerAlone() throws {
        let worker = try startWorker(nil)
        try worker.wait(forLineWith: ["waiting for a broker"])
        worker.process.signal(SIGTERM)
        #expect(worker.process.exitCode() == 0)
        let wrong = try Commands.run("SimpleWorker", [], environment: ["TQ_BROKER_ADDR": "::"])
        #expect(wrong.status == 1 && wrong.errors.contains("invalidArgument"), "\(wrong.errors)")
    }

    // MARK: Client

    @Test("the task client gets its result, the same one for the same key, and says what went wrong")
    func taskClient() async throws {
        let broker = try BrokerProcess()
        let files = try directory(["one": "a b c", "two": "d\ne"])
        let paths = ["one", "two"].map { files.url.appending(path: $0).path }
        let worker = try startWorker(broker)
        let first = try run("TaskClient", ["order-7"] + paths, broker)
        let lines = first.output.split(separator: "\n")
        #expect(first.status == 0 && lines.count == 6, "\(first.output)\(first.errors)")
        #expect(lines.dropFirst().first == "5 words")
        #expect(lines.contains("one task for two submits: true"))
        #expect(lines.contains { $0.hasPrefix("refused: ") && $0.contains("unique key") }, "\(first.output)")
        #expect(lines.contains("afterwards: cancelled"))
        #expect(lines.last?.hasSuffix("failed: There are no files to count.") == true, "\(first.output)")

        // Had it been another task, it would count more words.
        try Data("one word more".utf8).write(to: URL(filePath: paths[0]))
        let second = try run("TaskClient", ["order-7"] + paths, broker)
        #expect(second.output.split(separator: "\n").prefix(2) == lines.prefix(2), "\(second.output)\(second.errors)")
        let other = try run("TaskClient", ["order-7", paths[0]], broker)
        #expect(other.status == 1 && other.errors.hasPrefix("conflict: "), "\(other.errors)")

        let client = try await client(broker)
        let totals = try await client.statistics().totals
        #expect(totals.completed == 1 && totals.cancelled == 2 && totals.deadLettered == 2, "\(totals)")
        #expect(totals.submitted == 5, "\(totals)")
        await client.close()
        worker.process.signal(SIGTERM)
        #expect(worker.process.exitCode() == 0)
    }

    @Test("the task client says how it is called, and that there is no broker")
    func taskClientAlone() throws {
        #expect(try run("TaskClient", ["order-7"], nil).status == 64)
        let nobody = try run("TaskClient", ["order-7", "file"], nil)
        #expect(nobody.status == 1 && nobody.errors.hasPrefix("connectionFailed: "), "\(nobody.errors)")
        let nobodyEither = try run("ScheduledTasks", [], nil)
        #expect(nobodyEither.status == 1 && nobodyEither.errors.hasPrefix("connectionFailed: "))
    }

    // MARK: Schedules

    private func date(_ text: String) throws -> Date {
        try Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    @Test("scheduled tasks start at their time, and the recurring one is previewed, paused, resumed, run and removed")
    func scheduledTasks() async throws {
        let broker = try BrokerProcess()
        let outcome = try run("ScheduledTasks", [], broker)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let client = try await client(broker)
        let lines = outcome.output.split(separator: "\n")
        for name in ["delayed", "timed"] {
            let id = try #require(TaskID(try word(after: name, in: outcome.output, line: name)))
            let status = try await client.status(id)
            #expect(status.state == .completed)
            let start = try date(
                try word(after: "until", in: outcome.output, line: "\(name) \(id) is scheduled until ")
            )
            let created = Date(timeIntervalSince1970: Double(id.createdMilliseconds) / 1000)
            // The time was chosen a moment before the task was made.
            #expect(start > created + (name == "delayed" ? 0.9 : 1), "\(outcome.output)")
            let end = Date(timeIntervalSince1970: Double(status.endWallMilliseconds) / 1000)
            #expect(end > start - 0.01, "\(outcome.output)")
        }

        let ticks = lines.filter { $0.hasPrefix("would be due ") }.map { String($0.dropFirst("would be due ".count)) }
        #expect(ticks.count == 5, "\(outcome.output)")
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "Europe/Berlin"))
        for tick in ticks {
            let parts = calendar.dateComponents([.weekday, .hour, .minute], from: try date(tick))
            #expect(parts.hour == 8 && parts.minute == 30 && (2...6).contains(parts.weekday ?? 0), "\(tick)")
        }
        let shown = lines.filter { $0.hasPrefix("working-day ") }
        #expect(shown.count == 4, "\(outcome.output)")
        #expect(shown.map { $0.contains("is paused, next never") } == [false, true, false, false])
        // Of the first two: a tick may be due between the preview and the put.
        #expect(
            shown.prefix(3).allSatisfy { line in
                ticks.prefix(2).contains { line.hasSuffix($0) } || line.contains("paused")
            }
        )
        #expect(shown.last == "working-day is removed")

        let id = try #require(TaskID(try word(after: "recurring", in: outcome.output, line: "recurring")))
        let status = try await client.status(id)
        #expect(status.state == .completed && status.type == "make_report")
        #expect(try await client.recurringTasks().tasks.isEmpty)
        await client.close()
    }

    // MARK: Script

    /// How submit-all is started, with the programs in PATH.
    private func submitAll(_ arguments: [String], _ broker: BrokerProcess?) -> ProcessLaunch {
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Examples/submit-all")
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        var variables = broker.map { environment($0) } ?? ["TQ_BROKER_ADDR": "127.0.0.1:1"]
        variables["PATH"] = "\(Commands.directory.path):\(path)"
        var launch = Commands.launch("submit-all", arguments, environment: variables)
        launch.arguments[0] = Array(script.path.utf8)
        return launch
    }

    /// Starts a worker that makes capital letters of payloads.
    private func startCapitals(_ broker: BrokerProcess) throws -> ChildProcess {
        try broker.startWorker("exec", "--type", "capitals", "--", "tr", "a-z", "A-Z")
    }

    @Test("submit-all, killed in the middle and started again, has one task for each line, and all results")
    func submitLines() async throws {
        let broker = try BrokerProcess()
        let files = try directory(["lines": "alpha\n\n--beta $x \\n\nalpha\nlast"])
        let lines = files.url.appending(path: "lines").path
        let results = files.url.appending(path: "results").path
        let fifo = files.url.appending(path: "fifo").path
        #expect(mkfifo(fifo, 0o600) == 0)
        let writer = try FileHandle(forUpdating: URL(filePath: fifo))
        try writer.write(contentsOf: Data("alpha\n\n--beta $x \\n\n".utf8))
        let interrupted = try ObservedProcess(submitAll(["b", "capitals", fifo, results], broker), reads: \.output)
        try interrupted.wait(forLineWith: ["submitted 3 as "])
        interrupted.process.signal(SIGKILL)
        #expect(interrupted.process.exitCode() == -SIGKILL)
        try writer.close()

        let worker = try startCapitals(broker)
        let whole = try Commands.run(submitAll(["b", "capitals", lines, results], broker))
        #expect(whole.status == 0 && whole.output.hasSuffix("\n4 of 4 done\n"), "\(whole.output)\(whole.errors)")
        let submitted = whole.output.split(separator: "\n").filter { $0.hasPrefix("submitted ") }
        let before = interrupted.text.split(separator: "\n")
        #expect(submitted.prefix(2) == before.prefix(2) && before.count == 2, "\(whole.output)\(interrupted.text)")
        let names = try FileManager.default.contentsOfDirectory(atPath: results)
        #expect(names.sorted() == ["1", "3", "4", "5"])
        let texts = try ["1", "3", "4", "5"].map { try text(files, "results/\($0)") }
        #expect(texts == ["ALPHA", "--BETA $X \\N", "ALPHA", "LAST"])

        let again = try Commands.run(submitAll(["b", "capitals", lines, results], broker))
        #expect(again.status == 0 && again.output == whole.output, "\(again.output)\(again.errors)")
        let client = try await client(broker)
        #expect(try await client.statistics().totals.submitted == 4)
        try Data("altered".utf8).write(to: URL(filePath: lines))
        let altered = try Commands.run(submitAll(["b", "capitals", lines, results], broker))
        #expect(altered.status == 3 && altered.errors.contains("conflict"), "\(altered.errors)")
        let renamed = try Commands.run(submitAll(["c", "capitals", lines, results], broker))
        #expect(renamed.status == 0, "\(renamed.errors)")
        #expect(try text(files, "results/1") == "ALTERED")
        #expect(try await client.statistics().totals.submitted == 5)
        await client.close()
        worker.end()
    }

    @Test("submit-all says which files failed or were cancelled, and its exit code that not all were done")
    func submitFiles() throws {
        let broker = try BrokerProcess()
        let files = try directory(["a b.txt": "a", "c": "c", "é": #"{"files":[]}"#])
        try FileManager.default.createDirectory(
            at: files.url.appending(path: "directory"),
            withIntermediateDirectories: false
        )
        let results = try directory([:])
        let cancelled = try ObservedProcess(
            submitAll(["b", "capitals", files.url.path, results.url.path], broker),
            reads: \.output
        )
        try cancelled.wait(forLineWith: ["submitted é as "])
        let id = try word(after: "as", in: cancelled.text, line: "submitted c ")
        #expect(try broker.admin("cancel", id).status == 0)
        let worker = try startCapitals(broker)
        try cancelled.wait(forLineWith: ["2 of 3 done"])
        #expect(cancelled.process.exitCode() == 1)
        #expect(cancelled.text.contains("\ncancelled c\n"), "\(cancelled.text)")
        #expect(try text(results, "a b.txt") == "A")
        #expect(try FileManager.default.contentsOfDirectory(atPath: results.url.path).sorted() == ["a b.txt", "é"])
        worker.end()

        // None of the payloads is what this worker wants.
        let counting = try startWorker(broker)
        let failed = try Commands.run(submitAll(["b2", "count_words", files.url.path, results.url.path], broker))
        #expect(failed.status == 1 && failed.output.hasSuffix("\n0 of 3 done\n"), "\(failed.output)\(failed.errors)")
        #expect(failed.output.contains("\nfailed é\n") && failed.errors.contains("There are no files to count."))
        counting.process.signal(SIGTERM)
        #expect(counting.process.exitCode() == 0)
    }

    @Test("submit-all says how it is called, that there is nothing to read, and that there is no broker")
    func submitNothing() throws {
        let files = try directory(["lines": "a\n"])
        let lines = files.url.appending(path: "lines").path
        let results = files.url.appending(path: "results").path
        let usage = try Commands.run(submitAll(["b"], nil))
        #expect(usage.status == 64 && usage.errors.contains("usage: submit-all BATCH TYPE SOURCE RESULTS"))
        let missing = try Commands.run(submitAll(["b", "t", lines + "x", results], nil))
        #expect(missing.status == 64 && missing.errors.contains("cannot read"), "\(missing.errors)")
        let nobody = try Commands.run(submitAll(["b", "t", lines, results], nil))
        #expect(nobody.status == 4 && nobody.errors.contains("connectionFailed"), "\(nobody.errors)")
    }
}
