import HistoryChecker
import TQModel

/// Plays clients against the reference queue, at random from a seed; what they see is the history.
///
/// There are concurrent calls, lost requests and replies, repeated submits, stale workers, pauses, restarts, power cuts
/// and steps of the wall clock.
struct Rehearsal {
    private(set) var events: [Event] = []
    private(set) var checker: Checker
    private var queue: ReferenceQueue
    private var random: SplitMix64
    private var now = Now(monotonicMilliseconds: 10_000, wallMilliseconds: 1_000_000)
    private var operations: OperationNumber = 0
    private var payloads: UInt64 = 0
    private var underWay: [Int: UnderWay] = [:]
    /// Requests that nobody waits for any more, on their way to the broker.
    private var strays: [Call] = []
    private var submits: [SubmitCall] = []
    private var ids: [TaskID] = []
    private var leases: [LeaseHandle] = []

    private static let clients = 4

    private struct UnderWay {
        let number: OperationNumber
        let call: Call
        var decision: (outcome: Outcome, version: Int)?
    }

    /// - Parameter keepsEvents: Whether ``events`` are kept; the checker sees them anyway.
    init(seed: UInt64, steps: Int, mutation: Mutation? = nil, keepsEvents: Bool = true) {
        var rules = Rules()
        rules.retentionMilliseconds = ReferenceQueue.retentionMilliseconds
        self.checker = Checker(rules: rules)
        self.queue = ReferenceQueue(mutation: mutation)
        self.random = SplitMix64(seed: seed)
        self.keepsEvents = keepsEvents
        for _ in 0..<steps where mutation == nil || checker.violations.isEmpty { step() }
        if mutation == nil || checker.violations.isEmpty { drain() }
        checker.finish()
    }

    private let keepsEvents: Bool

    private mutating func step() {
        switch below(1_000) {
        case ..<150: wait(1 + UInt64(below(30)))
        case ..<155: stepWallClock { $0 + $1 }
        case ..<160: stepWallClock { $0 - $1 }
        case ..<170: restart([.clean, .kill, .powerCut].randomElement(using: &random) ?? .kill)
        case ..<175: record(.sessionEnded, client: below(Self.clients) + 1)
        case ..<180: claimInOrder()
        case ..<185: dumpAround()
        case ..<188: wait(UInt64(below(2_500)))
        case ..<210 where !strays.isEmpty: _ = queue.decide(strays.removeFirst(), at: now)
        default: advance(client: below(Self.clients) + 1)
        }
    }

    private mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

    private mutating func wait(_ milliseconds: UInt64) {
        now.monotonicMilliseconds += milliseconds
        now.wallMilliseconds += milliseconds
    }

    private mutating func stepWallClock(_ step: (UInt64, UInt64) -> UInt64) {
        record(.clock)
        now.wallMilliseconds = step(now.wallMilliseconds, UInt64(below(2_000)))
        record(.clock)
    }

    private mutating func record(_ kind: Event.Kind, client: Int = 0) {
        let event = Event(time: now, client: UInt32(client), kind: kind)
        if keepsEvents { events.append(event) }
        checker.observe(event)
    }
}

extension Rehearsal {
    /// Lets a client do its next thing: ask, have its request decided, hear of it, or lose it on the way.
    private mutating func advance(client: Int) {
        guard let current = underWay[client] else { return invoke(nextCall(), client: client) }
        let isLost = below(100) < 3
        if current.decision == nil {
            if isLost {
                if below(2) == 0 { strays.append(current.call) }
                forget(client: client)
            } else {
                underWay[client]?.decision = queue.decide(current.call, at: now)
            }
        } else if isLost {
            forget(client: client)
        } else {
            finish(client: client)
        }
    }

    private mutating func invoke(_ call: Call, client: Int) {
        operations += 1
        underWay[client] = UnderWay(number: operations, call: call)
        record(.invoked(operations, call), client: client)
    }

    /// Gives up waiting; sometimes not even that is recorded.
    private mutating func forget(client: Int) {
        guard let current = underWay.removeValue(forKey: client) else { return }
        if below(3) > 0 { record(.returned(current.number, .unknown), client: client) }
    }

    private mutating func finish(client: Int) {
        guard let current = underWay.removeValue(forKey: client) else { return }
        let decision = current.decision ?? queue.decide(current.call, at: now)
        queue.sync(through: decision.version)
        record(.returned(current.number, decision.outcome), client: client)
        switch decision.outcome {
        case .submitted(let id, _), .replaced(let id): ids.append(id)
        case .delivered(let deliveries): leases.append(contentsOf: deliveries.map(\.lease))
        case .done, .cancelRequested, .observed, .refused, .unknown: break
        }
        if leases.count > 12 { leases.removeFirst(leases.count - 12) }
    }

    private mutating func nextCall() -> Call {
        let lease = leases.randomElement(using: &random)
        let id = ids.suffix(40).randomElement(using: &random)
        switch (below(100), lease, id) {
        case (..<25, _, _): return .submit(nextSubmit())
        case (..<45, let lease?, _): return nextEnding(lease)
        case (..<50, let lease?, _):
            return .renew(lease, leaseMilliseconds: below(4) == 0 ? 4_000 : UInt32(below(2) * 150))
        case (..<56, _, let id?): return .cancel(id)
        case (..<58, _, let id?): return .redrive(id, payload: nil)
        case (..<59, _, let id?): return .redrive(id, payload: Digest(rawValue: UInt64(below(1 << 30)) << 32 | 1))
        case (..<60, _, let id?): return .purge(id)
        case (..<61, _, let id?): return .forget(id)
        case (..<66, _, let id?): return .status(id)
        case (..<70, _, let id?): return .result(id)
        default: return .claim(queues: below(3) == 0 ? [1] : [1, 2])
        }
    }

    private mutating func nextEnding(_ lease: LeaseHandle) -> Call {
        switch below(10) {
        case ..<5: .complete(lease, result: Digest(rawValue: UInt64(below(1_000)) * 2))
        case ..<8:
            .fail(lease, isPermanent: below(6) == 0, retryAfterMilliseconds: below(2) == 0 ? UInt64(below(80)) : nil)
        default: .release(lease, delayMilliseconds: below(2) == 0 ? UInt64(below(80)) : 0)
        }
    }

    private mutating func nextSubmit() -> SubmitCall {
        if below(4) == 0, let earlier = submits.suffix(10).randomElement(using: &random) { return earlier }
        payloads += 1
        if below(8) == 0 { return uniqueSubmit() }
        var submit = SubmitCall(
            queue: QueueNumber(below(2)) + 1,
            rank: Priority([50, 150, 150, 255][below(4)]).rank,
            payload: Digest(rawValue: payloads),
            notBeforeWallMilliseconds: below(6) == 0 ? now.wallMilliseconds + UInt64(below(500)) : 0,
            retriesMax: UInt16(below(4)),
            crashesMax: UInt16(below(4)),
            timeoutMilliseconds: below(2) == 0 ? UInt32(100 + below(300)) : Defaults.timeoutMilliseconds
        )
        if below(3) == 0 {
            // Half of the keys are the key of the submit before, which went to another queue.
            submit.key = payloads / 2
            if let last = submits.last, last.key == submit.key { submit.queue = 3 - last.queue }
            submits.append(submit)
        }
        return submit
    }

    private mutating func uniqueSubmit() -> SubmitCall {
        let number = below(6)
        let scopes: [UniqueCall.Scope] = [.waiting, .active, .unfinished]
        return SubmitCall(
            queue: QueueNumber(number % 2) + 1,
            payload: Digest(rawValue: payloads),
            retriesMax: 1,
            timeoutMilliseconds: number < 3 ? 300 : Defaults.timeoutMilliseconds,
            unique: UniqueCall(key: KeyNumber(number), scope: scopes[number % 3], replaces: below(2) == 0)
        )
    }
}

extension Rehearsal {
    private mutating func restart(_ stop: Event.Stop) {
        replyAtTheLastMoment()
        record(.stopped(stop))
        strays = []
        for client in underWay.keys.sorted() { forget(client: client) }
        queue.restart(stop, at: now, &random)
        if below(2) == 0 { wait(UInt64(below(50))) }
        record(.serving)
    }

    /// What a client hears just before the broker goes must be true after it.
    private mutating func replyAtTheLastMoment() {
        let reader = Self.clients + 1
        switch below(4) {
        case 0:
            guard let client = underWay.keys.sorted().randomElement(using: &random) else { return }
            finish(client: client)
        case 1:
            guard let id = ids.suffix(20).randomElement(using: &random) else { return }
            invoke(.status(id), client: reader)
            finish(client: reader)
        case 2:
            invoke(.claim(queues: [1, 2]), client: reader)
            finish(client: reader)
        default: break
        }
    }

    /// Waits for every reply, so that nothing is under way.
    private mutating func settle() {
        for client in underWay.keys.sorted() { finish(client: client) }
        strays = []
        queue.passTime(now)
        queue.syncAll()
    }

    private mutating func claimInOrder() {
        settle()
        if below(2) == 0 { restart(.kill) }
        queue.passTime(now)
        record(.orderBegan)
        for _ in 0..<1 + below(6) {
            invoke(.claim(queues: [1, 2]), client: 1)
            finish(client: 1)
        }
        record(.orderEnded)
    }

    private mutating func dump(mustEqualPrevious: Bool) {
        record(.dumpBegan(mustEqualPrevious: mustEqualPrevious))
        for row in queue.rows { record(.dumped(row)) }
        for queueNumber in queue.state.counters.keys.sorted() {
            record(.counted(queue: queueNumber, queue.state.counters[queueNumber] ?? TaskCounts()))
        }
        record(.dumpEnded)
    }

    private mutating func dumpAround() {
        settle()
        dump(mustEqualPrevious: false)
        guard below(2) == 0 else { return }
        record(.stopped(.powerCut))
        queue.restart(.powerCut, at: now, &random)
        record(.serving)
        dump(mustEqualPrevious: true)
    }

    /// A worker does all that is left; then nothing may be.
    private mutating func drain() {
        settle()
        record(.clock)
        now.wallMilliseconds += 1_000_000
        record(.clock)
        leases = []
        var emptyRounds = 0
        while emptyRounds < 20, checker.violations.isEmpty {
            invoke(.claim(queues: [1, 2]), client: 1)
            finish(client: 1)
            emptyRounds = leases.isEmpty ? emptyRounds + 1 : 0
            for lease in leases {
                invoke(.complete(lease, result: Digest(rawValue: 2)), client: 1)
                finish(client: 1)
            }
            leases = []
            // Longer in all than any lease or pause.
            wait(emptyRounds > 0 ? 250 : 1)
        }
        settle()
        record(.drained)
        dump(mustEqualPrevious: false)
    }
}
