import TQModel
import Testing

@testable import QueueCore

/// A seeded run of random commands, with what any observer may conclude from the answers.
struct RandomRun {
    private var core: CoreHarness
    private var random: SplitMix64
    private let seed: UInt64

    private var payloads: [TaskID: Bytes] = [:]
    /// Tasks that have perhaps more attempts behind them than they have now.
    private var replaced: Set<TaskID> = []
    /// Tasks that may end because others fail.
    private var dependents: Set<TaskID> = []
    private var ids: [TaskID] = []
    private var leases: [LeaseHandle] = []
    /// Tasks whose completion or cancellation was accepted.
    private var ended: [TaskID: TaskState] = [:]
    private var cancelRequested: Set<TaskID> = []
    private var newestToken = LeaseToken(rawValue: 0)

    private static let queues: [Name] = ["a", "b", "c"]
    private static let types: [Name] = ["email.send", "email.read", "image", "sum"]
    private static let patterns: [[TypePattern]] = [[], [], ["email.*"], ["sum"], ["image", "email.read"], ["*"]]
    private static let workers: [Name?] = [nil, nil, "w1", "w2", "w3"]

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix64(seed: seed)
        core = CoreHarness(
            CoreConfiguration(queueDepthThreshold: 60, retentionMilliseconds: 3_600_000, seed: seed)
        )
        for session in SessionID(2)...3 { core.open(session, endsLeasesOnClose: session == 3) }
    }

    mutating func play(commands: Int) throws {
        for number in 0..<commands {
            step()
            observe()
            if below(3) == 0 { core.settle() }
            if below(200) == 0 { try check(number) }
            if below(150) == 0 { try restart() }
        }
        try check(commands)
        finish()
    }

    // MARK: One command

    private mutating func step() {
        switch below(30) {
        case 0...6: submit()
        case 7...11: claim()
        case 12: stream()
        case 13...15: complete()
        case 16, 17: fail()
        case 18: release()
        case 19: renew()
        case 20: cancel()
        case 21: decideOnDeadLetter()
        case 22: read()
        case 23: workers()
        case 24: session()
        case 25: core.run(.clean)
        case 26: if let lease = pick(leases) { core.run(.damagedPayload(lease)) }
        default: passTime()
        }
    }

    private mutating func submit() {
        let specs = (0...below(5)).map { _ in spec() }
        guard case .submitted(let results)? = core.reply(.submit(specs)) else {
            Issue.record("no answer to a submit, seed \(seed)")
            return
        }
        for (spec, result) in zip(specs, results) {
            guard case .success(let submission) = result else { continue }
            let isKnown = payloads[submission.id] != nil
            #expect((submission.isDuplicate || submission.isReplacement) == isKnown, "seed \(seed)")
            if !isKnown { ids.append(submission.id) }
            if !submission.isDuplicate { payloads[submission.id] = spec.payload }
            if submission.isReplacement { replaced.insert(submission.id) }
            if spec.dependencies != nil { dependents.insert(submission.id) }
        }
    }

    private mutating func spec() -> TaskSpec {
        var spec = TaskSpec(
            queue: Self.queues[below(3)],
            type: Self.types[below(4)],
            payload: Bytes(repeating: UInt8(below(256)), count: below(50) == 0 ? 40_000 : below(20)),
            rank: Rank(rawValue: UInt32([0, 0, 105, 105, 205][below(5)]) << 24 | (below(8) == 0 ? 7 : 0))
        )
        if below(4) == 0 { spec.start = .after(milliseconds: UInt64(below(40_000))) }
        if below(4) == 0 { spec.retriesMax = UInt16(below(3)) }
        if below(4) == 0 { spec.crashesMax = UInt16(below(3)) }
        if below(4) == 0 { spec.retentionMilliseconds = UInt64(60_000 * (1 + below(300))) }
        if below(6) == 0 { spec.leaseMilliseconds = UInt32(1 + below(90_000)) }
        if below(2) == 0 {
            let names: [Name?] = ["x", "y", nil, nil]
            spec.sharing = Sharing(limitKey: names[below(4)], serialKey: names[below(4)], group: names[below(4)])
        }
        if below(4) == 0 { spec.dependencies = dependencies() }
        if below(6) == 0 {
            spec.idempotencyKey = [UInt8(below(4))]
            spec.type = Self.types[0]
            spec.rank = Rank(rawValue: 0)
            spec.payload = [spec.idempotencyKey[0]]
            spec.idempotencyWindowMilliseconds = UInt64(below(10) * 60_000)
        } else if below(4) == 0 {
            let scopes: [UniqueKey.Scope] = [.waiting, .active, .unfinished, .window(milliseconds: 60_000)]
            spec.uniqueKey = UniqueKey(
                [UInt8(below(6))],
                scope: scopes[below(4)],
                onConflict: UniqueKey.OnConflict.allCases[below(3)]
            )
        }
        return spec
    }

    private mutating func dependencies() -> Dependencies? {
        let tasks = Set((0...below(3)).compactMap { _ in pick(ids) }).sorted { $0.description < $1.description }
        guard !tasks.isEmpty else { return nil }
        return Dependencies(
            on: tasks,
            condition: below(3) == 0 ? .any : .all,
            onFailure: Dependencies.OnFailure.allCases[below(4)]
        )
    }

    private mutating func claim() {
        let spec = ClaimSpec(
            queues: Array(Self.queues.shuffled(using: &random).prefix(1 + below(3))),
            types: Self.patterns[below(Self.patterns.count)],
            count: UInt32(1 + below(6)),
            waitMilliseconds: below(2) == 0 ? 0 : UInt64(below(60_000)),
            worker: Self.workers[below(Self.workers.count)],
            leaseMilliseconds: below(3) == 0 ? UInt32(below(200_000)) : 0
        )
        core.send(.claim(spec), session: anySession)
    }

    private mutating func stream() {
        let number = UInt32(below(2))
        let request: Request =
            switch below(4) {
            case 0: .closeStream(stream: number)
            case 1: .addCredit(stream: number, count: UInt32(below(5)))
            default:
                .openStream(
                    stream: number,
                    ClaimSpec(
                        queues: [Self.queues[below(3)]],
                        types: Self.patterns[below(6)],
                        count: UInt32(1 + below(4))
                    )
                )
            }
        core.send(request, session: anySession)
    }

    private mutating func complete() {
        guard let lease = pick(leases) else { return }
        let before = core.state(lease.task)
        if core.complete(lease, result: "done") == nil {
            #expect(before == .inProgress, "seed \(seed)")
            #expect(ended.updateValue(.completed, forKey: lease.task) == nil, "completed twice, seed \(seed)")
        }
    }

    private mutating func fail() {
        guard let lease = pick(leases) else { return }
        let retryAfter = below(3) == 0 ? UInt64(below(3)) * 10_000 : nil
        _ = core.fail(lease, isPermanent: below(4) == 0, retryAfter: retryAfter)
    }

    private mutating func release() {
        guard let lease = pick(leases) else { return }
        _ = core.release(lease, delay: below(2) == 0 ? 0 : UInt64(below(60_000)))
    }

    private mutating func renew() {
        guard let lease = pick(leases) else { return }
        let progress = TaskProgress(percent: UInt8(below(101)), message: Bytes("step \(below(9))".utf8))
        _ = core.renew(
            lease,
            leaseMilliseconds: UInt32(below(2) * below(200_000)),
            progress: below(2) == 0 ? nil : progress,
            checkpoint: below(3) == 0 ? Bytes(repeating: UInt8(below(256)), count: below(20)) : nil
        )
    }

    private mutating func decideOnDeadLetter() {
        guard let id = pick(ids) else { return }
        switch below(4) {
        case 0:
            guard core.purge(id) == nil else { return }
            #expect(ended.updateValue(.cancelled, forKey: id) == nil, "purged after its end, seed \(seed)")
        case 1:
            let payload = Bytes(repeating: 7, count: below(200))
            if core.redrive(id, payload: payload) == nil { payloads[id] = payload }
        default: _ = core.redrive(id)
        }
    }

    private mutating func cancel() {
        guard let id = pick(ids) else { return }
        switch core.cancel(id) {
        case .success(.cancelled):
            #expect(ended.updateValue(.cancelled, forKey: id) == nil, "cancelled after its end, seed \(seed)")
        case .success(.requested):
            #expect(ended[id] == nil, "a cancel was requested after its end, seed \(seed)")
            cancelRequested.insert(id)
        case .failure: break
        }
    }

    private mutating func read() {
        if let id = pick(ids) { core.send(.result(id, waitMilliseconds: UInt64(below(20_000))), session: anySession) }
        core.send([.statistics, .queues, .workers, .health, .deadLetters(DeadLetterQuery())][below(5)])
    }

    private mutating func workers() {
        guard let name = Self.workers[2 + below(3)] else { return }
        core.send(below(3) == 0 ? .deregisterWorker(name) : .heartbeat(WorkerSpec(name: name)))
    }

    private mutating func session() {
        let id = SessionID(2 + below(2))
        core.run(.closeSession(id))
        core.open(id, endsLeasesOnClose: id == 3)
    }

    private mutating func passTime() {
        switch below(12) {
        case 0: core.advance(milliseconds: UInt64(below(3 * 3_600_000)))
        case 1: core.jumpWall(byMilliseconds: Int64(below(7_200_000)) - 3_600_000)
        case 2, 3: core.advance(milliseconds: UInt64(below(300_000)))
        default: core.advance(milliseconds: UInt64(below(20_000)))
        }
    }

    private mutating func restart() throws {
        try core.restart()
        for session in SessionID(2)...3 { core.open(session, endsLeasesOnClose: session == 3) }
        try core.checkIndex("seed \(seed)")
    }

    // MARK: What the answers say

    private mutating func observe() {
        for answer in core.takeAnswers() {
            switch answer.reply {
            case .claimed(let deliveries), .delivery(_, let deliveries): take(deliveries, answer.missing)
            default: break
            }
        }
    }

    private mutating func take(_ deliveries: [Delivery], _ missing: Answer.Missing) {
        guard !deliveries.isEmpty else { return }
        core.settle()
        guard case .payloads(let places) = missing, places.count == deliveries.count else {
            Issue.record("a delivery without payloads, seed \(seed)")
            return
        }
        for (delivery, place) in zip(deliveries, places) {
            let id = delivery.lease.task
            #expect(delivery.lease.token > newestToken, "a token that is not the newest, seed \(seed)")
            newestToken = max(newestToken, delivery.lease.token)
            #expect(ended[id] == nil, "a delivery after the end, seed \(seed)")
            #expect(!cancelRequested.contains(id), "a delivery after its cancel was requested, seed \(seed)")
            let isWithinRetries = delivery.attempt <= delivery.retriesMax + 1 || replaced.contains(id)
            #expect(isWithinRetries, "too many attempts, seed \(seed)")
            // The payload may have moved since the answer; then its old place is gone and nothing else lies there.
            if let payload = core.store.payload(place) { #expect(payload == payloads[id], "seed \(seed)") }
            leases.append(delivery.lease)
        }
    }

    // MARK: Checks

    private mutating func check(_ number: Int) throws {
        try core.checkIndex("seed \(seed), command \(number)")
        core.checkCounters("seed \(seed), command \(number)")
        core.checkPlaces("seed \(seed), command \(number)")
    }

    /// Every task that was taken is where it should be: ended as answered, or not ended.
    private mutating func finish() {
        for id in ids {
            let state = core.state(id)
            if let end = ended[id] {
                #expect(state == end || state == nil, "seed \(seed)")
            } else if cancelRequested.contains(id) {
                #expect(state == nil || state == .inProgress || state == .cancelled, "seed \(seed)")
            } else {
                let isUnrun = state == nil || core.status(id)?.cancelReason == .dependencyFailed
                let isOver = state == nil || state == .completed || state == .cancelled
                #expect(!isOver || isUnrun && dependents.contains(id), "task \(id) is lost, seed \(seed)")
            }
        }
    }

    // MARK: Choosing

    private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

    private mutating func pick<Element>(_ elements: [Element]) -> Element? {
        // Mostly a recent one: old ones have mostly ended.
        guard !elements.isEmpty else { return nil }
        let recent = min(elements.count, below(4) == 0 ? elements.count : 12)
        return elements[elements.count - 1 - below(recent)]
    }

    private var anySession: SessionID {
        mutating get { SessionID(1 + below(3)) }
    }
}

extension CoreHarness {
    /// Compares the counters of every queue with a recount.
    mutating func checkCounters(_ comment: Comment, sourceLocation: SourceLocation = #_sourceLocation) {
        settle()
        let index = core.index
        var recount = ContiguousArray(repeating: TaskCounts(), count: index.queues.count)
        index.tasks.forEach { _, slot in if slot.isLive { recount[Int(slot.queue)][slot.state] += 1 } }
        for outcome in store.outcomes.values.joined() { recount[Int(outcome.row.queue)][outcome.row.state] += 1 }
        for letter in store.letters.values { recount[Int(letter.row.task.queue)].deadLetter += 1 }
        #expect(Array(recount) == index.queues.map(\.counts), comment, sourceLocation: sourceLocation)
    }

    /// Every unfinished task is in exactly one of the structures that can bring it on.
    func checkPlaces(_ comment: Comment, sourceLocation: SourceLocation = #_sourceLocation) {
        let index = core.index
        let ordered = index.pendingOrder.joined()
        #expect(Set(ordered).count == ordered.count, comment, sourceLocation: sourceLocation)
        let pending = Set(ordered)
        let leased = Set(index.leases.places { _ in true }.map { index.leases[$0].sequence })
        var starts = index.starts
        var waiting: Set<TaskSequence> = []
        while let entry = starts.takeDue(wall: .max, store: .max) {
            if DurableIndex.holds(entry, index.tasks, index.options) { waiting.insert(entry.sequence) }
        }
        let dependents = Set(index.dependents.waiting)
        var count = 0
        index.tasks.forEach { sequence, slot in
            guard slot.isLive, !index.isDoomed(sequence) else { return }
            count += 1
            let places = [pending, leased, waiting, dependents].map { $0.contains(sequence) }
            let expected = [
                slot.state == .pending, slot.state == .inProgress, slot.state == .scheduled || slot.state == .failed,
                slot.state == .blocked,
            ]
            #expect(places == expected, comment, sourceLocation: sourceLocation)
        }
        let placed = pending.count + leased.count + waiting.count + dependents.count
        #expect(count == placed, comment, sourceLocation: sourceLocation)
    }
}
