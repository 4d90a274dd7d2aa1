import CommandLineSupport
import DiskFaults
import Foundation
import TQClient
import TQModel
import Telemetry
import Testing

@Suite("Recurring tasks of real processes", .timeLimit(.minutes(10)))
struct RecurringTests {
    private func client(_ broker: BrokerProcess) async throws -> TQClient {
        try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
    }

    @Test("ticks go on over kill -9, none twice and none passed over")
    func overCrashes() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await client(broker)
        let spec = RecurringSpec(
            name: "beat",
            recurrence: Bytes("every:1s".utf8),
            task: TaskSpec(type: "t"),
            catchUpMax: 1000
        )
        let first = try #require(try await client.putRecurring(spec).upcoming.first)
        var ticks: [UInt64] = []
        while ticks.count < 8 {
            let claim = ClaimSpec(queues: ["default"], count: 100, waitMilliseconds: 5_000)
            for delivery in try await client.claim(claim) {
                try await client.complete(delivery)
                ticks.append(delivery.tickWallMilliseconds)
            }
            guard ticks.count % 2 == 0 else { continue }
            broker.signal(SIGKILL)
            #expect(broker.waitForExit() == -SIGKILL)
            await client.close()
            broker = try BrokerProcess(directory)
            client = try await self.client(broker)
        }
        #expect(ticks == (0..<UInt64(ticks.count)).map { first + $0 * 1000 })
        await client.close()
        broker.stop()
        let verified = try Commands.run("tq-inspect", ["verify", "--data-dir", directory.url.path])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    /// A broker whose wall clock is moved by hand.
    private func broker(
        _ directory: DataDirectory,
        at text: String
    ) throws -> (broker: BrokerProcess, clock: DiskControl, aheadSeconds: Int64) {
        try FileManager.default.createDirectory(at: directory.url, withIntermediateDirectories: true)
        let path = directory.url.path + "-clock"
        try? FileManager.default.removeItem(atPath: path)
        let clock = try DiskControl(path)
        let wanted = try #require(ISO8601DateFormatter().date(from: text))
        let ahead = Int64(wanted.timeIntervalSinceNow)
        clock.setWallClock(aheadBySeconds: ahead)
        let library = Commands.directory.appending(path: "libtq-disk-faults.so").path
        let environment = [
            "LD_PRELOAD": DiskPreload.preloading(library), "TQ_FAULTS_CONTROL": path,
        ]
        return (try BrokerProcess(directory, environment: environment), clock, ahead)
    }

    private func remove(_ directory: DataDirectory) {
        try? FileManager.default.removeItem(atPath: directory.url.path + "-clock")
    }

    @Test(
        "when clocks change, a fixed time that is skipped is due at once, and one that is repeated the first time only",
        arguments: [
            // 2:30 does not exist: clocks go from 2:00 to 3:00.
            ("2026-03-29T00:30:00Z", ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]),
            // 2:30 comes at 0:30Z and at 1:30Z.
            ("2026-10-25T00:00:00Z", ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]),
        ]
    )
    func daylightSaving(start: String, expected: [String]) async throws {
        let directory = DataDirectory()
        defer { remove(directory) }
        let (broker, clock, ahead) = try broker(directory, at: start)
        let client = try await client(broker)
        let put = try broker.admin("recurring", "put", "n", "daily:02:30 Europe/Berlin", "t", "-o", "json")
        #expect(expected.allSatisfy { put.output.contains($0) }, "\(put.output)\(put.errors)")
        let claim = ClaimSpec(queues: ["default"], count: 10, waitMilliseconds: 30_000)
        clock.setWallClock(aheadBySeconds: ahead + 1_801)
        let first = try await client.claim(claim)
        #expect(first.map { rfc3339(wallMilliseconds: Int64($0.tickWallMilliseconds)) } == [expected[0]])
        for delivery in first { try await client.complete(delivery) }
        // Over the repeated hour, back into it, and on to the next day.
        clock.setWallClock(aheadBySeconds: ahead + 7_200)
        #expect(try await client.claim(ClaimSpec(queues: ["default"], waitMilliseconds: 300)).isEmpty)
        clock.setWallClock(aheadBySeconds: ahead)
        #expect(try await client.claim(ClaimSpec(queues: ["default"], waitMilliseconds: 300)).isEmpty)
        clock.setWallClock(aheadBySeconds: ahead + 26 * 3_600)
        let next = try await client.claim(claim)
        #expect(next.map { rfc3339(wallMilliseconds: Int64($0.tickWallMilliseconds)) } == [expected[1]])
        for delivery in next { try await client.complete(delivery) }
        await client.close()
    }

    /// The ticks of the tasks that a claim gets; each is completed.
    private func takeTicks(_ client: TQClient, waiting milliseconds: UInt64) async throws -> [UInt64] {
        let claim = ClaimSpec(queues: ["default"], count: 10, waitMilliseconds: milliseconds)
        let deliveries = try await client.claim(claim)
        for delivery in deliveries { try await client.complete(delivery) }
        return deliveries.map(\.tickWallMilliseconds)
    }

    @Test("an hour that the wall clock jumps over and back is made up for once, and brings no tick again")
    func clockSteps() async throws {
        let directory = DataDirectory()
        defer { remove(directory) }
        let (broker, clock, ahead) = try broker(directory, at: "2026-06-01T12:00:00Z")
        let client = try await client(broker)
        _ = try broker.admin("recurring", "put", "m", "cron:0 * * * *", "t", "--catch-up", "3")
        clock.setWallClock(aheadBySeconds: ahead + 3_601)
        var ticks = try await takeTicks(client, waiting: 30_000)
        clock.setWallClock(aheadBySeconds: ahead + 36_001)
        ticks += try await takeTicks(client, waiting: 30_000)
        clock.setWallClock(aheadBySeconds: ahead)
        #expect(try await takeTicks(client, waiting: 500) == [])
        let texts = ticks.map { rfc3339(wallMilliseconds: Int64($0)) }
        #expect(texts == ["13:00", "20:00", "21:00", "22:00"].map { "2026-06-01T\($0):00.000Z" })
        let status = try #require(try await client.recurringTasks().tasks.first)
        #expect(status.submitted == 4 && status.skipped == 6)
        await client.close()
    }

    @Test("tq-admin keeps, shows, pauses, resumes, runs and removes recurring tasks")
    func commands() throws {
        let broker = try BrokerProcess()
        let put = try broker.admin(
            "recurring",
            "put",
            "nightly",
            "daily:02:30 Europe/Berlin",
            "report",
            "{}",
            "--priority",
            "high",
            "--overlap",
            "skip",
            "-o",
            "json"
        )
        #expect(put.status == 0, "\(put.errors)")
        #expect(put.output.contains("\"recurrence\":\"daily:02:30 Europe/Berlin\""), "\(put.output)")
        #expect(try broker.admin("recurring", "list").output.contains("nightly"))
        #expect(try broker.admin("recurring", "pause", "nightly", "-o", "json").output.contains("\"is_paused\":true"))
        let id = try broker.admin("recurring", "run", "nightly").output.dropLast()
        let status = try broker.admin("status", String(id)).output
        #expect(status.contains("report") && status.contains("nightly"), "\(status)")
        #expect(try broker.admin("recurring", "resume", "nightly", "-o", "json").output.contains("\"is_paused\":false"))
        #expect(try broker.admin("recurring", "remove", "nightly").status == 0)
        #expect(try broker.admin("recurring", "run", "nightly").status == 2)
        for (wrong, part) in [
            ("daily:02:30 Europe/Berlim", "no file"), ("cron:0 2 * * * *", "five fields"), ("every:0s", "interval"),
            ("cron:0 0 31 2 *", "never runs"),
        ] {
            let refused = try broker.admin("recurring", "put", "x", wrong, "t")
            #expect(refused.status == 1 && refused.errors.contains(part), "\(wrong): \(refused.errors)")
        }
    }
}
