import ByteStore
import QueueCore
import TQModel

/// Rows without a value that lead from what tasks are listed by to records of ended tasks.
///
/// A list of few among many follows the rows of what they have in common, instead of reading all records. What expires is found
/// by the time at which it does.
enum Posting {
    typealias Kind = ListedBy.Kind

    // MARK: Dead letters: `D` kind, number, sequence; `E` bucket, sequence

    static func all(of letter: DeadLetterKey) -> [[UInt8]] {
        let sequence = KeyLayout.bytes(letter.sequence.rawValue)
        let lists = [deadLetters(.queue, letter.queue) + sequence, deadLetters(.type, letter.type) + sequence]
        guard letter.bucket.rawValue > 0 else { return lists }
        return lists + [KeyLayout.prefix("E") + KeyLayout.bytes(letter.bucket.rawValue) + sequence]
    }

    static func deadLetters(_ kind: Kind, _ number: UInt32) -> [UInt8] {
        KeyLayout.prefix("D") + [kind.rawValue] + KeyLayout.bytes(number)
    }

    static func deadLetter(
        _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> (kind: Kind, number: UInt32, sequence: TaskSequence) {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let kind = try self.kind(&reader)
        let number: UInt32 = try reader.read()
        let sequence = TaskSequence(try reader.read())
        try reader.end()
        return (kind, number, sequence)
    }

    static func expiringDeadLetter(
        _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> (bucket: ExpiryBucket, sequence: TaskSequence) {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let bucket = ExpiryBucket(rawValue: try reader.read())
        let sequence = TaskSequence(try reader.read())
        try reader.end()
        return (bucket, sequence)
    }

    // MARK: Outcomes: `O` bucket, kind, number, group, part; they expire with the bucket

    /// A row for each queue, type and state in the record.
    static func all(of rows: [OutcomeRow], at location: OutcomeLocation) -> [[UInt8]] {
        ListedBy.all(of: rows).map { outcomes($0, at: location) }
    }

    static func outcomes(_ list: ListedBy, at location: OutcomeLocation) -> [UInt8] {
        outcomes(location.bucket, list.kind, list.number) + KeyLayout.bytes(location.group.rawValue)
            + KeyLayout.bytes(location.part)
    }

    static func outcomes(from bucket: ExpiryBucket) -> [UInt8] {
        KeyLayout.prefix("O") + KeyLayout.bytes(bucket.rawValue)
    }

    static func outcomes(_ bucket: ExpiryBucket, _ kind: Kind, _ number: UInt32) -> [UInt8] {
        outcomes(from: bucket) + [kind.rawValue] + KeyLayout.bytes(number)
    }

    static func outcome(
        _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> (list: ListedBy, location: OutcomeLocation) {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let bucket = ExpiryBucket(rawValue: try reader.read())
        let kind = try kind(&reader)
        let number: UInt32 = try reader.read()
        let group = GroupID(rawValue: try reader.read())
        let part: UInt16 = try reader.read()
        try reader.end()
        return (ListedBy(kind, number), OutcomeLocation(bucket: bucket, group: group, part: part))
    }

    // MARK: Tasks with a tag: `T` length, tag, sequence

    static func tagged(_ tag: TaskTag, _ sequence: TaskSequence) -> [UInt8] {
        tagged(tag) + KeyLayout.bytes(sequence.rawValue)
    }

    static func tagged(_ tag: TaskTag) -> [UInt8] {
        KeyLayout.prefix("T") + [UInt8(tag.bytes.count)] + tag.bytes
    }

    static func tagged(_ key: UnsafeRawBufferPointer) throws(StorageError) -> (tag: TaskTag, sequence: TaskSequence) {
        var reader = KeyReader(key)
        _ = try reader.read(UInt8.self)
        let count: UInt8 = try reader.read()
        var bytes: Bytes = []
        for _ in 0..<count { bytes.append(try reader.read()) }
        let sequence = TaskSequence(try reader.read())
        try reader.end()
        return (TaskTag(bytes: bytes), sequence)
    }

    private static func kind(_ reader: inout KeyReader) throws(StorageError) -> Kind {
        let number: UInt8 = try reader.read()
        guard let kind = Kind(rawValue: number) else {
            throw StorageError(.corruption, "A key is listed by \(number), which is nothing. Run 'tq-inspect verify'.")
        }
        return kind
    }
}
