import Foundation
import TQClient
import TQModel
import Testing

@Suite("Keys and groups, by real processes", .timeLimit(.minutes(10)))
struct SharingCommandTests {
    private func submit(_ broker: BrokerProcess, _ options: String...) throws -> TaskID {
        let result = try broker.admin(["submit", "t", "x"] + options)
        let text = result.output.trimmingCharacters(in: .whitespacesAndNewlines)
        return try #require(TaskID(text), "\(result.output)\(result.errors)")
    }

    /// What tq-admin says of a task: reasons with their scopes, and all explanations.
    private func explain(_ broker: BrokerProcess, _ id: TaskID) throws -> (reasons: [String], text: String) {
        let result = try broker.admin("explain", "\(id)", "-o", "jsonl")
        #expect(result.status == 0, "\(result.errors)")
        let reasons = try result.output.split(separator: "\n").map { line in
            let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return [json?["reason"], json?["scope"]].compactMap { $0 as? String }.joined(separator: " ")
        }
        return (reasons, result.output)
    }

    @Test("Keys and groups are given, limited, weighed, shown and explained by commands, and again after kill -9")
    func commands() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        for gate in [
            ["limit", "--key", "account:*", "--running", "1"], ["weigh", "big", "4"],
            ["pause", "--group", "late", "--for", "1h"],
        ] {
            let result = try broker.admin(["gate"] + gate)
            #expect(result.status == 0, "\(result.errors)")
        }
        let first = try submit(broker, "--limit-key", "account:1", "--serial-key", "order:1")
        let limited = try submit(broker, "--limit-key", "account:1")
        let serial = try submit(broker, "--serial-key", "order:1", "--group", "big", "--weight", "2")
        let late = try submit(broker, "--group", "late")
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let spec = ClaimSpec(queues: ["default"], worker: "w", leaseMilliseconds: 3_600_000)
        #expect(try await client.claim(spec).map(\.lease.task) == [first])
        #expect(try await client.claim(spec).isEmpty)
        for isRestarted in [false, true] {
            if isRestarted {
                await client.close()
                broker.signal(SIGKILL)
                _ = broker.waitForExit()
                broker = try BrokerProcess(directory)
                client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
            }
            let full = try explain(broker, limited)
            #expect(full.reasons.first == "limited key account:1")
            #expect(full.text.contains("\(first)") && full.text.contains("on worker w"), "\(full.text)")
            let held = try explain(broker, serial)
            #expect(held.reasons.first == "serial key order:1")
            #expect(held.text.contains("\(first)"), "\(held.text)")
            #expect(try explain(broker, late).reasons.first == "paused group late")
            let status = try broker.admin("status", "\(serial)", "-o", "jsonl").output
            for part in ["\"serial_key\":\"order:1\"", "\"group\":\"big\"", "\"weight\":2"] {
                #expect(status.contains(part), "\(status)")
            }
            let gates = try broker.admin("gate", "list", "-o", "jsonl").output
            #expect(gates.contains("\"scope\":\"key account:*\"") && gates.contains("\"weight\":4"), "\(gates)")
        }
        #expect(try broker.admin("gate", "resume", "--group", "late").status == 0)
        #expect(try await client.claim(spec).map(\.lease.task) == [late])
        for wrong in [
            ["gate", "limit", "--key", "a", "--group", "b", "--running", "1"], ["gate", "weigh", "big", "0"],
            ["submit", "t", "x", "--weight", "2"],
        ] {
            #expect(try Commands.run("tq-admin", wrong).status == 64, "\(wrong)")
        }
        #expect(try broker.admin("gate", "limit", "--group", "big", "--running", "1").status == 1)
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        let dump = try Commands.run("tq-inspect", ["dump", "--data-dir", directory.url.path]).output
        #expect(dump.contains("\"serial_key\":\"order:1\"") && dump.contains("\"weight\":2"), "\(dump)")
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("Limits of keys and the order of serial keys hold while workers are lost and the broker is killed")
    func losses() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        try await client.limitRunning(.key("host-*"), to: 2)
        let specs = (0..<60).map { number in
            let sharing = Sharing(
                limitKey: Name("host-\(number % 3)"),
                serialKey: number % 2 == 0 ? Name("order-\(number % 4)") : nil,
                group: Name("customer-\(number % 5)")
            )
            return TaskSpec(type: "t", leaseMilliseconds: 3_600_000, crashesMax: 0, sharing: sharing)
        }
        let ids = try await client.submit(specs).map { try $0.get().id }
        let sharings = Dictionary(uniqueKeysWithValues: zip(ids, specs.map(\.sharing)))
        var finished: [TaskID] = []
        var turns = 0
        while finished.count < ids.count {
            let claim = ClaimSpec(queues: ["default"], count: 10, waitMilliseconds: 60_000, worker: "w")
            let deliveries = try await client.claim(claim)
            for key in Set(deliveries.compactMap { sharings[$0.lease.task]?.limitKey }) {
                #expect(deliveries.count { sharings[$0.lease.task]?.limitKey == key } <= 2)
            }
            turns += 1
            switch turns % 4 {
            case 0:
                // What runs goes on over a kill, and counts.
                await client.close()
                broker.signal(SIGKILL)
                _ = broker.waitForExit()
                broker = try BrokerProcess(directory)
                client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
                let running = try await client.gates().first?.running
                #expect(running == UInt64(deliveries.count))
                for delivery in deliveries { try await client.complete(delivery) }
                finished += deliveries.map(\.lease.task)
            case 1: try await client.deregisterWorker("w")
            default:
                for delivery in deliveries { try await client.complete(delivery) }
                finished += deliveries.map(\.lease.task)
            }
        }
        for key in ["order-0", "order-2"] as [Name] {
            let serial = ids.filter { sharings[$0]?.serialKey == key }
            #expect(finished.filter { sharings[$0]?.serialKey == key } == serial)
        }
        #expect(try await client.gates().first?.running == 0)
        await client.close()
        broker.stop()
    }

    @Test("One task of a group comes next although hundreds of another group wait, also after kill -9")
    func turns() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        func submit(_ count: Int, _ group: Name) async throws -> [TaskID] {
            let spec = TaskSpec(type: "t", sharing: Sharing(group: group))
            return try await client.submit([TaskSpec](repeating: spec, count: count)).map { try $0.get().id }
        }
        let many = try await submit(500, "many")
        #expect(try await client.claim(ClaimSpec(queues: ["default"], count: 50)).count == 50)
        let single = try await submit(1, "single")
        #expect(try await client.claim(ClaimSpec(queues: ["default"], count: 2)).map(\.lease.task).contains(single[0]))
        let another = try await submit(1, "another")
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
        broker = try BrokerProcess(directory)
        client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let next = try await client.claim(ClaimSpec(queues: ["default"], count: 2)).map(\.lease.task)
        #expect(next.contains(another[0]) && next.contains { many.contains($0) })
        await client.close()
        broker.signal(SIGKILL)
        _ = broker.waitForExit()
    }
}
