import TQModel
import Testing

@testable import QueueCore

/// A core with a clock that is moved by hand and a store made of the groups that it closed.
struct CoreHarness {
    private(set) var core: QueueCore
    /// Both clocks; a test moves them.
    var now: Now
    var store = FakeStore()
    /// A fresh index that took every batch, as a replica would.
    private(set) var follower = DurableIndex()
    /// Groups from which the follower derived something else than the core.
    private var diverged: [GroupID] = []
    /// Answers that nobody has looked at.
    private(set) var answers: [Answer] = []
    private(set) var notices: [Notice] = []
    private var nextRequest: UInt32 = 1

    static let start = Now(monotonicMilliseconds: 1_000_000, wallMilliseconds: 1_700_000_000_000)
    static let storeKey = StoreKey(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210)
    /// The session of every request that names no other.
    static let session: SessionID = 1

    init(_ configuration: CoreConfiguration = CoreConfiguration(), now: Now = Self.start) {
        self.now = now
        core = QueueCore(
            configuration: configuration,
            index: DurableIndex(),
            epoch: 1,
            storeKey: Self.storeKey,
            now: now
        )
        open(Self.session)
    }

    // MARK: Commands

    /// Decides a command; what it asks for is read from the store once everything before it is stored.
    ///
    /// - Parameter early: What was read before, and may be old.
    mutating func run(_ command: Command, fetched early: [Fetch: Fetched] = [:]) {
        var fetched = early
        while true {
            let missing = core.decide(command, fetched: fetched, now: now)
            if missing.isEmpty { break }
            settle()
            for fetch in missing { fetched[fetch] = store.read(fetch) }
        }
        answers += core.takeAnswers()
        notices += core.takeNotices()
    }

    /// What a command asks to read first.
    mutating func reads(_ command: Command, fetched: [Fetch: Fetched] = [:]) -> [Fetch] {
        core.decide(command, fetched: fetched, now: now)
    }

    /// What a command finds in the store now, for one that is decided later.
    mutating func readEarly(_ command: Command) -> [Fetch: Fetched] {
        Dictionary(uniqueKeysWithValues: reads(command).map { ($0, store.read($0)) })
    }

    mutating func open(_ session: SessionID, endsLeasesOnClose: Bool = false) {
        run(.openSession(session, SessionSettings(endsLeasesOnClose: endsLeasesOnClose)))
    }

    /// Sends a request and says under which number.
    @discardableResult
    mutating func send(_ request: Request, session: SessionID = Self.session, namespace: UInt32 = 0) -> UInt32 {
        let number = nextRequest
        nextRequest += 1
        run(.request(session, id: number, Principal(namespace: namespace, scopes: .all), request))
        return number
    }

    /// Sends a request and takes its answer, if there is one already.
    mutating func answer(_ request: Request, session: SessionID = Self.session, namespace: UInt32 = 0) -> Answer? {
        let number = send(request, session: session, namespace: namespace)
        return takeAnswer(number)
    }

    mutating func reply(_ request: Request, session: SessionID = Self.session, namespace: UInt32 = 0) -> Reply? {
        answer(request, session: session, namespace: namespace)?.reply
    }

    /// Takes the first waiting answer to a request.
    mutating func takeAnswer(_ request: UInt32) -> Answer? {
        guard let place = answers.firstIndex(where: { $0.request == request }) else { return nil }
        return answers.remove(at: place)
    }

    mutating func takeAnswers() -> [Answer] {
        defer { answers = [] }
        return answers
    }

    /// What the core said without being asked.
    var unasked: [Answer] { answers.filter(\.reply.isUnasked) }

    mutating func takeNotices() -> [Notice] {
        defer { notices = [] }
        return notices
    }

    // MARK: Time

    /// Lets time pass on both clocks, then ticks.
    mutating func advance(milliseconds: UInt64) {
        wait(milliseconds: milliseconds)
        run(.tick)
    }

    /// Lets ticks take what has expired, and what is left of it.
    mutating func expireAll() {
        while core.isExpiring {
            run(.tick)
            settle()
        }
    }

    /// Lets time pass on both clocks, of which nobody takes notice.
    mutating func wait(milliseconds: UInt64) {
        now.monotonicMilliseconds += milliseconds
        now.wallMilliseconds += milliseconds
    }

    /// Sets the wall clock alone, then ticks.
    mutating func jumpWall(byMilliseconds step: Int64) {
        now.wallMilliseconds = UInt64(Int64(now.wallMilliseconds) + step)
        run(.tick)
    }

    // MARK: Groups

    /// Closes the open group and stores it, when it has anything.
    mutating func settle() {
        guard core.hasEffects else { return }
        let batch = core.closeGroup()
        store.write(batch)
        if follower.apply(batch) != batch.derived { diverged.append(batch.group) }
    }

    /// Closes groups until old records are old enough to be rewritten.
    mutating func ageRecords() {
        for _ in 0...RecordTable.carryAge {
            submit(queue: "aging")
            settle()
        }
    }

    /// Stores everything and starts again from what is stored.
    mutating func restart() throws {
        settle()
        let recovered = try store.recover()
        core = QueueCore(
            configuration: core.configuration,
            index: recovered.index,
            epoch: core.epoch + 1,
            storeKey: Self.storeKey,
            now: now
        )
        open(Self.session)
    }

    // MARK: Comparisons

    /// Compares the live index with one that the batches give and one that the stored records give.
    mutating func checkIndex(_ comment: Comment = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
        settle()
        #expect(store.faults.isEmpty, comment, sourceLocation: sourceLocation)
        #expect(diverged.isEmpty, comment, sourceLocation: sourceLocation)
        #expect(store.endlessHistories(core.index).isEmpty, comment, sourceLocation: sourceLocation)
        #expect(store.danglingLocations(core.index).isEmpty, comment, sourceLocation: sourceLocation)
        let live = core.index.canonicalDump
        #expect(difference(live, follower.canonicalDump) == "", comment, sourceLocation: sourceLocation)
        #expect(core.index.pendingOrder == follower.pendingOrder, comment, sourceLocation: sourceLocation)
        let recovered = try store.recover()
        #expect(difference(live, recovered.index.canonicalDump) == "", comment, sourceLocation: sourceLocation)
        #expect(core.index.pendingOrder == recovered.index.pendingOrder, comment, sourceLocation: sourceLocation)
        #expect(recovered.derived == EffectBatch.Derived(), comment, sourceLocation: sourceLocation)
    }

    /// The lines that only one of two dumps has.
    private func difference(_ left: [String], _ right: [String]) -> String {
        guard left != right else { return "" }
        let (leftSet, rightSet) = (Set(left), Set(right))
        let lines =
            left.filter { !rightSet.contains($0) }.map { "live: \($0)" }
            + right.filter { !leftSet.contains($0) }.map { "other: \($0)" }
        return lines.isEmpty ? "other order" : lines.joined(separator: "\n")
    }
}

/// A request was not answered as it should have been.
struct Unanswered: Error {}

// MARK: - Requests by name

extension CoreHarness {
    @discardableResult
    mutating func submit(_ spec: TaskSpec, namespace: UInt32 = 0) -> Result<Submission, TQError> {
        guard case .submitted(let results)? = reply(.submit([spec]), namespace: namespace), let result = results.first
        else { return .failure(TQError(.internalError, "no answer")) }
        return result
    }

    /// Submits a task of which a test needs nothing but its id.
    @discardableResult
    mutating func submit(
        queue: Name = "q",
        type: Name = "t",
        payload: String = "",
        priority: UInt8 = 150,
        start: TaskSpec.Start = .now
    ) -> TaskID {
        let spec = TaskSpec(
            queue: queue,
            type: type,
            payload: Bytes(Array(payload.utf8)),
            rank: Priority(priority).rank,
            start: start
        )
        return id(of: submit(spec))
    }

    /// Submits a task to queue `q` with what the closure asks for.
    @discardableResult
    mutating func submit(with change: (inout TaskSpec) -> Void) -> TaskID {
        var spec = TaskSpec(queue: "q", type: "t")
        change(&spec)
        return id(of: submit(spec))
    }

    /// The id of a task that was taken; an impossible one, and a recorded issue, when it was not.
    func id(of result: Result<Submission, TQError>) -> TaskID {
        switch result {
        case .success(let submission): return submission.id
        case .failure(let error):
            Issue.record("The submit failed: \(error)")
            return TaskID(high: 0, low: 0)
        }
    }

    mutating func claim(
        _ count: UInt32 = 1,
        queues: [Name] = ["q"],
        types: [TypePattern] = [],
        worker: Name? = nil,
        leaseMilliseconds: UInt32 = 0,
        session: SessionID = Self.session
    ) -> [Delivery] {
        let spec = ClaimSpec(
            queues: queues,
            types: types,
            count: count,
            worker: worker,
            leaseMilliseconds: leaseMilliseconds
        )
        guard case .claimed(let deliveries)? = reply(.claim(spec), session: session) else { return [] }
        return deliveries
    }

    /// The ids of the tasks that a claim takes, in its order.
    mutating func claimIDs(_ count: UInt32 = 1000, queues: [Name] = ["q"], types: [TypePattern] = []) -> [TaskID] {
        claim(count, queues: queues, types: types).map(\.lease.task)
    }

    /// Takes the first pending task of the queue `q`.
    mutating func lease(worker: Name? = nil, leaseMilliseconds: UInt32 = 0) throws -> LeaseHandle {
        try #require(claim(worker: worker, leaseMilliseconds: leaseMilliseconds).first).lease
    }

    mutating func complete(_ lease: LeaseHandle, result: String = "") -> TQError? {
        outcome(.complete([Completion(lease: lease, result: Bytes(Array(result.utf8)))]))
    }

    mutating func fail(
        _ lease: LeaseHandle,
        error: String = "broken",
        isPermanent: Bool = false,
        retryAfter: UInt64? = nil
    ) -> TQError? {
        let failure = Failure(
            lease: lease,
            error: Bytes(Array(error.utf8)),
            isPermanent: isPermanent,
            retryAfterMilliseconds: retryAfter
        )
        return outcome(.fail([failure]))
    }

    mutating func release(_ lease: LeaseHandle, delay: UInt64 = 0) -> TQError? {
        outcome(.release([Release(lease: lease, delayMilliseconds: delay)]))
    }

    mutating func renew(
        _ lease: LeaseHandle,
        leaseMilliseconds: UInt32 = 0,
        progress: TaskProgress? = nil,
        checkpoint: Bytes? = nil
    ) -> TQError? {
        let renewal = Renewal(
            lease: lease,
            leaseMilliseconds: leaseMilliseconds,
            progress: progress,
            checkpoint: checkpoint
        )
        return outcome(.renew([renewal]))
    }

    mutating func cancel(_ id: TaskID) -> Result<Cancellation, TQError> {
        guard case .cancellations(let entries)? = reply(.cancel([id])), let first = entries.first else {
            return .failure(TQError(.internalError, "no answer"))
        }
        return first
    }

    mutating func redrive(_ id: TaskID, payload: Bytes? = nil) -> TQError? {
        outcome(.redrive([Redrive(task: id, payload: payload)]))
    }

    mutating func purge(_ id: TaskID) -> TQError? { outcome(.purge([id])) }

    /// The first entry of the outcomes that a request is answered with.
    private mutating func outcome(_ request: Request) -> TQError? {
        guard case .outcomes(let outcomes)? = reply(request), let first = outcomes.first else {
            return TQError(.internalError, "no answer")
        }
        return first
    }

    /// The status of a task; of an ended one as the store has it.
    mutating func status(_ id: TaskID) -> TaskStatus? {
        guard let answer = answer(.status(id)) else { return nil }
        switch answer.missing {
        case .ended(let id, let sequence, let ended, _): return endedStatus(id, sequence, ended)
        case .details(let sequence, _, _):
            settle()
            guard case .status(var status) = answer.reply else { return nil }
            status.history = store.history(of: sequence)
            status.tags = store.tags[sequence] ?? []
            if status.state == .failed { status.error = status.history.last?.error ?? [] }
            return status
        default:
            guard case .status(let status) = answer.reply else { return nil }
            return status
        }
    }

    /// The state of a task; `nil` when it is not known.
    mutating func state(_ id: TaskID) -> TaskState? { status(id)?.state }

    private mutating func endedStatus(_ id: TaskID, _ sequence: TaskSequence, _ ended: Ended) -> TaskStatus? {
        settle()
        if let outcome = store.outcome(sequence, ended) {
            return TaskStatus(
                id: id,
                queue: core.index.queueNames.name(outcome.row.queue),
                type: core.index.typeNames.name(outcome.row.type),
                state: outcome.row.state,
                priority: outcome.row.rank.priority,
                attempts: outcome.row.attempts,
                crashes: outcome.row.crashes,
                endWallMilliseconds: outcome.row.endWallMilliseconds,
                history: store.history(of: sequence),
                resultBytes: UInt32(outcome.result.count),
                cancelReason: outcome.row.state == .cancelled ? outcome.row.cancelReason : nil,
                tags: outcome.row.tagCount > 0 ? store.tags[sequence] ?? [] : []
            )
        }
        guard let letter = store.letters[sequence] else { return nil }
        return TaskStatus(
            id: id,
            queue: core.index.queueNames.name(letter.row.task.queue),
            type: core.index.typeNames.name(letter.row.task.type),
            state: .deadLetter,
            priority: letter.row.task.rank.priority,
            attempts: letter.row.attempts,
            crashes: letter.row.crashes,
            error: letter.error,
            history: store.history(of: sequence),
            tags: letter.row.task.options?.tagCount ?? 0 > 0 ? store.tags[sequence] ?? [] : []
        )
    }

    /// What a worker gets with a delivery.
    mutating func payload(of delivery: Delivery) -> Bytes? {
        settle()
        return core.payloadPlace(of: delivery.lease).flatMap { store.payload($0) }
    }

    /// The dead letter of a task.
    func letter(_ id: TaskID) -> FakeStore.StoredLetter? {
        core.cipher.sequence(of: id).flatMap { store.letters[$0] }
    }

    /// Makes a task of the queue `q` a dead letter.
    mutating func bury(error: String = "broken", payload: String = "body") throws -> TaskID {
        let id = submit(payload: payload)
        let lease = try lease()
        #expect(lease.task == id)
        #expect(fail(lease, error: error, isPermanent: true) == nil)
        settle()
        return id
    }

    /// Fails the next attempts of the only task in the queue `q`, each as soon as it may start.
    mutating func failAttempts(_ count: Int) throws {
        for _ in 0..<count {
            let lease = try lease()
            #expect(fail(lease, retryAfter: 0) == nil)
        }
    }

    /// The counters of one queue.
    func counts(_ queue: Name = "q", namespace: UInt32 = 0) -> TaskCounts {
        var names = core.index.queueNames
        return names.number(of: queue, namespace: namespace).map { core.index.counts(queue: $0) } ?? TaskCounts()
    }

    /// The code of the error that a request is answered with; `nil` when it is answered otherwise, or not yet.
    mutating func errorCode(_ request: Request) -> TQError.Code? {
        guard case .error(let error)? = reply(request) else { return nil }
        return error.code
    }

    mutating func health() -> Health? {
        guard case .health(let health)? = reply(.health) else { return nil }
        return health
    }

    /// Whether the replica finds a worker by its name.
    func followerKnows(worker: Name) -> Bool { follower.workerNumbers[.init(namespace: 0, name: worker)] != nil }

    mutating func statistics() throws -> BrokerStatistics {
        guard case .statistics(let statistics)? = reply(.statistics) else { throw Unanswered() }
        return statistics
    }

    /// The status of a task that must be known.
    mutating func known(_ id: TaskID) throws -> TaskStatus {
        guard let status = status(id) else { throw Unanswered() }
        return status
    }
}

extension Result where Failure == TQError {
    var failureCode: TQError.Code? {
        if case .failure(let error) = self { error.code } else { nil }
    }
}
