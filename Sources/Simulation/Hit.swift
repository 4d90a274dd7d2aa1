public import TQModel

/// Something that a campaign must have met at least once; a row of the table at its end.
public enum Hit: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case command(CommandKind)
    case reply(ReplyKind)
    case error(TQError.Code)
    case fault(Fault)
    case event(Happening)

    /// Every row, in the order of the table.
    public static let allCases: [Hit] =
        CommandKind.allCases.map { .command($0) } + ReplyKind.allCases.map { .reply($0) }
        + errors.map { .error($0) } + Fault.allCases.map { .fault($0) } + Happening.allCases.map { .event($0) }

    /// The errors that the core, and a broker whose disk fails, have for well-formed requests.
    private static let errors: [TQError.Code] = [
        .invalidArgument, .taskNotFound, .queueFull, .leaseLost, .conflict, .notCancellable, .outcomeUnknown,
        .readOnly, .diskFull, .draining, .timedOut, .workerNotFound,
    ]

    /// The part of the table.
    public var section: String {
        switch self {
        case .command: "command"
        case .reply: "reply"
        case .error: "error"
        case .fault: "fault"
        case .event: "event"
        }
    }

    public var description: String {
        switch self {
        case .command(let kind): kind.rawValue
        case .reply(let kind): kind.rawValue
        case .error(let code): code.name
        case .fault(let fault): fault.rawValue
        case .event(let happening): happening.rawValue
        }
    }
}

/// What the core is asked.
public enum CommandKind: String, Sendable, CaseIterable {
    case openSession, closeSession, tick, clean, disk, drain
    case submit, claim, openStream, addCredit, closeStream, complete, fail, release, renew, cancel, redrive
    case status, result, registerWorker, heartbeat, deregisterWorker, statistics, queues, workers, deadLetters
    case health, ping
}

/// What it answers, but for errors.
public enum ReplyKind: String, Sendable, CaseIterable {
    case submitted, claimed, delivery, outcomes, status, result, statistics, queues, workers, deadLetters, health, done
}

/// What goes wrong around the core.
public enum Fault: String, Sendable, CaseIterable {
    case kill, powerCut, powerCutLosingBatches, powerCutBetweenWriteAndSync, crashDuringRecovery, crashBeforeFirstReply
    case cleanStop, lostReply, failedWriteThatHappened, failedWriteThatDidNot, failedSyncThatHappened
    case failedSyncThatDidNot, diskFull, crashWhileReadOnly, wallClockForward, wallClockBack, lateTick
}

/// What must come about in the store and between clients.
public enum Happening: String, Sendable, CaseIterable {
    case duplicateSubmit, repeatedSubmit, staleToken, lateReplyOfEndedLease
    case leaseLapsed, workerLost, leaseEndedWithSession, taskDue
    case retriesExhausted, permanentFailure, quarantined, redriven
    case segmentDied, transitionsDied, survivorMoved, transitionCarried, locatorWritten
    case outcomesExpired, keysExpired
    case recoveryOfPendingTasks, recoveryOfLeases, claimUndone
    case replayCompared, orderChecked, storeRecounted, drained
}

/// How often each row was met.
public struct Hits: Sendable {
    private var counts: [Hit: UInt64] = [:]

    /// Creates an empty table.
    public init() {}

    /// How often that was met.
    public subscript(hit: Hit) -> UInt64 { counts[hit] ?? 0 }

    mutating func count(_ hit: Hit, by number: Int = 1) { counts[hit, default: 0] += UInt64(number) }

    /// Adds the counts of another run.
    public mutating func add(_ other: Hits) {
        for hit in Hit.allCases { counts[hit, default: 0] += other[hit] }
    }

    /// The rows that were never met.
    public var missing: [Hit] { Hit.allCases.filter { self[$0] == 0 } }
}
