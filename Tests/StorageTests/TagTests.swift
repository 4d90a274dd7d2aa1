import ByteStore
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

@Suite("Tags on the disk") struct TagTests {
    /// Sixty tasks, of which every third carries `third`, and all carry one of their own; some end in each way.
    private static func broker(_ store: any ByteStore = InMemoryStorage()) throws -> (TestBroker, ids: [TaskID]) {
        let broker = try TestBroker(store)
        let ids = try broker.submit(
            (0..<60).map { number in
                TaskSpec(
                    queue: number % 2 == 0 ? "mail" : "images",
                    type: Name("type\(number % 4)"),
                    tags: (number % 3 == 0 ? ["third"] : []) + [TaskTag("own:\(number)")]
                )
            }
        )
        for queue in ["mail", "images"] as [Name] {
            let deliveries = try broker.claim(20, queue: queue)
            for delivery in deliveries[..<8] { try broker.complete(delivery, result: "done") }
            for delivery in deliveries[8..<12] { try broker.fail(delivery, error: "no", isPermanent: true) }
            for delivery in deliveries[12..<14] { try broker.fail(delivery, error: "try again") }
            _ = try broker.ask(.cancel(deliveries[14...].map(\.lease.task)))
            for delivery in deliveries[14...] { try broker.expectDone(.release([Release(lease: delivery.lease)])) }
        }
        return (broker, ids)
    }

    private static func problems(_ store: any ByteStoreReader) -> [String] {
        var problems: [String] = []
        _ = StoreVerification.verify(store, mark: nil) { problems.append("\($0.place): \($0.message)") }
        return problems
    }

    private static func tagRows(_ store: any ByteStoreReader) throws -> [StoredRow] {
        try rows(store, [.index]).filter { row in
            "Tt".utf8.contains(row.key[0]) || row.key[0] == UInt8(ascii: "P") && row.key[5] == UInt8(ascii: "t")
        }
    }

    @Test(
        "A list by tag has each task that carries it, whatever became of it, in the order of the submits",
        arguments: [1, 3, 1000] as [UInt32],
        [false, true]
    )
    func lists(count: UInt32, isNewestFirst: Bool) throws {
        let (broker, ids) = try Self.broker()
        let expected = ids.enumerated().filter { $0.offset % 3 == 0 }.map(\.element)
        let query = TaskQuery(filter: TaskFilter(tag: "third"), isNewestFirst: isNewestFirst, count: count)
        for _ in 0..<2 {
            let tasks = try broker.pages(query).flatMap(\.tasks)
            #expect(tasks.map(\.id) == (isNewestFirst ? expected.reversed() : expected))
            #expect(Set(tasks.map(\.state)).count == 5)
            for task in tasks {
                var status = try #require(try broker.status(task.id))
                status.history = []
                #expect(task == status && task.tags.first == "third")
            }
            try broker.restart()
        }
        #expect(Self.problems(broker.store) == [])
    }

    @Test("Every list shows the tags of the tasks that carry some")
    func shown() throws {
        let (broker, ids) = try Self.broker()
        let tasks = try broker.pages(TaskQuery(count: 7)).flatMap(\.tasks)
        #expect(tasks.count == ids.count)
        for task in tasks {
            let number = try #require(ids.firstIndex(of: task.id))
            #expect(task.tags == (number % 3 == 0 ? ["third"] : []) + [TaskTag("own:\(number)")])
        }
    }

    @Test("What few of many tasks carry is found by looking at those few, also among dead letters")
    func costs() throws {
        let (broker, ids) = try Self.broker()
        for states in [[], [.deadLetter], Set(TaskState.allCases)] as [Set<TaskState>] {
            for (number, id) in ids.enumerated() {
                let filter = TaskFilter(states: states, tag: TaskTag("own:\(number)"))
                let pages = try broker.pages(TaskQuery(filter: filter))
                let isMeant = try states.isEmpty || states.contains(#require(try broker.status(id)).state)
                #expect(pages.count == 1 && pages[0].tasks.map(\.id) == (isMeant ? [id] : []))
                #expect(pages[0].scanned <= 1)
            }
        }
    }

    @Test("All parts of a filter hold together, however little one request looks at")
    func filters() throws {
        let (broker, ids) = try Self.broker()
        let statuses = try ids.map { try #require(try broker.status($0)) }
        let filters = [
            TaskFilter(states: [.deadLetter], tag: "third"), TaskFilter(states: [.completed, .failed], tag: "third"),
            TaskFilter(queue: "mail", tag: "third"), TaskFilter(type: "type3", tag: "third"),
            TaskFilter(error: Bytes("again".utf8), tag: "third"), TaskFilter(states: [.blocked], tag: "third"),
            TaskFilter(states: [.deadLetter], queue: "mail", type: "type0", tag: "third"),
        ]
        for filter in filters {
            let expected = statuses.filter { task in
                task.tags.contains("third") && (filter.states.isEmpty || filter.states.contains(task.state))
                    && filter.queue ?? task.queue == task.queue && filter.type?.matches(task.type.bytes) ?? true
                    && (filter.error.isEmpty || task.error.contains(filter.error))
            }.map(\.id)
            for isNewestFirst in [false, true] {
                for readsMax in [10_000, 6] {
                    broker.listReadsMax = readsMax
                    let query = TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: 5)
                    let found = try broker.pages(query).flatMap(\.tasks).map(\.id)
                    #expect(found == (isNewestFirst ? expected.reversed() : expected), "\(filter)")
                }
            }
        }
    }

    @Test("Tags go with what became of their tasks, and those of dead letters and waiting tasks stay")
    func expiry() throws {
        let (broker, ids) = try Self.broker()
        #expect(try Self.tagRows(broker.store).count == 60 + 80 + 16 + 12)
        try broker.pass(minutes: Int(Defaults.retentionMilliseconds / 60_000) + 61)
        #expect(Self.problems(broker.store) == [])
        let left = try ids.filter { try broker.status($0) != nil }
        #expect(left.count == 60 - 28)
        let tags = try left.flatMap { try #require(try broker.status($0)).tags }
        #expect(try Self.tagRows(broker.store).count == left.count + tags.count)
        let filter = TaskFilter(tag: "third")
        let listed = try broker.pages(TaskQuery(filter: filter)).flatMap(\.tasks).map(\.id)
        #expect(listed == ids.enumerated().filter { $0.offset % 3 == 0 && left.contains($0.element) }.map(\.element))
    }

    @Test("A tag that is in the middle of another one, or has its bytes in front, is another one")
    func likeOthers() throws {
        let broker = try TestBroker()
        let tags: [TaskTag] = ["a", "aa", "a:1", "a:", "ä"]
        let ids = try broker.submit(tags.map { TaskSpec(queue: "mail", type: "t", tags: [$0]) })
        for (tag, id) in zip(tags, ids) {
            for isNewestFirst in [false, true] {
                let query = TaskQuery(filter: TaskFilter(tag: tag), isNewestFirst: isNewestFirst)
                #expect(try broker.pages(query).flatMap(\.tasks).map(\.id) == [id])
            }
        }
    }

    @Test("A row of tags that is gone or leads nowhere is a problem, and a repair says whose tags are lost")
    func damage() throws {
        let scratch = try ScratchDirectory()
        try ScratchDirectory.makeDirectory(scratch / "data")
        let store = try RocksDBStorage.open(path: scratch / "data/db", options: .numbered)
        let (broker, ids) = try Self.broker(store)
        try broker.settleAndSync()
        for row in try Self.tagRows(store) {
            let batch = WriteBatch()
            batch.delete(.index, key: row.key)
            try store.write(batch, sync: true)
            #expect(!Self.problems(store).isEmpty, "\(row)")
            batch.removeAll()
            batch.put(.index, key: row.key, value: row.value)
            try store.write(batch, sync: true)
        }
        let stray = WriteBatch()
        stray.put(.index, key: Posting.tagged("third", TaskSequence(1_000)), value: [])
        try store.write(stray, sync: true)
        #expect(Self.problems(store).count == 1)
        // Of every task that has another tag than that of its own, the tags are lost.
        let losses = WriteBatch()
        for number in stride(from: 0, to: 60, by: 3) {
            losses.put(.index, key: KeyLayout.tags(of: TaskSequence(UInt64(number + 1))), value: [1, 2, 3])
        }
        try store.write(losses, sync: true)
        store.close()
        let target = scratch / "repaired"
        let report = try StoreRepair.run(
            source: scratch / "data",
            target: target,
            wallMilliseconds: broker.now.wallMilliseconds,
            acceptsLoss: true
        )
        #expect(report.untagged == 20)
        let repaired = try RocksDBStorage.open(path: target + "/db", options: .numbered, createIfMissing: false)
        defer { repaired.close() }
        #expect(Self.problems(repaired) == [])
        let served = try TestBroker(repaired, mark: try HighWaterMark.read(target + "/mark"))
        for (number, id) in ids.enumerated() {
            let tags = try #require(try served.status(id)).tags
            #expect(tags == (number % 3 == 0 ? [] : [TaskTag("own:\(number)")]))
        }
    }
}
