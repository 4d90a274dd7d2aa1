import TQModel
import Testing

@testable import QueueCore

@Suite("Tags") struct TagTests {
    private static let unique = UniqueKey([7], scope: .unfinished, onConflict: .replace)

    private func page(_ core: inout CoreHarness, _ query: TaskQuery, namespace: UInt32 = 0) throws -> [TaggedTask] {
        guard case .taggedTasks(_, _, let tasks, _)? = core.answer(.tasks(query), namespace: namespace)?.missing else {
            throw Unanswered()
        }
        return tasks
    }

    private func query(_ tag: TaskTag, _ change: (inout TaskQuery) -> Void = { _ in }) -> TaskQuery {
        var query = TaskQuery(filter: TaskFilter(tag: tag))
        change(&query)
        return query
    }

    /// The store must have each tag of each task once, and nothing else.
    private func expectTags(
        _ core: inout CoreHarness,
        _ tags: [TaskID: [TaskTag]],
        _ comment: Comment = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try core.checkIndex(comment, sourceLocation: sourceLocation)
        var stored: [TaskSequence: [TaskTag]] = [:]
        for (id, tags) in tags { stored[try #require(core.core.cipher.sequence(of: id))] = tags }
        #expect(core.store.tags == stored, comment, sourceLocation: sourceLocation)
        let pairs = Set(core.store.tagged.flatMap { tag, tasks in tasks.map { "\($0) \(tag)" } })
        let expected = Set(stored.flatMap { task, tags in tags.map { "\(task) \($0)" } })
        #expect(pairs == expected, comment, sourceLocation: sourceLocation)
    }

    @Test(
        "A task keeps its tags, whatever becomes of it, and they go with what became of it",
        arguments: [false, true]
    )
    func life(restarts: Bool) throws {
        var core = CoreHarness()
        let tags: [TaskTag] = ["customer:42", "urgent"]
        let id = core.submit { ($0.tags, $0.retriesMax) = (tags, 0) }
        func expectTags(_ state: TaskState) throws {
            if restarts { try core.restart() }
            let status = try core.known(id)
            #expect(status.state == state && status.tags == tags)
            try self.expectTags(&core, [id: tags])
        }
        try expectTags(.pending)
        #expect(core.release(try core.lease(), delay: 5_000) == nil)
        try expectTags(.scheduled)
        core.advance(milliseconds: 6_000)
        #expect(core.fail(try core.lease()) == nil)
        try expectTags(.deadLetter)
        core.ageRecords()
        core.run(.clean)
        #expect(core.redrive(id, payload: [1, 2]) == nil)
        try expectTags(.pending)
        #expect(core.complete(try core.lease()) == nil)
        try expectTags(.completed)
        core.advance(milliseconds: core.core.configuration.retentionMilliseconds * 2)
        core.expireAll()
        #expect(core.status(id) == nil)
        try self.expectTags(&core, [:])
    }

    @Test("A purged dead letter, a cancelled task and one that was too late take their tags along")
    func ends() throws {
        var core = CoreHarness()
        let purged = core.submit { $0.tags = ["a"] }
        #expect(core.fail(try core.lease(), isPermanent: true) == nil)
        core.settle()
        core.ageRecords()
        let cancelled = core.submit { $0.tags = ["a", "b"] }
        let late = core.submit { ($0.tags, $0.startBy) = (["a"], TaskSpec.StartBy(.after(milliseconds: 10))) }
        #expect(core.purge(purged) == nil && core.cancel(cancelled) == .success(.cancelled))
        core.advance(milliseconds: 20)
        for id in [purged, cancelled, late] { #expect(core.state(id) == .cancelled) }
        try expectTags(&core, [purged: ["a"], cancelled: ["a", "b"], late: ["a"]])
        core.advance(milliseconds: core.core.configuration.retentionMilliseconds * 2)
        core.expireAll()
        try expectTags(&core, [:])
    }

    @Test("Tags that nobody could look for are refused, and what is wrong with them is said")
    func refusals() {
        var core = CoreHarness()
        let long = String(repeating: "x", count: Limits.tagBytesMax + 1)
        let most = (0..<Limits.tagsMax).map { TaskTag("\($0)") }
        let refused: [[TaskTag]] = [
            [""], [TaskTag(long)], ["a b"], ["a\u{7}"], ["a*"], [TaskTag(bytes: [0xff])], ["a", "b", "a"], most + ["9"],
        ]
        for tags in refused {
            let result = core.submit(TaskSpec(queue: "q", type: "t", tags: tags))
            #expect(result.failureCode == .invalidArgument, "\(tags)")
            #expect(core.errorCode(.tasks(query(tags[0]))) == (tags[0].isValid ? nil : .invalidArgument))
        }
        for tags in [most, [TaskTag(String(long.dropLast()))], ["ä:ö"]] {
            #expect(core.submit(TaskSpec(queue: "q", type: "t", tags: tags)).failureCode == nil, "\(tags)")
        }
    }

    @Test("A task that takes the place of another has its own tags, and nothing leads to it by the other's")
    func replacement() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", uniqueKey: Self.unique)
        func replace(_ tags: [TaskTag]) -> TaskID {
            var spec = spec
            spec.tags = tags
            return core.id(of: core.submit(spec))
        }
        let steps: [(tags: [TaskTag], isStored: Bool)] = [
            (["a", "b"], true), (["b", "c"], true), ([], true), (["a"], false), (["b"], false), (["a"], true),
            ([], false), (["a", "b"], true), (["a", "b"], true),
        ]
        var id: TaskID?
        for (number, step) in steps.enumerated() {
            let replaced = replace(step.tags)
            #expect(id ?? replaced == replaced)
            id = replaced
            guard step.isStored else { continue }
            try expectTags(&core, step.tags.isEmpty ? [:] : [replaced: step.tags], "step \(number)")
            #expect(try core.known(replaced).tags == step.tags)
            if number % 2 == 1 { try core.restart() }
        }
    }

    @Test("One request may replace a task several times, with the same tags and with others")
    func replacements() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", uniqueKey: Self.unique, tags: ["a"])
        let id = core.id(of: core.submit(spec))
        let requests: [[[TaskTag]]] = [[["a"], ["a"]], [["a"], ["b"]], [["b"], [], ["c"]], [["d"], ["d"], []]]
        for (number, request) in requests.enumerated() {
            core.settle()
            let specs = request.map { tags in
                var spec = spec
                spec.tags = tags
                return spec
            }
            guard case .submitted(let results)? = core.reply(.submit(specs)) else { throw Unanswered() }
            for result in results { #expect(try result.get().id == id, "request \(number)") }
            let tags = request.last ?? []
            try expectTags(&core, tags.isEmpty ? [:] : [id: tags], "request \(number)")
        }
    }

    @Test("Tags that were read before somebody else changed them are read again")
    func staleRead() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", uniqueKey: Self.unique, tags: ["a"])
        let id = core.id(of: core.submit(spec))
        core.settle()
        var (late, other) = (spec, spec)
        (late.tags, other.tags) = (["late"], ["other"])
        let command = Command.request(CoreHarness.session, id: 900, .anonymous, .submit([late]))
        let first = core.reads(command)
        #expect(first.count == 1)
        let fetched = Dictionary(uniqueKeysWithValues: first.map { ($0, core.store.read($0)) })
        core.submit(other)
        core.settle()
        let again = core.reads(command, fetched: fetched)
        #expect(again.count == 1 && again != first)
        core.run(command)
        try expectTags(&core, [id: ["late"]])
    }

    @Test("Nobody reads anything for tasks without tags")
    func noReads() throws {
        var core = CoreHarness()
        let spec = TaskSpec(queue: "q", type: "t", uniqueKey: Self.unique)
        core.submit(spec)
        core.settle()
        #expect(core.reads(.request(CoreHarness.session, id: 900, .anonymous, .submit([spec]))) == [])
        let status = core.answer(.status(core.submit()))
        guard case .nothing? = status?.missing else { throw Unanswered() }
    }

    @Test("Follow-ups and the tasks of ticks carry tags, and a follow-up may take the place of a task with others")
    func otherSubmits() throws {
        var core = CoreHarness()
        let old = core.submit { ($0.queue, $0.uniqueKey, $0.tags) = ("other", Self.unique, ["old"]) }
        core.settle()
        core.submit()
        let followUps = [
            TaskSpec(queue: "other", type: "t", uniqueKey: Self.unique, tags: ["new"]),
            TaskSpec(queue: "other", type: "t", tags: ["next"]),
        ]
        let completion = Completion(lease: try core.lease(), followUps: followUps)
        guard case .completed(let entries)? = core.reply(.complete([completion])) else { throw Unanswered() }
        let submitted = try #require(try entries.first?.get())
        #expect(submitted.map(\.isReplacement) == [true, false] && submitted[0].id == old)
        let recurring = RecurringSpec(
            name: "r",
            recurrence: Bytes("every:10s".utf8),
            task: TaskSpec(queue: "ticks", type: "t", tags: ["tick"])
        )
        _ = core.reply(.putRecurring(recurring))
        try core.restart()
        core.advance(milliseconds: 10_000)
        let tick = try #require(core.claimIDs(queues: ["ticks"]).first)
        try expectTags(&core, [old: ["new"], submitted[1].id: ["next"], tick: ["tick"]])
    }

    // MARK: Lists

    @Test("A list by tag has the tasks that carry it, in the order of their submits or against it")
    func lists() throws {
        var core = CoreHarness()
        let sequences = (0..<12).map { number -> UInt64 in
            core.submit { $0.tags = number % 3 == 0 ? ["third", "any"] : ["any"] }
            return UInt64(number + 1)
        }
        _ = core.submit()
        #expect(core.complete(try core.lease()) == nil)
        func found(_ query: TaskQuery) throws -> [UInt64] { try page(&core, query).map(\.sequence.rawValue) }
        #expect(try found(query("any")) == sequences)
        #expect(try found(query("third")) == [1, 4, 7, 10])
        #expect(try found(query("third") { $0.isNewestFirst = true }) == [10, 7, 4, 1])
        #expect(try found(query("nobody's")) == [])
        // One more than the page says that there is a next one.
        #expect(try found(query("any") { ($0.count, $0.isNewestFirst) = (3, true) }) == [12, 11, 10, 9])
        let places = try page(&core, query("third")).map { task in
            if case .inMemory(let status) = task.place { status.state.name } else { "stored" }
        }
        #expect(places == ["stored", "pending", "pending", "pending"])
    }

    @Test("Other parts of a filter leave out what they are not for, and nobody sees tasks of another namespace")
    func filters() throws {
        var core = CoreHarness()
        core.submit { ($0.tags, $0.queue) = (["t"], "mail") }
        core.submit { ($0.tags, $0.type, $0.rank) = (["t"], "image.scale", Priority(200).rank) }
        core.submit { ($0.tags, $0.start) = (["t"], .after(milliseconds: 5_000)) }
        core.submit(TaskSpec(queue: "q", type: "t", tags: ["t"]), namespace: 7)
        let filters: [(TaskFilter, [UInt64])] = [
            (TaskFilter(queue: "mail", tag: "t"), [1]), (TaskFilter(type: "image.*", tag: "t"), [2]),
            (TaskFilter(type: "t", tag: "t"), [1, 3]), (TaskFilter(states: [.scheduled], tag: "t"), [3]),
            (TaskFilter(priorities: Priority(200)...Priority(255), tag: "t"), [2]),
            (TaskFilter(states: [.completed], tag: "t"), []),
        ]
        for (filter, expected) in filters {
            let found = try page(&core, TaskQuery(filter: filter)).map(\.sequence.rawValue)
            #expect(found == expected, "\(filter)")
        }
        #expect(try page(&core, query("t"), namespace: 7).map(\.sequence.rawValue) == [4])
    }

    @Test("A cursor of another kind of list is refused")
    func cursors() throws {
        var core = CoreHarness()
        core.submit { $0.tags = ["t"] }
        let tagged = ListPosition.tagged(TaskSequence(3))
        #expect(try ListPosition(cursor: tagged.cursor) == tagged)
        #expect(core.errorCode(.tasks(TaskQuery(cursor: tagged.cursor))) == .invalidArgument)
        for place in [ListPosition.live(TaskSequence(0)), .outcomes(isNewestFirst: false)] {
            #expect(core.errorCode(.tasks(query("t") { $0.cursor = place.cursor })) == .invalidArgument)
        }
        for isNewestFirst in [false, true] {
            for sequence in [TaskSequence(0), TaskSequence(1), .last] {
                let cursor = ListPosition.tagged(sequence).cursor
                _ = try page(&core, query("t") { ($0.cursor, $0.isNewestFirst) = (cursor, isNewestFirst) })
            }
        }
    }
}
