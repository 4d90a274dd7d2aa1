import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

/// A client that remembers what it was told, on a disk that forgets what was not synced.
@Suite struct PowerCutTests {
    struct Client {
        var random: SplitMix64
        var submitted: [TaskID: Bytes] = [:]
        var completed: [TaskID: Bytes] = [:]
        var attempts: [TaskID: UInt16] = [:]
        var lastToken = LeaseToken(rawValue: 0)
        var leases: [Delivery] = []

        mutating func below(_ limit: UInt64) -> UInt64 { random.next() % limit }

        mutating func step(_ broker: TestBroker) throws {
            switch below(10) {
            case 0..<4:
                let specs = (0..<below(5) + 1).map { _ in
                    TaskSpec(queue: "mail", type: "send", payload: Bytes("\(random.next())".utf8))
                }
                for (id, spec) in zip(try broker.submit(specs), specs) { submitted[id] = spec.payload }
            case 4..<7:
                for delivery in try broker.claim(UInt32(below(4)) + 1) { try take(delivery) }
            case 7..<9:
                guard !leases.isEmpty else { return }
                let delivery = leases.remove(at: Int(below(UInt64(leases.count))))
                let result = "result of \(delivery.lease.task)"
                if case .outcomes([nil]) = try broker.ask(
                    .complete([Completion(lease: delivery.lease, result: Bytes(result.utf8))])
                ) {
                    completed[delivery.lease.task] = Bytes(result.utf8)
                }
            default:
                broker.advance(milliseconds: below(20_000))
                try broker.run(.tick)
                try broker.run(.clean)
            }
        }

        mutating func take(_ delivery: Delivery) throws {
            let id = delivery.lease.task
            #expect(delivery.payload == submitted[id] || submitted[id] == nil, "the payload of \(id)")
            #expect(completed[id] == nil, "\(id) was delivered after its completion")
            #expect(delivery.lease.token > lastToken, "tokens grow")
            lastToken = delivery.lease.token
            leases.append(delivery)
        }

        /// Everything that was acknowledged is there.
        func check(_ broker: TestBroker, _ place: Comment) throws {
            for (id, payload) in submitted where completed[id] == nil {
                let status = try #require(try broker.status(id), place)
                #expect(status.state != .completed || payload.isEmpty == false, place)
            }
            for (id, result) in completed {
                #expect(try broker.result(id)?.result == result, place)
            }
        }
    }

    @Test(arguments: UInt64(1)...12)
    func acknowledgedWorkSurvivesPowerCuts(_ seed: UInt64) throws {
        let disk = SimulatedDisk()
        var client = Client(random: SplitMix64(seed: seed))
        // A claim may be undone by a power cut, so crashes must not quarantine anything here.
        let configuration = CoreConfiguration(leaseMilliseconds: 1_000_000)
        let broker = try TestBroker(disk, configuration: configuration)
        for cut in 0..<25 {
            for _ in 0..<client.below(30) { try client.step(broker) }
            // What is decided last is neither settled nor acknowledged.
            _ = try broker.send(.submit([TaskSpec(queue: "mail", type: "send")]))
            if client.below(2) == 0 { try broker.commitWithoutSync() }
            let mark = Mark(
                storeID: TestBroker.identity.id,
                syncedSequence: broker.log.synced.sequence,
                runningHash: broker.log.synced.runningHash
            )
            disk.powerCut(keepingUnsynced: Int(client.below(UInt64(disk.unsyncedCount) + 1)))
            try disk.reopen()
            try broker.restart(mark: mark)
            try client.check(broker, "seed \(seed), cut \(cut)")
        }
        #expect(client.submitted.count > 50 && client.completed.count > 10, "seed \(seed) did some work")
    }

    @Test func aCutThatLosesSyncedWorkIsNoticedByTheMark() throws {
        let honest = SimulatedDisk()
        let broker = try TestBroker(honest)
        broker.syncsGroups = false
        _ = try broker.send(.submit([TaskSpec(queue: "mail", type: "send")]))
        try broker.commit()
        // A disk that lies: it called the batch synced, and lost it.
        let mark = Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: broker.log.written.sequence,
            runningHash: broker.log.written.runningHash
        )
        honest.powerCut(keepingUnsynced: 0)
        try honest.reopen()
        #expect(throws: StorageError.self) { try broker.restart(mark: mark) }
    }

    @Test func whatRecoveryReadIsSyncedBeforeAnythingIsServed() throws {
        let disk = SimulatedDisk()
        let broker = try TestBroker(disk)
        broker.syncsGroups = false
        var spec = TaskSpec(queue: "mail", type: "send")
        spec.idempotencyKey = Bytes("once".utf8)
        _ = try broker.send(.submit([spec]))
        try broker.commit()
        // Killed before the sync; the restart finds the task, says "duplicate", and then the power fails.
        disk.kill()
        try disk.reopen()
        try broker.restart()
        guard case .submitted(let results) = try broker.ask(.submit([spec])) else { throw TestFailure("no reply") }
        let submission = try #require(try results.first?.get())
        #expect(submission.isDuplicate)
        disk.powerCut(keepingUnsynced: 0)
        try disk.reopen()
        try broker.restart()
        #expect(try broker.status(submission.id)?.state == .pending)
    }

    @Test(arguments: [SimulatedDisk.FailedOutcome.happened, .lost])
    func afterAFailedWriteNothingIsGuessed(_ outcome: SimulatedDisk.FailedOutcome) throws {
        let disk = SimulatedDisk()
        let broker = try TestBroker(disk)
        let first = try broker.submit(TaskSpec(queue: "mail", type: "send"))
        disk.plan(.init(failingWrites: [disk.writeCount + 1: outcome]))
        #expect(throws: StorageError.self) { try broker.submit(TaskSpec(queue: "mail", type: "send")) }
        let error = #expect(throws: StorageError.self) { try broker.log.sync() }
        #expect(error?.kind == .writesStopped)
        disk.kill()
        try disk.reopen()
        try broker.restart()
        #expect(try broker.status(first)?.state == .pending)
        #expect(broker.index.counts.pending == (outcome == .happened ? 2 : 1))
    }
}
