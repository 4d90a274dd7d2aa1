import TQModel

/// Reads a history event by event and collects the promises that it shows to be broken.
///
/// General search for a linearization is not needed: ids are unique and lease tokens give the order of all deliveries,
/// so that each invariant is a look at what is known of one task. The time is linear in the events. A violation
/// is reported only when no order of decisions that fits the history is innocent of it.
public struct Checker {
    /// What the broker under test was set to.
    public let rules: Rules
    /// The first ones, up to ``Rules/violationsMax``.
    public private(set) var violations: [Violation] = []
    /// All violations so far, those that were not kept included.
    public private(set) var violationCount = 0
    /// Events observed so far.
    public private(set) var eventCount = 0

    var tasks = TaskTable()
    var open: [OperationNumber: OpenOperation] = [:]
    /// Calls about tasks that no reply has told of: the reply is on its way, or the history is cut off before it.
    var early: [TaskID: [OpenOperation]] = [:]
    var submits = SubmitLedger()
    var tokens = TokenLedger()
    /// By the task's slot.
    var gaps: [Int: [AttemptGap]] = [:]
    var lostClaims: [Int] = []
    var openClaims = 0
    var stops = Stops()
    var sessionEnds: [UInt32: Int] = [:]
    var wallPeaks = WallPeaks()
    /// Where the wall clock was set for the last time; -1 for never.
    var lastClockStep = -1
    var order: OrderCheck?
    var dump: DumpCheck?
    var dumps = 0
    var previousCounters: [QueueNumber?: TaskCounts] = [:]
    var isDrained = false
    /// Of the event under observation.
    var now = Now(monotonicMilliseconds: 0, wallMilliseconds: 0)
    var position = 0

    public init(rules: Rules = Rules()) { self.rules = rules }

    /// The violations of a complete history.
    public static func violations(in history: some Sequence<Event>, rules: Rules = Rules()) -> [Violation] {
        var checker = Checker(rules: rules)
        for event in history { checker.observe(event) }
        checker.finish()
        return checker.violations
    }

    /// Takes the next event.
    public mutating func observe(_ event: Event) {
        position = eventCount
        eventCount += 1
        if event.time.monotonicMilliseconds < now.monotonicMilliseconds {
            report(.history, nil, [], "The monotonic clock went back")
        }
        now = event.time
        wallPeaks.record(now.wallMilliseconds, at: position)
        switch event.kind {
        case .invoked(let number, let call): invoked(number, call, by: event.client)
        case .returned(let number, let outcome): returned(number, outcome)
        case .stopped(let stop): stops.record(stop, at: position, now)
        case .serving: stops.recordServing(now)
        case .clock: lastClockStep = position
        case .sessionEnded: sessionEnds[event.client] = position
        case .orderBegan: order = OrderCheck(began: position)
        case .orderEnded: order = nil
        case .drained: checkDrained()
        case .dumpBegan(let mustEqualPrevious): beginDump(mustEqualPrevious: mustEqualPrevious)
        case .dumped(let task): checkRow(task)
        case .counted(let queue, let counts): checkCounted(queue, counts)
        case .dumpEnded: endDump()
        }
    }

    /// Reports what only the end of the history can show: attempts that no claim explains.
    public mutating func finish() {
        position = max(0, eventCount - 1)
        checkGaps()
    }

    /// Adds a violation that the current event shows.
    mutating func report(
        _ invariant: Invariant,
        _ task: TaskID?,
        _ earlier: [Int],
        _ sentence: @autoclosure () -> String
    ) {
        violationCount += 1
        guard violations.count < rules.violationsMax else { return }
        let events = earlier.filter { $0 >= 0 && $0 < position } + [position]
        violations.append(Violation(invariant: invariant, task: task, events: events, sentence: sentence()))
    }
}

/// An operation that has not returned.
struct OpenOperation {
    let number: OperationNumber
    let call: Call
    let client: UInt32
    let invoked: Int
    let time: Now
    /// For claims: every token that was delivered before the invocation is at most this one.
    var tokenFloor = LeaseToken(rawValue: 0)
    /// For calls with a lease: a later delivery of the task had returned already.
    var isStale = false
}

extension Checker {
    private mutating func invoked(_ number: OperationNumber, _ call: Call, by client: UInt32) {
        isDrained = false
        var operation = OpenOperation(number: number, call: call, client: client, invoked: position, time: now)
        switch call {
        case .submit(let submit): submits.invoke(submit, at: position, now)
        case .claim:
            operation.tokenFloor = tokens.highest
            openClaims += 1
        case .complete, .fail, .release, .renew: invokeWithLease(&operation)
        case .cancel(let id): touch(id, operation) { $0.cancels += 1 }
        case .redrive(let id, let payload): touch(id, operation) { $0.invokeRedrive(payload) }
        case .purge(let id): touch(id, operation) { $0.invokePurge() }
        case .forget(let id): touch(id, operation) { $0.isForgotten = true }
        case .arrange(let id, let queue, let rank):
            touch(id, operation) { $0.arrangements.append((queue, rank)) }
        case .status, .result: break
        }
        if open.updateValue(operation, forKey: number) != nil {
            report(.history, nil, [], "Operation \(number) was invoked twice")
        }
    }

    private mutating func returned(_ number: OperationNumber, _ outcome: Outcome) {
        guard let operation = open.removeValue(forKey: number) else {
            return report(.history, nil, [], "Operation \(number) returned, but is not under way")
        }
        if case .refused = outcome, let task = operation.call.task {
            early[task]?.removeAll { $0.number == number }
        }
        switch operation.call {
        case .submit(let submit): returnSubmit(submit, operation, outcome)
        case .claim(let queues): returnClaim(queues, operation, outcome)
        case .complete(let lease, _), .fail(let lease, _, _), .release(let lease, _), .renew(let lease, _):
            returnWithLease(lease, operation, outcome)
        case .cancel(let id): returnCancel(id, operation, outcome)
        case .redrive(let id, _): returnRedrive(id, operation, outcome)
        case .purge(let id): returnPurge(id, operation, outcome)
        case .arrange, .forget: break
        case .status(let id), .result(let id): returnObservation(id, operation, outcome)
        }
    }

    /// Begins to follow a task; calls that were made before anybody told of it may have touched it.
    mutating func add(_ record: TaskRecord) -> Int {
        let slot = tasks.add(record)
        for var operation in early.removeValue(forKey: record.id) ?? [] {
            let touched = operation.time.monotonicMilliseconds
            tasks[slot].firstTouched = min(tasks[slot].firstTouched ?? touched, touched)
            switch operation.call {
            case .cancel: tasks[slot].cancels += 1
            case .redrive(_, let payload): tasks[slot].invokeRedrive(payload)
            case .purge: tasks[slot].invokePurge()
            case .forget: tasks[slot].isForgotten = true
            case .arrange(_, let queue, let rank): tasks[slot].arrangements.append((queue, rank))
            default: invokeWithLease(&operation)
            }
        }
        return slot
    }

    private mutating func touch(_ id: TaskID, _ operation: OpenOperation, _ change: (inout TaskRecord) -> Void) {
        guard let slot = tasks.slot(of: id) else { return early[id, default: []].append(operation) }
        if tasks[slot].firstTouched == nil { tasks[slot].firstTouched = now.monotonicMilliseconds }
        change(&tasks[slot])
    }

    /// A reply that does not belong to its call.
    mutating func reportMismatch(_ operation: OpenOperation) {
        report(
            .history,
            nil,
            [operation.invoked],
            "Operation \(operation.number) has the outcome of another kind of call"
        )
    }
}
