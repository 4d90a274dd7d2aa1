import TQModel
import Testing

@testable import QueueCore

@Suite("Cleaning")
struct CleaningTests {
    /// A core in which few tasks are left of a segment of forty: one of each waiting state, and one in progress.
    private func sparse() throws -> (
        core: CoreHarness, failed: TaskID, scheduled: TaskID, lease: LeaseHandle, pending: TaskID
    ) {
        var core = CoreHarness()
        core.send(.submit((0..<40).map { TaskSpec(queue: "q", type: "t", payload: [UInt8($0)], retriesMax: 9) }))
        core.settle()
        let leases = core.claim(39, leaseMilliseconds: 1_000_000_000).map(\.lease)
        core.settle()
        for lease in leases.dropFirst(3) { #expect(core.complete(lease) == nil) }
        #expect(core.fail(leases[0], error: "why", retryAfter: 100_000_000) == nil)
        #expect(core.release(leases[1], delay: 100_000_000) == nil)
        let pending = try #require(core.core.index.pendingOrder[1].first)
        let slot = core.core.index.tasks[pending]
        return (
            core: core, failed: leases[0].task, scheduled: leases[1].task, lease: leases[2],
            pending: core.core.id(of: pending, slot)
        )
    }

    @Test("What is left of an old segment moves, and the segment and its transitions die")
    func moves() throws {
        var (core, failed, scheduled, lease, pending) = try sparse()
        core.ageRecords()
        #expect(core.core.hasSparseRecords)
        let oldest = try #require(core.store.segments.keys.min())
        for _ in 0..<20 where core.core.hasSparseRecords {
            core.run(.clean)
            core.settle()
        }
        #expect(!core.core.hasSparseRecords)
        #expect(core.store.segments[oldest] == nil)
        try core.checkIndex()
        #expect(core.status(failed)?.error.elementsEqual("why".utf8) == true)
        #expect(core.state(scheduled) == .scheduled)
        #expect(core.renew(lease) == nil)
        try core.restart()
        #expect(core.complete(lease) == nil)
        #expect(core.status(failed)?.error.elementsEqual("why".utf8) == true)
        core.advance(milliseconds: 100_000_000)
        guard case .payloads(let places)? = core.answer(.claim(ClaimSpec(queues: ["q"], count: 10)))?.missing else {
            Issue.record("nothing was claimed")
            return
        }
        core.settle()
        #expect(places.map { core.store.payload($0) } == [[0], [1], [39]])
        #expect(core.state(pending) == .inProgress)
    }

    @Test("Moved tasks are found after their end")
    func endsOfMoved() throws {
        var (core, failed, scheduled, lease, pending) = try sparse()
        core.ageRecords()
        core.run(.clean)
        #expect(core.cancel(failed) == .success(.cancelled))
        #expect(core.cancel(scheduled) == .success(.cancelled))
        #expect(core.cancel(pending) == .success(.cancelled))
        #expect(core.complete(lease) == nil)
        try core.checkIndex()
        #expect(
            [failed, scheduled, pending, lease.task].map { core.state($0) } == [
                .cancelled, .cancelled, .cancelled, .completed,
            ]
        )
    }

    @Test("A record that cannot be read is named, and nothing is lost")
    func damaged() throws {
        var (core, failed, _, _, _) = try sparse()
        core.ageRecords()
        core.settle()
        var copy = core.core
        let missing = copy.decide(.clean, now: core.now)
        #expect(!missing.isEmpty)
        let fetched = Dictionary(missing.map { ($0, Fetched.damaged("bad checksum")) }) { first, _ in first }
        #expect(copy.decide(.clean, fetched: fetched, now: core.now).isEmpty)
        #expect(copy.takeNotices().contains(.damagedRecord("bad checksum")))
        #expect(!copy.hasEffects)
        #expect(core.state(failed) == .failed)
    }

    @Test("A table of tasks keeps what it holds, over gaps and with stragglers")
    func taskTable() {
        var table = TaskTable()
        var slot = TaskSlot()
        slot.state = .pending
        var expected: Set<UInt64> = []
        func set(_ sequence: UInt64) {
            slot.createdMilliseconds = sequence
            table.set(TaskSequence(sequence), slot)
            expected.insert(sequence)
        }
        for sequence in 1...UInt64(20_000) { set(sequence) }
        for sequence in 1...UInt64(20_000) where sequence % 100 != 0 {
            table.remove(TaskSequence(sequence))
            expected.remove(sequence)
        }
        for sequence in [20_001, 30_000, 40_000, 10_000_000_000, 10_000_000_001, 50, 20_000_000_000] as [UInt64] {
            set(sequence)
        }
        for sequence in 0..<UInt64(3_000) { set(20_000_100_000 + sequence) }
        var found: [UInt64] = []
        table.forEach { sequence, slot in
            #expect(slot.createdMilliseconds == sequence.rawValue)
            found.append(sequence.rawValue)
        }
        #expect(found == expected.sorted())
        #expect(table.count == expected.count)
        for sequence in expected { table.remove(TaskSequence(sequence)) }
        #expect(table.count == 0)
    }

    @Test("Pages of ended tasks are given back")
    func pages() {
        var table = TaskTable()
        var slot = TaskSlot()
        slot.state = .pending
        for sequence in 1...UInt64(200_000) {
            table.set(TaskSequence(sequence), slot)
            if sequence > 500 { table.remove(TaskSequence(sequence - 500)) }
        }
        #expect(table.count == 500)
        #expect(table.pageCount < 300)
    }
}
