import ByteStore
import Testing

/// A small generator with a seed, the same everywhere (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// The bytes of a text.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A batch made of the calls in the closure.
func batch(_ build: (WriteBatch) -> Void) -> WriteBatch {
    let batch = WriteBatch()
    build(batch)
    return batch
}

/// A row as a test compares it.
struct TestRow: Hashable, CustomStringConvertible {
    var key: [UInt8]
    var value: [UInt8]

    init(_ key: [UInt8], _ value: [UInt8]) {
        self.key = key
        self.value = value
    }

    init(_ key: String, _ value: String) { self.init(bytes(key), bytes(value)) }

    var description: String { "\(String(decoding: key, as: UTF8.self))=\(String(decoding: value, as: UTF8.self))" }
}

extension ByteStoreReader {
    /// All rows of a range.
    func rows(_ family: Family, from lower: [UInt8] = [], to upper: [UInt8]? = nil) throws -> [TestRow] {
        var rows: [TestRow] = []
        try scan(family, from: lower, to: upper) { key, value in
            rows.append(TestRow([UInt8](key), [UInt8](value)))
            return .continue
        }
        return rows
    }

    /// The value of a key as text.
    func text(_ family: Family, _ key: String) throws -> String? {
        try get(family, bytes(key)).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// The kind of the storage error that the body throws.
func errorKind(_ body: () throws -> Void) -> StorageError.Kind? {
    do {
        try body()
        return nil
    } catch {
        return (error as? StorageError)?.kind
    }
}
