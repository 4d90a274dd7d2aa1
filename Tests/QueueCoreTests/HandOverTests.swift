import TQModel
import Testing

@testable import QueueCore

@Suite("Handing over")
struct HandOverTests {
    private func complete(
        _ core: inout CoreHarness,
        _ lease: LeaseHandle,
        followUps: [TaskSpec] = [],
        cancels: [TaskID] = []
    ) -> Result<[Submission], TQError>? {
        let completion = Completion(lease: lease, result: [1], followUps: followUps, cancels: cancels)
        guard case .completed(let entries)? = core.reply(.complete([completion])) else { return nil }
        return entries.first
    }

    private func refusal(_ result: Result<[Submission], TQError>?) -> TQError.Code? {
        if case .failure(let error)? = result { error.code } else { nil }
    }

    @Test("A completion, its follow-ups and its cancels are in one group")
    func together() throws {
        var core = CoreHarness()
        let first = core.submit()
        let other = core.submit()
        let lease = try core.lease()
        let result = complete(
            &core,
            lease,
            followUps: [TaskSpec(queue: "next", type: "t"), TaskSpec(queue: "next", type: "u", payload: [7])],
            cancels: [other]
        )
        let followUps = try #require(try result?.get())
        core.settle()
        let ends = Set(core.store.outcomes.keys.map(\.group))
        let births = Set(core.store.segments.filter { $0.value.contains { $0.row.queue == 2 } }.map(\.key.group))
        #expect(ends.count == 1 && ends == births)
        #expect(followUps.count == 2 && followUps.allSatisfy { !$0.isDuplicate })
        #expect(core.state(first) == .completed && core.state(other) == .cancelled)
        #expect(core.claimIDs(queues: ["next"]) == followUps.map(\.id))
    }

    @Test("When one follow-up is refused, nothing happens, and the lease lasts")
    func allOrNothing() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 3))
        let id = core.submit()
        let lease = try core.lease()
        let good = TaskSpec(queue: "next", type: "t")
        var twin = good
        twin.idempotencyKey = [9]
        for (specs, code) in [
            ([good, TaskSpec(queue: "next", type: "no name")], .invalidArgument),
            ([good, good, good, good], .queueFull),
            ([twin, twin], .conflict),
            ([good, TaskSpec(queue: "q", type: "t", startBy: .init(.at(wallMilliseconds: 1)))], .invalidArgument),
        ] as [([TaskSpec], TQError.Code)] {
            #expect(refusal(complete(&core, lease, followUps: specs)) == code)
            #expect(core.state(id) == .inProgress)
            #expect(core.counts("next").pending == 0)
        }
        core.run(.disk(isLow: true))
        #expect(refusal(complete(&core, lease, followUps: [good])) == .diskFull)
        core.run(.disk(isLow: false))
        #expect(try complete(&core, lease, followUps: [good, good, good])?.get().count == 3)
        #expect(refusal(complete(&core, lease, followUps: [good])) == .leaseLost)
        #expect(core.counts("next").pending == 3)
        try core.checkIndex()
    }

    @Test("Follow-ups are taken while the broker drains; a known key gives the task that was there")
    func drainAndKeys() throws {
        var core = CoreHarness()
        var keyed = TaskSpec(queue: "next", type: "t", payload: [1])
        keyed.idempotencyKey = [1, 2]
        let known = core.id(of: core.submit(keyed))
        _ = core.submit()
        let lease = try core.lease()
        core.run(.drain)
        let followUps = try complete(&core, lease, followUps: [keyed, TaskSpec(queue: "next", type: "t")])?.get()
        #expect(followUps?.first == Submission(id: known, isDuplicate: true))
        #expect(followUps?.count == 2)
        #expect(core.counts("next").pending == 2)
        try core.checkIndex()
    }

    @Test("A cancel that comes too late, or of nobody's task, keeps nothing back")
    func lateCancels() throws {
        var core = CoreHarness()
        let done = core.submit()
        #expect(core.complete(try core.lease()) == nil)
        let id = core.submit()
        let lease = try core.lease()
        let nobody = TaskID(high: 1, low: 2)
        #expect(try complete(&core, lease, cancels: [done, nobody, id])?.get() == [])
        #expect(core.state(id) == .completed && core.state(done) == .completed)
    }

    @Test("A request hands over at most as many tasks as a submit takes")
    func limit() throws {
        var core = CoreHarness()
        _ = core.submit()
        let lease = try core.lease()
        let spec = TaskSpec(queue: "next", type: "t")
        let half = [TaskSpec](repeating: spec, count: Limits.batchCountMax / 2 + 1)
        let completion = Completion(lease: lease, followUps: half)
        #expect(core.errorCode(.complete([completion, completion])) == .limitExceeded)
        #expect(core.counts("next").pending == 0)
    }
}
