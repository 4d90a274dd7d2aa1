import TQModel
import Testing

@testable import QueueCore

@Suite("Checkpoints")
struct CheckpointTests {
    @Test("What an attempt saves is given to the next one, however this one ends, also over a restart")
    func survives() throws {
        /// How an attempt may end that is not the last.
        let ends: [(String, (inout CoreHarness, LeaseHandle) -> Void)] = [
            ("fails", { _ = $0.fail($1, retryAfter: 0) }), ("is released", { _ = $0.release($1) }),
            ("lapses", { core, _ in core.advance(milliseconds: 31_000) }),
            (
                "waits for its retry",
                { core, lease in
                    _ = core.fail(lease, retryAfter: 5_000)
                    core.advance(milliseconds: 5_001)
                }
            ),
        ]
        for (name, end) in ends {
            for restarts in [false, true] {
                var core = CoreHarness()
                let id = core.submit()
                let lease = try core.lease()
                #expect(core.renew(lease, progress: TaskProgress(percent: 40), checkpoint: [1, 2, 3]) == nil)
                end(&core, lease)
                if restarts { try core.restart() }
                #expect(core.state(id) == .pending, "it \(name)")
                #expect(try core.known(id).checkpoint == [1, 2, 3] && core.known(id).progress == nil)
                let delivery = try #require(core.claim().first)
                #expect(delivery.checkpoint == [1, 2, 3], "it \(name), restarts: \(restarts)")
                try core.checkIndex()
            }
        }
    }

    @Test("A renewal without one leaves it, another one takes its place, and no bytes forget it")
    func changes() throws {
        var core = CoreHarness()
        let id = core.submit()
        let lease = try core.lease()
        #expect(try core.known(id).checkpoint == [])
        for (saved, kept) in [([1], [1]), (nil, [1]), ([2, 2], [2, 2]), ([], [])] as [(Bytes?, Bytes)] {
            #expect(core.renew(lease, leaseMilliseconds: 40_000, checkpoint: saved) == nil)
            #expect(try core.known(id).checkpoint == kept)
            try core.checkIndex()
        }
        let long = core.renew(lease, checkpoint: Bytes(repeating: 0, count: Limits.checkpointBytesMax + 1))
        #expect(long?.code == .invalidArgument && long?.message.contains("4097") == true)
    }

    @Test("It is gone with the task, with a redrive, and with a task that takes its place")
    func ends() throws {
        var core = CoreHarness()
        let completed = core.submit()
        var lease = try core.lease()
        _ = core.renew(lease, checkpoint: [1])
        #expect(core.complete(lease) == nil)
        #expect(core.state(completed) == .completed && core.core.index.checkpoints.isEmpty)
        let dead = core.submit()
        lease = try core.lease()
        _ = core.renew(lease, checkpoint: [2])
        _ = core.fail(lease, isPermanent: true)
        #expect(core.redrive(dead) == nil)
        #expect(try #require(core.claim().first).checkpoint == [])
        let spec = TaskSpec(queue: "u", type: "t", uniqueKey: UniqueKey([1], onConflict: .replace))
        core.submit(spec)
        let delivery = try #require(core.claim(queues: ["u"]).first)
        _ = core.renew(delivery.lease, checkpoint: [3])
        _ = core.release(delivery.lease)
        core.submit(spec)
        #expect(try #require(core.claim(queues: ["u"]).first).checkpoint == [])
        try core.checkIndex()
    }
}
