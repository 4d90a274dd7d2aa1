import Foundation
import TQClient
import TQModel
import Testing

@Suite("Unique keys of real processes", .timeLimit(.minutes(10)))
struct UniqueKeyTests {
    private func client(_ broker: BrokerProcess) async throws -> TQClient {
        try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
    }

    private func spec(
        _ payload: String,
        _ scope: UniqueKey.Scope,
        _ onConflict: UniqueKey.OnConflict,
        key: String = "k"
    ) -> TaskSpec {
        TaskSpec(
            type: "t",
            payload: Bytes(payload.utf8),
            uniqueKey: UniqueKey(Bytes(key.utf8), scope: scope, onConflict: onConflict)
        )
    }

    /// Kills the broker and starts it again on what it left.
    private func restart(
        _ broker: inout BrokerProcess,
        _ client: inout TQClient,
        _ directory: DataDirectory
    ) async throws {
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()
        broker = try BrokerProcess(directory)
        client = try await self.client(broker)
    }

    @Test("a unique key is held over kill -9, by tasks that wait, run and are dead, and free when they are over")
    func overCrashes() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let claim = ClaimSpec(queues: ["default"])
        let id = try await client.submit(spec("1", .unfinished, .refuse))
        func expectHeld() async throws {
            let found = try await client.submit([spec("2", .unfinished, .existing), spec("2", .unfinished, .refuse)])
            #expect(found.first == .success(Submission(id: id, isDuplicate: true)))
            #expect(throws: TQError.self) { try found.last?.get() }
            guard case .failure(let error)? = found.last else { return }
            #expect(error.code == .conflict && error.message.contains("\(id)"))
        }
        try await restart(&broker, &client, directory)
        try await expectHeld()
        let delivery = try #require(try await client.claim(claim).first)
        try await restart(&broker, &client, directory)
        try await expectHeld()
        try await client.fail(delivery, error: "no", isPermanent: true)
        try await restart(&broker, &client, directory)
        try await expectHeld()
        #expect(try await client.redrive([id]).allSatisfy { $0 == nil })
        try await restart(&broker, &client, directory)
        try await expectHeld()
        try await client.complete(try #require(try await client.claim(claim).first))
        try await restart(&broker, &client, directory)
        let next = try await client.submit(spec("3", .unfinished, .refuse))
        #expect(next != id)
        await client.close()
    }

    @Test("a submit that takes the place of a task is what runs, over kill -9, under the same id")
    func replacement() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let id = try await client.submit(spec("0", .active, .replace))
        for number in 1...5 {
            let submission = try await client.submit([spec("\(number)", .active, .replace)]).first?.get()
            #expect(submission == Submission(id: id, isReplacement: true))
            if number % 2 == 1 { try await restart(&broker, &client, directory) }
        }
        let deliveries = try await client.claim(ClaimSpec(queues: ["default"], count: 10))
        #expect(deliveries.map(\.lease.task) == [id])
        #expect(deliveries.first?.payload == Bytes("5".utf8))
        let late = try await client.submit([spec("6", .active, .replace)])
        if case .failure(let error)? = late.first { #expect(error.code == .conflict) } else { Issue.record("\(late)") }
        try await client.complete(try #require(deliveries.first))
        try await restart(&broker, &client, directory)
        #expect(try await client.statistics().counts.pending == 0, "what was replaced does not come back")
        #expect(try await client.status(id).state == .completed)
        await client.close()
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test("tq-admin submits with a unique key, and says what became of it")
    func commands() throws {
        let broker = try BrokerProcess()
        let first = try broker.admin("submit", "t", "a", "--unique-key", "k").output
        #expect(try broker.admin("submit", "t", "b", "--unique-key", "k").output == first)
        let refused = try broker.admin("submit", "t", "b", "--unique-key", "k", "--on-conflict", "refuse")
        #expect(refused.status == 3 && refused.errors.contains(first.dropLast()))
        let replaced = try broker.admin(
            "submit",
            "t",
            "c",
            "--unique-key",
            "k",
            "--on-conflict",
            "replace",
            "--delay",
            "1h",
            "-o",
            "json"
        )
        #expect(replaced.output.contains("\"is_replacement\":true"), "\(replaced.output)")
        #expect(try broker.admin("status", String(first.dropLast())).output.contains("scheduled"))
        #expect(try broker.admin("submit", "t", "d", "--unique-key", "w", "--unique-while", "10m").status == 0)
        for wrong in [["--unique-while", "never"], ["--on-conflict", "ignore"]] {
            let outcome = try Commands.run("tq-admin", ["submit", "t", "--unique-key", "k"] + wrong)
            #expect(outcome.status == 64 && outcome.errors.contains(wrong[1]), "\(outcome.errors)")
        }
        let long = try broker.admin("submit", "t", "--unique-key", String(repeating: "x", count: 256))
        #expect(long.status == 1 && long.errors.contains("256 bytes"), "\(long.errors)")
    }
}
