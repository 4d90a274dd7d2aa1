import ByteStore
import Glibc
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

@Suite struct RepairTests {
    /// Repairs a store, and opens the result as a broker would.
    private func repair(_ store: StoreOnDisk) throws -> (report: RepairReport, contents: [UInt64: String]) {
        let target = store.directory / "repaired"
        let before = try fingerprint(store.path)
        let report = try StoreRepair.run(
            source: store.path,
            target: target,
            wallMilliseconds: 1_700_000_100_000,
            acceptsLoss: true
        )
        #expect(try fingerprint(store.path) == before, "the source was changed")
        #expect(try ScratchDirectory.names(in: store.directory.path) == ["data", "repaired"])
        let mark = try HighWaterMark.read(target + "/mark")
        let opened = try RocksDBStorage.open(path: target + "/db", options: .numbered, createIfMissing: false)
        defer { opened.close() }
        let contents = try StoreOnDisk.contents(of: opened)
        let broker = try TestBroker(opened, mark: mark)
        #expect(broker.start.core.epoch > store.epoch, "tokens of before are still valid")
        for queue in ["mail", "images", "reports"] as [Name] {
            for delivery in try broker.claim(1000, queue: queue) { try broker.complete(delivery) }
        }
        try broker.settleAndSync()
        var problems: [StoreVerification.Problem] = []
        _ = StoreVerification.verify(opened, mark: mark) { problems.append($0) }
        #expect(problems.isEmpty)
        Salvage.removeTree(target)
        return (report, contents)
    }

    private func fingerprint(_ path: String) throws -> [String] {
        try Salvage.fileNames(in: path + "/db").map { name in
            "\(name) \(CRC32C.checksum(of: try ScratchDirectory.read("\(path)/db/\(name)")))"
        }
    }

    /// What the report is silent or wrong about: it must tell of every task that is not as it was, and of no other.
    private func faults(
        _ repaired: (report: RepairReport, contents: [UInt64: String]),
        _ expected: [UInt64: String]
    ) -> [String] {
        let report = repaired.report
        let buried = Set(report.buried.map(\.sequence.rawValue))
        let listed = Set((report.lostTasks + report.lostOutcomes).map(\.sequence.rawValue))
        func isMissing(_ sequence: UInt64) -> Bool { report.missing.contains { $0.contains(sequence) } }
        // Names, tags and ids that are gone change every line.
        let isTold =
            report.startedOver > 0 || report.untagged > 0 || !report.inventedNames.isEmpty
            || report.hasNewIDs
        var faults: [String] = []
        for (sequence, line) in expected {
            let isListed = listed.contains(sequence) || isMissing(sequence)
            if let found = repaired.contents[sequence] {
                if isListed { faults.append("task \(sequence) is there and called lost") }
                if found != line, !isTold, !buried.contains(sequence) { faults.append("\(line) became \(found)") }
                if !sameBytes(found, line) { faults.append("task \(sequence) has other bytes: \(line) and \(found)") }
            } else if !isListed {
                faults.append("task \(sequence) is gone without a word")
            }
        }
        // What ended and expired may come back when nothing is left that says so, and the report says that it may.
        for sequence in repaired.contents.keys where expected[sequence] == nil {
            if report.startedOver == 0, !buried.contains(sequence) {
                faults.append("task \(sequence) came from nowhere")
            }
        }
        let kept = report.waitingTasks + report.endedTasks + report.deadLetters + UInt64(buried.count)
        if kept != UInt64(repaired.contents.count) {
            faults.append("\(kept) of \(repaired.contents.count) tasks counted")
        }
        return faults
    }

    /// Whether payloads and results that are in both lines are the same.
    private func sameBytes(_ left: String, _ right: String) -> Bool {
        [" payload [", " result ["].allSatisfy { mark in
            let bytes = [left, right].compactMap { $0.text(after: mark) }
            return bytes.count < 2 || bytes[0] == bytes[1]
        }
    }

    @Test(arguments: StoreOnDisk.End.allCases, UInt64(1)...3)
    func aSoundStoreLosesNothing(_ end: StoreOnDisk.End, _ seed: UInt64) throws {
        let store = try StoreOnDisk(seed: seed, end: end)
        let repaired = try repair(store)
        #expect(repaired.contents == store.contents[store.lastBatch])
        #expect(repaired.report.lostBatches == 0 && repaired.report.recoveredBatch == store.lastBatch)
        let isWhole = repaired.report.families.allSatisfy { !$0.isDamaged }
        #expect(isWhole && repaired.report.notes.isEmpty)
        #expect(repaired.report.lostTasks.isEmpty && repaired.report.lostOutcomes.isEmpty)
        #expect(repaired.report.buried.isEmpty && repaired.report.inventedNames.isEmpty)
        #expect(repaired.report.untagged == 0)
        #expect(faults(repaired, store.contents[store.lastBatch] ?? [:]).isEmpty)
    }

    // MARK: Damage

    /// Something that a disk or a person does to a store's files.
    enum Damage: CaseIterable {
        case flippedBitInTable, zeroedPageInTable, cutTable, missingTable, everyTableFlipped
        case flippedManifest, missingManifest, emptyManifest, missingCurrent
        case missingMark, damagedMark

        func happen(to store: StoreOnDisk, _ random: inout SplitMix64) throws {
            let tables = try store.files(".sst")
            func anyTable() -> String { tables[Int(random.next() % UInt64(tables.count))] }
            switch self {
            case .flippedBitInTable: try flip(anyTable(), &random)
            case .zeroedPageInTable:
                try change(anyTable()) { bytes in
                    let start = Int(random.next() % UInt64(bytes.count))
                    for place in start..<min(start + 512, bytes.count) { bytes[place] = 0 }
                }
            case .cutTable: try change(anyTable()) { $0.removeLast($0.count / 2) }
            case .missingTable: try ScratchDirectory.remove(anyTable())
            case .everyTableFlipped: for table in tables { try flip(table, &random) }
            case .flippedManifest: for manifest in try store.files("MANIFEST") { try flip(manifest, &random) }
            case .missingManifest: for manifest in try store.files("MANIFEST") { try ScratchDirectory.remove(manifest) }
            case .emptyManifest: for manifest in try store.files("MANIFEST") { try change(manifest) { $0 = [] } }
            case .missingCurrent: try ScratchDirectory.remove(store.path + "/db/CURRENT")
            case .missingMark: try ScratchDirectory.remove(store.path + "/mark")
            case .damagedMark: try ScratchDirectory.write([1, 2, 3], to: store.path + "/mark")
            }
        }

        private func flip(_ path: String, _ random: inout SplitMix64) throws {
            try change(path) { bytes in
                let bit = random.next() % UInt64(bytes.count * 8)
                bytes[Int(bit / 8)] ^= 1 << UInt8(bit % 8)
            }
        }

        private func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
            var bytes = try ScratchDirectory.read(path)
            body(&bytes)
            try ScratchDirectory.write(bytes, to: path)
        }
    }

    @Test(arguments: Damage.allCases, StoreOnDisk.End.allCases)
    func everyTaskThatIsGoneIsReported(_ damage: Damage, _ end: StoreOnDisk.End) throws {
        for seed in UInt64(1)...4 {
            let store = try StoreOnDisk(seed: seed, end: end)
            var random = SplitMix64(seed: seed)
            try damage.happen(to: store, &random)
            let repaired = try repair(store)
            let faults = faults(repaired, store.contents[store.lastBatch] ?? [:])
            #expect(faults.first == nil, "seed \(seed): \(repaired.report.notes)")
        }
    }

    @Test(arguments: UInt64(1)...4)
    func attemptsThatNothingCountsAreLeftOut(_ seed: UInt64) throws {
        let store = try StoreOnDisk(seed: seed, end: .closed)
        let db = try RocksDBStorage.open(path: store.path + "/db", options: .numbered, createIfMissing: false)
        let batch = WriteBatch()
        batch.deleteRange(.inProgress, from: [], to: [UInt8](repeating: .max, count: 8))
        try db.write(batch, sync: true)
        try db.flush()
        db.close()
        let repaired = try repair(store)
        #expect(repaired.report.waitingTasks > 0)
    }

    @Test(arguments: UInt64(1)...6)
    func aLogIsCutWhereItIsDamagedAndWhatIsGoneIsCounted(_ seed: UInt64) throws {
        let store = try StoreOnDisk(seed: seed, flushes: 1, end: .killed, notesAll: true)
        var random = SplitMix64(seed: seed)
        let log = try #require(try store.files(".log").last)
        var bytes = try ScratchDirectory.read(log)
        bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
        try ScratchDirectory.write(bytes, to: log)
        let repaired = try repair(store)
        let batch = try #require(repaired.report.recoveredBatch)
        #expect(repaired.report.lostBatches == store.lastBatch - batch)
        #expect(repaired.contents == store.contents[batch], "it is not the store of batch \(batch)")
    }

    @Test func aLogThatIsGoneIsCountedAndItsTokensAreFenced() throws {
        let store = try StoreOnDisk(seed: 3, flushes: 1, restarts: 3, end: .killed, notesAll: true)
        for log in try store.files(".log") { try ScratchDirectory.remove(log) }
        let repaired = try repair(store)
        let batch = try #require(repaired.report.recoveredBatch)
        #expect(batch < store.lastBatch && repaired.report.lostBatches == store.lastBatch - batch)
        #expect(repaired.contents == store.contents[batch])
    }

    @Test func withoutAcceptanceNothingIsLeft() throws {
        let store = try StoreOnDisk(seed: 1, steps: 20, flushes: 0, end: .killed)
        let target = store.directory / "repaired"
        let report = try StoreRepair.run(source: store.path, target: target, wallMilliseconds: 1, acceptsLoss: false)
        #expect(report.recoveredBatch == store.lastBatch)
        #expect(try ScratchDirectory.names(in: store.directory.path) == ["data"])
        try ScratchDirectory.makeDirectory(target)
        let error = #expect(throws: StorageError.self) {
            try StoreRepair.run(source: store.path, target: target, wallMilliseconds: 1, acceptsLoss: true)
        }
        #expect(error?.message.contains(target) == true)
    }
}

extension String {
    /// The text between a mark and the next bracket; `nil` without the mark.
    fileprivate func text(after mark: String) -> Substring? {
        ranges(of: mark).first.map { self[$0.upperBound...].prefix { $0 != "]" } }
    }
}
