public import Recurrence
public import TQModel

/// The number of a session: one connection, or one user of a broker in the same process.
public typealias SessionID = UInt64

/// Everything that changes the queue's state, the passing of time included.
public enum Command: Sendable {
    /// A client has connected.
    case openSession(SessionID, SessionSettings)
    /// The connection is gone: its parked claims and streams end, and its leases if the session asked for that.
    case closeSession(SessionID)
    /// What a client asks, with its own number for the reply.
    case request(SessionID, id: UInt32, Principal, Request)
    /// Time has passed: leases lapse, tasks become due, waits run out, results expire, silent workers are given up.
    case tick
    /// Rewrites what is left of old, mostly dead records.
    case clean
    /// Lets a bulk operation change some more tasks.
    case stepBulk
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
    /// The dead letter of a task, with its error and payload.
    case deadLetter(TaskSequence)
    /// The dead letters of a selection from a sequence on, the earliest first, at most so many.
    case deadLetters(TaskSelection, from: TaskSequence, through: TaskSequence, limit: Int)
    /// What made a task's last attempt fail.
    case lastError(TaskSequence)
    /// How a task ended that is not in memory; when it was put back lately, since that redrive.
    case fate(TaskID, TaskSequence, redrive: UInt64)
    /// What the file of a time zone says.
    case zone(ZoneName)
    /// What is left of expired buckets up to this one, the earliest first, at most so many.
    case expiring(through: ExpiryBucket, limit: Int)
    /// The tags of a task, as they were stored with the row that lies in that segment.
    case tags(TaskSequence, of: SegmentKey)
    /// Tasks with a tag in the order of their submits, or against it, from one on, at most so many.
    case tagged(TaskTag, from: TaskSequence, isDescending: Bool, limit: Int)
    /// Dead letters that expire in buckets up to this one, the earliest first, at most so many.
    case expiringDeadLetters(through: ExpiryBucket, limit: Int, ReadTurn)
    /// The oldest dead letters of a queue by their submits, at most so many.
    case oldestDeadLetters(queue: UInt32, limit: Int, ReadTurn)
    /// The outcomes of a selection from a place on, of tasks up to one, in the order in which they expire, about so many.
    case outcomes(TaskSelection, from: OutcomePosition, through: TaskSequence, limit: Int, ReadTurn)
}

/// When something is asked for: what was found in an earlier turn may be older than what the core remembers of what has gone
/// since.
public struct ReadTurn: Hashable, Sendable {
    var epoch: UInt32
    var number: UInt64
}

/// What was stored there.
public enum Fetched: Sendable {
    /// The row and the payload of one task.
    case task(TaskRow, payload: Bytes)
    /// The rows of a segment in the order of their places.
    case segment([(row: TaskRow, payload: Bytes)])
    /// The tasks of the transitions of a group, in the order of their decision.
    case transitions([TaskSequence])
    /// A dead letter with its error and payload.
    case deadLetter(DeadLetterRow, error: Bytes, payload: Bytes)
    /// Some dead letters without their errors, what is wrong with those that cannot be read, and where the next ones begin;
    /// `nil` behind the last one.
    case deadLetters([(row: DeadLetterRow, payload: Bytes)], unreadable: [String], next: TaskSequence?)
    /// An error; empty for a task that has none.
    case lastError(Bytes)
    /// The state in which a task ended.
    case fate(TaskState)
    /// The rules of a time zone.
    case zone(ZoneRules)
    /// What is left of expired buckets.
    case expiring([ExpiringRecord])
    /// The tags of a task.
    case tags([TaskTag])
    /// Tasks with a tag.
    case tagged([TaskSequence])
    /// Dead letters that are to go, without their errors and payloads, and the bucket of the next one that expires.
    case endingDeadLetters([DeadLetterRow], next: ExpiryBucket?)
    /// Some records of outcomes, and what was met on the way.
    case outcomes([OutcomeRecord], OutcomeWalk)
    /// Nothing is stored there.
    case missing
    /// Something is stored there that does not match its checksum.
    case damaged(String)
    /// Not read: what was read before it is as much as one command may hold in memory. Its turn comes with another one.
    case postponed

    /// The payloads and errors in it.
    public var byteCount: Int {
        switch self {
        case .task(_, let payload): payload.count
        case .segment(let tasks): tasks.reduce(0) { $0 + $1.payload.count }
        case .deadLetter(_, let error, let payload): error.count + payload.count
        case .deadLetters(let letters, _, _): letters.reduce(0) { $0 + $1.payload.count }
        case .lastError(let error): error.count
        case .outcomes(let records, _): records.reduce(0) { $0 + $1.results.count }
        case .fate, .transitions, .zone, .expiring, .tags, .tagged, .endingDeadLetters, .missing, .damaged, .postponed:
            0
        }
    }

    var isPostponed: Bool {
        if case .postponed = self { true } else { false }
    }
}

/// A reply and what must be true before it may leave.
public struct Answer: Sendable {
    /// The session that asked.
    public var session: SessionID
    /// The session's own number for the request, or for the one that opened the stream.
    public var request: UInt32
    /// What to answer, or all of it but the missing bytes.
    public var reply: Reply
    /// What the reply still lacks: bytes that are read from the store when it may leave.
    public var missing = Missing.nothing
    /// The group, by counter, that must be written (in the system's hands: it survives a kill).
    public var writtenThrough: UInt64
    /// The group, by counter, that must be synced (on the disk: it survives a power cut).
    public var syncedThrough: UInt64

    /// Creates an answer.
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

    /// Whether the missing bytes are read as they are then, and not at a place that was decided: what was written a moment ago
    /// is among them, and a power cut may still undo it.
    public var readsNewest: Bool {
        switch missing {
        case .tasks, .taggedTasks, .deadLetters, .details, .ended(_, _, .anywhere, asResult: _),
            .ended(_, _, .deadLetter, asResult: _):
            true
        case .nothing, .payloads, .ended, .compaction: false
        }
    }

    /// Bytes that belong into a reply.
    public enum Missing: Sendable {
        /// The reply is whole.
        case nothing
        /// The payloads of the deliveries, in their order.
        case payloads([PayloadPlace])
        /// What became of a task that has ended; for ``Reply/status(_:)`` or ``Reply/result(_:)``.
        case ended(TaskID, TaskSequence, Ended, asResult: Bool)
        /// That the compaction which was asked for is done; for ``Reply/compacted(_:)``.
        case compaction
        /// The history and the tags of a task that has not ended; for ``Reply/status(_:)``.
        case details(TaskSequence, hasHistory: Bool, isTagged: Bool)
        /// The errors of failed tasks in a page of a list and the tags of those that carry some, and its stored part from a
        /// place on.
        case tasks(TaskQuery, TaskSelection, from: ListPosition, tagged: Set<TaskSequence>)
        /// A page of a list of tasks with a tag: those that are among these, which are followed by others at `next`.
        case taggedTasks(TaskQuery, TaskSelection, [TaggedTask], next: TaskSequence?)
        /// A page of dead letters behind a sequence.
        case deadLetters(DeadLetterQuery, after: TaskSequence)
    }
}

/// A task with a tag that a list looks for.
public struct TaggedTask: Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// Where it is.
    public var place: Place

    /// Where a task with a tag is.
    public enum Place: Sendable {
        /// It has not ended, and is meant as far as the core can tell.
        case inMemory(TaskStatus)
        /// It has ended, or is a dead letter.
        case stored(Ended)
    }
}

/// Where to look for a task that has ended.
public enum Ended: Hashable, Sendable {
    /// Its outcome is stored there.
    case outcome(OutcomeLocation)
    /// It was buried by that group, or its burial was carried along by it.
    case deadLetter(GroupID)
    /// It may be a dead letter, have an outcome that a locator leads to, or have expired.
    ///
    /// It was asked for when that many dead letters had been put back since the start.
    case anywhere(redrives: UInt64)
}

/// Where a delivery's payload is stored.
public struct PayloadPlace: Hashable, Sendable {
    /// The segment, and the key of its payload record.
    public var segment: SegmentKey
    /// The task's place in the segment, from 0.
    public var place: UInt16

    /// Creates a place.
    public init(segment: SegmentKey, place: UInt16) {
        self.segment = segment
        self.place = place
    }
}

/// Something an operator should know; the broker logs it.
public enum Notice: Hashable, Sendable {
    /// A lease lapsed or its worker was lost (`nil`: the client was no worker); `crashes` is the task's count now.
    case leaseLapsed(TaskID, worker: Name?, crashes: UInt16)
    /// An attempt was taken back because it took longer than its timeout (worker `nil`: the client was no worker).
    case attemptTimedOut(TaskID, worker: Name?, attempt: UInt16)
    /// A worker was silent for too long and is given up, with that many leases.
    case workerLost(Name, leases: UInt32)
    /// A task became a dead letter.
    case deadLettered(TaskID, DeadLetterReason)
    /// A bulk operation was started.
    case bulkStarted(BulkStatus)
    /// A bulk operation met all its tasks, or was stopped.
    case bulkEnded(BulkStatus)
    /// Somebody has changed a gate.
    case gateChanged(GateStatus)
    /// Attempts have opened or closed the circuit of a gate, or it tries some.
    case circuitTurned(GateStatus)
    /// The pause of a gate is over.
    case pauseEnded(GateStatus)
    /// Recurring tasks in a time zone are not due, because its file cannot be used.
    case zoneUnusable(ZoneName, String)
    /// A record that should be rewritten cannot be read.
    case damagedRecord(String)
}
