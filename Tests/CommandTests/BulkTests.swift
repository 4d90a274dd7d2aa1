import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("Bulk operations, with real processes", .timeLimit(.minutes(10)))
struct BulkTests {
    @Test("a bulk redrive goes on after kill -9: every dead letter is put back once")
    func resumed() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let specs = (0..<2_000).map {
            TaskSpec(queue: $0 < 1_900 ? "mail" : "others", type: "t", payload: Bytes("\($0)".utf8))
        }
        let ids = try await client.submit(specs).map { try $0.get().id }
        for queue in ["mail", "others"] as [Name] {
            while case let deliveries = try await client.claim(ClaimSpec(queues: [queue], count: 10)),
                !deliveries.isEmpty
            {
                _ = try await client.fail(deliveries.map { Failure(lease: $0.lease, error: [1], isPermanent: true) })
            }
        }
        let started = try broker.admin(
            "bulk",
            "redrive",
            "--queue",
            "mail",
            "--rate",
            "1000",
            "--detach",
            "-o",
            "json"
        )
        #expect(
            started.status == 0 && started.output.contains("\"phase\":\"running\""),
            "\(started.output)\(started.errors)"
        )
        var before = try await client.bulkOperation(1)
        while before.changed == 0 { before = try await client.bulkOperation(1) }
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()
        broker = try BrokerProcess(directory)
        client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let after = try await client.bulkOperation(1)
        #expect(after.phase == .running && after.changed >= before.changed && after.changed < 1_900)
        let ended = try broker.admin("bulk", "show", "1", "--wait", "-o", "json")
        #expect(
            ended.output.contains("\"phase\":\"finished\"") && ended.output.contains("\"changed\":1900"),
            "\(ended.output)"
        )
        let counts = try await client.statistics().counts
        #expect(counts.pending == 1_900 && counts.deadLetter == 100)
        var seen: [TaskID] = []
        while seen.count < 1_900 {
            let deliveries = try await client.claim(ClaimSpec(queues: ["mail"], count: 10, waitMilliseconds: 60_000))
            for delivery in deliveries {
                #expect(delivery.payload == Bytes("\(seen.count)".utf8) && delivery.attempt == 1)
                seen.append(delivery.lease.task)
            }
            _ = try await client.complete(deliveries.map { Completion(lease: $0.lease) })
        }
        #expect(seen == Array(ids.prefix(1_900)))
        await client.close()
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test(
        "tq-admin shows how many tasks there are, moves them, makes them urgent, cancels them, and stops what goes on"
    )
    func commands() throws {
        let broker = try BrokerProcess()
        for number in 0..<20 {
            #expect(try broker.admin("submit", number < 15 ? "mail.send" : "image", "--delay", "1h").status == 0)
        }
        func bulk(_ arguments: String...) throws -> String {
            let address = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
            let result = try Commands.run("tq-admin", ["bulk"] + arguments + ["-o", "json"], environment: address)
            #expect(result.status == 0, "\(result.errors)")
            return result.output
        }
        #expect(try bulk("move", "--to", "slow", "--type", "mail.*", "--dry-run").contains("\"tasks\":15"))
        let moved = try bulk("move", "--to", "slow", "--type", "mail.*")
        #expect(moved.contains("\"changed\":15") && moved.contains("\"change\":\"move to slow\""))
        #expect(try bulk("priority", "--set", "high", "--queue", "slow").contains("\"changed\":15"))
        #expect(try bulk("redrive", "--all", "--dry-run").contains("\"tasks\":0"))
        _ = try bulk("cancel", "--queue", "slow", "--rate", "1", "--detach")
        #expect(try bulk("stop", "3").contains("\"phase\":\"stopped\""))
        #expect(try bulk("cancel", "--all").contains("\"phase\":\"finished\""))
        #expect(try bulk("delete", "--type", "mail.*").contains("\"changed\":15"))
        #expect(try broker.admin("task", "list", "-o", "jsonl").output.split(separator: "\n").count == 5)
        let list = try broker.admin("bulk", "list", "-o", "jsonl").output.split(separator: "\n")
        #expect(list.count == 5 && list[2].contains("\"filter\":\"status="))
        for wrong in [["cancel"], ["cancel", "--all", "--rate", "0"], ["move", "--all"]] {
            #expect(try Commands.run("tq-admin", ["bulk"] + wrong).status == 64, "\(wrong)")
        }
        #expect(try broker.admin("bulk", "show", "9").status == 2)
        for more in [["--dry-run"], []] {
            let address = ["TQ_BROKER_ADDR": "127.0.0.1:\(broker.port)"]
            let arguments = ["bulk", "redrive", "--status", "pending"] + more
            let none = try Commands.run("tq-admin", arguments, environment: address)
            #expect(none.status == 1 && none.errors.contains("deadLetter"), "\(none.output)\(none.errors)")
        }
        let unknown = try broker.admin("bulk", "cancel", "--queue", "slwo")
        #expect(unknown.status == 1 && unknown.errors.contains("'slwo'"))
    }
}
