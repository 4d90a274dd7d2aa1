import ByteStore
import QueueCore
import TQModel

/// The keys of every record, big-endian so that they sort by their numbers; docs/storage-format.md shows the same.
enum KeyLayout {
    static let header = Array("applied".utf8)
    static let epoch = Array("epoch".utf8)
    static let identity = Array("store".utf8)

    static func segment(_ key: SegmentKey) -> [UInt8] { bytes(key.group.rawValue) + bytes(key.part) }
    static func transitions(_ group: GroupID) -> [UInt8] { bytes(group.rawValue) }

    static func outcomes(_ location: OutcomeLocation) -> [UInt8] {
        bytes(location.bucket.rawValue) + bytes(location.group.rawValue) + bytes(location.part)
    }

    static func outcomes(from bucket: ExpiryBucket) -> [UInt8] { bytes(bucket.rawValue) }
    static func deadLetter(_ sequence: TaskSequence) -> [UInt8] { bytes(sequence.rawValue) }

    // MARK: The index family: a letter, then numbers

    static func name(_ kind: NameKind, _ number: UInt32) -> [UInt8] { prefix("N") + [kind.rawValue] + bytes(number) }
    static func worker(_ number: UInt32) -> [UInt8] { prefix("W") + bytes(number) }
    static func keys(_ bucket: ExpiryBucket, _ group: GroupID) -> [UInt8] {
        keys(from: bucket) + bytes(group.rawValue)
    }
    static func keys(from bucket: ExpiryBucket) -> [UInt8] { prefix("K") + bytes(bucket.rawValue) }

    static func locator(_ key: LocatorKey) -> [UInt8] {
        prefix(key.isSegment ? "L" : "l") + bytes(key.sequence.rawValue)
    }

    static func attempt(_ sequence: TaskSequence, place: UInt8) -> [UInt8] { attempts(of: sequence) + [place] }
    static func attempts(of sequence: TaskSequence) -> [UInt8] { prefix("A") + bytes(sequence.rawValue) }

    static func tags(of sequence: TaskSequence) -> [UInt8] { prefix("t") + bytes(sequence.rawValue) }

    static func recurring(_ number: UInt32) -> [UInt8] { prefix("R") + bytes(number) }
    static func bulkOperation(_ number: UInt32) -> [UInt8] { prefix("B") + bytes(number) }

    static func recurringState(_ number: UInt32) -> [UInt8] { prefix("r") + bytes(number) }
    static func queuePolicy(_ queue: UInt32) -> [UInt8] { prefix("Q") + bytes(queue) }
    static func gate(_ key: GateKey) -> [UInt8] {
        prefix("G") + [key.kind.rawValue] + bytes(key.number) + Array(key.name.bytes)
    }
    static func deadHold(_ sequence: TaskSequence) -> [UInt8] { prefix("U") + bytes(sequence.rawValue) }

    /// Says in which bucket a record expires.
    static func expiry(_ record: ExpiringRecord) -> [UInt8] {
        switch record.kind {
        case .locator(let key): expiry(from: record.bucket) + locator(key)
        case .history(let sequence, let placeCount):
            expiry(from: record.bucket) + attempt(sequence, place: placeCount)
        case .tags(let sequence, _): expiry(from: record.bucket) + tags(of: sequence)
        }
    }

    static func expiry(from bucket: ExpiryBucket) -> [UInt8] { prefix("P") + bytes(bucket.rawValue) }

    static func counter(_ key: CounterKey) -> [UInt8] {
        switch key {
        case .outcomes(let bucket, let queue, let state):
            prefix("C") + prefix("o") + bytes(bucket.rawValue) + bytes(queue) + [state.rawValue]
        case .deadLetters(let queue): prefix("C") + prefix("d") + bytes(queue)
        case .resultBytes(let bucket, let queue):
            prefix("C") + prefix("r") + bytes(bucket.rawValue) + bytes(queue)
        case .deadLetterBytes(let queue): prefix("C") + prefix("b") + bytes(queue)
        }
    }

    /// The range of all keys that begin with a letter.
    static func range(_ letter: Unicode.Scalar) -> (lower: [UInt8], upper: [UInt8]) {
        (prefix(letter), [UInt8(ascii: letter) + 1])
    }

    static func next(_ bucket: ExpiryBucket) -> ExpiryBucket { ExpiryBucket(rawValue: bucket.rawValue + 1) }

    static func prefix(_ letter: Unicode.Scalar) -> [UInt8] { [UInt8(ascii: letter)] }

    static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}

/// Takes a key apart; one of the wrong length is corruption.
struct KeyReader {
    private var rest: Slice<UnsafeRawBufferPointer>

    init(_ key: UnsafeRawBufferPointer) { self.rest = key[...] }

    mutating func read<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws(StorageError) -> Number {
        guard rest.count >= MemoryLayout<Number>.size else {
            throw StorageError(.corruption, "A key is \(rest.count) bytes too short. Run 'tq-inspect verify'.")
        }
        var value: Number = 0
        for byte in rest.prefix(MemoryLayout<Number>.size) { value = value << 8 | Number(byte) }
        rest = rest.dropFirst(MemoryLayout<Number>.size)
        return value
    }

    /// All bytes that are left.
    mutating func takeRest() -> [UInt8] {
        defer { rest = rest.dropFirst(rest.count) }
        return Array(rest)
    }

    func end() throws(StorageError) {
        guard rest.isEmpty else {
            throw StorageError(.corruption, "A key is \(rest.count) bytes too long. Run 'tq-inspect verify'.")
        }
    }

    static func segment(_ key: UnsafeRawBufferPointer) throws(StorageError) -> SegmentKey {
        var reader = KeyReader(key)
        let group = GroupID(rawValue: try reader.read())
        let part: UInt16 = try reader.read()
        try reader.end()
        return SegmentKey(group: group, part: part)
    }

    static func number<Number: FixedWidthInteger>(_ key: UnsafeRawBufferPointer) throws(StorageError) -> Number {
        var reader = KeyReader(key)
        let number: Number = try reader.read()
        try reader.end()
        return number
    }

    static func outcomes(_ key: UnsafeRawBufferPointer) throws(StorageError) -> OutcomeLocation {
        var reader = KeyReader(key)
        let bucket = ExpiryBucket(rawValue: try reader.read())
        let group = GroupID(rawValue: try reader.read())
        let part: UInt16 = try reader.read()
        try reader.end()
        return OutcomeLocation(bucket: bucket, group: group, part: part)
    }

    static func locator(_ key: UnsafeRawBufferPointer) throws(StorageError) -> LocatorKey {
        var reader = KeyReader(key)
        guard case .locator(let key) = try reader.expiring() else {
            throw StorageError(.corruption, "A locator has the key of something else. Run 'tq-inspect verify'.")
        }
        return key
    }

    static func tags(_ key: UnsafeRawBufferPointer) throws(StorageError) -> TaskSequence {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let sequence = TaskSequence(try reader.read())
        try reader.end()
        return sequence
    }

    static func attempt(_ key: UnsafeRawBufferPointer) throws(StorageError) -> (sequence: TaskSequence, place: UInt8) {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let sequence = TaskSequence(try reader.read())
        let place: UInt8 = try reader.read()
        try reader.end()
        return (sequence, place)
    }

    static func expiry(_ key: UnsafeRawBufferPointer) throws(StorageError) -> ExpiringRecord {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let bucket = ExpiryBucket(rawValue: try reader.read())
        return ExpiringRecord(try reader.expiring(), bucket: bucket)
    }

    /// The end of a key: a letter, a sequence, and what belongs to the letter.
    private mutating func expiring() throws(StorageError) -> ExpiringRecord.Kind {
        let letter: UInt8 = try read()
        let sequence = TaskSequence(try read())
        let placeCount: UInt8 = letter == UInt8(ascii: "A") ? try read() : 0
        try end()
        switch Unicode.Scalar(letter) {
        case "L": return .locator(LocatorKey(sequence: sequence, isSegment: true))
        case "l": return .locator(LocatorKey(sequence: sequence, isSegment: false))
        case "A" where (1...Limits.historyMax).contains(placeCount):
            return .history(sequence, placeCount: placeCount)
        case "t": return .tags(sequence, [])
        default:
            throw StorageError(
                .corruption,
                "A key ends with the letter \(letter) and \(placeCount) places. Run 'tq-inspect verify'."
            )
        }
    }

    static func queuePolicy(_ key: UnsafeRawBufferPointer) throws(StorageError) -> UInt32 {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let queue: UInt32 = try reader.read()
        try reader.end()
        return queue
    }

    static func gate(_ key: UnsafeRawBufferPointer) throws(StorageError) -> GateKey {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let kind: UInt8 = try reader.read()
        let number: UInt32 = try reader.read()
        let name = Name(bytes: Bytes(reader.takeRest()))
        guard let kind = GateScope.Kind(rawValue: kind) else {
            throw StorageError(.corruption, "A gate is of kind \(kind), which is none. Run 'tq-inspect verify'.")
        }
        guard name.bytes.isEmpty != [.key, .group].contains(kind) else {
            throw StorageError(.corruption, "A gate of kind \(kind) is named '\(name)'. Run 'tq-inspect verify'.")
        }
        return GateKey(kind, number, name)
    }

    static func counter(_ key: UnsafeRawBufferPointer) throws(StorageError) -> CounterKey {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let letter = Unicode.Scalar(try reader.read(UInt8.self))
        let counter = try reader.counter(letter)
        try reader.end()
        return counter
    }

    private mutating func counter(_ letter: Unicode.Scalar) throws(StorageError) -> CounterKey {
        switch letter {
        case "d": return .deadLetters(queue: try read())
        case "b": return .deadLetterBytes(queue: try read())
        case "r": return .resultBytes(bucket: ExpiryBucket(rawValue: try read()), queue: try read())
        case "o":
            let (bucket, queue) = (ExpiryBucket(rawValue: try read()), try read(UInt32.self))
            guard let state = TaskState(rawValue: try read()), state.isFinal else {
                throw StorageError(.corruption, "A counter is not of a final state. Run 'tq-inspect verify'.")
            }
            return .outcomes(bucket: bucket, queue: queue, state: state)
        default:
            throw StorageError(.corruption, "A counter has the letter '\(letter)'. Run 'tq-inspect verify'.")
        }
    }
}
