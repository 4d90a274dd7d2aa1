import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("Attempts that go wrong, in real processes", .timeLimit(.minutes(10)))
struct AttemptTests {
    private let claim = ClaimSpec(queues: ["default"], waitMilliseconds: 60_000)

    @Test("an attempt whose lease has lapsed changes nothing any more, also over kill -9")
    func staleToken() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        var client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let id = try await client.submit(TaskSpec(type: "t", payload: [1], timeoutMilliseconds: 3_600_000))
        var claim = claim
        claim.leaseMilliseconds = 1_000
        let first = try #require(try await client.claim(claim).first)
        // Waits until the lease has lapsed.
        claim.leaseMilliseconds = 3_600_000
        let second = try #require(try await client.claim(claim).first)
        #expect(second.lease.task == id && second.lease.token > first.lease.token && second.attempt == 2)
        for restarts in [false, true] {
            if restarts {
                broker.signal(SIGKILL)
                #expect(broker.waitForExit() == -SIGKILL)
                await client.close()
                broker = try BrokerProcess(directory)
                client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
            }
            #expect(try await client.complete([Completion(lease: first.lease, result: [9])]).first??.code == .leaseLost)
            #expect(try await client.fail([Failure(lease: first.lease, error: [9])]).first??.code == .leaseLost)
            #expect(try await client.release([Release(lease: first.lease)]).first??.code == .leaseLost)
            #expect(try await client.renew([Renewal(lease: first.lease)]).first??.code == .leaseLost)
            #expect(try await client.status(id).state == .inProgress)
        }
        try await client.complete(second, result: [2])
        #expect(try await client.complete([Completion(lease: first.lease, result: [9])]).first??.code == .leaseLost)
        #expect(try await client.waitForResult(id, within: .zero).result == [2])
        await client.close()
    }

    @Test("a task that kills its workers is put aside after three of them, and the others are done")
    func poisonPill() async throws {
        let broker = try BrokerProcess()
        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let pill = try await client.submit(TaskSpec(type: "t", payload: Bytes("kill -9 $PPID".utf8)))
        let ids = try await client.submit((0..<5).map { TaskSpec(type: "t", payload: Bytes("echo \($0)".utf8)) })
            .map { try $0.get().id }
        // Whoever keeps workers alive starts another one when one ends.
        var killed = 0
        while try await client.status(pill).state != .deadLetter {
            let worker = try broker.startWorker("exec", "--concurrency", "1", "--lease", "1s", "--", "sh")
            if try await isOver(pill, or: worker, client) { worker.end() } else { killed += 1 }
        }
        let worker = try broker.startWorker("exec", "--concurrency", "1", "--", "sh")
        for (number, id) in ids.enumerated() {
            let result = try await client.waitForResult(id, within: .seconds(300)).result
            #expect(String(decoding: result, as: UTF8.self) == "\(number)\n")
        }
        worker.end()
        let letter = try #require(try await client.deadLetters().letters.first)
        #expect(letter.status.id == pill && letter.reason == .quarantined && letter.status.crashes == 3)
        #expect((1...3).contains(killed))
        await client.close()
    }

    /// Waits until the task has ended, or the worker is over, which it is when a claim of its task finds nobody there.
    private func isOver(_ id: TaskID, or worker: ChildProcess, _ client: TQClient) async throws -> Bool {
        while !worker.isOver {
            do {
                _ = try await client.waitForResult(id, within: .milliseconds(100))
                return true
            } catch {
                guard error.code == .timedOut else { return true }
            }
        }
        return false
    }
}
