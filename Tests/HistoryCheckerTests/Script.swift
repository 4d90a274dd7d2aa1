import HistoryChecker
import TQModel

/// Writes a history by hand: one call after the other unless it says otherwise.
struct Script {
    private(set) var events: [Event] = []
    private(set) var now = Now(monotonicMilliseconds: 1_000, wallMilliseconds: 1_000_000)
    private var operations: OperationNumber = 0

    /// The invariants that a history breaks, each once, in the order of their numbers.
    static func broken(rules: Rules = Rules(), _ build: (inout Script) -> Void) -> [Invariant] {
        var script = Script()
        build(&script)
        let violations = Checker.violations(in: script.events, rules: rules)
        return Set(violations.map(\.invariant)).sorted { $0.rawValue < $1.rawValue }
    }

    mutating func record(_ kind: Event.Kind, client: UInt32 = 0) {
        events.append(Event(time: now, client: client, kind: kind))
    }

    mutating func wait(_ milliseconds: UInt64) {
        now.monotonicMilliseconds += milliseconds
        now.wallMilliseconds += milliseconds
    }

    mutating func stepWallClock(by milliseconds: Int64) {
        now.wallMilliseconds = UInt64(Int64(now.wallMilliseconds) + milliseconds)
    }

    mutating func invoke(_ call: Call, client: UInt32 = 1) -> OperationNumber {
        operations += 1
        record(.invoked(operations, call), client: client)
        wait(1)
        return operations
    }

    mutating func end(_ operation: OperationNumber, _ outcome: Outcome, client: UInt32 = 1) {
        record(.returned(operation, outcome), client: client)
        wait(1)
    }

    mutating func call(_ call: Call, _ outcome: Outcome, client: UInt32 = 1) {
        let operation = invoke(call, client: client)
        end(operation, outcome, client: client)
    }

    mutating func restart(_ stop: Event.Stop) {
        record(.stopped(stop))
        record(.serving)
    }
}

extension Script {
    /// Submits task n, whose payload is n, to queue 1.
    mutating func submit(
        _ number: UInt64,
        rank: Rank = Priority.normal.rank,
        retriesMax: UInt16 = 3,
        crashesMax: UInt16 = 0
    ) {
        let spec = SubmitCall(
            queue: 1,
            rank: rank,
            payload: Digest(rawValue: number),
            retriesMax: retriesMax,
            crashesMax: crashesMax
        )
        call(.submit(spec), .submitted(task(number), isDuplicate: false))
    }

    /// Claims task n from queue 1 with a lease of 100 ms.
    mutating func claim(
        _ number: UInt64,
        token: UInt64,
        attempt: UInt16 = 1,
        payload: UInt64? = nil,
        client: UInt32 = 1
    ) {
        call(.claim(queues: [1]), .delivered([delivered(number, token, attempt, payload)]), client: client)
    }

    mutating func complete(
        _ number: UInt64,
        token: UInt64,
        result: UInt64 = 7,
        _ outcome: Outcome = .done,
        client: UInt32 = 1
    ) {
        call(.complete(lease(number, token), result: Digest(rawValue: result)), outcome, client: client)
    }

    mutating func fail(
        _ number: UInt64,
        token: UInt64,
        isPermanent: Bool = false,
        pause: UInt64? = nil,
        _ outcome: Outcome = .done
    ) {
        call(.fail(lease(number, token), isPermanent: isPermanent, retryAfterMilliseconds: pause), outcome)
    }

    mutating func release(_ number: UInt64, token: UInt64, _ outcome: Outcome = .done) {
        call(.release(lease(number, token), delayMilliseconds: 0), outcome)
    }

    mutating func status(_ number: UInt64, _ state: TaskState, attempts: UInt16? = nil) {
        call(.status(task(number)), .observed(Observation(state: state, attempts: attempts)))
    }

    mutating func dump(_ rows: [StoredTask], counters: TaskCounts? = nil, mustEqualPrevious: Bool = false) {
        record(.dumpBegan(mustEqualPrevious: mustEqualPrevious))
        for row in rows { record(.dumped(row)) }
        if let counters {
            record(.counted(queue: 1, counters))
            record(.counted(queue: nil, counters))
        }
        record(.dumpEnded)
    }
}

func task(_ number: UInt64) -> TaskID { TaskID(high: 1, low: number) }

func lease(_ number: UInt64, _ token: UInt64) -> LeaseHandle {
    LeaseHandle(task: task(number), token: LeaseToken(rawValue: token))
}

func delivered(_ number: UInt64, _ token: UInt64, _ attempt: UInt16, _ payload: UInt64? = nil) -> Delivered {
    Delivered(
        lease: lease(number, token),
        attempt: attempt,
        leaseMilliseconds: 100,
        payload: Digest(rawValue: payload ?? number)
    )
}

func row(
    _ number: UInt64,
    _ state: TaskState,
    attempts: UInt16 = 0,
    token: UInt64? = nil,
    queue: QueueNumber = 1,
    payload: UInt64? = nil,
    result: UInt64? = nil
) -> StoredTask {
    StoredTask(
        id: task(number),
        queue: queue,
        rank: Priority.normal.rank,
        state: state,
        attempts: attempts,
        token: token.map { LeaseToken(rawValue: $0) },
        payload: Digest(rawValue: payload ?? number),
        result: result.map { Digest(rawValue: $0) }
    )
}
