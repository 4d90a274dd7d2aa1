import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

@Suite("Lists of tasks on the disk") struct ListTests {
    /// Six tasks in each of eight queues, of three types, of which some end in each way.
    private static func broker(_ store: any ByteStore = InMemoryStorage()) throws -> TestBroker {
        let broker = try TestBroker(store)
        for queue in (0..<8).map({ Name("q\($0)") }) {
            _ = try broker.submit((0..<6).map { TaskSpec(queue: queue, type: Name("type\($0 % 3)")) })
            let deliveries = try broker.claim(4, queue: queue)
            try broker.complete(deliveries[0], result: "done")
            try broker.fail(deliveries[1], error: "no such \(queue)", isPermanent: true)
            try broker.fail(deliveries[2], error: "try again")
            try broker.expectDone(.release([Release(lease: deliveries[3].lease, delayMilliseconds: 60_000)]))
            _ = try broker.ask(.cancel([try #require(try broker.claim(1, queue: queue).first).lease.task]))
        }
        return broker
    }

    private static func tasks(_ broker: TestBroker, _ query: TaskQuery) throws -> [TaskStatus] {
        try broker.pages(query).flatMap(\.tasks)
    }

    @Test(
        "Every task is listed once: those that have not ended, dead letters, then ended ones; also after a restart",
        arguments: [1, 7, 1000] as [UInt32],
        [false, true]
    )
    func parts(count: UInt32, isNewestFirst: Bool) throws {
        let broker = try Self.broker()
        for _ in 0..<2 {
            let tasks = try Self.tasks(broker, TaskQuery(isNewestFirst: isNewestFirst, count: count))
            #expect(Set(tasks.map(\.id)).count == 48 && tasks.count == 48)
            let parts = tasks.map { $0.state.isFinal ? 2 : $0.state == .deadLetter ? 1 : 0 }
            #expect(parts == parts.sorted())
            for part in 0...1 {
                let ids = zip(tasks, parts).filter { $0.1 == part }.map(\.0.id)
                let sequences = ids.compactMap { broker.reader.sequence(of: $0) }
                #expect(sequences == (isNewestFirst ? sequences.sorted().reversed() : sequences.sorted()))
            }
            for task in tasks {
                var status = try #require(try broker.status(task.id))
                status.history = []
                #expect(task == status)
            }
            try broker.restart()
        }
    }

    @Test("Rows of lists lead to what is asked for, past everything else")
    func postings() throws {
        let broker = try Self.broker()
        let filters: [(TaskFilter, Int)] = [
            (TaskFilter(states: [.deadLetter], queue: "q3"), 1),
            (TaskFilter(states: [.deadLetter], type: "type1"), 8),
            (TaskFilter(states: [.deadLetter], queue: "q3", type: "type1"), 1),
            (TaskFilter(states: [.deadLetter], queue: "q3", type: "type2"), 0),
            (TaskFilter(states: [.completed], queue: "q5"), 1),
            (TaskFilter(states: [.completed, .cancelled], queue: "q5", type: "type0"), 1),
            (TaskFilter(states: [.completed], queue: "q5", type: "type2"), 0),
        ]
        for (filter, expected) in filters {
            for isNewestFirst in [false, true] {
                let pages = try broker.pages(TaskQuery(filter: filter, isNewestFirst: isNewestFirst))
                let scanned = pages.reduce(0) { $0 + $1.scanned }
                #expect(pages.flatMap(\.tasks).count == expected && scanned <= 8, "\(filter) looked at \(scanned)")
            }
        }
    }

    @Test("Tasks are found by a part of their last error, as long as it is their error")
    func errors() throws {
        let broker = try Self.broker()
        let filter = TaskFilter(error: Bytes("such q4".utf8))
        let letter = try #require(try Self.tasks(broker, TaskQuery(filter: filter)).first)
        #expect(letter.state == .deadLetter && letter.error == Bytes("no such q4".utf8))
        #expect(try Self.tasks(broker, TaskQuery(filter: TaskFilter(error: Bytes("again".utf8)))).count == 8)
        try broker.expectDone(.redrive([Redrive(task: letter.id)]))
        #expect(try Self.tasks(broker, TaskQuery(filter: filter)) == [])
        let found = try Self.tasks(broker, TaskQuery(filter: TaskFilter(states: [.deadLetter])))
        #expect(found.count == 7 && !found.contains { $0.id == letter.id })
    }

    @Test(
        "A group whose results fill several records is listed whole, wherever its pages end",
        arguments: [1, 7, 1000] as [UInt32],
        [false, true]
    )
    func parts(ofOneGroup count: UInt32, isNewestFirst: Bool) throws {
        let broker = try TestBroker()
        let ids = try broker.submit((0..<40).map { _ in TaskSpec(queue: "mail", type: "t") })
        let deliveries = try broker.claim(40)
        // The ends come in another order than the submits, so the records overlap.
        let completions = (0..<40).map { number in
            Completion(lease: deliveries[number * 7 % 40].lease, result: Bytes(repeating: 1, count: 6_000))
        }
        _ = try broker.ask(.complete(completions))
        #expect(try rows(broker.store, [.completed]).count > 2)
        let listed = try Self.tasks(broker, TaskQuery(isNewestFirst: isNewestFirst, count: count))
        #expect(listed.count == 40 && Set(listed.map(\.id)) == Set(ids))
    }

    @Test("What has expired is listed no more, and nothing of it is left")
    func expiry() throws {
        let broker = try Self.broker()
        try broker.pass(minutes: Int(Defaults.retentionMilliseconds / 60_000) + 61)
        #expect(try Self.tasks(broker, TaskQuery(filter: TaskFilter(states: [.completed, .cancelled]))) == [])
        #expect(try !rows(broker.store, [.index]).contains { $0.key.first == UInt8(ascii: "O") })
    }

    @Test(
        "What cannot be read holds up no list: its tasks are left out, and its records are counted",
        arguments: [1, 7, 1000] as [UInt32],
        [false, true]
    )
    func damagedRecords(count: UInt32, isNewestFirst: Bool) throws {
        let disk = SimulatedDisk()
        let broker = try Self.broker(disk)
        let query = TaskQuery(isNewestFirst: isNewestFirst, count: count)
        let whole = try Self.tasks(broker, query)
        let letters = try rows(disk, [.deadLetter])
        let records = try rows(disk, [.completed])
        let history = try #require(try rows(disk, [.index]).last { $0.isAttempt })
        for row in [letters[2], letters[3], records[0], records[4], history] {
            #expect(disk.flipBit(16 * 8, in: row.family, key: row.key))
        }
        let pages = try broker.pages(query)
        let listed = pages.flatMap(\.tasks)
        #expect(pages.reduce(0) { $0 + $1.damaged } == 5)
        #expect(listed.count == whole.count - 4)
        let changed = listed.filter { !whole.contains($0) }
        #expect(changed.count == 1 && changed.allSatisfy { $0.state == .failed && $0.error.isEmpty })
    }

    @Test(
        "Blocks that cannot be read are passed over, whatever leads to them",
        arguments: [1, 7, 1000] as [UInt32],
        [false, true]
    )
    func damagedBlocks(count: UInt32, isNewestFirst: Bool) throws {
        let broker = try Self.broker()
        func pages(_ filter: TaskFilter) throws -> [TaskPage] {
            try broker.pages(TaskQuery(filter: filter, isNewestFirst: isNewestFirst, count: count))
        }
        let filters = [
            TaskFilter(queue: "q4"), TaskFilter(type: "type1"), TaskFilter(states: [.completed]),
            TaskFilter(states: [.deadLetter]),
        ]
        let whole = try filters.map { filter in (filter, try pages(filter).flatMap(\.tasks)) }
        let all = try pages(TaskFilter()).flatMap(\.tasks)
        let letters = try rows(broker.store, [.deadLetter])
        let records = try rows(broker.store, [.completed])
        let damages = [
            [letters[0...1]], [letters[3...5], records[2...4]], [letters[7...], records[6...]], [letters[...]],
        ]
        for blocks in damages {
            broker.read(from: DamagedStore(broker.store, unreadable: blocks.flatMap { $0 }))
            let found = try pages(TaskFilter())
            let listed = found.flatMap(\.tasks)
            #expect(all.count - listed.count == blocks.reduce(0) { $0 + $1.count })
            #expect(found.reduce(0) { $0 + $1.damaged } == UInt64(blocks.count))
            for (filter, tasks) in whole {
                #expect(try pages(filter).flatMap(\.tasks) == tasks.filter(listed.contains), "\(filter)")
            }
        }
    }

    @Test("A damaged block of a table file is passed over, in both directions", arguments: [false, true])
    func damagedFile(isNewestFirst: Bool) throws {
        let directory = try ScratchDirectory()
        let path = directory / "db"
        var random = SplitMix64(seed: 7)
        do {
            let store = try RocksDBStorage.open(path: path, options: .numbered)
            let broker = try TestBroker(store)
            let payloads = (0..<200).map { _ in
                Bytes((0..<1_000).map { _ in UInt8.random(in: 0...255, using: &random) })
            }
            _ = try broker.submit(payloads.map { TaskSpec(queue: "mail", type: "t", payload: $0) })
            for delivery in try broker.claim(200) { try broker.fail(delivery, error: "broken", isPermanent: true) }
            try store.flush()
            store.close()
        }
        // That of the dead letters, which have the payloads.
        let files = try ScratchDirectory.names(in: path).filter { $0.hasSuffix(".sst") }.map { "\(path)/\($0)" }
        let tables = try files.map { (file: $0, bytes: try ScratchDirectory.read($0)) }
        var (file, bytes) = try #require(tables.max { $0.bytes.count < $1.bytes.count })
        for place in [bytes.count / 4, bytes.count / 2] { bytes[place] ^= 1 }
        try ScratchDirectory.write(bytes, to: file)
        let store = try RocksDBStorage.open(path: path, options: .numbered)
        defer { store.close() }
        let broker = try TestBroker(store)
        let pages = try broker.pages(TaskQuery(isNewestFirst: isNewestFirst, count: 10))
        let lost = 200 - pages.reduce(0) { $0 + $1.tasks.count }
        #expect(pages.reduce(0) { $0 + $1.damaged } == 2 && (2...100).contains(lost), "\(lost) are lost")
    }

    @Test("A filter that finds little reads so much at once, says so, and goes on from there")
    func budget() throws {
        let broker = try Self.broker()
        let all = try Self.tasks(broker, TaskQuery())
        let filters = [
            TaskFilter(), TaskFilter(error: [120]), TaskFilter(queue: "q5", type: "type1"),
            TaskFilter(states: [.completed], type: "type0"),
        ]
        for isNewestFirst in [false, true] {
            for filter in filters {
                let query = TaskQuery(filter: filter, isNewestFirst: isNewestFirst)
                broker.listReadsMax = 10_000
                let whole = try Self.tasks(broker, query)
                broker.listReadsMax = 12
                let pages = try broker.pages(query)
                #expect(pages.flatMap(\.tasks) == whole, "\(filter)")
                #expect(filter == TaskFilter() ? whole.count == all.count && pages.count > 2 : whole.count < all.count)
            }
        }
    }
}
