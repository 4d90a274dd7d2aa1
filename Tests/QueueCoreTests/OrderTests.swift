import TQModel
import Testing

@testable import QueueCore

@Suite("Order of tasks")
struct OrderTests {
    @Test("Priority 255 goes first, and tasks of one priority go in the order of their submits")
    func priorities() {
        var core = CoreHarness()
        let normal = core.submit(priority: 150)
        let low = core.submit(priority: 0)
        let high = core.submit(priority: 255)
        let normalToo = core.submit(priority: 150)
        #expect(core.claimIDs() == [high, normal, normalToo, low])
    }

    @Test("Every priority has its own place")
    func allPriorities() {
        var core = CoreHarness()
        let ids = (0...255).map { core.submit(priority: UInt8($0)) }
        #expect(core.claimIDs() == ids.reversed())
    }

    @Test("Ranks between two priorities keep their order")
    func ranks() {
        var core = CoreHarness()
        let ranks: [UInt32] = [0x0100_0000, 0x00ff_ffff, 0x0000_0001, 0, 0x0100_0001, .max]
        let ids = ranks.map { core.id(of: core.submit(TaskSpec(queue: "q", type: "t", rank: Rank(rawValue: $0)))) }
        #expect(core.claimIDs() == [3, 2, 1, 0, 4, 5].map { ids[$0] })
    }

    @Test("A task that returns keeps its place")
    func returning() throws {
        var core = CoreHarness()
        let ids = (0..<5).map { _ in core.submit() }
        let leases = core.claim(3).map(\.lease)
        #expect(leases.map(\.task) == Array(ids.prefix(3)))
        #expect(core.release(leases[2]) == nil)
        #expect(core.fail(leases[0], retryAfter: 0) == nil)
        #expect(core.claimIDs() == [ids[0], ids[2], ids[3], ids[4]])
        try core.checkIndex()
    }

    @Test("A task that waited keeps its place")
    func delayed() {
        var core = CoreHarness()
        let late = core.submit(start: .after(milliseconds: 10))
        let early = core.submit()
        core.advance(milliseconds: 10)
        #expect(core.claimIDs() == [late, early])
    }

    @Test("A claim takes the best of all its queues")
    func queues() {
        var core = CoreHarness()
        let first = core.submit(queue: "a")
        let second = core.submit(queue: "b")
        let urgent = core.submit(queue: "b", priority: 200)
        let other = core.submit(queue: "c")
        #expect(core.claimIDs(queues: ["a", "b", "a"]) == [urgent, first, second])
        #expect(core.claimIDs(queues: ["c"]) == [other])
    }

    @Test("Queues of one name in two namespaces are two queues")
    func namespaces() {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t")
        let own = core.id(of: core.submit(spec))
        core.submit(spec, namespace: 7)
        #expect(core.claimIDs() == [own])
        #expect(core.counts("q", namespace: 7).pending == 1)
        guard case .queues(let queues)? = core.reply(.queues, namespace: 7) else {
            Issue.record("no queues")
            return
        }
        #expect(queues.map(\.counts.pending) == [1])
    }

    @Test("A claim takes only the types it names, whole or by prefix")
    func types() throws {
        var core = CoreHarness()
        let send = core.submit(type: "email.send")
        let image = core.submit(type: "image")
        let emails = core.submit(type: "emails")
        let read = core.submit(type: "email.read", priority: 200)
        #expect(core.claimIDs(types: ["sms"]) == [])
        #expect(core.claimIDs(types: ["image", "sms"]) == [image])
        #expect(core.claimIDs(types: ["email.*"]) == [read, send])
        #expect(core.claimIDs(types: ["image", "*"]) == [emails])
        try core.checkIndex()
    }

    @Test("Claims by type and without mix, and a task that returns is found by both")
    func mixedClaims() throws {
        var core = CoreHarness()
        let ids = (0..<6).map { core.submit(type: $0 % 2 == 0 ? "even" : "odd") }
        let odd = try #require(core.claim(types: ["odd"]).first)
        #expect(odd.lease.task == ids[1])
        #expect(core.claimIDs(2) == [ids[0], ids[2]])
        #expect(core.release(odd.lease) == nil)
        #expect(core.claimIDs(types: ["odd"]) == [ids[1], ids[3], ids[5]])
        #expect(core.claimIDs() == [ids[4]])
    }

    @Test("A thousand turns of one task leave nothing behind that the next claim finds")
    func manyTurns() throws {
        var core = CoreHarness()
        let id = core.submit()
        let other = core.submit(type: "other")
        for _ in 0..<3000 {
            let lease = try #require(core.claim(types: ["t"]).first).lease
            #expect(core.release(lease) == nil)
        }
        #expect(core.core.index.queues[1].readyCount < 2 * 2 + 1024 + 2)
        #expect(core.claimIDs() == [id, other])
    }

    @Test("The order is the same after a restart")
    func restart() throws {
        var core = CoreHarness()
        let ids = (0..<40).map { core.submit(type: $0 % 3 == 0 ? "a" : "b", priority: UInt8($0 % 4)) }
        let leases = core.claim(10).map(\.lease)
        for lease in leases.prefix(5) { #expect(core.release(lease) == nil) }
        try core.checkIndex()
        let before = core.core.index.pendingOrder
        try core.restart()
        #expect(core.core.index.pendingOrder == before)
        let expected = ids.indices.sorted { ($1 % 4, $0) < ($0 % 4, $1) }.map { ids[$0] }
        let held = leases.dropFirst(5).map(\.task)
        #expect(core.claimIDs() == expected.filter { !held.contains($0) })
    }
}
