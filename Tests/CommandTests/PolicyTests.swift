import Foundation
import TQClient
import TQModel
import Testing

@Suite("Policies of queues, by real processes", .timeLimit(.minutes(10)))
struct PolicyTests {
    private func admin(_ broker: BrokerProcess, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let result = try Commands.run("tq-admin", arguments + ["--broker-addr", "127.0.0.1:\(broker.port)"])
        return (result.status, result.output)
    }

    @Test("queue set changes what it names, 'none' takes the default again, and kill -9 forgets nothing")
    func set() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        let first = ["--max-retries", "7", "--retention", "1d", "--retry", "fixed,30s", "--max-dead-letters", "9"]
        var set = try admin(broker, ["queue", "set", "mail"] + first)
        #expect(set.status == 0, "\(set.output)")
        let bounds = ["--max-results", "50", "--max-result-bytes", "1000000", "--max-dead-letter-bytes", "2000"]
        #expect(try admin(broker, ["queue", "set", "mail"] + bounds).status == 0)
        set = try admin(broker, ["queue", "set", "mail", "--retry", "none", "--timeout", "10m"])
        #expect(
            set.output.contains(
                "max-retries 7; max-dead-letters 9; max-dead-letter-bytes 2000; max-results 50; max-result-bytes 1000000; "
                    + "timeout 10m; retention 1d"
            ),
            "\(set.output)"
        )
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        broker = try BrokerProcess(directory)
        let shown = try admin(broker, ["queue", "show", "mail", "--output", "json"])
        let json = try #require(try JSONSerialization.jsonObject(with: Data(shown.output.utf8)) as? [String: Any])
        let policy = try #require(json["policy"] as? [String: Any])
        #expect(policy["max_retries"] as? Int == 7 && policy["timeout_ms"] as? Int == 600_000)
        #expect(policy["max_results"] as? Int == 50 && policy["max_result_bytes"] as? Int == 1_000_000)
        #expect(policy["retention_ms"] as? Int == 86_400_000 && policy["retry_policy"] is NSNull)
        #expect(try admin(broker, ["queue", "show", "nobody"]).status == 2)
        #expect(try admin(broker, ["queue", "set", "mail"]).status == 64)
        #expect(try admin(broker, ["queue", "set", "mail", "--retention", "0"]).status == 64)
        #expect(try admin(broker, ["queue", "set", "mail", "--max-retries", "10001"]).status == 1)
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("Results and dead letters go when their times are over, each after its own")
    func retention() async throws {
        let directory = DataDirectory()
        let config = directory.url.path + ".yaml"
        let text = "persistence:\n  completed_task_retention_secs: 3600\n  failed_task_retention_secs: 2\n"
        try text.write(toFile: config, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: config) }
        let broker = try BrokerProcess(directory, ["--config", config])
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        try await client.setPolicy(QueuePolicy(retentionMilliseconds: 1_000), of: "short")
        try await client.setPolicy(QueuePolicy(deadLetterRetentionMilliseconds: 3_600_000), of: "long")
        var ids: [TaskID] = []
        for (queue, fails) in [("short", false), ("long", false), ("short", true), ("long", true)] as [(Name, Bool)] {
            ids.append(try await client.submit(TaskSpec(queue: queue, type: "t")))
            let delivery = try #require(try await client.claim(ClaimSpec(queues: [queue])).first)
            if fails {
                try await client.fail(delivery, error: "no", isPermanent: true)
            } else {
                try await client.complete(delivery)
            }
        }
        // What has no time of its own is there when the others are gone.
        let pending = try await client.submit(TaskSpec(queue: "idle", type: "t"))
        while true {
            let (result, letter) = (try await state(ids[0], client), try await state(ids[2], client))
            if result == nil, letter != .deadLetter { break }
            let wait = try? await client.waitForResult(pending, within: .milliseconds(100))
            #expect(wait == nil)
        }
        #expect(try await state(ids[1], client) == .completed)
        #expect(try await state(ids[3], client) == .deadLetter)
        await client.close()
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    /// The state of a task; `nil` when it is gone.
    private func state(_ id: TaskID, _ client: TQClient) async throws -> TaskState? {
        do {
            return try await client.status(id).state
        } catch {
            guard error.code == .taskNotFound else { throw error }
            return nil
        }
    }

    @Test("A dead letter shows the retries that its queue says")
    func deadLetter() async throws {
        let directory = DataDirectory()
        let broker = try BrokerProcess(directory)
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        try await client.setPolicy(QueuePolicy(retriesMax: 0), of: "mail")
        let id = try await client.submit(TaskSpec(queue: "mail", type: "t"))
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["mail"])).first)
        #expect(delivery.retriesMax == 0)
        try await client.fail(delivery, error: "no")
        #expect(try await client.status(id).state == .deadLetter)
        try await client.setPolicy(QueuePolicy(retriesMax: 4), of: "mail")
        #expect(try await client.status(id).retriesMax == 4)
        #expect(try await client.deadLetters().letters.map(\.status.retriesMax) == [4])
        await client.close()
        broker.stop()
    }
}
