import ByteStore

@testable import Storage

/// A row of a store, as an input holds it: a byte for the family, whose upper bit asks for valid checksums, a byte for
/// the length of the key, two for that of the value, the key, the value.
struct StoredRow {
    var family: Family
    var key: [UInt8]
    var value: [UInt8]

    init(_ family: Family, _ key: [UInt8], _ value: [UInt8]) {
        self.family = family
        self.key = key
        self.value = value
    }

    init(from input: inout ByteCursor) {
        let head = input.byte()
        family = Family(rawValue: head & 0x7f % UInt8(Family.allCases.count)) ?? .default
        let keyByteCount = Int(input.byte())
        let valueByteCount = Int(input.number() as UInt16)
        key = input.bytes(keyByteCount)
        value = input.bytes(valueByteCount)
        if head & 0x80 != 0 { seal() }
    }

    /// As an input, sealed.
    var bytes: [UInt8] {
        [family.rawValue | 0x80, UInt8(key.count), UInt8(value.count >> 8), UInt8(value.count & 0xff)] + key + value
    }

    /// Every row of a fixture.
    static func rows(ofFixture path: String) throws -> [StoredRow] {
        try Inputs.text(path).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard fields.count == 3, let family = Family.allCases.first(where: { $0.name == fields[0] }) else {
                return nil
            }
            return StoredRow(family, try Inputs.bytes(ofHex: fields[1]), try Inputs.bytes(ofHex: fields[2]))
        }
    }

    static let fixture = "Tests/Fixtures/storage-format-1.txt"

    // MARK: Checksums

    /// Makes the checksums fit what the record says, so that a reader gets past them.
    mutating func seal() { Self.seal(&value, family, key) }

    static func seal(_ value: inout [UInt8], _ family: Family, _ key: [UInt8]) {
        guard family != .default else { return sealEnd(&value) }
        guard value.count >= TableHeader.byteCount else { return }
        let head = TableHeader.byteCount
        if family == .deadLetter, value.count >= head + 36 {
            let tableStart = head + 36
            let tableByteCount = Int(number(value, at: head + 24))
            if tableByteCount <= value.count - tableStart {
                var table = Array(value[tableStart..<tableStart + tableByteCount])
                seal(&table, .pending, [])
                value.replaceSubrange(tableStart..<tableStart + tableByteCount, with: table)
            }
        }
        let (count, entryByteCount) = (Int(number(value, at: 4)), Int(value[2]) | Int(value[3]) << 8)
        let covered =
            switch family {
            case .pending: count * entryByteCount
            case .payload: count * 4
            case .completed: count * 64
            case .inProgress: Int(number(value, at: 8))
            case .index where key.first == UInt8(ascii: "K"): count * 40
            case .index where key.first == UInt8(ascii: "C"): 8
            default: value.count - head
            }
        guard covered <= value.count - head else { return }
        let crc = CRC32C.checksum(of: value[head..<head + covered], continuing: CRC32C.checksum(of: value[..<12]))
        set(&value, at: 12, crc)
        if family == .payload { sealBodies(&value, count: count) }
    }

    private static func sealBodies(_ value: inout [UInt8], count: Int) {
        let bodiesStart = TableHeader.byteCount + count * 4
        var start = bodiesStart
        for place in 0..<count {
            let end = bodiesStart + Int(number(value, at: TableHeader.byteCount + place * 4))
            guard start + 20 <= end, end <= value.count else { return }
            let head = CRC32C.checksum(of: value[start..<start + 16])
            set(&value, at: start + 16, CRC32C.checksum(of: value[start + 20..<end], continuing: head))
            start = end
        }
    }

    /// Seals a record that ends with the checksum of all before.
    static func sealEnd(_ value: inout [UInt8]) {
        guard value.count >= 4 else { return }
        set(&value, at: value.count - 4, CRC32C.checksum(of: value.dropLast(4)))
    }

    static func number(_ bytes: [UInt8], at place: Int) -> UInt32 {
        bytes[place..<place + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    static func set(_ bytes: inout [UInt8], at place: Int, _ number: UInt32) {
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: number >> UInt32(8 * index)) }
    }
}
