import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("Dependencies, by real processes", .timeLimit(.minutes(10)))
struct DependencyCommandTests {
    private func submit(_ broker: BrokerProcess, _ type: String, _ options: [String] = []) throws -> TaskID {
        let result = try broker.admin(["submit", type, "x"] + options)
        let text = result.output.trimmingCharacters(in: .whitespacesAndNewlines)
        return try #require(TaskID(text), "\(result.output)\(result.errors)")
    }

    @Test("A chain of programs goes on over kill -9, each one with the results of those before it")
    func chain() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        let first = try submit(broker, "step")
        let second = try submit(broker, "step", ["--after", "\(first)"])
        let last = try submit(broker, "step", ["--after", "\(first)", "--after", "\(second)", "--on-failure", "bury"])
        let explained = try broker.admin("explain", "\(last)")
        #expect(explained.output.contains("depends on 2 tasks, of which 2 are not over"), "\(explained.output)")
        #expect(explained.output.contains("\(first)") && explained.output.contains("\(second)"))
        for id in [first, second, last] {
            broker.signal(SIGKILL)
            _ = broker.waitForExit()
            broker = try BrokerProcess(directory)
            let address = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
            // Prints what it waited for, and what that returned.
            let script = """
                for id in $TQ_TASK_DEPENDENCIES; do
                    '\(Commands.directory.appending(path: "tq-admin").path)' wait "$id" || exit 1
                done
                echo "after $TQ_TASK_ID"
                """
            let worker = Commands.launch("tq-worker", ["exec", "--", "sh", "-c", script], environment: address)
            let process = try ChildProcess(worker)
            let result = try broker.admin("wait", "\(id)", "--timeout", "5m")
            process.end()
            #expect(result.status == 0, "\(result.output)\(result.errors)")
            #expect(result.output.contains("after \(id)"), "\(result.output)")
        }
        let results = try broker.admin("wait", "\(last)").output
        #expect(results.contains("after \(first)") && results.contains("after \(second)"), "\(results)")
    }

    @Test("Failures are told as the task asked for it, also after kill -9, and wrong dependencies are refused by name")
    func failures() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let parent = try submit(broker, "parent", ["--queue", "first"])
        let ways = ["cancel", "bury", "run", "wait"]
        let children = try ways.map { try submit(broker, $0, ["--after", "\(parent)", "--on-failure", $0]) }
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["first"])).first)
        try await client.fail(delivery, error: "no", isPermanent: true)
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        broker = try BrokerProcess(directory)
        client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let cancelled = try await client.waitForResult(children[0], within: .seconds(60))
        #expect(cancelled.state == .cancelled && cancelled.cancelReason == .dependencyFailed)
        #expect(try await client.waitForResult(children[1], within: .seconds(60)).state == .deadLetter)
        let letters = try broker.admin("dead-letter", "list", "-o", "jsonl").output
        #expect(letters.contains("dependencyFailed"), "\(letters)")
        #expect(try await client.claim(ClaimSpec(queues: ["default"], count: 10)).map(\.type) == ["run"])
        let explained = try broker.admin("explain", "\(children[3])", "-o", "jsonl").output
        #expect(explained.contains("deadDependency") && explained.contains("\(parent)"), "\(explained)")
        let list = try broker.admin("task", "list", "--status", "blocked", "-o", "jsonl").output
        #expect(list.contains("\(children[3])") && !list.contains("\(children[0])"), "\(list)")
        let status = try broker.admin("status", "\(children[3])", "-o", "jsonl").output
        #expect(status.contains("\"dependencies\":[\"\(parent)\"]"), "\(status)")
        #expect(try broker.admin("dead-letter", "redrive", "\(parent)").status == 0)
        let again = try #require(try await client.claim(ClaimSpec(queues: ["first"])).first)
        try await client.complete(again)
        let claim = ClaimSpec(queues: ["default"], waitMilliseconds: 60_000)
        let waiting = try #require(try await client.claim(claim).first)
        #expect(waiting.lease.task == children[3])
        #expect(waiting.dependencies == [parent])
        let unknown = "018bd025-1d21-7000-9862-7efdb0d9c573"
        let refused = try broker.admin("submit", "t", "x", "--after", unknown)
        #expect(refused.status == 1 && refused.errors.contains(unknown), "\(refused.errors)")
        #expect(try Commands.run("tq-admin", ["submit", "t", "x", "--any"]).status == 64)
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
        let dump = try Commands.run("tq-inspect", ["dump", "--data-dir", directory.url.path]).output
        #expect(dump.contains("\"dependencies\":[\"\(parent)\"]"), "\(dump)")
    }
}
