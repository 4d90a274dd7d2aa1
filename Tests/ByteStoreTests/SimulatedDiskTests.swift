import ByteStore
import Testing

@Suite("A simulated disk")
struct SimulatedDiskTests {
    private func put(_ disk: SimulatedDisk, _ key: String, sync: Bool = false) throws {
        try disk.write(
            batch {
                $0.put(.pending, key: bytes(key), value: bytes("v"))
                $0.put(.payload, key: bytes(key), value: bytes("v"))
            },
            sync: sync
        )
    }

    /// The keys present, which must be the same in both families.
    private func keys(_ disk: SimulatedDisk) throws -> String {
        let pending = try disk.rows(.pending)
        #expect(try disk.rows(.payload) == pending)
        return pending.map { String(decoding: $0.key, as: UTF8.self) }.joined()
    }

    @Test("loses in a power cut the batches after the last sync, from the end", arguments: 0...3)
    func powerCut(kept: Int) throws {
        let disk = SimulatedDisk()
        try put(disk, "a")
        try put(disk, "b", sync: true)
        for key in ["c", "d", "e"] { try put(disk, key) }
        #expect(disk.unsyncedCount == 3)
        disk.powerCut(keepingUnsynced: kept)
        #expect(errorKind { _ = try keys(disk) } == .closed)
        try disk.reopen()
        #expect(try keys(disk) == String("abcde".prefix(2 + kept)))
        #expect(disk.unsyncedCount == kept)
    }

    @Test("may lose after a reopening what it kept unsynced before")
    func secondPowerCut() throws {
        let disk = SimulatedDisk()
        for key in ["a", "b"] { try put(disk, key) }
        disk.powerCut(keepingUnsynced: 2)
        try disk.reopen()
        #expect(try keys(disk) == "ab")
        disk.powerCut(keepingUnsynced: 1)
        try disk.reopen()
        try disk.sync()
        disk.powerCut(keepingUnsynced: 0)
        try disk.reopen()
        #expect(try keys(disk) == "a")
    }

    @Test("keeps everything written when the process is killed")
    func kill() throws {
        let disk = SimulatedDisk()
        try put(disk, "a", sync: true)
        try put(disk, "b")
        disk.kill()
        try disk.reopen()
        #expect(try keys(disk) == "ab")
    }

    @Test(
        "fails the planned write, then every other one, and shows the outcome after reopening",
        arguments: [SimulatedDisk.FailedOutcome.happened, .lost]
    )
    func failedWrite(outcome: SimulatedDisk.FailedOutcome) throws {
        let disk = SimulatedDisk(faults: .init(failingWrites: [2: outcome]))
        try put(disk, "a")
        #expect(errorKind { try put(disk, "b") } == .io)
        #expect(errorKind { try put(disk, "c") } == .writesStopped)
        #expect(errorKind { try disk.sync() } == .writesStopped)
        #expect(try keys(disk) == "a", "the outcome is not known before the reopening")
        disk.kill()
        try disk.reopen()
        #expect(try keys(disk) == (outcome == .happened ? "ab" : "a"))
        try put(disk, "d")
        #expect(disk.writeCount == 3)
    }

    @Test(
        "fails the planned sync, after which a power cut shows its outcome",
        arguments: [SimulatedDisk.FailedOutcome.happened, .lost]
    )
    func failedSync(outcome: SimulatedDisk.FailedOutcome) throws {
        let disk = SimulatedDisk(faults: .init(failingSyncs: [2: outcome]))
        try put(disk, "a", sync: true)
        #expect(errorKind { try put(disk, "b", sync: true) } == .io)
        #expect(errorKind { try disk.sync() } == .writesStopped)
        #expect(try keys(disk) == "a")
        disk.powerCut(keepingUnsynced: 0)
        try disk.reopen()
        #expect(try keys(disk) == (outcome == .happened ? "ab" : "a"))
        #expect(disk.syncCount == 2)
    }

    @Test("is full until space is added")
    func outOfSpace() throws {
        let disk = SimulatedDisk()
        try put(disk, "a", sync: true)
        disk.setOutOfSpace(.lost)
        #expect(errorKind { try put(disk, "b") } == .noSpace)
        disk.kill()
        try disk.reopen()
        #expect(errorKind { try put(disk, "c") } == .noSpace)
        disk.setOutOfSpace(nil)
        #expect(errorKind { try put(disk, "d") } == .writesStopped)
        disk.kill()
        try disk.reopen()
        try put(disk, "e")
        #expect(try keys(disk) == "ae")
    }

    @Test("flips the bit it is told to, and no other")
    func flippedBit() throws {
        let disk = SimulatedDisk()
        try disk.write(batch { $0.put(.payload, key: [1], value: [0, 0, 0]) }, sync: true)
        try disk.write(batch { $0.put(.payload, key: [2], value: [0]) }, sync: false)
        #expect(disk.flipBit(10, in: .payload, key: [1]))
        #expect(try disk.get(.payload, [1]) == [0, 4, 0])
        disk.powerCut(keepingUnsynced: 0)
        try disk.reopen()
        #expect(try disk.get(.payload, [1]) == [0, 4, 0])
        #expect(!disk.flipBit(24, in: .payload, key: [1]))
        #expect(!disk.flipBit(-1, in: .payload, key: [1]))
        #expect(!disk.flipBit(0, in: .payload, key: [2]))
        #expect(!disk.flipBit(0, in: .pending, key: [1]))
    }

    @Test("refuses a single delete of a key that was put twice, and does nothing of its batch")
    func wrongSingleDelete() throws {
        let disk = SimulatedDisk()
        try put(disk, "a")
        try put(disk, "a")
        let wrong = batch {
            $0.put(.index, key: [1], value: [1])
            $0.singleDelete(.pending, key: bytes("a"))
        }
        #expect(errorKind { try disk.write(wrong, sync: true) } == .invalid)
        #expect(try disk.get(.index, [1]) == nil)
        try put(disk, "b")
        #expect(try keys(disk) == "ab")
    }

    @Test("has no checkpoint")
    func checkpoint() {
        #expect(errorKind { try SimulatedDisk().checkpoint(to: "/nowhere") } == .invalid)
    }
}
