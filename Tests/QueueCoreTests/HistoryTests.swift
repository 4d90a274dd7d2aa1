import TQModel
import Testing

@testable import QueueCore

@Suite("The history of attempts")
struct HistoryTests {
    private func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("Every attempt that did not succeed is kept: its worker, its time, how it ended and why")
    func everyEnd() throws {
        var core = CoreHarness()
        let id = core.submit {
            $0.retriesMax = 10
            $0.crashesMax = 0
            $0.timeoutMilliseconds = 5_000
            $0.retryPolicy = RetryPolicy(.list([0]))
        }
        _ = core.reply(.registerWorker(WorkerSpec(name: "w1")))
        let began = core.now.wallMilliseconds
        let first = try core.lease(worker: "w1")
        core.advance(milliseconds: 700)
        #expect(core.fail(first, error: "no route") == nil)
        _ = try core.lease(leaseMilliseconds: 1_000)
        core.advance(milliseconds: 1_000)
        _ = try core.lease()
        core.advance(milliseconds: 6_000)
        core.open(2, endsLeasesOnClose: true)
        #expect(core.claim(session: 2).count == 1)
        core.run(.closeSession(2))
        #expect(core.release(try core.lease()) == nil, "a released attempt counts for nothing")
        #expect(core.complete(try core.lease()) == nil)

        let history = try core.known(id).history
        #expect(history.map(\.end) == [.failed, .leaseLapsed, .timedOut, .workerLost])
        #expect(history.map(\.number) == [1, 2, 3, 4])
        #expect(history[0].worker == "w1" && text(history[0].error) == "no route")
        #expect(history[0].startWallMilliseconds == began && history[0].endWallMilliseconds == began + 700)
        #expect(history[1].worker.bytes.isEmpty && text(history[1].error).contains("lost its lease in attempt 2"))
        #expect(text(history[2].error).contains("longer than its timeout of 5000 ms"))
        try core.checkIndex()
    }

    @Test("A history survives a restart, a burial and a redrive, and goes with the outcome")
    func lasts() throws {
        var core = CoreHarness()
        let id = core.submit { $0.retriesMax = 0 }
        #expect(core.fail(try core.lease(), error: "first life") == nil)
        #expect(try core.known(id).history.map { text($0.error) } == ["first life"])
        try core.restart()
        #expect(core.redrive(id) == nil)
        #expect(try core.known(id).history.count == 1)
        #expect(core.complete(try core.lease()) == nil)
        #expect(try core.known(id).history.map { text($0.error) } == ["first life"])
        try core.checkIndex()
        #expect(!core.store.histories.isEmpty)
        core.advance(milliseconds: core.core.configuration.retentionMilliseconds * 2)
        core.expireAll()
        #expect(core.state(id) == nil)
        #expect(core.store.histories.isEmpty)
        try core.checkIndex()
    }

    @Test("A history has sixteen places, and the last attempts are in them")
    func bounded() throws {
        var core = CoreHarness()
        let id = core.submit {
            $0.retriesMax = 100
            $0.retryPolicy = RetryPolicy(.list([0]))
        }
        for attempt in 1...20 { #expect(core.fail(try core.lease(), error: "attempt \(attempt)") == nil) }
        #expect(try core.known(id).history.map { text($0.error) } == (5...20).map { "attempt \($0)" })
        #expect(core.cancel(id) == .success(.cancelled))
        #expect(try core.known(id).history.count == Int(Limits.historyMax))
        core.advance(milliseconds: core.core.configuration.retentionMilliseconds * 2)
        core.expireAll()
        #expect(core.store.histories.isEmpty)
    }

    @Test("A task that succeeds at once leaves no history, and nobody is asked for one")
    func none() throws {
        var core = CoreHarness()
        _ = core.submit()
        #expect(core.complete(try core.lease()) == nil)
        core.settle()
        #expect(core.store.histories.isEmpty && core.store.endedHistories.isEmpty)
    }
}
