import TQModel
import Testing

@testable import QueueCore

@Suite("Dependencies") struct DependencyTests {
    /// Submits a task that waits for others.
    private func submit(
        _ core: inout CoreHarness,
        after tasks: [TaskID],
        _ condition: Dependencies.Condition = .all,
        _ onFailure: Dependencies.OnFailure = .cancel,
        with change: (inout TaskSpec) -> Void = { _ in }
    ) -> TaskID {
        core.submit {
            $0.dependencies = Dependencies(on: tasks, condition: condition, onFailure: onFailure)
            change(&$0)
        }
    }

    private func error(after tasks: [TaskID], _ core: inout CoreHarness) -> TQError? {
        let spec = TaskSpec(queue: "q", type: "t", dependencies: Dependencies(on: tasks))
        guard case .failure(let error) = core.submit(spec) else { return nil }
        return error
    }

    /// Claims a task of a queue and ends it in that way.
    private func end(_ id: TaskID, as state: TaskState, queue: Name = "p", _ core: inout CoreHarness) throws {
        if state == .cancelled { return #expect(try core.cancel(id).get() == .cancelled) }
        let lease = try #require(core.claim(queues: [queue]).first).lease
        try #require(lease.task == id)
        #expect(state == .completed ? core.complete(lease) == nil : core.fail(lease, isPermanent: true) == nil)
    }

    @Test("A task waits until all that it names are completed, over queues and restarts, and is told which they were")
    func all() throws {
        var core = CoreHarness()
        let parents = (0..<3).map { _ in core.submit(queue: "p") }
        let child = submit(&core, after: parents)
        #expect(core.state(child) == .blocked)
        #expect(core.status(child)?.dependencies == Dependencies(on: parents))
        for parent in parents {
            #expect(core.claim().isEmpty)
            try core.checkIndex()
            try core.restart()
            try end(parent, as: .completed, &core)
        }
        let delivery = try #require(core.claim().first)
        #expect(delivery.lease.task == child)
        #expect(delivery.dependencies == parents)
        try core.checkIndex()
    }

    @Test("Whoever waits for a claim gets the task when the last of its dependencies completes, in one group with that")
    func atomic() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        let child = submit(&core, after: [parent])
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 60_000)))
        let lease = try #require(core.claim(queues: ["p"]).first).lease
        core.settle()
        #expect(core.complete(lease) == nil)
        guard case .claimed(let deliveries)? = core.takeAnswer(request)?.reply else {
            Issue.record("nothing was claimed")
            return
        }
        #expect(deliveries.map(\.lease.task) == [child])
        try core.checkIndex()
    }

    @Test("One is enough when a task asks for any, and the others change nothing any more")
    func any() throws {
        var core = CoreHarness()
        let parents = (0..<3).map { _ in core.submit(queue: "p") }
        let child = submit(&core, after: parents, .any)
        try end(parents[0], as: .deadLetter, &core)
        core.advance(milliseconds: 100)
        #expect(core.state(child) == .blocked)
        try end(parents[1], as: .completed, &core)
        #expect(core.claimIDs() == [child])
        try end(parents[2], as: .cancelled, &core)
        core.advance(milliseconds: 100)
        #expect(core.state(child) == .inProgress)
        try core.checkIndex()
    }

    @Test(
        "What follows from a failure is what the task asked for",
        arguments: Dependencies.OnFailure.allCases,
        [TaskState.cancelled, .deadLetter]
    )
    func failure(_ onFailure: Dependencies.OnFailure, _ end: TaskState) throws {
        var core = CoreHarness()
        let parents = (0..<2).map { _ in core.submit(queue: "p") }
        let child = submit(&core, after: parents, .all, onFailure) { $0.payload = [1, 2] }
        let grandchild = submit(&core, after: [child])
        try self.end(parents[0], as: end, &core)
        if onFailure != .run, end == .deadLetter { try core.restart() }
        for _ in 0..<3 { core.advance(milliseconds: 100) }
        switch onFailure {
        case .cancel:
            #expect(core.status(child)?.cancelReason == .dependencyFailed)
            #expect(core.status(grandchild)?.cancelReason == .dependencyFailed)
        case .bury:
            #expect(core.state(child) == .deadLetter)
            #expect(core.status(grandchild)?.cancelReason == .dependencyFailed)
            #expect(core.redrive(child) == nil)
            let delivery = try #require(core.claim().first)
            #expect(delivery.lease.task == child)
            #expect(delivery.dependencies == parents)
            #expect(core.payload(of: delivery) == [1, 2])
        case .run:
            #expect(core.state(child) == .blocked)
            try self.end(parents[1], as: .completed, &core)
            #expect(core.claimIDs() == [child])
        case .wait:
            guard end == .deadLetter else {
                #expect(core.status(child)?.cancelReason == .dependencyFailed)
                break
            }
            #expect(core.state(child) == .blocked)
            try self.end(parents[1], as: .completed, &core)
            try core.checkIndex()
            try core.restart()
            core.advance(milliseconds: 100)
            #expect(core.state(child) == .blocked)
            #expect(core.redrive(parents[0]) == nil)
            try self.end(parents[0], as: .completed, &core)
            #expect(core.claimIDs() == [child])
        }
        try core.checkIndex()
    }

    @Test("A task that waits for a dead letter is cancelled when that is purged")
    func purged() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        let child = submit(&core, after: [parent], .all, .wait)
        try end(parent, as: .deadLetter, &core)
        try core.restart()
        #expect(core.purge(parent) == nil)
        core.advance(milliseconds: 100)
        #expect(core.status(child)?.cancelReason == .dependencyFailed)
        try core.checkIndex()
    }

    @Test("What the store says of a dead letter while it runs again tells nothing to those that wait for it")
    func staleFate() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        let child = submit(&core, after: [parent], .all, .wait)
        try end(parent, as: .deadLetter, &core)
        try core.restart()
        #expect(core.redrive(parent) == nil)
        let lease = try #require(core.claim(queues: ["p"]).first).lease
        let early = core.readEarly(.tick)
        #expect(core.fail(lease, isPermanent: true) == nil)
        core.run(.tick, fetched: early)
        core.advance(milliseconds: 100)
        #expect(core.state(child) == .blocked)
        #expect(core.redrive(parent) == nil)
        try end(parent, as: .completed, &core)
        #expect(core.claimIDs() == [child])
        try core.checkIndex()
    }

    @Test("Tasks that are over count at once, also when only the store knows of them")
    func over() throws {
        var core = CoreHarness()
        let done = core.submit(queue: "p")
        try end(done, as: .completed, &core)
        let cancelled = core.submit(queue: "p")
        try end(cancelled, as: .cancelled, &core)
        let dead = core.submit(queue: "p")
        try end(dead, as: .deadLetter, &core)
        for isForgotten in [false, true] {
            if isForgotten { try core.restart() }
            #expect(core.state(submit(&core, after: [done])) == .pending)
            #expect(core.state(submit(&core, after: [done, dead], .any)) == .pending)
            #expect(core.state(submit(&core, after: [cancelled, dead], .all, .run)) == .pending)
            let unrun = submit(&core, after: [done, dead])
            #expect(core.state(unrun) == .blocked)
            let waiting = submit(&core, after: [done, dead], .all, .wait)
            core.advance(milliseconds: 100)
            #expect(core.status(unrun)?.cancelReason == .dependencyFailed)
            #expect(core.state(waiting) == .blocked)
            try core.checkIndex()
        }
    }

    @Test("A task with a start waits for its dependencies and then for its time; one that is late ends while it waits")
    func start() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        let later = submit(&core, after: [parent]) { $0.start = .after(milliseconds: 60_000) }
        let late = submit(&core, after: [parent]) {
            $0.startBy = TaskSpec.StartBy(.after(milliseconds: 10_000))
        }
        core.advance(milliseconds: 20_000)
        #expect(core.status(late)?.cancelReason == .tooLate)
        try end(parent, as: .completed, &core)
        #expect(core.state(later) == .scheduled)
        try core.checkIndex()
        try core.restart()
        core.advance(milliseconds: 50_000)
        #expect(core.claimIDs() == [later])
        try core.checkIndex()
    }

    @Test("Whoever waits gets the task that runs because a claim found another one to be too late")
    func late() throws {
        var core = CoreHarness()
        let parent = core.submit {
            $0.queue = "p"
            $0.startBy = TaskSpec.StartBy(.after(milliseconds: 10_000))
        }
        let child = submit(&core, after: [parent], .all, .run)
        let request = core.send(.claim(ClaimSpec(queues: ["q"], waitMilliseconds: 600_000)))
        core.wait(milliseconds: 20_000)
        #expect(core.claim(queues: ["p"]).isEmpty)
        core.advance(milliseconds: 50)
        guard case .claimed(let deliveries)? = core.takeAnswer(request)?.reply else {
            Issue.record("nothing was claimed")
            return
        }
        #expect(deliveries.map(\.lease.task) == [child])
        #expect(core.status(parent)?.cancelReason == .tooLate)
        try core.checkIndex()
    }

    @Test("A blocked task is cancelled, moved and given another priority as any other that waits")
    func changes() throws {
        var core = CoreHarness()
        let parents = (0..<2).map { _ in core.submit(queue: "p") }
        let child = submit(&core, after: parents)
        let other = submit(&core, after: parents)
        try end(parents[0], as: .completed, &core)
        core.send(.startBulk(BulkSpec(.setPriority(Priority(200)))))
        for _ in 0..<5 {
            core.run(.stepBulk)
            core.advance(milliseconds: 100)
        }
        #expect(core.status(child)?.priority == Priority(200))
        #expect(core.state(child) == .blocked)
        try core.restart()
        #expect(try core.cancel(other).get() == .cancelled)
        try end(parents[1], as: .completed, &core)
        #expect(core.claimIDs() == [child])
        try core.checkIndex()
    }

    @Test("A follow-up may depend on the task that submits it as it completes")
    func followUp() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        let lease = try #require(core.claim(queues: ["p"]).first).lease
        let spec = TaskSpec(queue: "q", type: "t", dependencies: Dependencies(on: [parent]))
        let reply = core.reply(.complete([Completion(lease: lease, followUps: [spec])]))
        guard case .completed(let entries)? = reply, case .success(let submissions)? = entries.first else {
            Issue.record("\(String(describing: reply))")
            return
        }
        let delivery = try #require(core.claim().first)
        #expect(delivery.lease.task == submissions.first?.id)
        #expect(delivery.dependencies == [parent])
        try core.checkIndex()
    }

    @Test("A submit that takes the place of a task waits for what it names itself, and for no task that waits for it")
    func replacement() throws {
        var core = CoreHarness()
        let parents = (0..<2).map { _ in core.submit(queue: "p") }
        func replacing(_ tasks: [TaskID]) -> TaskSpec {
            var spec = TaskSpec(queue: "q", type: "t")
            spec.uniqueKey = UniqueKey([1], scope: .active, onConflict: .replace)
            if !tasks.isEmpty { spec.dependencies = Dependencies(on: tasks) }
            return spec
        }
        let task = core.id(of: core.submit(replacing([parents[0]])))
        #expect(core.id(of: core.submit(replacing([parents[1]]))) == task)
        try end(parents[0], as: .completed, &core)
        #expect(core.state(task) == .blocked)
        try core.checkIndex()
        guard case .failure(let itself) = core.submit(replacing([task])) else {
            Issue.record("a task waits for itself")
            return
        }
        #expect(itself.code == .conflict)
        let child = submit(&core, after: [task])
        guard case .failure(let cycle) = core.submit(replacing([child])) else {
            Issue.record("two tasks wait for each other")
            return
        }
        #expect(cycle.code == .conflict)
        #expect(core.id(of: core.submit(replacing([]))) == task)
        #expect(core.claimIDs() == [task])
        try core.checkIndex()
    }

    @Test("Follow-ups of one completion never wait for each other in a circle")
    func circle() throws {
        var core = CoreHarness()
        func spec(_ key: UInt8, after tasks: [TaskID]) -> TaskSpec {
            var spec = TaskSpec(queue: "q", type: "t")
            spec.uniqueKey = UniqueKey([key], scope: .active, onConflict: .replace)
            if !tasks.isEmpty { spec.dependencies = Dependencies(on: tasks) }
            return spec
        }
        core.submit(queue: "p")
        let tasks = [UInt8(1), 2].map { core.id(of: core.submit(spec($0, after: []))) }
        let lease = try #require(core.claim(queues: ["p"]).first).lease
        let followUps = [spec(1, after: [tasks[1]]), spec(2, after: [tasks[0]])]
        for specs in [followUps, followUps.reversed()] {
            guard case .completed(let entries)? = core.reply(.complete([Completion(lease: lease, followUps: specs)])),
                case .failure(let error)? = entries.first
            else { throw Unanswered() }
            #expect(error.code == .conflict)
        }
        #expect(core.counts().pending == 2)
        try core.checkIndex()
    }

    @Test("Dependencies that cannot be are refused with an error that names the task, and nothing is stored")
    func refused() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        core.settle()
        let unknown = TaskID(high: parent.high, low: parent.low ^ 1)
        let cases: [([TaskID], TQError.Code, String)] = [
            ([], .invalidArgument, "1 to 60"),
            ([parent, parent], .invalidArgument, "\(parent) twice"),
            ([unknown], .invalidArgument, "\(unknown)"),
            (Array(repeating: parent, count: 61), .invalidArgument, "not on 61"),
        ]
        for (tasks, code, text) in cases {
            let error = error(after: tasks, &core)
            #expect(error?.code == code)
            #expect(error?.message.contains(text) == true, "\(String(describing: error))")
        }
        #expect(core.counts().waiting == 0)
    }

    @Test("A thousand tasks may wait for one, follow-ups included")
    func bounds() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 10_000))
        let parent = core.submit(queue: "p")
        for _ in 0..<Limits.dependentsMax { _ = submit(&core, after: [parent]) }
        #expect(error(after: [parent], &core)?.code == .limitExceeded)
        try end(parent, as: .completed, &core)
        #expect(core.counts().pending == UInt64(Limits.dependentsMax))
        let another = core.submit(queue: "r")
        let lease = try core.lease()
        let followUp = TaskSpec(queue: "q", type: "t", dependencies: Dependencies(on: [another]))
        let many = Array(repeating: followUp, count: Limits.dependentsMax + 1)
        guard case .completed(let refused)? = core.reply(.complete([Completion(lease: lease, followUps: many)])),
            case .failure(let error)? = refused.first
        else { throw Unanswered() }
        #expect(error.code == .limitExceeded)
        let full = Completion(lease: lease, followUps: Array(many.dropLast()))
        guard case .completed(let taken)? = core.reply(.complete([full])), case .success? = taken.first else {
            throw Unanswered()
        }
        try core.checkIndex()
    }

    @Test("One request ends no more tasks than it can tell those of that wait for them; the next one goes on")
    func manyEnds() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 100_000))
        let parents = (0..<12).map { _ in core.submit(queue: "p") }
        // Each child waits for all parents.
        for _ in 0..<Limits.dependentsMax { _ = submit(&core, after: parents) }
        let completions = core.claim(12, queues: ["p"]).map { Completion(lease: $0.lease) }
        guard case .outcomes(let first)? = core.reply(.complete(completions)) else { throw Unanswered() }
        #expect(first.map { $0?.code } == Array(repeating: nil, count: 10) + [.rateLimited, .rateLimited])
        #expect(first.last??.retryable == true)
        guard case .outcomes(let second)? = core.reply(.complete(Array(completions.suffix(2)))) else {
            throw Unanswered()
        }
        #expect(second == [nil, nil])
        #expect(core.counts().pending == UInt64(Limits.dependentsMax))
        try core.checkIndex()
    }

    @Test("A chain of a thousand tasks ends with the first one")
    func chain() throws {
        var core = CoreHarness(CoreConfiguration(queueDepthThreshold: 10_000))
        let first = core.submit(queue: "p")
        var last = first
        for _ in 0..<1_000 { last = submit(&core, after: [last]) }
        try end(first, as: .cancelled, &core)
        for _ in 0..<2 { core.advance(milliseconds: 50) }
        #expect(core.status(last)?.cancelReason == .dependencyFailed)
        try core.checkIndex()
    }

    @Test("An explanation names the tasks that are waited for, and says which are dead letters")
    func explanation() throws {
        var core = CoreHarness()
        let parents = (0..<3).map { _ in core.submit(queue: "p") }
        let child = submit(&core, after: parents, .all, .wait)
        try end(parents[0], as: .completed, &core)
        try end(parents[1], as: .deadLetter, &core)
        _ = core.claim(queues: ["p"], worker: "w")
        try core.restart()
        guard case .explanation(let explanation)? = core.reply(.explain(child)) else {
            Issue.record("no explanation")
            return
        }
        #expect(explanation.state == .blocked)
        #expect(explanation.reasons.map(\.kind) == [.deadDependency, .dependency])
        #expect(explanation.reasons.map(\.task) == [parents[1], parents[2]])
        #expect(explanation.reasons.map(\.count) == [2, 2])
        #expect(explanation.reasons[1].worker == "w")
        #expect(core.purge(parents[1]) == nil)
        guard case .explanation(let failed)? = core.reply(.explain(child)) else { throw Unanswered() }
        #expect(failed.reasons.map(\.kind) == [.dependencyFailed])
    }

    @Test("A task does not wait for one that is lost: after a start it is told what the store knows")
    func lostParent() throws {
        var core = CoreHarness()
        let parent = core.submit(queue: "p")
        core.settle()
        let child = submit(&core, after: [parent])
        core.settle()
        core.store.lose(segmentOf: TaskSequence(1))
        try core.restart()
        for _ in 0..<3 { core.advance(milliseconds: 100) }
        #expect(core.state(parent) == nil)
        #expect(core.status(child)?.cancelReason == .dependencyFailed)
    }
}
