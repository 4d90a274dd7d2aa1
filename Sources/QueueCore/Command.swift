public import TQModel

/// The number of a session: one connection, or one user of a broker in the same process.
public typealias SessionID = UInt64

/// Everything that changes the queue's state, the passing of time included.
public enum Command: Sendable {
    case openSession(SessionID, SessionSettings)
    /// The connection is gone: its parked claims and streams end, and its leases if the session asked for that.
    case closeSession(SessionID)
    case request(SessionID, id: UInt32, Principal, Request)
    /// Time has passed: leases lapse, tasks become due, waits run out, results expire, silent workers are given up.
    case tick
    /// Rewrites what is left of old, mostly dead records.
    case clean
    /// A delivery's payload does not match its checksum: the task goes to the dead letters instead of the worker.
    case damagedPayload(LeaseHandle)
    /// How much room the disk has.
    case disk(isLow: Bool)
    /// Refuses submits and claims from now on.
    case drain
}

/// Stored bytes that a command needs before it can be decided.
public enum Fetch: Hashable, Sendable {
    /// A task's row and payload.
    case task(SegmentKey, place: UInt16)
    /// All rows and payloads of a segment.
    case segment(SegmentKey)
    /// The sequences in the transition record of a group.
    case transitions(GroupID)
    case deadLetter(TaskSequence)
    /// The locators that expire with a bucket.
    case locators(ExpiryBucket)
}

/// What was stored there.
public enum Fetched: Sendable {
    case task(TaskRow, payload: Bytes)
    case segment([(row: TaskRow, payload: Bytes)])
    case transitions([(transition: Transition, error: Bytes)])
    case deadLetter(DeadLetterRow, error: Bytes, payload: Bytes)
    case locators([LocatorKey])
    /// Nothing is stored there.
    case missing
    /// Something is stored there that does not match its checksum.
    case damaged(String)
}

/// A reply and what must be true before it may leave.
public struct Answer: Sendable {
    public var session: SessionID
    public var request: UInt32
    public var reply: Reply
    /// What the reply still lacks: bytes that are read from the store when it may leave.
    public var missing = Missing.nothing
    /// The group, by counter, that must be written (in the system's hands: it survives a kill).
    public var writtenThrough: UInt64
    /// The group, by counter, that must be synced (on the disk: it survives a power cut).
    public var syncedThrough: UInt64

    public init(
        session: SessionID,
        request: UInt32,
        reply: Reply,
        missing: Missing = .nothing,
        writtenThrough: UInt64,
        syncedThrough: UInt64
    ) {
        self.session = session
        self.request = request
        self.reply = reply
        self.missing = missing
        self.writtenThrough = writtenThrough
        self.syncedThrough = syncedThrough
    }

    /// Bytes that belong into a reply.
    public enum Missing: Sendable {
        case nothing
        /// The payloads of the deliveries, in their order.
        case payloads([PayloadPlace])
        /// What became of a task that has ended; for ``Reply/status(_:)`` or ``Reply/result(_:)``.
        case ended(TaskID, TaskSequence, Ended, asResult: Bool)
        /// The error of the attempt that failed last.
        case error(GroupID, TaskSequence)
        case deadLetters(DeadLetterQuery, after: TaskSequence)
    }
}

/// Where to look for a task that has ended.
public enum Ended: Hashable, Sendable {
    case outcome(OutcomeLocation)
    case deadLetter
    /// It may be a dead letter, have an outcome that a locator leads to, or have expired.
    case anywhere
}

/// Where a delivery's payload is stored.
public struct PayloadPlace: Hashable, Sendable {
    public var segment: SegmentKey
    public var place: UInt16

    public init(segment: SegmentKey, place: UInt16) {
        self.segment = segment
        self.place = place
    }
}

/// Something an operator should know; the broker logs it.
public enum Notice: Hashable, Sendable {
    case leaseLapsed(TaskID, worker: Name?, crashes: UInt16)
    case workerLost(Name, leases: UInt32)
    case deadLettered(TaskID, DeadLetterReason)
    /// A record that should be rewritten cannot be read.
    case damagedRecord(String)
}
