import TQModel
import Testing

@testable import QueueCore

@Suite("Priorities that rise with the wait") struct AgingTests {
    private func core(_ aging: PriorityAging, queues: [Name] = ["q"]) throws -> CoreHarness {
        var core = CoreHarness()
        for queue in queues {
            #expect(core.reply(.putQueuePolicy(queue, QueuePolicy(aging: aging))) == .done)
        }
        return core
    }

    /// Claims tasks and completes them, so that no lease lapses.
    private func take(_ count: UInt32, _ core: inout CoreHarness) -> [TaskID] {
        core.claim(count).map { delivery in
            #expect(core.complete(delivery.lease) == nil)
            return delivery.lease.task
        }
    }

    @Test(
        "A task counts as one more urgent for each step that it has waited, and goes before fresh ones of that priority"
    )
    func rises() throws {
        var core = try core(PriorityAging(stepMilliseconds: 1_000))
        let old = core.submit(priority: 100)
        core.advance(milliseconds: 9_999)
        var fresh = core.submit(priority: 110)
        #expect(core.claimIDs(1) == [fresh])
        core.advance(milliseconds: 1)
        fresh = core.submit(priority: 110)
        let urgent = core.submit(priority: 111)
        #expect(core.claimIDs(1) == [urgent])
        #expect(core.claimIDs() == [old, fresh])
        try core.checkIndex()
    }

    @Test("It rises no further than it may, and a change holds at once, over restarts too")
    func capped() throws {
        var core = try core(PriorityAging(stepMilliseconds: 1_000, most: 5))
        let old = core.submit(priority: 100)
        core.advance(milliseconds: 3_600_000)
        let fresh = core.submit(priority: 106)
        try core.restart()
        #expect(take(1, &core) == [fresh])
        let second = core.submit(priority: 106)
        #expect(
            core.reply(.putQueuePolicy("q", QueuePolicy(aging: PriorityAging(stepMilliseconds: 1_000, most: 6))))
                == .done
        )
        #expect(take(1, &core) == [old])
        let third = core.submit(priority: 100)
        core.advance(milliseconds: 3_600_000)
        let fourth = core.submit(priority: 106)
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy())) == .done)
        #expect(take(1000, &core) == [second, fourth, third])
    }

    @Test("Its priority stays what it was given, in its delivery and in its status")
    func shown() throws {
        var core = try core(PriorityAging(stepMilliseconds: 1))
        let id = core.submit(priority: 7)
        core.advance(milliseconds: 1_000)
        #expect(core.status(id)?.priority == Priority(7))
        #expect(core.claim().first?.priority == Priority(7))
    }

    @Test("Groups take turns among those of one priority, and an aged one of another priority goes between")
    func groups() throws {
        var core = try core(PriorityAging(stepMilliseconds: 1_000))
        func submit(_ group: Name, _ priority: UInt8) -> TaskID {
            core.submit {
                $0.rank = Priority(priority).rank
                $0.sharing = Sharing(group: group)
            }
        }
        let old = submit("c", 100)
        core.advance(milliseconds: 10_000)
        let (a, others) = (submit("a", 110), [submit("a", 110), submit("b", 110)])
        #expect(core.claimIDs() == [old, a, others[1], others[0]])
    }

    @Test("What makes no sense is refused")
    func refused() {
        var core = CoreHarness()
        for aging in [PriorityAging(stepMilliseconds: 0, most: 1), PriorityAging(stepMilliseconds: 1, most: 0)] {
            #expect(core.errorCode(.putQueuePolicy("q", QueuePolicy(aging: aging))) == .invalidArgument)
        }
    }

    @Test(
        "Claims of any queues and types take what counts as the most urgent, as a list that is sorted each time says",
        arguments: 0..<40
    )
    func anyOrder(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        let aging = PriorityAging(stepMilliseconds: UInt32(1 + below(3_000)), most: UInt8(1 + below(255)))
        // Of the second queue none rises.
        var core = try core(aging)
        var waiting: [(id: TaskID, queue: Name, type: Name, rank: Rank, created: UInt64)] = []
        for _ in 0..<150 {
            guard below(2) == 0 else {
                let (queue, type): (Name, Name) = (below(3) > 0 ? "q" : "other", below(2) == 0 ? "t" : "u")
                let rank = Priority(UInt8(100 + below(20))).rank
                var spec = TaskSpec(queue: queue, type: type, rank: rank)
                // What has a key waits elsewhere, and no key holds anything back here.
                if below(2) == 0 { spec.sharing = Sharing(limitKey: below(2) == 0 ? "k" : "l") }
                waiting.append((core.id(of: core.submit(spec)), queue, type, rank, core.now.wallMilliseconds))
                core.wait(milliseconds: UInt64(below(2_000)))
                continue
            }
            let queues: [Name] = below(3) == 0 ? ["q"] : ["q", "other"]
            let types: [Name] = below(3) > 0 ? [] : [below(2) == 0 ? "t" : "u"]
            let accepted = waiting.indices.filter {
                queues.contains(waiting[$0].queue) && (types.isEmpty || types.contains(waiting[$0].type))
            }
            func order(_ place: Int) -> ReadyLanes.Entry {
                let task = waiting[place]
                let waited = core.now.wallMilliseconds - task.created
                let rank = task.queue == "q" ? aging.rank(task.rank, afterMilliseconds: waited) : task.rank
                return ReadyLanes.Entry(rank: rank, sequence: TaskSequence(UInt64(place)))
            }
            let expected = accepted.min { order($0) < order($1) }
            let patterns = types.map { TypePattern(bytes: $0.bytes) }
            let delivery = core.claim(queues: queues, types: patterns).first
            #expect(delivery?.lease.task == expected.map { waiting[$0].id })
            guard let delivery, let expected else { continue }
            if below(4) == 0 {
                // It comes back to its place.
                #expect(core.release(delivery.lease) == nil)
            } else {
                #expect(core.complete(delivery.lease) == nil)
                waiting.remove(at: expected)
            }
        }
        try core.checkIndex()
    }
}
