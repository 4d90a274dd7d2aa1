public import TQModel

/// A record of outcomes as it was read, to forget some of them.
public struct OutcomeRecord: Sendable {
    /// Where it is.
    public var location: OutcomeLocation
    /// All its outcomes in order of their sequences.
    public var rows: [OutcomeRow]
    /// Their results, into which the rows' spans point.
    public var results: Bytes
    /// Those that are meant, in the same order, with what else is stored of them.
    public var meant: [(row: OutcomeRow, traces: OutcomeTraces)]

    /// Creates a record.
    public init(
        location: OutcomeLocation,
        rows: [OutcomeRow],
        results: Bytes,
        meant: [(row: OutcomeRow, traces: OutcomeTraces)]
    ) {
        self.location = location
        self.rows = rows
        self.results = results
        self.meant = meant
    }
}

/// A place among outcomes in the order of their records.
public struct OutcomePosition: Hashable, Sendable {
    /// The record.
    public var location: OutcomeLocation
    /// The first task that counts in it.
    public var sequence: TaskSequence

    /// Creates a place; without a sequence that of the record's first outcome.
    public init(_ location: OutcomeLocation, _ sequence: TaskSequence = TaskSequence(0)) {
        self.location = location
        self.sequence = sequence
    }
}

/// What a walk over records of outcomes met on its way.
public struct OutcomeWalk: Sendable {
    /// Outcomes that it looked at.
    public var scanned: UInt64 = 0
    /// Records, or parts of them, that cannot be read.
    public var damaged: UInt64 = 0
    /// Where it goes on; `nil` at the end.
    public var next: OutcomePosition?

    /// Creates a walk that has met nothing.
    public init() {}
}

/// What is stored of a task that has ended, beside its outcome.
public struct OutcomeTraces: Sendable {
    /// Its history and its tags, which expire with the outcome.
    public var expiring: [ExpiringRecord]
    /// The locator that leads to the outcome; `nil` while the task's segment is there.
    public var locator: Locator?

    /// Creates traces.
    public init(expiring: [ExpiringRecord], locator: Locator?) {
        self.expiring = expiring
        self.locator = locator
    }
}

/// A record of outcomes after some of them were forgotten.
public struct RewrittenOutcomes: Hashable, Sendable {
    /// Where it is.
    public var location: OutcomeLocation
    /// What is left, with results in the batch's results; nothing deletes the record.
    public var rows: [OutcomeRow]
    /// What lists do not find it by any more.
    public var unlisted: [ListedBy]

    /// Creates one.
    public init(location: OutcomeLocation, rows: [OutcomeRow], unlisted: [ListedBy]) {
        self.location = location
        self.rows = rows
        self.unlisted = unlisted
    }
}

/// A locator that leads to fewer outcomes than before.
public struct RewrittenLocator: Hashable, Sendable {
    /// The bucket that it expired with.
    public var oldBucket: ExpiryBucket
    /// Where it leads now.
    public var locator: Locator

    /// Creates one.
    public init(oldBucket: ExpiryBucket, locator: Locator) {
        self.oldBucket = oldBucket
        self.locator = locator
    }
}

/// What outcomes are listed by.
public struct ListedBy: Hashable, Comparable, Sendable {
    /// A queue, a type, or a state.
    public var kind: Kind
    /// Its number.
    public var number: UInt32

    /// Creates one.
    public init(_ kind: Kind, _ number: UInt32) {
        self.kind = kind
        self.number = number
    }

    /// What tasks are listed by.
    public enum Kind: UInt8, CaseIterable, Sendable {
        case queue = 1
        case type = 2
        /// Of outcomes alone.
        case state = 3
    }

    /// What some outcomes are listed by, in order.
    public static func all(of rows: some Sequence<OutcomeRow>) -> [Self] {
        var all: Set<Self> = []
        for row in rows {
            all.insert(Self(.queue, row.queue))
            all.insert(Self(.type, row.type))
            all.insert(Self(.state, UInt32(row.state.rawValue)))
        }
        return all.sorted()
    }

    /// Orders by kind, then by number.
    public static func < (left: Self, right: Self) -> Bool {
        (left.kind.rawValue, left.number) < (right.kind.rawValue, right.number)
    }
}
