import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("Gates and explanations, by real processes", .timeLimit(.minutes(10)))
struct GateCommandTests {
    /// The reasons that tq-admin gives, each as `reason` or `reason scope`.
    private func explain(_ broker: BrokerProcess, _ id: TaskID) throws -> [String] {
        let result = try broker.admin("explain", "\(id)", "-o", "jsonl")
        #expect(result.status == 0, "\(result.errors)")
        return try result.output.split(separator: "\n").map { line in
            let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            let words = [json?["reason"], json?["scope"]].compactMap { $0 as? String }
            #expect(json?["explanation"] as? String != nil)
            return words.joined(separator: " ")
        }
    }

    @Test("explain gives the right reasons in a dozen situations, and again after kill -9")
    func explained() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        func submit(_ queue: Name, type: Name = "t", start: TaskSpec.Start = .now) async throws -> TaskID {
            try await client.submit(
                TaskSpec(queue: queue, type: type, start: start, retryPolicy: RetryPolicy(.fixed(3_600_000)))
            )
        }
        func claim(_ queue: Name) async throws -> Delivery {
            try #require(try await client.claim(ClaimSpec(queues: [queue])).first)
        }
        var expected: [(TaskID, [String])] = []
        expected.append((try await submit("later", start: .after(milliseconds: 3_600_000)), ["notDue"]))
        expected.append((try await submit("lonely"), ["noWorker"]))
        expected.append((try await submit("lonely"), ["behind", "noWorker"]))
        let failed = try await submit("failed")
        try await client.fail(try await claim("failed"), error: "no")
        expected.append((failed, ["backoff"]))
        let dead = try await submit("dead")
        try await client.fail(try await claim("dead"), error: "no", isPermanent: true)
        expected.append((dead, ["ended"]))
        let done = try await submit("done")
        try await client.complete(try await claim("done"))
        expected.append((done, ["ended"]))
        let cancelled = try await submit("gone")
        #expect(try await client.cancel(cancelled) == .cancelled)
        expected.append((cancelled, ["ended"]))
        expected.append((try await submit("paused"), ["paused queue paused", "noWorker"]))
        expected.append((try await submit("any", type: "slow"), ["paused type slow", "noWorker"]))
        let running = try await submit("limited")
        expected.append((try await submit("limited"), ["limited queue limited", "noWorker"]))
        expected.append((running, ["running"]))
        let first = try await submit("first", type: "scarce")
        expected.append((try await submit("second", type: "scarce"), ["limited type scarce", "noWorker"]))
        expected.append((first, ["running"]))
        let broken = try await submit("broken")
        expected.append((try await submit("broken"), ["circuitOpen queue broken", "noWorker"]))
        for arguments in [
            ["breaker", "--queue", "broken", "--failures", "100", "--attempts", "1", "--open-for", "1h"],
            ["pause", "--queue", "paused"], ["pause", "--type", "slow", "--for", "1h"],
            ["limit", "--queue", "limited", "--running", "1"], ["limit", "--type", "scarce", "--running", "1"],
        ] {
            let address = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
            #expect(try Commands.run("tq-admin", ["gate"] + arguments, environment: address).status == 0)
        }
        #expect(try await claim("limited").lease.task == running)
        #expect(try await claim("first").lease.task == first)
        let attempt = try await claim("broken")
        #expect(attempt.lease.task == broken)
        try await client.fail(attempt, error: "no", isPermanent: true)
        for (id, reasons) in expected { #expect(try explain(broker, id) == reasons) }
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        broker = try BrokerProcess(directory)
        for (id, reasons) in expected { #expect(try explain(broker, id) == reasons) }
        // A stream that wants such tasks is served as soon as the gate lets them through.
        let worker = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        async let waiting = worker.claim(ClaimSpec(queues: ["paused", "any"], count: 1, waitMilliseconds: 60_000))
        #expect(try broker.admin("gate", "resume", "--queue", "paused").status == 0)
        #expect(try await waiting.map(\.queue) == ["paused"])
        let list = try broker.admin("gate", "list", "-o", "jsonl").output.split(separator: "\n")
        #expect(list.count == 4 && list[0].contains("\"running\":1") && list[0].contains("\"scope\":\"queue limited\""))
        let queue = try broker.admin("queue", "explain", "limited")
        #expect(queue.status == 0 && queue.output.contains("lets 1 tasks run at once"), "\(queue.output)")
        #expect(try broker.admin("queue", "explain", "nobody").status == 2)
        let address = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
        let rate = ["gate", "limit", "--type", "slow", "--rate", "100/1m", "--burst", "7"]
        let limited = try Commands.run("tq-admin", rate, environment: address)
        #expect(limited.status == 0 && limited.output.contains("100/1m, 7 at once"), "\(limited.output)")
        let closed = try broker.admin("gate", "breaker", "--queue", "broken", "--circuit", "closed")
        #expect(closed.status == 0 && closed.output.contains("closed, 0 of 0 failed"), "\(closed.output)")
        #expect(try await worker.claim(ClaimSpec(queues: ["broken"])).count == 1)
        for wrong in [
            ["breaker", "--queue", "q"], ["breaker", "--queue", "q", "--failures", "101"],
            ["breaker", "--queue", "q", "--circuit", "broken"], ["breaker", "--queue", "q", "--probes", "2"],
            ["pause"], ["pause", "--all", "--queue", "q"], ["limit", "--queue", "q", "--running", "0"],
            ["limit", "--queue", "q"], ["limit", "--queue", "q", "--rate", "0"], ["limit", "--all", "--rate", "5/x"],
        ] {
            #expect(try Commands.run("tq-admin", ["gate"] + wrong).status == 64, "\(wrong)")
        }
        await worker.close()
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("gate drain ends when the last task has, and says when somebody resumed the gate before")
    func drained() async throws {
        let broker = try BrokerProcess()
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let task = TaskSpec(type: "t", leaseMilliseconds: 3_600_000, timeoutMilliseconds: 3_600_000)
        _ = try await client.submit([TaskSpec](repeating: task, count: 3))
        let (first, second) = (ClaimSpec(queues: ["default"], count: 2), ClaimSpec(queues: ["default"]))
        let deliveries = try await client.claim(first)
        #expect(deliveries.count == 2)
        let environment = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
        func drain() throws -> ObservedProcess {
            let launch = Commands.launch("tq-admin", ["gate", "drain", "--all"], environment: environment)
            return try ObservedProcess(launch, reads: \.errors)
        }
        func waitUntilPaused() async throws {
            while try await client.gates().first?.pausedSinceWallMilliseconds ?? 0 == 0 { await Task.yield() }
        }
        let early = try drain()
        try await waitUntilPaused()
        #expect(try await client.claim(second).isEmpty)
        try await client.complete(deliveries[0])
        try await client.resume(.everything)
        try early.waitForEndOfOutput()
        #expect(early.process.exitCode() == 1 && early.text.contains("was resumed"), "\(early.text)")
        let whole = try drain()
        try await waitUntilPaused()
        try await client.complete(deliveries[1])
        try whole.waitForEndOfOutput()
        #expect(whole.process.exitCode() == 0 && whole.text.contains("1/1 running tasks ended"), "\(whole.text)")
        let gate = try #require(try await client.gates().first)
        #expect(gate.running == 0 && gate.pausedSinceWallMilliseconds > 0)
        #expect(try await client.claim(second).isEmpty)
        try await client.resume(.everything)
        let last = try await client.claim(second)
        #expect(last.count == 1)
        for delivery in last { try await client.complete(delivery) }
        await client.close()
        broker.stop()
    }

    @Test("A limit holds with workers that go while they hold tasks: never more run, and none of the tasks is left")
    func lostWorkers() async throws {
        let broker = try BrokerProcess()
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        try await client.limitRunning(.queue("default"), to: 2)
        let task = TaskSpec(type: "t", leaseMilliseconds: 3_600_000, timeoutMilliseconds: 3_600_000, crashesMax: 0)
        let ids = try await client.submit([TaskSpec](repeating: task, count: 12)).map { try $0.get().id }
        let last = ids[ids.count - 1]
        var claims = 0
        while true {
            let claim = ClaimSpec(queues: ["default"], count: 10, waitMilliseconds: 60_000, worker: "w")
            let deliveries = try await client.claim(claim)
            #expect((1...2).contains(deliveries.count))
            #expect(try await client.queues().first?.counts.inProgress ?? 0 <= 2)
            claims += 1
            if claims % 3 > 0 { for delivery in deliveries { try await client.complete(delivery) } }
            // Its leases end with it.
            try await client.deregisterWorker("w")
            if try await client.queues().first?.counts.completed == UInt64(ids.count) { break }
        }
        #expect(try await client.status(last).state == .completed)
        await client.close()
        broker.stop()
    }
}
