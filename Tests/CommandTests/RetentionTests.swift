import Foundation
import TQClient
import TQModel
import Testing

@Suite("Retention", .timeLimit(.minutes(10)))
struct RetentionTests {
    /// How many results; the last digits of evidence are made with more.
    private static let count = ProcessInfo.processInfo.environment["TQ_RESULTS"].flatMap { Int($0) } ?? 10_000

    /// What the results take; on a slow machine the first are gone before the last are there.
    private static let resultBytes = UInt64(count) * 1024

    /// A broker that keeps results for so many seconds.
    private func broker(
        _ directory: DataDirectory,
        retentionSeconds: Int,
        autoCompact: Bool = true
    ) throws -> BrokerProcess {
        let config = directory.url.path + ".yaml"
        let text = """
            persistence:
              completed_task_retention_secs: \(retentionSeconds)
              auto_compact: \(autoCompact)
              compact_interval_secs: 2
            """
        try text.write(toFile: config, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: config) }
        return try BrokerProcess(directory, ["--config", config])
    }

    private func client(_ broker: BrokerProcess) async throws -> TQClient {
        try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
    }

    /// Completes tasks with results of 1 KiB that nothing compresses, beside one that runs on and one due in a year.
    ///
    /// - Returns: The tasks, and the one that runs on.
    private func fill(_ client: TQClient) async throws -> (ids: [TaskID], running: Delivery) {
        try await client.submit(TaskSpec(queue: "year", type: "t", start: .after(milliseconds: 365 * 86_400_000)))
        try await client.submit(TaskSpec(type: "t", leaseMilliseconds: 3_600_000, timeoutMilliseconds: 3_600_000))
        let running = try #require(try await client.claim(ClaimSpec(queues: ["default"])).first)
        var random = SystemRandomNumberGenerator()
        var ids: [TaskID] = []
        while ids.count < Self.count {
            let specs = [TaskSpec](repeating: TaskSpec(type: "t"), count: 1000)
            ids += try await client.submit(specs).map { try $0.get().id }
            let deliveries = try await client.claim(ClaimSpec(queues: ["default"], count: 1000))
            let completions = deliveries.map { delivery in
                let words = (0..<128).map { _ in random.next() }
                return Completion(lease: delivery.lease, result: words.withUnsafeBytes { Bytes($0) })
            }
            #expect(try await client.complete(completions).allSatisfy { $0 == nil })
        }
        return (ids, running)
    }

    /// What the tables and the log hold; the log reserves more than it holds.
    private func diskBytes(_ broker: BrokerProcess) throws -> UInt64 {
        let path = broker.directory.path + "/db"
        return try FileManager.default.contentsOfDirectory(atPath: path).reduce(0) { sum, name in
            guard name.hasSuffix(".sst") || name.hasSuffix(".log") else { return sum }
            var status = stat()
            return stat("\(path)/\(name)", &status) == 0 ? sum + UInt64(status.st_size) : sum
        }
    }

    /// Lets a moment pass, as long as a wait at the broker takes: for the end of a task that does not end.
    private func moment(_ client: TQClient, _ running: Delivery) async throws {
        do {
            _ = try await client.waitForResult(running.lease.task, within: .milliseconds(100))
        } catch {
            guard error.code == .timedOut else { throw error }
        }
    }

    private func isGone(_ id: TaskID, _ client: TQClient) async throws -> Bool {
        do {
            _ = try await client.status(id)
            return false
        } catch {
            guard error.code == .taskNotFound else { throw error }
            return true
        }
    }

    private func expectSound(_ broker: BrokerProcess) throws {
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", broker.directory.path])
        #expect(verified.status == 0, "\(verified.output)")
    }

    @Test("results go when their time has come and their disk space comes back, whatever else is kept")
    func expiry() async throws {
        let directory = DataDirectory()
        let broker = try broker(directory, retentionSeconds: 5)
        let client = try await client(broker)
        let (ids, running) = try await fill(client)
        while try await !isGone(ids[ids.count - 1], client) { try await moment(client, running) }
        #expect(try await isGone(ids[0], client))
        while try diskBytes(broker) > Self.resultBytes / 10 { try await moment(client, running) }
        let counts = try await client.statistics().counts
        #expect(counts.completed == 0 && counts.inProgress == 1 && counts.scheduled == 1)
        try await client.complete(running)
        await client.close()
        try expectSound(broker)
    }

    @Test("a kill -9 while results go leaves nothing of them behind")
    func killedMeanwhile() async throws {
        let directory = DataDirectory()
        var broker = try broker(directory, retentionSeconds: 5)
        var client = try await client(broker)
        let (ids, running) = try await fill(client)
        while try await !isGone(ids[ids.count / 2], client) { try await moment(client, running) }
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()
        broker = try self.broker(directory, retentionSeconds: 5)
        client = try await self.client(broker)
        while try await !isGone(ids[ids.count - 1], client) { try await moment(client, running) }
        while try diskBytes(broker) > Self.resultBytes / 10 { try await moment(client, running) }
        #expect(try await client.statistics().counts.completed == 0)
        try await client.complete(running)
        await client.close()
        try expectSound(broker)
    }

    @Test("a queue that keeps so many results and no more gives the disk space of the others back, also over a kill -9")
    func capped() async throws {
        let directory = DataDirectory()
        var broker = try broker(directory, retentionSeconds: 3_600)
        var client = try await client(broker)
        let (ids, running) = try await fill(client)
        let set = try broker.admin("queue", "set", "default", "--max-results", "100")
        #expect(set.status == 0, "\(set.errors)")
        while try await !isGone(ids[ids.count / 4], client) { try await moment(client, running) }
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        await client.close()
        broker = try self.broker(directory, retentionSeconds: 3_600)
        client = try await self.client(broker)
        while try await client.statistics().counts.completed > 100 { try await moment(client, running) }
        #expect(try await isGone(ids[Self.count - 101], client))
        for id in ids.suffix(100) { #expect(try await client.waitForResult(id, within: .zero).result.count == 1024) }
        while try diskBytes(broker) > Self.resultBytes / 10 { try await moment(client, running) }
        try await client.complete(running)
        await client.close()
        try expectSound(broker)
    }

    @Test("without automatic compaction results stay until somebody asks for it")
    func byHand() async throws {
        let directory = DataDirectory()
        let broker = try broker(directory, retentionSeconds: 1, autoCompact: false)
        let client = try await client(broker)
        let (ids, running) = try await fill(client)
        for _ in 0..<30 { try await moment(client, running) }
        #expect(try await client.status(ids[0]).state == .completed)
        #expect(try await client.waitForResult(ids[Self.count / 2], within: .zero).result.count == 1024)
        let outcome = try broker.admin("compact", "-o", "json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let (before, after) = (report["disk_bytes_before"] as? Int ?? 0, report["disk_bytes_after"] as? Int ?? .max)
        #expect(before > Self.count * 1024 && after < before / 10)
        #expect(try await isGone(ids[0], client))
        #expect(try await client.statistics().totals.expired == UInt64(Self.count))
        try await client.complete(running)
        await client.close()
        try expectSound(broker)
    }
}
