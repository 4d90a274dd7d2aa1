import TQModel
import Testing

@testable import QueueCore

@Suite("Lists of tasks in memory") struct ListTests {
    private func page(_ core: inout CoreHarness, _ query: TaskQuery, namespace: UInt32 = 0) throws -> TaskPage {
        guard case .tasks(let page)? = core.reply(.tasks(query), namespace: namespace) else { throw Unanswered() }
        return page
    }

    /// Where a list goes on that is not over in memory.
    private func next(_ core: inout CoreHarness, _ query: TaskQuery) throws -> ListPosition {
        guard case .tasks(_, _, let position, _)? = core.answer(.tasks(query))?.missing else { throw Unanswered() }
        return position
    }

    @Test("What has not ended comes in the order of the submits, or against it, whatever its state and priority")
    func order() throws {
        var core = CoreHarness()
        var ids = (0..<5).map { number in core.submit { $0.rank = Priority(UInt8(40 * number)).rank } }
        ids.append(core.submit { $0.start = .after(milliseconds: 5_000) })
        _ = try core.lease()
        #expect(try page(&core, TaskQuery()).tasks.map(\.id) == ids)
        #expect(try page(&core, TaskQuery(isNewestFirst: true)).tasks.map(\.id) == ids.reversed())
        let states = try page(&core, TaskQuery()).tasks.map(\.state)
        #expect(states == [.pending, .pending, .pending, .pending, .inProgress, .scheduled])
    }

    @Test("Pages follow each other without a gap, and the last one of those in memory leads to the dead letters")
    func pages() throws {
        var core = CoreHarness()
        let ids = (0..<7).map { _ in core.submit() }
        for isNewestFirst in [false, true] {
            var query = TaskQuery(isNewestFirst: isNewestFirst, count: 3)
            var found: [TaskID] = []
            for _ in 0..<3 {
                found += try page(&core, query).tasks.map(\.id)
                query.cursor = try next(&core, query).cursor
            }
            #expect(found == (isNewestFirst ? ids.reversed() : ids))
            #expect(query.cursor == ListPosition.deadLetters(isNewestFirst: isNewestFirst).cursor)
        }
    }

    @Test("A filter leaves out what it is not for")
    func filters() throws {
        var core = CoreHarness()
        let mail = core.submit { $0.queue = "mail" }
        let urgent = core.submit { ($0.rank, $0.type) = (Priority(200).rank, "image.scale") }
        core.advance(milliseconds: 1_000)
        let late = core.submit { $0.start = .after(milliseconds: 5_000) }
        let created = late.createdMilliseconds
        let cases: [(TaskFilter, [TaskID])] = [
            (TaskFilter(), [mail, urgent, late]),
            (TaskFilter(queue: "mail"), [mail]),
            (TaskFilter(queue: "nobody's"), []),
            (TaskFilter(type: "image.scale"), [urgent]),
            (TaskFilter(type: "image.*"), [urgent]),
            (TaskFilter(type: "*"), [mail, urgent, late]),
            (TaskFilter(type: "image"), []),
            (TaskFilter(priorities: Priority(200)...Priority(200)), [urgent]),
            (TaskFilter(priorities: Priority(0)...Priority(199)), [mail, late]),
            (TaskFilter(states: [.scheduled]), [late]),
            (TaskFilter(states: [.scheduled, .pending]), [mail, urgent, late]),
            (TaskFilter(states: [.completed]), []),
            (TaskFilter(createdFrom: created), [late]),
            (TaskFilter(createdBefore: created), [mail, urgent]),
            (TaskFilter(createdFrom: created, createdBefore: created), []),
            (TaskFilter(createdFrom: created + 1, createdBefore: created), []),
            (TaskFilter(queue: "mail", type: "image.*"), []),
        ]
        for (filter, expected) in cases {
            #expect(try page(&core, TaskQuery(filter: filter)).tasks.map(\.id) == expected, "\(filter)")
        }
    }

    @Test("Nobody sees tasks of another namespace")
    func namespaces() throws {
        var core = CoreHarness()
        core.submit()
        let other = try core.submit(TaskSpec(queue: "q", type: "t"), namespace: 7).get().id
        #expect(try page(&core, TaskQuery(), namespace: 7).tasks.map(\.id) == [other])
        #expect(try page(&core, TaskQuery(filter: TaskFilter(queue: "q")), namespace: 7).tasks.map(\.id) == [other])
        #expect(try page(&core, TaskQuery(), namespace: 8).tasks == [])
    }

    @Test("What cannot be asked for is refused with what is allowed")
    func refusals() throws {
        var core = CoreHarness()
        core.submit()
        let long = Bytes(repeating: 1, count: Limits.errorSearchBytesMax + 1)
        let queries = [
            TaskQuery(count: 0), TaskQuery(count: Limits.taskPageMax + 1),
            TaskQuery(filter: TaskFilter(error: long)), TaskQuery(filter: TaskFilter(type: "a*b")),
            TaskQuery(cursor: [9]), TaskQuery(cursor: [1, 2, 3]), TaskQuery(cursor: [0, 0, 0, 0, 0, 0, 0, 0, 0]),
            TaskQuery(cursor: [3, 0, 0, 0, 0, 0, 0, 0, 0]),
        ]
        for query in queries { #expect(core.errorCode(.tasks(query)) == .invalidArgument, "\(query)") }
    }

    @Test("A cursor is read as it was made, and any place may be asked for")
    func cursors() throws {
        let places: [ListPosition] = [
            .live(TaskSequence(0)), .live(.last), .deadLetter(TaskSequence(0x0102_0304_0506_0708)),
            .deadLetters(isNewestFirst: true), .outcomes(isNewestFirst: false), .outcomes(isNewestFirst: true),
            .outcome(
                OutcomeLocation(bucket: ExpiryBucket(rawValue: 7), group: GroupID(rawValue: 1 << 60), part: 3),
                TaskSequence(9)
            ),
        ]
        var core = CoreHarness()
        for place in places {
            #expect(try ListPosition(cursor: place.cursor) == place)
            for isNewestFirst in [false, true] {
                _ = try page(&core, TaskQuery(cursor: place.cursor, isNewestFirst: isNewestFirst))
            }
        }
    }

    @Test("Stragglers of long ago stand before the others, and the work of one request has an end")
    func stragglers() {
        var tasks = TaskTable()
        var slot = TaskSlot()
        slot.state = .pending
        let all: ClosedRange<UInt64> = 1...20_000
        for number in all { tasks.set(TaskSequence(number), slot) }
        let left = all.filter { $0 > 10_000 || $0 % 997 == 0 }
        for number in Set(all).subtracting(left) { tasks.remove(TaskSequence(number)) }
        for isDescending in [false, true] {
            for (count, limit) in [(100_000, 100_000), (7, 100_000), (100_000, 2_000)] {
                var found: [UInt64] = []
                var from: TaskSequence? = isDescending ? .last : TaskSequence(0)
                while let first = from {
                    let page = tasks.find(from: first, isDescending: isDescending, count: count, limit: limit) { _ in
                        true
                    }
                    #expect(page.sequences.count <= count && page.scanned < limit + 1_024)
                    found += page.sequences.map(\.rawValue)
                    from = page.next
                }
                #expect(found == (isDescending ? left.reversed() : left), "\(count) at once, of \(limit)")
            }
        }
    }

    @Test(
        "Of many stragglers a page has the nearest, wherever it begins",
        arguments: [false, true],
        [1, 3, 50, 5_000]
    )
    func nearest(isDescending: Bool, count: Int) {
        var tasks = TaskTable()
        var slot = TaskSlot()
        slot.state = .pending
        let all: ClosedRange<UInt64> = 1...60_000
        for number in all { tasks.set(TaskSequence(number), slot) }
        // Two in three pages become stragglers, the third stays dense between them.
        let left = all.filter { $0 / 1024 % 3 == 2 || $0 % 37 == 0 }
        for number in Set(all).subtracting(left) { tasks.remove(TaskSequence(number)) }
        for first: UInt64 in [0, 1, 30_007, 60_000] {
            let ahead = isDescending ? Array(left.reversed().drop { $0 > first }) : Array(left.drop { $0 < first })
            let page = tasks.find(
                from: TaskSequence(first),
                isDescending: isDescending,
                count: count,
                limit: .max,
                where: { _ in true }
            )
            #expect(page.sequences.map(\.rawValue) == Array(ahead.prefix(count)))
            #expect(page.next?.rawValue == ahead.dropFirst(count).first)
        }
    }
}
