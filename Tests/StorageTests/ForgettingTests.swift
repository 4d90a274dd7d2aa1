import ByteStore
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

@Suite("Forgotten outcomes on the disk") struct ForgettingTests {
    /// Three completed tasks of each of two queues in one record, with results, and with their segments gone.
    private static func broker() throws -> (TestBroker, mail: [TaskID], images: [TaskID]) {
        let broker = try TestBroker(InMemoryStorage())
        let ids = try broker.submit(
            (0..<6).map { TaskSpec(queue: $0 < 3 ? "mail" : "images", type: "t", tags: [TaskTag("tag:\($0)")]) }
        )
        let deliveries = try broker.claim(3, queue: "mail") + broker.claim(3, queue: "images")
        try broker.expectDone(
            .complete(
                deliveries.enumerated().map {
                    Completion(lease: $1.lease, result: Bytes("result \($0)".utf8))
                }
            )
        )
        try broker.settleAndSync()
        return (broker, Array(ids[..<3]), Array(ids[3...]))
    }

    private static func delete(_ broker: TestBroker, _ filter: TaskFilter) throws -> BulkStatus {
        guard case .bulkOperations(let started) = try broker.ask(.startBulk(BulkSpec(.delete, filter: filter))) else {
            throw StorageError(.corruption, "It was not started.")
        }
        for _ in 0..<4 { try broker.run(.stepBulk) }
        guard case .bulkOperations(let all) = try broker.ask(.bulkOperations) else {
            throw StorageError(.corruption, "There is none.")
        }
        try broker.settleAndSync()
        return try #require(all.first { $0.number == started.first?.number })
    }

    private static func problems(_ store: any ByteStoreReader) -> [String] {
        var problems: [String] = []
        _ = StoreVerification.verify(store, mark: nil) { problems.append("\($0.place): \($0.message)") }
        return problems
    }

    @Test("What is left has its results, every list finds it, nothing leads to what is gone, and verification agrees")
    func shared() throws {
        let (broker, mail, images) = try Self.broker()
        #expect(try Self.delete(broker, TaskFilter(queue: "mail")).changed == 3)
        for _ in 0..<2 {
            #expect(Self.problems(broker.store) == [])
            for id in mail { #expect(try broker.status(id) == nil) }
            for (place, id) in images.enumerated() {
                #expect(try broker.result(id)?.result == Bytes("result \(place + 3)".utf8))
            }
            for filter in [TaskFilter(), TaskFilter(queue: "images"), TaskFilter(type: "t")] {
                #expect(try broker.pages(TaskQuery(filter: filter)).flatMap(\.tasks).map(\.id) == images)
            }
            #expect(try broker.pages(TaskQuery(filter: TaskFilter(queue: "mail"))).flatMap(\.tasks) == [])
            try broker.restart()
        }
    }

    @Test("When the last one is gone, nothing is stored of any")
    func nothingIsLeft() throws {
        let (broker, _, _) = try Self.broker()
        for number in 0..<6 { #expect(try Self.delete(broker, TaskFilter(tag: TaskTag("tag:\(number)"))).changed == 1) }
        #expect(try rows(broker.store, [.completed, .pending, .payload, .inProgress]).isEmpty)
        let left = try rows(broker.store, [.index]).filter { !"NBC".utf8.contains($0.key[0]) }
        #expect(left.isEmpty)
        #expect(try rows(broker.store, [.index]).allSatisfy { $0.key[0] != UInt8(ascii: "C") })
        #expect(Self.problems(broker.store) == [])
    }

    @Test("A record with a damaged result stays as it is: written again, the damage would look like a result")
    func damagedResult() throws {
        let (broker, mail, _) = try Self.broker()
        let record = try #require(try rows(broker.store, [.completed]).first)
        var value = record.value
        value[value.count - 1] ^= 1
        let batch = WriteBatch()
        batch.put(.completed, key: record.key, value: value)
        try broker.store.write(batch, sync: true)
        let ended = try Self.delete(broker, TaskFilter(queue: "mail"))
        #expect(ended.changed == 0 && ended.refused == 1 && !ended.problem.isEmpty && ended.phase == .finished)
        #expect(try broker.status(mail[0])?.state == .completed)
        #expect(try rows(broker.store, [.completed]).first?.value == value)
    }
}
