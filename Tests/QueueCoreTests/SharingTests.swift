import TQModel
import Testing

@testable import QueueCore

@Suite("Keys and groups") struct SharingTests {
    // MARK: Limits

    @Test("As many tasks of a key run as may, over queues and types; each end lets one more through, over restarts")
    func limitedKey() throws {
        var core = CoreHarness()
        try change(GateChange(.key("acme"), runningMax: 2), &core)
        let queues: [Name] = ["q", "r"]
        let types: [Name] = ["t", "u"]
        let ids = (0..<6).map { number in
            core.submit {
                $0.queue = queues[number % 2]
                $0.type = types[number / 3]
                $0.sharing = Sharing(limitKey: "acme")
            }
        }
        let other = core.submit { $0.sharing = Sharing(limitKey: "other") }
        let leases = core.claim(10, queues: queues).map(\.lease)
        #expect(leases.map(\.task) == [ids[0], ids[1], other])
        let request = core.send(.claim(ClaimSpec(queues: queues, types: ["u"], waitMilliseconds: 600_000)))
        #expect(claimed(by: request, &core) == nil)
        #expect(core.complete(leases[2]) == nil)
        #expect(claimed(by: request, &core) == nil)
        #expect(core.complete(leases[0]) == nil)
        #expect(claimed(by: request, &core) == [ids[3]])
        try core.checkIndex()
        try core.restart()
        #expect(core.claim(queues: queues).isEmpty)
        #expect(core.complete(leases[1]) == nil)
        #expect(core.claimIDs(queues: queues) == [ids[2]])
        #expect(try change(GateChange(.key("acme"), runningMax: 0), &core).running == 2)
        #expect(core.claimIDs(queues: queues) == [ids[4], ids[5]])
        try core.checkIndex()
    }

    @Test("A gate for all keys that begin so is one for each of them; a longer name goes before, and a key's own first")
    func patterns() throws {
        var core = CoreHarness()
        try change(GateChange(.key("*"), runningMax: 1), &core)
        try change(GateChange(.key("host-*"), runningMax: 2), &core)
        try change(GateChange(.key("host-big"), runningMax: 3), &core)
        let keys: [Name] = ["account", "host-a", "host-b", "host-big"]
        let ids = keys.flatMap { key in
            (0..<5).map { _ in core.submit { $0.sharing = Sharing(limitKey: key) } }
        }
        let expected = [0, 5, 6, 10, 11, 15, 16, 17].map { ids[$0] }
        let leases = core.claim(100).map(\.lease)
        #expect(leases.map(\.task) == expected)
        try change(GateChange(.key("host-big"), runningMax: 0), &core)
        #expect(core.claim(100).isEmpty)
        try change(GateChange(.key("host-*"), runningMax: 0), &core)
        #expect(core.claim(100).isEmpty)
        #expect(core.complete(leases[1]) == nil)
        #expect(core.complete(leases[2]) == nil)
        #expect(core.claimIDs() == [ids[7]])
        try change(GateChange(.key("*"), runningMax: 0), &core)
        #expect(core.claimIDs().count == 11)
        try core.checkIndex()
    }

    @Test("A cancel, another priority and another queue find a task that waits at its limit")
    func changesInLine() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), runningMax: 1), &core)
        let ids = (0..<4).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        let lease = try core.lease()
        #expect(core.cancel(ids[1]) == .success(.cancelled))
        let urgent = core.submit {
            $0.sharing = Sharing(limitKey: "k")
            $0.rank = Priority(255).rank
        }
        #expect(core.complete(lease) == nil)
        let next = try core.lease()
        #expect(next.task == urgent)
        #expect(core.fail(next, retryAfter: 5_000) == nil)
        let third = try core.lease()
        #expect(third.task == ids[2])
        core.advance(milliseconds: 6_000)
        #expect(core.claim().isEmpty)
        #expect(core.complete(third) == nil)
        #expect(core.claimIDs() == [urgent])
        try core.checkIndex()
    }

    @Test("A submit that takes the place of another one takes its keys with it")
    func replaced() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), runningMax: 1), &core)
        func submit(_ sharing: Sharing, _ core: inout CoreHarness) -> TaskID {
            core.submit {
                $0.uniqueKey = UniqueKey([1], onConflict: .replace)
                $0.sharing = sharing
            }
        }
        let first = submit(.none, &core)
        let holder = core.submit { $0.sharing = Sharing(limitKey: "k") }
        #expect(submit(Sharing(limitKey: "k"), &core) == first)
        let lease = try core.lease()
        #expect(lease.task == first)
        #expect(core.claim().isEmpty)
        #expect(core.complete(lease) == nil)
        #expect(core.claimIDs() == [holder])
        let second = submit(Sharing(limitKey: "k"), &core)
        #expect(core.claim().isEmpty)
        #expect(submit(Sharing(serialKey: "s"), &core) == second)
        #expect(core.claimIDs() == [second])
        try core.checkIndex()
    }

    // MARK: Rates and pauses

    @Test("Tasks of a key begin at its rate, those of others meanwhile, and whoever waits gets each one when it is due")
    func rate() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), rate: StartRate(1, per: 1_000, burst: 2)), &core)
        let ids = (0..<4).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        let other = core.submit { $0.sharing = Sharing(limitKey: "l") }
        #expect(core.claimIDs() == [ids[0], ids[1], other])
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        core.advance(milliseconds: 900)
        #expect(claimed(by: request, &core) == nil)
        core.advance(milliseconds: 200)
        #expect(claimed(by: request, &core) == [ids[2]])
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1_000)
        #expect(core.claimIDs() == [ids[3]])
        // A key of which nothing is left keeps its pace.
        for lease in core.running { #expect(core.complete(lease) == nil) }
        let late = core.submit { $0.sharing = Sharing(limitKey: "k") }
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 1_000)
        #expect(core.claimIDs() == [late])
        try core.checkIndex()
    }

    @Test("A changed rate holds at once, also for keys that wait for the old one", arguments: ["k", "*"] as [Name])
    func changedRate(_ gate: Name) throws {
        var core = CoreHarness()
        try change(GateChange(.key(gate), rate: StartRate(1, per: 3_600_000, burst: 1)), &core)
        let ids = (0..<3).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        #expect(core.claimIDs() == [ids[0]])
        #expect(core.claim().isEmpty)
        try change(GateChange(.key(gate), rate: StartRate(1, per: 1_000, burst: 1)), &core)
        #expect(core.claimIDs() == [ids[1]])
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        core.advance(milliseconds: 900)
        #expect(claimed(by: request, &core) == nil)
        core.advance(milliseconds: 200)
        #expect(claimed(by: request, &core) == [ids[2]])
        try core.checkIndex()
    }

    @Test("A failure may keep its key from beginning others until its own retry")
    func pausedByFailure() throws {
        var core = CoreHarness()
        let ids = (0..<3).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        let lease = try core.lease()
        #expect(lease.task == ids[0])
        let failure = Failure(lease: lease, error: [], retryAfterMilliseconds: 5_000, pausesKey: true)
        #expect(core.reply(.fail([failure])) == .outcomes([nil]))
        #expect(core.claim().isEmpty)
        try core.restart()
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 5_100)
        #expect(core.claimIDs() == ids)
        #expect(core.reply(.gates) == .gates([]))
        let endless = Failure(lease: try #require(core.running.first), error: [], pausesKey: true)
        guard case .outcomes(let errors)? = core.reply(.fail([endless])) else { throw Unanswered() }
        #expect(errors.first??.code == .invalidArgument)
    }

    @Test("A key and a group can be paused, and what waits behind them goes on when they are opened")
    func pauses() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), isPaused: true), &core)
        try change(GateChange(.group("g"), isPaused: true, pauseMilliseconds: 5_000), &core)
        let keyed = core.submit { $0.sharing = Sharing(serialKey: "k") }
        let grouped = core.submit { $0.sharing = Sharing(limitKey: "l", group: "g") }
        let both = core.submit { $0.sharing = Sharing(limitKey: "k", group: "g") }
        let free = core.submit { $0.sharing = Sharing(limitKey: "l", group: "h") }
        #expect(core.claimIDs() == [free])
        let reasons = try explain(both, &core)
        #expect(reasons.filter { $0.kind == .paused }.map(\.scope) == [.key("k"), .group("g")])
        try core.restart()
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 6_000)
        #expect(core.claimIDs() == [grouped])
        try change(GateChange(.key("k"), isPaused: false), &core)
        #expect(core.claimIDs() == [keyed, both])
        try core.checkIndex()
    }

    // MARK: Serial keys

    @Test("Tasks of a serial key run one after the other as they were submitted, whatever their priorities and queues")
    func serial() throws {
        var core = CoreHarness()
        let queues: [Name] = ["q", "r"]
        let ids = (0..<6).map { number in
            core.submit {
                $0.queue = queues[number % 2]
                $0.type = number < 3 ? "t" : "u"
                $0.rank = Priority(UInt8(number * 20)).rank
                $0.sharing = Sharing(limitKey: number == 1 ? "k" : nil, serialKey: "order-42")
            }
        }
        for (place, id) in ids.enumerated() {
            let leases = core.claim(10, queues: queues).map(\.lease)
            #expect(leases.map(\.task) == [id])
            if place == 2 { try core.restart() }
            #expect(core.claim(10, queues: queues).isEmpty)
            #expect(core.complete(leases[0]) == nil)
            try core.checkIndex()
        }
    }

    @Test("A task of a serial key that waits for its next attempt holds the others; a dead letter does not")
    func serialFailures() throws {
        var core = CoreHarness()
        let ids = (0..<3).map { _ in
            core.submit {
                $0.retriesMax = 1
                $0.sharing = Sharing(serialKey: "s")
            }
        }
        #expect(core.fail(try core.lease(), retryAfter: 5_000) == nil)
        #expect(core.claim().isEmpty)
        #expect(try explain(ids[1], &core).map(\.kind) == [.serial, .noWorker])
        try core.restart()
        #expect(core.claim().isEmpty)
        core.advance(milliseconds: 6_000)
        let again = try core.lease()
        #expect(again.task == ids[0])
        #expect(core.fail(again) == nil)
        core.settle()
        #expect(core.claimIDs() == [ids[1]])
        // Put back, it is the first again.
        #expect(core.redrive(ids[0]) == nil)
        #expect(core.claim().isEmpty)
        #expect(core.complete(try #require(core.running.first)) == nil)
        #expect(core.claimIDs() == [ids[0]])
        try core.checkIndex()
    }

    @Test("A task of a serial key that is to start later holds nobody before, and has its place then")
    func serialLater() throws {
        var core = CoreHarness()
        let later = core.submit {
            $0.start = .after(milliseconds: 5_000)
            $0.sharing = Sharing(serialKey: "s")
        }
        let ids = (0..<3).map { _ in core.submit { $0.sharing = Sharing(serialKey: "s") } }
        let lease = try core.lease()
        #expect(lease.task == ids[0])
        core.advance(milliseconds: 6_000)
        #expect(core.claim().isEmpty)
        #expect(core.complete(lease) == nil)
        let next = try core.lease()
        #expect(next.task == later)
        #expect(core.cancel(ids[1]) == .success(.cancelled))
        #expect(core.complete(next) == nil)
        #expect(core.claimIDs() == [ids[2]])
        try core.checkIndex()
    }

    @Test("A key that some have as their limit key and others as their serial key counts both")
    func bothRoles() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), runningMax: 1), &core)
        let serial = (0..<2).map { _ in core.submit { $0.sharing = Sharing(serialKey: "k") } }
        let limited = (0..<2).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        // The first ones of both could begin, but not both.
        for id in [serial[0], serial[1], limited[0], limited[1]] {
            let leases = core.claim(10).map(\.lease)
            #expect(leases.map(\.task) == [id])
            #expect(core.complete(leases[0]) == nil)
        }
        _ = core.submit { $0.sharing = Sharing(limitKey: "k") }
        let lease = try core.lease()
        let urgent = core.submit {
            $0.rank = Priority(255).rank
            $0.sharing = Sharing(serialKey: "k")
        }
        #expect(core.claim().isEmpty)
        #expect(core.complete(lease) == nil)
        #expect(core.claimIDs() == [urgent])
        try core.checkIndex()
    }

    // MARK: Groups

    private func submit(_ count: Int, _ group: Name?, weight: UInt16 = 1, _ core: inout CoreHarness) -> [TaskID] {
        (0..<count).map { _ in core.submit { $0.sharing = Sharing(group: group, weight: weight) } }
    }

    @Test("One task of a group begins within a round, however many of another one wait", arguments: [nil, "a" as Name])
    func oneRound(_ busy: Name?) throws {
        var core = CoreHarness()
        let many = submit(2_000, busy, &core)
        #expect(core.claimIDs(100) == Array(many[..<100]))
        let one = submit(1, "b", &core)
        let next = core.claimIDs(2)
        #expect(next.contains(one[0]))
        #expect(core.claimIDs(3) == Array(many[101..<104]))
        try core.checkIndex()
    }

    @Test("Groups take turns by their weights, and an operator's weight goes before that of the tasks")
    func weights() throws {
        var core = CoreHarness()
        let heavy = Set(submit(900, "heavy", weight: 3, &core))
        _ = submit(900, "light", &core)
        #expect((299...301).contains(core.claimIDs(400).count { heavy.contains($0) }))
        try change(GateChange(.group("light"), weight: 3), &core)
        #expect((199...201).contains(core.claimIDs(400).count { heavy.contains($0) }))
        try core.restart()
        #expect((99...101).contains(core.claimIDs(200).count { heavy.contains($0) }))
        try core.checkIndex()
    }

    @Test("A group that had nothing to do saves nothing up, and one that comes again and again keeps nobody out")
    func nothingSaved() throws {
        var core = CoreHarness()
        let many = Set(submit(500, "busy", &core))
        #expect(core.claimIDs(200).allSatisfy(many.contains))
        _ = submit(100, "idle", &core)
        #expect((49...51).contains(core.claimIDs(100).count { many.contains($0) }))
        #expect(core.claimIDs(50).count { many.contains($0) } <= 26)
        _ = core.claimIDs(50)
        // One at a time, each when the one before it is over.
        var busy = 0
        for _ in 0..<40 {
            _ = submit(1, "steady", &core)
            let lease = try core.lease()
            if many.contains(lease.task) { busy += 1 }
            #expect(core.complete(lease) == nil)
        }
        #expect(busy >= 19)
        try core.checkIndex()
    }

    @Test("Urgent tasks go before the turns of groups, and a claim of types has turns of its own tasks")
    func priorities() throws {
        var core = CoreHarness()
        let low = submit(3, "a", &core)
        let urgent = core.submit {
            $0.rank = Priority(200).rank
            $0.sharing = Sharing(group: "a")
        }
        let other = submit(1, "b", &core)
        #expect(core.claimIDs(1) == [urgent])
        #expect(core.claimIDs() == [low[0], other[0], low[1], low[2]])
        let mail = (0..<3).map { _ in
            core.submit {
                $0.type = "mail"
                $0.sharing = Sharing(group: "a")
            }
        }
        let sum = core.submit {
            $0.type = "sum"
            $0.sharing = Sharing(group: "b")
        }
        #expect(core.claimIDs(1, types: ["mail"]) == [mail[0]])
        #expect(core.claimIDs(2, types: ["mail", "sum"]).contains(sum))
        try core.checkIndex()
    }

    @Test("The tasks of one group wait for their keys, and let those of other keys pass")
    func groupsAndKeys() throws {
        var core = CoreHarness()
        try change(GateChange(.key("*"), runningMax: 1), &core)
        let groups: [Name] = ["a", "b"]
        let keys: [Name] = ["x", "y", "z"]
        let ids = (0..<12).map { number in
            core.submit { $0.sharing = Sharing(limitKey: keys[number % 3], group: groups[number / 6]) }
        }
        let leases = core.claim(100).map(\.lease)
        #expect(leases.count == 3)
        #expect(core.complete(leases[0]) == nil)
        let next = core.claim(100)
        #expect(next.count == 1)
        var finished = 1
        var running = leases.dropFirst() + next.map(\.lease)
        while let lease = running.popFirst() {
            #expect(core.complete(lease) == nil)
            finished += 1
            running += core.claim(100).map(\.lease)
            #expect(running.count <= 3)
        }
        #expect(finished == ids.count)
        #expect(core.core.index.sharings.count == 0)
        try core.checkIndex()
    }

    // MARK: Explanations

    @Test("An explanation names the key, the task that has it and its worker, and the place in the line")
    func explained() throws {
        var core = CoreHarness()
        try change(GateChange(.key("k"), runningMax: 1), &core)
        #expect(core.reply(.registerWorker(WorkerSpec(name: "w"))) != nil)
        let limited = (0..<3).map { _ in core.submit { $0.sharing = Sharing(limitKey: "k") } }
        let serial = (0..<3).map { _ in core.submit { $0.sharing = Sharing(serialKey: "s") } }
        #expect(core.claim(2, worker: "w").map(\.lease.task) == [limited[0], serial[0]])
        let grouped = submit(3, "g", &core)
        core.advance(milliseconds: 1_000)
        let full = try #require(try explain(limited[2], &core).first)
        #expect(full.kind == .limited && full.scope == .key("k") && full.count == 1 && full.countMax == 1)
        #expect(full.task == limited[0] && full.worker == "w" && full.sinceWallMilliseconds > 0)
        let behind = try explain(limited[2], &core).first { $0.kind == .behind }
        #expect(behind?.scope == .key("k") && behind?.count == 1)
        let earlier = try #require(try explain(serial[2], &core).first)
        #expect(earlier.kind == .serial && earlier.scope == .key("s") && earlier.task == serial[0])
        #expect(earlier.worker == "w")
        let line = try explain(grouped[2], &core).first { $0.kind == .behind }
        #expect(line?.scope == .group("g") && line?.count == 2)
    }

    @Test("What is no key, no group and no weight is refused, and what a gate of that kind has not")
    func refusals() throws {
        var core = CoreHarness()
        let sharings = [
            Sharing(limitKey: "a b"), Sharing(serialKey: "*"), Sharing(group: ""),
            Sharing(group: "g", weight: 0), Sharing(group: "g", weight: 1_001),
        ]
        for sharing in sharings {
            guard case .failure(let error) = core.submit(TaskSpec(type: "t", sharing: sharing)) else {
                Issue.record("\(sharing) was taken")
                continue
            }
            #expect(error.code == .invalidArgument)
        }
        let changes = [
            GateChange(.key("a*b"), isPaused: true), GateChange(.key(""), isPaused: true),
            GateChange(.group("*"), isPaused: true), GateChange(.group("g"), runningMax: 1),
            GateChange(.group("g"), rate: StartRate(1)), GateChange(.key("k"), weight: 2),
            GateChange(.group("g"), weight: 1_001),
        ]
        for change in changes {
            guard case .error(let error)? = core.reply(.changeGate(change)) else {
                Issue.record("\(change) was taken")
                continue
            }
            #expect(error.code == .invalidArgument)
        }
    }
}

extension CoreHarness {
    /// The leases that are held, in order of their tasks.
    fileprivate var running: [LeaseHandle] {
        core.index.leases.places { _ in true }.map { core.index.leases[$0] }.sorted { $0.sequence < $1.sequence }
            .map { LeaseHandle(task: core.id(of: $0.sequence, core.index.tasks[$0.sequence]), token: $0.token) }
    }
}
