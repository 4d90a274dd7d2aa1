import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("tq-admin and tq-worker against a broker")
struct AdminTests {
    private func json(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("a task is submitted, looked at, cancelled and waited for, with the documented exit codes")
    func life() throws {
        let broker = try BrokerProcess()
        let submitted = try broker.admin("submit", "--type", "t", "--payload", "p")
        #expect(submitted.status == 0)
        let id = submitted.output.dropLast()
        #expect(id.count == 36)
        let status = try json(try broker.admin("status", "\(id)", "-o", "json").output)
        #expect(status["state"] as? String == "pending")
        #expect(status["priority"] as? Int == 150)
        #expect(try broker.admin("result", "\(id)").status == 1)
        #expect(try broker.admin("cancel", "\(id)").status == 0)
        #expect(try broker.admin("cancel", "\(id)").status == 3)
        #expect(try broker.admin("wait", "\(id)").status == 11)
        #expect(try broker.admin("status", "01900000-0000-7000-8000-000000000000").status == 2)
        #expect(try broker.admin("status", "no-id").status == 64)
        #expect(try broker.admin("health").status == 0)
    }

    @Test("the requirement's own spelling of submit works")
    func requirement() throws {
        let broker = try BrokerProcess()
        let outcome = try broker.admin(
            "task",
            "submit",
            "send_email",
            #"{"to":"a"}"#,
            "--priority=high",
            "--timeout=300",
            "--scheduled-at=2199-01-01T00:00:00Z",
            "--max-retries=5",
            "-o",
            "json"
        )
        let id = try #require(try json(outcome.output)["task_id"] as? String)
        let status = try json(try broker.admin("status", id, "-o", "json").output)
        #expect(status["state"] as? String == "scheduled")
        #expect(status["priority"] as? Int == 255)
        #expect(status["max_retries"] as? Int == 5)
        #expect(status["task_type"] as? String == "send_email")
        #expect(status["starts_at"] as? String == "2199-01-01T00:00:00.000Z")
    }

    @Test("the same key gives the same task, and another content under it is a conflict")
    func keys() throws {
        let broker = try BrokerProcess()
        let first = try broker.admin("submit", "t", "a", "--key", "k").output
        #expect(try broker.admin("submit", "t", "a", "--key", "k").output == first)
        let other = try broker.admin("submit", "t", "b", "--key", "k")
        #expect(other.status == 3)
        #expect(other.output.isEmpty)
        #expect(other.errors.contains("conflict"))
    }

    @Test("programs work on tasks, and their results and failures come back")
    func exec() throws {
        let broker = try BrokerProcess()
        let worker = try broker.startWorker(
            "exec",
            "--queue",
            "q",
            "--",
            "sh",
            "-c",
            "read a; [ $a != bad ] && echo got $a"
        )
        defer { worker.end() }
        let ids = try broker.admin("submit", "--queue", "q", "--type", "t", "--lines", "-", input: "1\n2\n3\n").output
            .split(separator: "\n")
        #expect(ids.count == 3)
        for (number, id) in zip(1..., ids) {
            #expect(try broker.admin("wait", "\(id)").output == "got \(number)\n")
        }
        let bad = try broker.admin("submit", "--queue", "q", "--type", "t", "--payload", "bad\n", "--max-retries", "0")
        let outcome = try broker.admin("wait", "\(bad.output.dropLast())")
        #expect(outcome.status == 10)
        #expect(outcome.errors.contains("exit code 1"))
        #expect(try broker.admin("dead-letter", "list").output.split(separator: "\n").count == 2)
        #expect(try broker.admin("dead-letter", "redrive", "--all").output == "redriven 1\n")
        let workers = try broker.admin("worker", "list", "-o", "json").output
        #expect(workers.contains("tq-worker 0.1.0 exec sh -c"))
    }

    @Test("a task that runs is cancelled: its program gets SIGTERM, and whoever waits for it hears so")
    func cancelRunning() throws {
        let broker = try BrokerProcess()
        let started = broker.directory.path + "/started"
        try #require(mkfifo(started, 0o600) == 0)
        let worker = try broker.startWorker(
            "exec",
            "--queue",
            "q",
            "--",
            "sh",
            "-c",
            "trap 'exit 3' TERM; echo running > \(started); sleep 1000 & wait"
        )
        defer { worker.end() }
        let id = try broker.admin("submit", "--queue", "q", "--type", "t").output.dropLast()
        // Opening the pipe waits for the program to write to it.
        let pipe = try #require(FileHandle(forReadingAtPath: started))
        #expect(try pipe.readToEnd() == Data("running\n".utf8))
        #expect(try broker.admin("cancel", "\(id)").output == "cancel requested \(id)\n")
        #expect(try broker.admin("wait", "\(id)").status == 11)
        let status = try json(try broker.admin("status", "\(id)", "-o", "json").output)
        #expect(status["state"] as? String == "cancelled")
        #expect(status["attempts"] as? Int == 1)
        #expect(try broker.admin("cancel", "\(id)").status == 3)
    }

    @Test("an attempt ends with its timeout, is tried again, and becomes a dead letter with the reason")
    func timeout() throws {
        let broker = try BrokerProcess()
        let worker = try broker.startWorker("exec", "--queue", "q", "--", "sleep", "1000")
        defer { worker.end() }
        let id = try broker.admin(
            "submit",
            "--queue",
            "q",
            "--type",
            "t",
            "--timeout",
            "200ms",
            "--max-retries",
            "1",
            "--retry",
            "fixed,10ms"
        ).output.dropLast()
        let outcome = try broker.admin("wait", "\(id)")
        #expect(outcome.status == 10)
        #expect(outcome.errors.contains("timed out"))
        let status = try json(try broker.admin("status", "\(id)", "-o", "json").output)
        #expect(status["attempts"] as? Int == 2)
        #expect(status["crashes"] as? Int == 0)
    }

    @Test("a worker is kept from tasks, let go on, and stopped from afar, which it obeys after what it runs")
    func workerOrders() async throws {
        let broker = try BrokerProcess()
        let everySecond = ["TQ_WORKER_HEARTBEAT_INTERVAL_SECS": "1"]
        let worker = try broker.startWorker("exec", "--name", "w1", "--", "cat", environment: everySecond)
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        func result(_ payload: String) async throws -> Bytes {
            let id = try await client.submit(TaskSpec(type: "t", payload: Bytes(payload.utf8)))
            return try await client.waitForResult(id, within: .seconds(60)).result
        }
        #expect(try await result("1") == Bytes("1".utf8))
        #expect(try broker.admin("worker", "quiet", "w1").output == "quiet w1\n")
        let waiting = try await client.submit(TaskSpec(type: "t", payload: [50]))
        #expect(try broker.admin("worker", "list", "-o", "json").output.contains("\"order\":\"quiet\""))
        #expect(try await client.status(waiting).state == .pending)
        #expect(try broker.admin("worker", "resume", "w1").status == 0)
        #expect(try await client.waitForResult(waiting, within: .seconds(60)).result == [50])
        #expect(try broker.admin("worker", "stop", "w1").output == "stop w1\n")
        #expect(worker.exitCode() == 0)
        #expect(try await client.workers().isEmpty)
        #expect(try broker.admin("worker", "stop", "w1").status == 2)
        await client.close()
    }

    @Test("dead letters are shown by their errors, put back with another payload, and purged; also over kill -9")
    func deadLetters() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let ids = try await client.submit((0..<5).map { TaskSpec(type: "t", payload: Bytes("payload \($0)".utf8)) })
            .map { try $0.get().id }
        for (number, delivery) in try await client.claim(ClaimSpec(queues: ["default"], count: 5)).enumerated() {
            let error = number < 4 ? "no answer after \(31 + number) ms" : "bad address"
            try await client.fail(delivery, error: error, isPermanent: true)
        }
        let groups = try broker.admin("dead-letter", "errors", "-o", "jsonl").output.split(separator: "\n")
        try #require(groups.count == 2)
        #expect(groups[0].contains("\"count\":4") && groups[0].contains("no answer after # ms"))
        #expect(groups[1].contains("bad address") && groups[1].contains("\(ids[4])"))
        let edited = try broker.admin("dead-letter", "redrive", "\(ids[1])", "--payload", "better")
        #expect(edited.status == 0 && edited.output == "redriven \(ids[1])\n", "\(edited.errors)")
        #expect(try broker.admin("dead-letter", "purge", "\(ids[0])").output == "purged \(ids[0])\n")
        #expect(try broker.admin("dead-letter", "purge", "\(ids[0])").status == 2)
        #expect(try broker.admin("dead-letter", "redrive", "\(ids[0])").status == 2)
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()
        broker = try BrokerProcess(directory)
        client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        #expect(try await client.status(ids[0]).cancelReason == .purged)
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["default"])).first)
        #expect(delivery.lease.task == ids[1] && delivery.payload == Bytes("better".utf8) && delivery.attempt == 1)
        try await client.complete(delivery)
        #expect(try broker.admin("dead-letter", "redrive", "--error", "33 ms").output == "redriven 1\n")
        #expect(try broker.admin("dead-letter", "purge", "--all").output == "purged 2\n")
        let last = try #require(try await client.claim(ClaimSpec(queues: ["default"])).first)
        #expect(last.lease.task == ids[2] && last.payload == Bytes("payload 2".utf8))
        try await client.complete(last)
        let counts = try await client.statistics().counts
        #expect(counts.completed == 2 && counts.cancelled == 3 && counts.deadLetter == 0)
        await client.close()
        for wrong in [["redrive"], ["purge", "--all", "\(ids[0])"], ["redrive", "--all", "--payload", "x"]] {
            #expect(try Commands.run("tq-admin", ["dead-letter"] + wrong).status == 64, "\(wrong)")
        }
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("tq-admin lists tasks by state, queue, type and error, page by page")
    func lists() throws {
        let broker = try BrokerProcess()
        let ids = try (0..<7).map { number in
            let queue = number < 5 ? "mail" : "images"
            return String(try broker.admin("submit", "send.\(number)", "--queue", queue).output.dropLast())
        }
        #expect(try broker.admin("cancel", ids[6]).status == 0)
        func list(_ arguments: String...) throws -> (ids: [String], errors: String) {
            let outcome = try Commands.run(
                "tq-admin",
                ["task", "list", "-o", "jsonl"] + arguments,
                environment: ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
            )
            #expect(outcome.status == 0, "\(outcome.errors)")
            let found = outcome.output.split(separator: "\n").map { line in
                ids.first { line.contains("\"task_id\":\"\($0)\"") } ?? String(line)
            }
            return (found, outcome.errors)
        }
        #expect(try list().ids == ids)
        #expect(try list("--newest").ids == ids[..<6].reversed() + [ids[6]])
        #expect(try list("--status", "pending", "--queue", "mail").ids == Array(ids[..<5]))
        #expect(try list("--status", "cancelled,in-progress").ids == [ids[6]])
        #expect(try list("--type", "send.3").ids == [ids[3]])
        #expect(try list("--type", "send.*", "--queue", "images").ids == Array(ids[5...]))
        #expect(try list("--priority", "high").ids == [])
        #expect(try list("--priority", "100..200", "--error", "no").ids == [])
        #expect(try list("--page", "2", "--size", "3").ids == Array(ids[3..<6]))
        let first = try list("--size", "4")
        let cursor = try #require(first.errors.split(whereSeparator: \.isWhitespace).last)
        #expect(try list("--after", String(cursor), "--size", "2").ids == Array(ids[4..<6]))
        #expect(try list("--size", "2", "--all").ids == ids)
        #expect(try broker.admin("task", "list", "--queue", "mail").output.contains("send.4"))
        let wrongs = ["--status gone", "--size 0", "--priority 9..1", "--after xy", "--page 0"]
        for wrong in wrongs.map({ $0.split(separator: " ").map { String($0) } }) {
            let outcome = try Commands.run("tq-admin", ["task", "list"] + wrong)
            #expect(outcome.status == 64 && outcome.errors.contains(wrong[1]), "\(outcome.errors)")
        }
    }

    @Test("tq-admin submits with tags, lists and changes by them, and shows them")
    func tags() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let ids = try (0..<3).map { number in
            String(try broker.admin("submit", "send", "--tag", "customer:\(number)", "--tag", "all").output.dropLast())
        }
        #expect(try broker.admin("task", "list", "--tag", "customer:1", "-o", "jsonl").output.contains(ids[1]))
        #expect(try broker.admin("task", "list", "--tag", "customer:1").output.split(separator: "\n").count == 2)
        #expect(try broker.admin("task", "list", "--tag", "all").output.contains("customer:2 all"))
        #expect(try broker.admin("status", ids[2], "-o", "json").output.contains("\"tags\":[\"customer:2\",\"all\"]"))
        let refused = try broker.admin("submit", "send", "x", "--tag", "two words")
        #expect(refused.status != 0 && refused.errors.contains("is no tag"))
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        for delivery in try await client.claim(ClaimSpec(queues: ["default"], count: 3)) {
            try await client.fail(delivery, error: "no", isPermanent: true)
        }
        await client.close()
        #expect(try broker.admin("dead-letter", "redrive", "--tag", "customer:1").output == "redriven 1\n")
        #expect(try broker.admin("dead-letter", "purge", "--tag", "all").output == "purged 2\n")
        let states = try broker.admin("task", "list", "--tag", "all", "-o", "jsonl").output.split(separator: "\n")
        #expect(states.map { $0.contains("\"cancelled\"") } == [true, false, true])
        broker.stop()
        let dump = try Commands.run("tq-inspect", ["dump", "--data-dir", directory.url.path])
        #expect(dump.output.contains("\"tags\":[\"customer:0\",\"all\"]"))
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("a task that does not start in time is cancelled or buried, and whoever waits hears why")
    func startBy() throws {
        let broker = try BrokerProcess()
        let id = try broker.admin("submit", "t", "p", "--start-by", "50ms").output.dropLast()
        let outcome = try broker.admin("wait", "\(id)")
        #expect(outcome.status == 11)
        #expect(outcome.errors.contains("did not start in time"))
        let status = try json(try broker.admin("status", "\(id)", "-o", "json").output)
        #expect(status["cancel_reason"] as? String == "tooLate")
        let buried = try broker.admin("submit", "t", "p", "--start-by", "50ms", "--bury-late").output.dropLast()
        #expect(try broker.admin("wait", "\(buried)").status == 10)
        #expect(try broker.admin("dead-letter", "list").output.contains("tooLate"))
        let past = try broker.admin("submit", "t", "p", "--start-by", "2020-01-01T00:00:00Z")
        #expect(past.status == 1)
        #expect(past.errors.contains("has passed"))
        #expect(try broker.admin("submit", "t", "p", "--start-by", "never").status == 64)
        #expect(try broker.admin("submit", "t", "p", "--bury-late").status == 64)
    }

    @Test("SIGTERM ends a worker in good order")
    func stop() throws {
        let broker = try BrokerProcess()
        let worker = try broker.startWorker("demo", "--queue", "d")
        let id = try broker.admin("submit", "--queue", "d", "--type", "echo", "--payload", "x").output.dropLast()
        #expect(try broker.admin("wait", "\(id)").output == "x")
        worker.signal(SIGTERM)
        #expect(worker.exitCode() == 0)
        #expect(try broker.admin("worker", "list").output.split(separator: "\n").count == 1)
    }

    @Test("no broker, a wrong option and a wrong variable have their exit codes")
    func failures() throws {
        let nobody = ["TQ_BROKER_ADDR": "127.0.0.1:1"]
        #expect(try Commands.run("tq-admin", ["stats"], environment: nobody).status == 4)
        #expect(try Commands.run("tq-admin", ["stats", "--nonsense"]).status == 64)
        #expect(try Commands.run("tq-admin", ["submit"]).status == 64)
        #expect(try Commands.run("tq-worker", ["exec", "--", "no-such-program"]).status == 64)
        let misspelt = try Commands.run("tq-worker", ["demo"], environment: ["TQ_WORKER_CONCURENCY": "2"])
        #expect(misspelt.status == 64)
        #expect(misspelt.errors.contains("did you mean TQ_WORKER_CONCURRENCY?"))
    }

    @Test("every command says its version and how it is used", arguments: ["tq-admin", "tq-worker", "tq-broker"])
    func help(command: String) throws {
        #expect(try Commands.run(command, ["--version"]).output == "0.1.0\n")
        let help = try Commands.run(command, ["--help"])
        #expect(help.status == 0)
        #expect(help.output.contains("USAGE: \(command)"))
    }
}
