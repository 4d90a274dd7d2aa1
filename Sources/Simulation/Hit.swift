public import TQModel

/// Something that a campaign must have met at least once; a row of the table at its end.
public enum Hit: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// The core was asked that.
    case command(CommandKind)
    /// The core answered that.
    case reply(ReplyKind)
    /// The core refused with that.
    case error(TQError.Code)
    /// That went wrong.
    case fault(Fault)
    /// That came about.
    case event(Happening)

    /// Every row, in the order of the table.
    public static let allCases: [Hit] =
        CommandKind.allCases.map { .command($0) } + ReplyKind.allCases.map { .reply($0) }
        + errors.map { .error($0) } + Fault.allCases.map { .fault($0) } + Happening.allCases.map { .event($0) }

    /// The errors that the core, and a broker whose disk fails, have for well-formed requests.
    private static let errors: [TQError.Code] = [
        .invalidArgument, .taskNotFound, .queueFull, .leaseLost, .cancelRequested, .conflict, .notCancellable,
        .outcomeUnknown, .readOnly, .diskFull, .draining, .timedOut, .workerNotFound, .recurringNotFound,
        .bulkNotFound,
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

    /// The row's name in its section.
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
    /// What comes from connections, clocks and the broker itself.
    case openSession, closeSession, tick, clean, stepBulk, disk, drain
    /// What changes tasks.
    case submit, claim, openStream, addCredit, closeStream, complete, fail, release, renew, cancel, redrive, purge
    /// What changes many.
    case startBulk, bulkOperations, stopBulk
    /// What reads, and what workers say of themselves.
    case status, result, tasks, statistics, queues, workers, deadLetters
    case registerWorker, heartbeat, deregisterWorker, orderWorker
    /// What needs no task.
    case health, ping, compact
    /// Recurring tasks.
    case putRecurring, removeRecurring, pauseRecurring, runRecurring, recurring, upcomingTicks
    /// What queues say of their tasks, and what holds tasks back.
    case putQueuePolicy, changeGate, gates, explain, explainQueue
}

/// What it answers, but for errors.
public enum ReplyKind: String, Sendable, CaseIterable {
    /// One for each kind of reply.
    case submitted, claimed, delivery, outcomes, completed, cancellations, cancelRequested
    /// Answers to those who look.
    case status, result, tasks, workerOrder, statistics, queues, workers, deadLetters, bulkOperations
    case compacted, recurring, ticks, gates, explanation, health, done
}

/// What goes wrong around the core.
public enum Fault: String, Sendable, CaseIterable {
    /// Stops at the worst moments.
    case kill, powerCut, powerCutLosingBatches, powerCutBetweenWriteAndSync, crashDuringRecovery, crashBeforeFirstReply
    case cleanStop
    /// A network that loses, delays, reorders and cuts; a late request arrives after its client gave up.
    case lostReply, delayedReply, lostRequest, delayedRequest, overtakenRequest, lateRequest, cutConnection
    /// Writes and syncs of unknown outcome.
    case failedWriteThatHappened, failedWriteThatDidNot, failedSyncThatHappened, failedSyncThatDidNot
    /// A disk that is slow or full, and clocks that jump or stand still.
    case slowDisk, diskFull, crashWhileReadOnly, wallClockForward, wallClockBack, lateTick
}

/// What must come about in the store and between clients.
public enum Happening: String, Sendable, CaseIterable {
    /// Repetitions and late comers, which must change nothing.
    case duplicateSubmit, repeatedSubmit, staleToken, lateReplyOfEndedLease
    /// A completion that submitted other tasks with it, and one that the broker refused for them.
    case handedOver, handOverRefused
    /// Time and lost connections.
    case leaseLapsed, workerLost, leaseEndedWithSession, attemptTimedOut, runningTaskCancelled
    case taskDue, cancelledLate, buriedLate
    /// Recurring tasks.
    case tickSubmitted, tickSkipped
    /// Gates: claims that one left empty-handed, those at their limits, those that opened by themselves, and explanations.
    case heldByPause, heldByLimit, pauseEnded, explained
    /// Circuits: those that opened, let some try, and closed by how that went, and those that were found open.
    case circuitOpened, circuitTried, circuitClosed, heldByCircuit
    /// Running tasks of a key that were compared with its leases, keys that were found at their limits, and tasks that waited for an
    /// earlier one of their serial key.
    case keyCompared, keyAtLimit, heldBySerialKey
    /// Tasks whose dependencies were met, those that ended because they failed, and explanations that name one.
    case dependenciesMet, cancelledUnrun, buriedUnrun, heldByDependency, heldByDeadDependency
    /// Groups that waited for their turns while another one had its own, and claims of what nothing held back.
    case turnTaken, freeTaskClaimed
    /// Claims that passed over a task of a higher priority, because another one had waited longer.
    case urgentPassedOver
    /// Claims that passed over noisy groups, and those of noisy ones beside noisier ones.
    case quietFirst, leastNoisyFirst
    /// Submits that took the place of a task, and dead letters that hold a unique key.
    case replaced, keyHeldByDeadLetter, tagDropped
    /// The ways into the dead letters, and back.
    case retriesExhausted, permanentFailure, quarantined, redriven, redrivenEdited, purged
    /// What bulk operations did to single tasks, and those that a crash interrupted.
    case redrivenInBulk, purgedInBulk, cancelledInBulk, arranged, bulkChecked, bulkResumed, deletionChecked
    /// Records that die, or are rewritten.
    case segmentDied, transitionsDied, survivorMoved, transitionCarried, locatorWritten
    /// The ends of retention.
    case outcomesExpired, keysExpired, tagsExpired, deadLetterExpired, deadLettersCapped, forgotten, outcomesCapped
    /// Parts of records that stay when others are forgotten.
    case outcomesRewritten, locatorRewritten
    /// What a restart finds, and undoes.
    case recoveryOfPendingTasks, recoveryOfLeases
    /// The checks that have looked at something.
    case replayCompared, orderChecked, storeRecounted, storeVerified, listCompared, tagCompared
    case drained, baselineReached
    /// What becomes of a flipped bit.
    case damageRefused, damageReported, damageOfNoUse
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
