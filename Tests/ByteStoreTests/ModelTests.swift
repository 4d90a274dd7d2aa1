import ByteStore
import Testing

/// A store as simple as can be: a dictionary per family, sorted when it is asked.
private struct Model {
    var families: [Family: [[UInt8]: [UInt8]]] = [:]

    func rows(_ family: Family, from lower: [UInt8] = [], to upper: [UInt8]? = nil) -> [TestRow] {
        (families[family] ?? [:])
            .filter { row in !precedes(row.key, lower) && upper.map { precedes(row.key, $0) } ?? true }
            .map { TestRow($0.key, $0.value) }
            .sorted { precedes($0.key, $1.key) }
    }

    func last(_ family: Family, from lower: [UInt8], through upper: [UInt8]) -> TestRow? {
        rows(family, from: lower).last { !precedes(upper, $0.key) }
    }
}

/// Random operations on a store and on the model at once.
private struct Walk {
    var generator: SeededGenerator
    var model = Model()
    /// Keys that only single deletes may remove, each put once.
    var onceKeys: [[UInt8]] = []
    var nextOnce: UInt32 = 0

    /// Short keys from a small alphabet meet often; they begin below 0x80, those put once at 0xF0.
    mutating func key() -> [UInt8] {
        (0..<Int.random(in: 0...3, using: &generator)).map { _ in
            [0, 1, 0x41, 0x7F].randomElement(using: &generator) ?? 0
        }
    }

    mutating func family() -> Family { [.pending, .completed, .index].randomElement(using: &generator) ?? .index }

    mutating func fill(_ batch: WriteBatch) {
        for _ in 0..<Int.random(in: 1...12, using: &generator) {
            let family = family()
            let key = key()
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                let value = generator.bytes(Int.random(in: 0...40, using: &generator))
                batch.put(family, key: key, value: value)
                model.families[family, default: [:]][key] = value
            case 5, 6:
                batch.delete(family, key: key)
                model.families[family]?[key] = nil
            case 7:
                let upper = self.key()
                guard !precedes(upper, key) else { continue }
                batch.deleteRange(family, from: key, to: upper)
                for row in model.rows(family, from: key, to: upper) { model.families[family]?[row.key] = nil }
            case 8: putOnce(batch)
            default: deleteOnce(batch)
            }
        }
    }

    private mutating func putOnce(_ batch: WriteBatch) {
        nextOnce += 1
        let key: [UInt8] = [0xF0] + withUnsafeBytes(of: nextOnce.bigEndian) { [UInt8]($0) }
        batch.put(.payload, key: key, value: key)
        model.families[.payload, default: [:]][key] = key
        onceKeys.append(key)
    }

    private mutating func deleteOnce(_ batch: WriteBatch) {
        guard let index = onceKeys.indices.randomElement(using: &generator) else { return }
        let key = onceKeys.remove(at: index)
        batch.singleDelete(.payload, key: key)
        model.families[.payload]?[key] = nil
    }

    mutating func compareRandomly(_ reader: any ByteStoreReader) throws {
        let family = family()
        let lower = key()
        let upper = key()
        #expect(try reader.get(family, lower) == model.families[family]?[lower])
        #expect(try reader.rows(family, from: lower, to: upper) == model.rows(family, from: lower, to: upper))
        let last = try reader.last(family, from: lower, through: upper).map { TestRow($0.key, $0.value) }
        #expect(last == model.last(family, from: lower, through: upper))
    }

    func compareAll(_ reader: any ByteStoreReader) throws {
        for family in Family.allCases { #expect(try reader.rows(family) == model.rows(family)) }
    }
}

@Suite("Against a model")
struct ModelTests {
    @Test("a random walk gives the same rows", arguments: EngineKind.allCases, [1, 2, 3] as [UInt64])
    func randomWalk(kind: EngineKind, seed: UInt64) throws {
        let opened = try Opened(kind)
        var walk = Walk(generator: SeededGenerator(seed: seed))
        let batch = WriteBatch()
        var held: (snapshot: any ByteStoreSnapshot, walk: Walk)?
        for step in 0..<400 {
            batch.removeAll()
            walk.fill(batch)
            try opened.store.write(batch, sync: step % 50 == 0)
            try walk.compareRandomly(opened.store)
            if step % 40 == 20 { held = (try opened.store.snapshot(), walk) }
            if step % 40 == 39, let held { try held.walk.compareAll(held.snapshot) }
            if step % 90 == 60 { try opened.store.flush() }
            if step % 150 == 140 { try opened.store.compact(.payload, from: nil, to: nil) }
        }
        try walk.compareAll(opened.store)
    }

    @Test("a store on disk has the same rows after every reopening", arguments: [11, 12] as [UInt64])
    func reopening(seed: UInt64) throws {
        let scratch = try ScratchDirectory()
        var walk = Walk(generator: SeededGenerator(seed: seed))
        let batch = WriteBatch()
        for round in 0..<8 {
            let store = try RocksDBStorage.open(path: scratch / "db")
            try walk.compareAll(store)
            for _ in 0..<40 {
                batch.removeAll()
                walk.fill(batch)
                try store.write(batch, sync: round % 2 == 0)
            }
            store.close()
        }
    }

    @Test("a hundred thousand rows stay in order in memory")
    func manyRows() throws {
        let store = InMemoryStorage()
        var generator = SeededGenerator(seed: 5)
        var keys = (0..<UInt32(100_000)).map { key in withUnsafeBytes(of: key.bigEndian) { [UInt8]($0) } }
        let sorted = keys
        keys.shuffle(using: &generator)
        for start in stride(from: 0, to: keys.count, by: 10_000) {
            let part = batch { batch in
                for key in keys[start..<start + 10_000] { batch.put(.pending, key: key, value: key) }
            }
            try store.write(part, sync: false)
        }
        #expect(try store.rows(.pending).map(\.key) == sorted)
        #expect(store.statistics(.pending) == FamilyStatistics(estimatedRows: 100_000, memoryBytes: 800_000))
        let half = batch { $0.deleteRange(.pending, from: sorted[0], to: sorted[50_000]) }
        try store.write(half, sync: false)
        #expect(try store.rows(.pending).map(\.key) == Array(sorted[50_000...]))
    }
}
