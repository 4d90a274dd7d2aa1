import CommandLineSupport
import Foundation
import TQClient
import TQModel
import TQWorker
import Testing

@Suite("The broker's process", .timeLimit(.minutes(5)))
struct BrokerCommandTests {
    private func client(_ broker: BrokerProcess) async throws -> TQClient {
        var options = ClientOptions()
        options.reconnectDelayMin = .milliseconds(5)
        options.submitPatience = .zero
        return try await TQClient.connect(to: "127.0.0.1:\(broker.port)", options: options)
    }

    private func code(_ body: () async throws -> Void) async -> TQError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? TQError)?.code
        }
    }

    @Test("one line says that clients can connect, with the port that was found and the promise that holds")
    func ready() async throws {
        let broker = try BrokerProcess()
        #expect(broker.port > 0)
        #expect(broker.ready["level"] as? String == "info")
        #expect(broker.ready["durability"] as? String == "a success reply means that it is on disk")
        let client = try await client(broker)
        try await client.ping()
        await client.close()
    }

    @Test("SIGTERM drains: running tasks may end, then the process exits with 0")
    func drain() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let client = try await client(broker)
        let id = try await client.submit(TaskSpec(type: "t"))
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["default"])).first)
        broker.signal(SIGTERM)
        while await code({ try await client.submit(TaskSpec(type: "t")) }) != .draining {}
        try await client.complete(delivery, result: Bytes("r".utf8))
        #expect(broker.waitForExit() == 0)
        await client.close()
        let again = try BrokerProcess(directory)
        let other = try await self.client(again)
        #expect(try await other.waitForResult(id, within: .zero).result == Bytes("r".utf8))
        await other.close()
    }

    @Test("a second SIGTERM ends the wait for running tasks; their leases hold after the restart")
    func secondSignal() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let client = try await client(broker)
        try await client.submit(TaskSpec(type: "t"))
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["default"])).first)
        broker.signal(SIGTERM)
        while await code({ try await client.submit(TaskSpec(type: "t")) }) != .draining {}
        broker.signal(SIGTERM)
        #expect(broker.waitForExit() == 0)
        await client.close()
        let again = try BrokerProcess(directory)
        let other = try await self.client(again)
        try await other.complete(delivery)
        await other.close()
    }

    @Test("kill -9 loses nothing that was acknowledged: tasks, leases, results, dead letters, counters")
    func killed() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let claim = ClaimSpec(queues: ["default"])
        let done = try await client.submit(TaskSpec(type: "done"))
        try await client.complete(try #require(try await client.claim(claim).first), result: Bytes("r".utf8))
        let dead = try await client.submit(TaskSpec(type: "dead", payload: Bytes("d".utf8)))
        try await client.fail(try #require(try await client.claim(claim).first), error: "no", isPermanent: true)
        let held = try await client.submit(TaskSpec(type: "held"))
        let lease = try #require(try await client.claim(claim).first)
        let pending = try await client.submit((0..<100).map { TaskSpec(type: "p", payload: Bytes("\($0)".utf8)) })
            .map { try $0.get().id }
        let counts = try await client.statistics().counts
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()

        let again = try BrokerProcess(directory)
        client = try await self.client(again)
        #expect(try await client.statistics().counts == counts)
        #expect(try await client.waitForResult(done, within: .zero).result == Bytes("r".utf8))
        let letters = try await client.deadLetters().letters
        #expect(letters.map(\.status.id) == [dead])
        #expect(letters.map(\.payload) == [Bytes("d".utf8)])
        try await client.complete(lease)
        #expect(try await client.status(held).state == .completed)
        let deliveries = try await client.claim(ClaimSpec(queues: ["default"], count: 100))
        #expect(deliveries.map(\.lease.task) == pending)
        #expect(deliveries.allSatisfy { $0.lease.token > lease.lease.token })
        await client.close()
    }

    @Test("what an attempt has saved is given to the next one, over kill -9")
    func checkpoint() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let claim = ClaimSpec(queues: ["default"], waitMilliseconds: 10_000)
        let id = try await client.submit(TaskSpec(type: "t"))
        for number in 0..<4 as Range<UInt8> {
            let delivery = try #require(try await client.claim(claim).first)
            #expect(delivery.lease.task == id)
            #expect(delivery.checkpoint == (number == 0 ? [] : [number - 1]))
            let saved = Renewal(
                lease: delivery.lease,
                progress: TaskProgress(percent: number * 25),
                checkpoint: [number]
            )
            #expect(try await client.renew([saved]) == [nil])
            if number % 2 == 1 {
                #expect(try await client.release([Release(lease: delivery.lease)]) == [nil])
            } else {
                let failure = Failure(lease: delivery.lease, error: Bytes("no".utf8), retryAfterMilliseconds: 0)
                #expect(try await client.fail([failure]) == [nil])
            }
            broker.signal(SIGKILL)
            #expect(broker.waitForExit() == -SIGKILL)
            await client.close()
            broker = try BrokerProcess(directory)
            client = try await self.client(broker)
            let status = try await client.status(id)
            #expect(status.checkpoint == [number] && status.state == .pending && status.progress == nil)
        }
        await client.close()
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
    }

    @Test("a step that was completed with its follow-up is over, and the next one there, over kill -9")
    func handOver() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let claim = ClaimSpec(queues: ["default"])
        var step = try await client.submit(TaskSpec(type: "step", payload: Bytes("0".utf8)))
        let spare = try await client.submit(TaskSpec(queue: "spare", type: "t"))
        for number in 1...5 {
            let delivery = try #require(try await client.claim(claim).first)
            #expect(delivery.lease.task == step && delivery.payload == Bytes("\(number - 1)".utf8))
            let next = TaskSpec(type: "step", payload: Bytes("\(number)".utf8))
            let followUps = try await client.complete(delivery, followUps: [next], cancels: [spare])
            broker.signal(SIGKILL)
            #expect(broker.waitForExit() == -SIGKILL)
            await client.close()
            broker = try BrokerProcess(directory)
            client = try await self.client(broker)
            #expect(try await client.status(step).state == .completed)
            #expect(try await client.status(spare).state == .cancelled)
            step = try #require(followUps.first).id
            await #expect(throws: TQError.self, "the same step again") {
                try await client.complete(delivery, followUps: [next])
            }
            #expect(try await client.statistics().counts.pending == 1)
        }
        await client.close()
    }

    @Test("a worker finishes what it runs although the broker is killed and comes back")
    func worker() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let client = try await client(broker)
        var options = WorkerOptions()
        options.client.reconnectDelayMin = .milliseconds(5)
        let worker = try Worker(brokers: "127.0.0.1:\(broker.port)", options: options)
        let (started, hasStarted) = AsyncStream.makeStream(of: Void.self)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        worker.register("t") { payload, _ in
            hasStarted.yield()
            for await _ in gate { break }
            return payload
        }
        let run = Task { try await worker.run() }
        let id = try await client.submit(TaskSpec(type: "t", payload: Bytes("p".utf8)))
        for await _ in started { break }
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        let again = try BrokerProcess(directory, ["--port", "\(broker.port)"])
        open.finish()
        #expect(try await client.waitForResult(id, within: .seconds(60)).result == Bytes("p".utf8))
        #expect(try await client.status(id).attempts == 1)
        await worker.shutdown()
        try await run.value
        await client.close()
        again.signal(SIGTERM)
        #expect(again.waitForExit() == 0)
    }

    @Test("two brokers do not share a directory: the second one names the first and leaves")
    func directoryInUse() throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let second = try Commands.run("tq-broker", ["--data-dir", directory.url.path, "--port", "0"])
        #expect(second.status == 1)
        #expect(second.errors.contains("in use by process \(broker.processIdentifier)"))
        #expect(broker.isAnswering())
    }

    @Test("settings can be checked and printed, and a wrong name is answered with the right one")
    func configuration() throws {
        let checked = try Commands.run("tq-broker", ["--check-config", "--data-dir", "/tmp/nowhere"])
        #expect(checked.status == 0)
        #expect(checked.output == "The configuration is valid.\n")
        let printed = try Commands.run("tq-broker", ["--print-config", "--port", "7001"])
        #expect(printed.status == 0)
        #expect(printed.output.split(separator: "\n").contains { $0.contains("broker.port") && $0.contains("7001") })
        let wrong = try Commands.run("tq-broker", ["--check-config", "--set", "broker.prot=7001"])
        #expect(wrong.status != 0)
        #expect(wrong.errors.contains("broker.prot"))
        #expect(wrong.errors.contains("broker.port"))
    }

    @Test("--dev keeps its data in a directory of its own that is gone at the end")
    func dev() throws {
        let parent = DataDirectory()
        try FileManager.default.createDirectory(at: parent.url, withIntermediateDirectories: true)
        var launch = Commands.launch("tq-broker", ["--dev"], environment: ["TMPDIR": parent.url.path])
        let errors = Pipe()
        launch.errors = .descriptor(errors.fileHandleForWriting.fileDescriptor)
        let process = try ChildProcess(launch)
        try errors.fileHandleForWriting.close()
        var text = ""
        while !text.contains("tq-admin submit") {
            let part = errors.fileHandleForReading.availableData
            try #require(!part.isEmpty, "\(text)")
            text += String(decoding: part, as: UTF8.self)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: parent.url.path).count == 1)
        errors.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
        process.signal(SIGTERM)
        #expect(process.exitCode() == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: parent.url.path).isEmpty)
    }
}

extension BrokerProcess {
    /// Whether the broker still answers.
    fileprivate func isAnswering() -> Bool { (try? admin("stats"))?.status == 0 }
}
