import Broker
import FakeBroker
import TQClient
import TQModel
import TQWorker
import Testing

@Suite("Restarts", .timeLimit(.minutes(5)))
struct RestartTests {
    @Test("A restart keeps tasks, leases, results, dead letters and counters; ids stay and tokens grow")
    func everything() async throws {
        let directory = try ScratchDirectory()
        let first = try await TestBroker.start(directory)
        var client = try await first.client()
        let done = try await client.submit(TaskSpec(type: "done", payload: bytes("d")))
        try await client.complete(try await client.claimOne(), result: bytes("result"))
        let dead = try await client.submit(TaskSpec(type: "dead", payload: bytes("x")))
        try await client.fail(try await client.claimOne(), error: "no", isPermanent: true)
        let held = try await client.submit(TaskSpec(type: "held", payload: bytes("h")))
        let lease = try await client.claimOne()
        let cancelled = try await client.submit(TaskSpec(type: "cancelled"))
        try await client.cancel(cancelled)
        let scheduled = try await client.submit(TaskSpec(type: "s", start: .at(wallMilliseconds: 4_000_000_000_000)))
        let keyed = TaskSpec(type: "pending", payload: bytes("p"), idempotencyKey: bytes("k"))
        let pending = try await client.submit(keyed)
        let ids = [done, dead, held, cancelled, scheduled, pending]
        var before: [TaskStatus] = []
        for id in ids { before.append(try await client.status(id)) }
        let counts = try await client.statistics().counts
        let letters = try await client.deadLetters()
        await client.close()
        await first.broker.stop()

        let second = try await TestBroker.start(directory)
        client = try await second.client()
        for (id, var status) in zip(ids, before) {
            var now = try await client.status(id)
            // About the same: it is kept in store time, which stood still meanwhile.
            #expect((now.attemptStartWallMilliseconds > 0) == (status.attemptStartWallMilliseconds > 0))
            (now.attemptStartWallMilliseconds, status.attemptStartWallMilliseconds) = (0, 0)
            #expect(now == status)
        }
        #expect(try await client.statistics().counts == counts)
        #expect(try await client.deadLetters() == letters)
        #expect(try await client.waitForResult(done, within: .zero).result == bytes("result"))
        #expect(try await client.submit([keyed]) == [.success(Submission(id: pending, isDuplicate: true))])
        try await client.complete(lease, result: bytes("later"))
        #expect(try await client.waitForResult(held, within: .zero).result == bytes("later"))
        let next = try await client.claimOne()
        #expect(next.lease.task == pending)
        #expect(next.payload == bytes("p"))
        #expect(next.lease.token > lease.lease.token)
        await client.close()
        await second.broker.stop()
    }

    @Test("A worker goes on over a restart: what it runs is completed, what comes is run")
    func worker() async throws {
        let directory = try ScratchDirectory()
        let first = try await TestBroker.start(directory, port: restartablePort())
        let client = try await first.client()
        let worker = try first.worker { $0.concurrency = 1 }
        let (started, hasStarted) = AsyncStream.makeStream(of: Void.self)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        worker.register("t") { payload, _ in
            hasStarted.yield()
            for await _ in gate { break }
            return payload
        }
        let run = Task { try await worker.run() }
        let ids = [
            try await client.submit(TaskSpec(type: "t", payload: bytes("1"))),
            try await client.submit(TaskSpec(type: "t", payload: bytes("2"))),
        ]
        for await _ in started { break }
        await first.broker.stop()
        let second = try await TestBroker.start(directory, port: first.port)
        open.finish()
        #expect(try await client.waitForResult(ids[0], within: .seconds(60)).result == bytes("1"))
        #expect(try await client.waitForResult(ids[1], within: .seconds(60)).result == bytes("2"))
        #expect(try await client.status(ids[0]).attempts == 1)
        await worker.shutdown()
        try await run.value
        await client.close()
        await second.broker.stop()
    }

    @Test("A submit whose broker went away is stored once")
    func resubmit() async throws {
        let directory = try ScratchDirectory()
        let first = try await TestBroker.start(directory, port: restartablePort())
        let client = try await first.client()
        let submits = Task { try await client.submit((0..<200).map { TaskSpec(type: "t", payload: bytes("\($0)")) }) }
        await first.broker.stop()
        let second = try await TestBroker.start(directory, port: first.port)
        let ids = try await submits.value.map { try $0.get().id }
        #expect(Set(ids).count == 200)
        #expect(try await client.statistics().counts.pending == 200)
        await client.close()
        await second.broker.stop()
    }

    @Test("While it drains the broker takes no submits and waits for running tasks; a second stop ends the wait")
    func drain() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client { $0.submitPatience = .zero }
        let waiting = try await RawPeer.greet(broker.port)
        try await waiting.send([(2, .claim(ClaimSpec(queues: ["default"], waitMilliseconds: 60_000))), (3, .ping)])
        #expect(try await waiting.reply() == (3, .done))
        try await client.submit(TaskSpec(queue: "other", type: "t"))
        let delivery = try #require(try await client.claim(ClaimSpec(queues: ["other"])).first)
        let stop = Task { await broker.broker.stop(graceMilliseconds: 3_600_000) }
        // The parked claim is refused when draining has begun.
        #expect(try await waiting.error() == (2, .draining))
        #expect(try await client.health().status == .draining)
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .draining)
        #expect(try await client.renew([Renewal(lease: delivery.lease)]) == [nil])
        await broker.broker.stop()
        await stop.value
        #expect(broker.log.lines.filter { $0.contains("broker stopped") }.count == 1)
        #expect(!broker.log.lines.contains { $0.contains("failed") && $0.hasPrefix("error") })
        await client.close()
    }

    @Test("A drained broker stops when the last running task has ended")
    func lastTask() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client()
        let id = try await client.submit(TaskSpec(type: "t"))
        let delivery = try await client.claimOne()
        let stop = Task { await broker.broker.stop(graceMilliseconds: 3_600_000) }
        try await client.complete(delivery, result: bytes("r"))
        await stop.value
        await client.close()
        let again = try await TestBroker.start(directory)
        let other = try await again.client()
        #expect(try await other.waitForResult(id, within: .zero).result == bytes("r"))
        await other.close()
        await again.broker.stop()
    }

    @Test("The weaker mode says so everywhere, and keeps what it acknowledged over a restart")
    func weakerMode() async throws {
        let directory = try ScratchDirectory()
        let first = try await TestBroker.start(directory) { $0.syncIntervalMilliseconds = 20 }
        let client = try await first.client()
        let id = try await client.submit(TaskSpec(type: "t"))
        try await client.complete(try await client.claimOne(), result: bytes("r"))
        #expect(try await client.health().syncIntervalMilliseconds == 20)
        #expect(try await client.statistics().syncIntervalMilliseconds == 20)
        #expect(first.log.lines.contains { $0.contains("a power cut may take 20 ms of acknowledged work") })
        await client.close()
        await first.broker.stop()
        let second = try await TestBroker.start(directory)
        let other = try await second.client()
        #expect(try await other.health().syncIntervalMilliseconds == 0)
        #expect(try await other.waitForResult(id, within: .zero).result == bytes("r"))
        await other.close()
        await second.broker.stop()
    }
}
