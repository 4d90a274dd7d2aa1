public import TQModel

/// A place in a list of tasks: where a page begins, the task there included.
public enum ListPosition: Hashable, Sendable {
    /// Among the tasks that have not ended.
    case live(TaskSequence)
    /// Among the dead letters.
    case deadLetter(TaskSequence)
    /// Among the tasks that have ended.
    case outcome(OutcomeLocation, TaskSequence)
    /// Among the tasks with a tag, which are one list whatever became of them.
    case tagged(TaskSequence)

    /// The first place of the dead letters.
    public static func deadLetters(isNewestFirst: Bool) -> Self {
        .deadLetter(isNewestFirst ? .last : TaskSequence(0))
    }

    /// The first place of the tasks that have ended.
    public static func outcomes(isNewestFirst: Bool) -> Self {
        let location =
            isNewestFirst
            ? OutcomeLocation(
                bucket: ExpiryBucket(rawValue: .max),
                group: GroupID(rawValue: .max),
                part: .max
            ) : OutcomeLocation(bucket: ExpiryBucket(rawValue: 0), group: GroupID(rawValue: 0), part: 0)
        return .outcome(location, isNewestFirst ? .last : TaskSequence(0))
    }

    /// Whether it is a place in a list of the tasks with a tag.
    var isLedByTag: Bool { if case .tagged = self { true } else { false } }

    // MARK: Cursors

    private enum Kind {
        static let live: UInt8 = 1
        static let deadLetter: UInt8 = 2
        static let outcome: UInt8 = 3
        static let tagged: UInt8 = 4
    }

    /// The place as clients get it: a byte for the part of the list, and numbers, big-endian.
    public var cursor: Bytes {
        switch self {
        case .live(let sequence): [Kind.live] + Self.bytes(sequence.rawValue)
        case .deadLetter(let sequence): [Kind.deadLetter] + Self.bytes(sequence.rawValue)
        case .outcome(let location, let sequence):
            [Kind.outcome] + Self.bytes(location.bucket.rawValue) + Self.bytes(location.group.rawValue)
                + Self.bytes(location.part) + Self.bytes(sequence.rawValue)
        case .tagged(let sequence): [Kind.tagged] + Self.bytes(sequence.rawValue)
        }
    }

    /// Reads what a client sent.
    ///
    /// - Throws: `invalidArgument` when no broker made it.
    init(cursor: Bytes) throws(TQError) {
        var rest = cursor.dropFirst()
        func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number {
            defer { rest = rest.dropFirst(MemoryLayout<Number>.size) }
            return rest.prefix(MemoryLayout<Number>.size).reduce(0) { $0 << 8 | Number($1) }
        }
        switch (cursor.first, cursor.count) {
        case (Kind.live, 9): self = .live(TaskSequence(number()))
        case (Kind.deadLetter, 9): self = .deadLetter(TaskSequence(number()))
        case (Kind.tagged, 9): self = .tagged(TaskSequence(number()))
        case (Kind.outcome, 23):
            let location = OutcomeLocation(
                bucket: ExpiryBucket(rawValue: number()),
                group: GroupID(rawValue: number()),
                part: number()
            )
            self = .outcome(location, TaskSequence(number()))
        default:
            throw TQError(
                .invalidArgument,
                "A cursor of \(cursor.count) bytes is none of this broker's: give the one that came with the page before."
            )
        }
    }

    private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> Bytes {
        withUnsafeBytes(of: number.bigEndian) { Bytes(Array($0)) }
    }
}
