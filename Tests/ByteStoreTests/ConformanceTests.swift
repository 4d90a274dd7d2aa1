import ByteStore
import Testing

/// The engines under one suite.
enum EngineKind: String, CaseIterable, CustomTestStringConvertible {
    case rocksDB = "RocksDB"
    case inMemory = "memory"
    case simulatedDisk = "simulated disk"

    var testDescription: String { rawValue }
}

/// An open store and the directory that it may live in.
struct Opened {
    let store: any ByteStore
    let scratch: ScratchDirectory

    init(_ kind: EngineKind) throws {
        scratch = try ScratchDirectory()
        store =
            switch kind {
            case .rocksDB: try RocksDBStorage.open(path: scratch / "db")
            case .inMemory: InMemoryStorage()
            case .simulatedDisk: SimulatedDisk()
            }
    }
}

@Suite("Every store")
struct ConformanceTests {
    @Test("gives back what was put, family by family", arguments: EngineKind.allCases)
    func putAndGet(kind: EngineKind) throws {
        let opened = try Opened(kind)
        for family in Family.allCases {
            let batch = batch {
                $0.put(family, key: bytes("key"), value: bytes(family.name))
                $0.put(family, key: bytes("empty"), value: [])
            }
            try opened.store.write(batch, sync: true)
        }
        for family in Family.allCases {
            #expect(try opened.store.text(family, "key") == family.name)
            #expect(try opened.store.get(family, bytes("empty")) == [])
            #expect(try opened.store.get(family, bytes("kex")) == nil)
            #expect(try opened.store.rows(family).count == 2)
        }
    }

    @Test("applies the operations of a batch in order", arguments: EngineKind.allCases)
    func order(kind: EngineKind) throws {
        let store = try Opened(kind)
        let batch = batch {
            $0.put(.index, key: bytes("a"), value: bytes("1"))
            $0.put(.index, key: bytes("b"), value: bytes("1"))
            $0.put(.index, key: bytes("c"), value: bytes("1"))
            $0.put(.index, key: bytes("a"), value: bytes("2"))
            $0.delete(.index, key: bytes("b"))
            $0.singleDelete(.index, key: bytes("c"))
            $0.delete(.index, key: bytes("never put"))
        }
        try store.store.write(batch, sync: false)
        #expect(try store.store.rows(.index) == [TestRow("a", "2")])
    }

    @Test("deletes ranges without their upper bound", arguments: EngineKind.allCases)
    func deleteRange(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let fill = batch { batch in
            for key in "abcdefgh" { batch.put(.completed, key: bytes("\(key)"), value: bytes("1")) }
            batch.put(.pending, key: bytes("c"), value: bytes("1"))
        }
        try opened.store.write(fill, sync: true)
        try opened.store.write(batch { $0.deleteRange(.completed, from: bytes("c"), to: bytes("f")) }, sync: true)
        #expect(try opened.store.rows(.completed).map(\.description) == ["a=1", "b=1", "f=1", "g=1", "h=1"])
        #expect(try opened.store.text(.pending, "c") == "1")

        let replace = batch {
            $0.deleteRange(.completed, from: [], to: bytes("z"))
            $0.put(.completed, key: bytes("d"), value: bytes("2"))
        }
        try opened.store.write(replace, sync: true)
        #expect(try opened.store.rows(.completed) == [TestRow("d", "2")])
    }

    @Test("scans from the lower bound to below the upper one", arguments: EngineKind.allCases)
    func scanBounds(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let keys: [[UInt8]] = [[], [0], [0, 0], [0, 1], [1], [0x7F], [0x80], [0xFF], [0xFF, 0xFF]]
        let fill = batch { batch in for key in keys.shuffled() { batch.put(.index, key: key, value: key) } }
        try opened.store.write(fill, sync: true)
        #expect(try opened.store.rows(.index).map(\.key) == keys)
        for lower in keys {
            #expect(try opened.store.rows(.index, from: lower).map(\.key) == keys.filter { !precedes($0, lower) })
            for upper in keys {
                let expected = keys.filter { !precedes($0, lower) && precedes($0, upper) }
                #expect(try opened.store.rows(.index, from: lower, to: upper).map(\.key) == expected)
            }
        }
        #expect(try opened.store.rows(.payload).isEmpty)
    }

    @Test("stops a scan where the body says so, and passes its error on", arguments: EngineKind.allCases)
    func scanStops(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let fill = batch { batch in for key in 0..<100 { batch.put(.index, key: [UInt8(key)], value: []) } }
        try opened.store.write(fill, sync: true)
        var seen: [UInt8] = []
        try opened.store.scan(.index, from: [10], to: nil) { key, _ in
            seen.append(key[0])
            return seen.count == 3 ? .stop : .continue
        }
        #expect(seen == [10, 11, 12])
        #expect(
            errorKind {
                try opened.store.scan(.index, from: [], to: nil) { _, _ throws(StorageError) in
                    throw StorageError(.corruption, "found by the body")
                }
            } == .corruption
        )
    }

    @Test("scans many rows and large rows whole", arguments: EngineKind.allCases)
    func largeScan(kind: EngineKind) throws {
        let opened = try Opened(kind)
        var generator = SeededGenerator(seed: 7)
        let rows = (0..<500).map { index in
            let size = index % 50 == 0 ? 200_000 : Int.random(in: 0...600, using: &generator)
            return TestRow([UInt8(index >> 8), UInt8(index & 0xFF)], generator.bytes(size))
        }
        for start in stride(from: 0, to: rows.count, by: 100) {
            let part = batch { batch in
                for row in rows[start..<start + 100] { batch.put(.payload, key: row.key, value: row.value) }
            }
            try opened.store.write(part, sync: false)
        }
        #expect(try opened.store.rows(.payload) == rows)
        try opened.store.flush()
        #expect(try opened.store.rows(.payload) == rows)
    }

    @Test("reads and writes within a scan, which keeps to its state", arguments: EngineKind.allCases)
    func reentrantScan(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let fill = batch { batch in
            for key in 0..<10 { batch.put(.pending, key: [UInt8(key)], value: [1]) }
        }
        try opened.store.write(fill, sync: true)
        var seen: [UInt8] = []
        try opened.store.scan(.pending, from: [], to: nil) { key, _ throws(StorageError) in
            seen.append(key[0])
            guard try opened.store.get(.pending, [9]) != nil || seen.count > 1 else { return .stop }
            try opened.store.write(
                batch {
                    $0.deleteRange(.pending, from: [0], to: [100])
                    $0.put(.pending, key: [50], value: [2])
                },
                sync: false
            )
            return .continue
        }
        #expect(seen == Array(0..<10))
        #expect(try opened.store.rows(.pending).map(\.key) == [[50]])
    }

    @Test("finds the last row of a range", arguments: EngineKind.allCases)
    func last(kind: EngineKind) throws {
        let opened = try Opened(kind)
        #expect(try opened.store.last(.index, from: [], through: [0xFF]) == nil)
        let fill = batch { batch in
            for key in ["b", "d", "f"] { batch.put(.index, key: bytes(key), value: bytes(key + key)) }
        }
        try opened.store.write(fill, sync: true)
        func last(_ lower: String, _ upper: String) throws -> String? {
            try opened.store.last(.index, from: bytes(lower), through: bytes(upper)).map {
                TestRow($0.key, $0.value).description
            }
        }
        #expect(try last("", "z") == "f=ff")
        #expect(try last("", "f") == "f=ff")
        #expect(try last("", "e") == "d=dd")
        #expect(try last("d", "e") == "d=dd")
        #expect(try last("d1", "e") == nil)
        #expect(try last("b", "b") == "b=bb")
        #expect(try last("", "a") == nil)
        #expect(try last("g", "z") == nil)
        #expect(try last("z", "a") == nil)
    }

    @Test("keeps a snapshot as it was", arguments: EngineKind.allCases)
    func snapshots(kind: EngineKind) throws {
        let opened = try Opened(kind)
        try opened.store.write(
            batch {
                $0.put(.index, key: bytes("a"), value: bytes("1"))
                $0.put(.index, key: bytes("b"), value: bytes("1"))
            },
            sync: true
        )
        let snapshot = try opened.store.snapshot()
        try opened.store.write(
            batch {
                $0.put(.index, key: bytes("a"), value: bytes("2"))
                $0.delete(.index, key: bytes("b"))
                $0.put(.index, key: bytes("c"), value: bytes("2"))
            },
            sync: true
        )
        try opened.store.flush()
        try opened.store.compact(.index, from: nil, to: nil)
        #expect(try snapshot.rows(.index).map(\.description) == ["a=1", "b=1"])
        #expect(try snapshot.text(.index, "a") == "1")
        #expect(try snapshot.text(.index, "c") == nil)
        #expect(try snapshot.last(.index, from: [], through: [0xFF])?.key == bytes("b"))
        #expect(try opened.store.rows(.index).map(\.description) == ["a=2", "c=2"])
    }

    @Test("writes a batch again after it was emptied, and leaves its image as it was", arguments: EngineKind.allCases)
    func reusedBatch(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let reused = WriteBatch()
        for round in 0..<20 {
            reused.removeAll()
            let value = [UInt8](repeating: UInt8(round), count: round * 3000)
            reused.put(.payload, key: [UInt8(round)], value: value)
            let before = reused.withUnsafeBytes { [UInt8]($0) }
            try opened.store.write(reused, sync: round % 2 == 0)
            #expect(reused.withUnsafeBytes { [UInt8]($0) } == before)
        }
        #expect(try opened.store.rows(.payload).map(\.value.count) == (0..<20).map { $0 * 3000 })
        #expect(try opened.store.get(.payload, [19]) == [UInt8](repeating: 19, count: 57000))
    }

    @Test("takes an empty batch", arguments: EngineKind.allCases)
    func emptyBatch(kind: EngineKind) throws {
        let opened = try Opened(kind)
        try opened.store.write(WriteBatch(), sync: true)
        try opened.store.sync()
        #expect(try opened.store.rows(.default).isEmpty)
    }

    @Test("says that it is closed, its snapshots too, and closes twice", arguments: EngineKind.allCases)
    func closing(kind: EngineKind) throws {
        let opened = try Opened(kind)
        try opened.store.write(batch { $0.put(.index, key: [1], value: [1]) }, sync: true)
        let snapshot = try opened.store.snapshot()
        opened.store.close()
        opened.store.close()
        #expect(errorKind { _ = try opened.store.get(.index, [1]) } == .closed)
        #expect(errorKind { _ = try opened.store.rows(.index) } == .closed)
        #expect(errorKind { _ = try opened.store.last(.index, from: [], through: [9]) } == .closed)
        #expect(errorKind { try opened.store.write(batch { $0.delete(.index, key: [1]) }, sync: true) } == .closed)
        #expect(errorKind { try opened.store.sync() } == .closed)
        #expect(errorKind { try opened.store.flush() } == .closed)
        #expect(errorKind { _ = try opened.store.snapshot() } == .closed)
        #expect(errorKind { _ = try snapshot.get(.index, [1]) } == .closed)
        #expect(errorKind { _ = try snapshot.rows(.index) } == .closed)
        #expect(opened.store.statistics(.index) == FamilyStatistics())
    }

    @Test("counts its rows about right", arguments: EngineKind.allCases)
    func statistics(kind: EngineKind) throws {
        let opened = try Opened(kind)
        let fill = batch { batch in for key in 0..<200 { batch.put(.completed, key: [UInt8(key)], value: [1, 2, 3]) } }
        try opened.store.write(fill, sync: true)
        #expect(opened.store.statistics(.completed).estimatedRows == 200)
        #expect(opened.store.statistics(.completed).memoryBytes >= 800)
        #expect(opened.store.statistics(.pending).estimatedRows == 0)
    }
}

/// Byte order, written apart from the stores' own.
func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.lexicographicallyPrecedes(right) }
