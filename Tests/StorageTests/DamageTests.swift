import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

@Suite struct DamageTests {
    /// A disk with a task in every state.
    private func busyDisk() throws -> (disk: SimulatedDisk, broker: TestBroker, ids: [TaskID]) {
        let disk = SimulatedDisk()
        let broker = try TestBroker(disk)
        let ids = try broker.submit((0..<6).map { TaskSpec(queue: "mail", type: "send", payload: [UInt8($0), 1, 2]) })
        let deliveries = try broker.claim(4)
        try broker.complete(deliveries[0], result: "done")
        try broker.fail(deliveries[1], error: "broken", isPermanent: true)
        try broker.fail(deliveries[2], error: "later")
        try broker.ask(.heartbeat(WorkerSpec(name: "w")))
        return (disk, broker, ids)
    }

    @Test(arguments: [Family.default, .pending, .inProgress, .index])
    func aFlippedByteInATableIsRefusedAtRecovery(_ family: Family) throws {
        let (disk, broker, _) = try busyDisk()
        // Histories are read when somebody asks for them.
        for row in try rows(broker.store, [family]) where !row.value.isEmpty && !row.isAttempt {
            for bit in 0..<row.value.count * 8 {
                #expect(disk.flipBit(bit, in: family, key: row.key))
                let error = #expect(throws: StorageError.self, "\(row), bit \(bit)") {
                    _ = try Recovery.recover(from: disk)
                }
                #expect(error?.kind == .corruption)
                #expect(disk.flipBit(bit, in: family, key: row.key))
            }
        }
        #expect(try Recovery.recover(from: disk) != nil)
    }

    @Test func aDamagedPayloadGoesToTheDeadLettersAndNeverToAWorker() throws {
        let (disk, broker, ids) = try busyDisk()
        let row = try #require(try rows(disk, [.payload]).first)
        // The last byte of the last payload, that of the last task.
        #expect(disk.flipBit(row.value.count * 8 - 1, in: .payload, key: row.key))
        let deliveries = try broker.claim(10)
        #expect(deliveries.map(\.lease.task) == [ids[4]])
        #expect(deliveries.map(\.payload) == [[4, 1, 2]])
        let letter = try #require(try broker.deadLetters().first { $0.status.id == ids[5] })
        #expect(letter.reason == .payloadDamaged && letter.payload.isEmpty)
        let refused = TestBroker.failure(try broker.ask(.redrive([Redrive(task: ids[5])])))
        #expect(refused?.code == .conflict)
    }

    @Test func aDamagedHistoryIsReportedToWhoAsksForIt() throws {
        let (disk, broker, ids) = try busyDisk()
        let row = try #require(try rows(disk, [.index]).first { $0.isAttempt && $0.key.contains(3) })
        for bit in 0..<row.value.count * 8 {
            #expect(disk.flipBit(bit, in: .index, key: row.key))
            let error = #expect(throws: StorageError.self, "bit \(bit)") { try broker.status(ids[2]) }
            #expect(error?.kind == .corruption)
            #expect(disk.flipBit(bit, in: .index, key: row.key))
        }
        #expect(try broker.status(ids[2])?.error == Bytes("later".utf8))
        #expect(try broker.status(ids[1])?.history.count == 1)
    }

    @Test func aDamagedResultIsReportedAndNeverHandedOut() throws {
        let (disk, broker, ids) = try busyDisk()
        let row = try #require(try rows(disk, [.completed]).first)
        for bit in 0..<row.value.count * 8 {
            #expect(disk.flipBit(bit, in: .completed, key: row.key))
            let error = #expect(throws: StorageError.self, "bit \(bit)") { try broker.result(ids[0]) }
            #expect(error?.kind == .corruption)
            #expect(disk.flipBit(bit, in: .completed, key: row.key))
        }
        #expect(try broker.result(ids[0])?.result == Bytes("done".utf8))
    }

    @Test func aDamagedDeadLetterIsReportedAndNeverHandedOut() throws {
        let (disk, broker, ids) = try busyDisk()
        let row = try #require(try rows(disk, [.deadLetter]).first)
        for bit in 0..<row.value.count * 8 {
            #expect(disk.flipBit(bit, in: .deadLetter, key: row.key))
            let error = #expect(throws: StorageError.self, "bit \(bit)") { try broker.deadLetters() }
            #expect(error?.kind == .corruption)
            let fetched = try broker.reader.fetch([.deadLetter(TaskSequence(2))])
            if case .damaged? = fetched[.deadLetter(TaskSequence(2))] {} else { Issue.record("bit \(bit): \(fetched)") }
            #expect(disk.flipBit(bit, in: .deadLetter, key: row.key))
        }
        try broker.expectDone(.redrive([Redrive(task: ids[1])]))
    }
}
