public import TQModel

/// The queue: given a command and the time, it decides what changes, what is stored and what is answered.
///
/// A pure value: no I/O, no clock, no randomness of its own, no order that depends on hashing. The caller feeds it
/// commands one after the other, takes the effects of a commit group with ``closeGroup()``, stores them as one atomic
/// batch, and lets each answer leave when the group that it names is stored.
public struct QueueCore: Sendable {
    /// The settings, the same for the core's whole life.
    public let configuration: CoreConfiguration
    /// The epoch of this start, part of every group and token.
    public let epoch: UInt32
    /// What the committed batches and the open group together say.
    public internal(set) var index: DurableIndex
    var session = SessionState()
    let cipher: TaskIDCipher
    let storeKey: StoreKey
    var clock: StoreClock
    var now: Now
    var jitter: SplitMix64

    /// The effects of the open group.
    var batch: EffectBatch
    /// The segment that takes the next task.
    var openPart: OpenPart?
    /// Segments of the open group that hold moved tasks.
    var movedSegments = 0
    /// Bytes of results per bucket in the record that is being filled.
    var openOutcomes: [ExpiryBucket: (part: UInt16, byteCount: Int)] = [:]
    /// Tags that the open group stores.
    var openTags: [TaskSequence: [TaskTag]] = [:]
    /// When a circuit turned the last time, in store time.
    var circuitTurnStoreMilliseconds: UInt64 = 0
    /// Dead letters put back lately.
    var redriven = RedriveMemory()
    /// Tasks that are to end without having run: they did not start in time, or their dependencies failed.
    var unrun: [TaskSequence] = []
    /// Tasks that the present command has told of the end of another one.
    var settledCount = 0
    /// Tasks for which others wait and that were not in memory at the start; the last one is looked for first.
    var absentParents: [TaskSequence] = []
    /// Outcomes up to this bucket go although nothing takes them by itself.
    var askedToExpireThrough = ExpiryBucket(rawValue: 0)
    /// What was left of buckets up to this one is gone.
    var sweptThrough = ExpiryBucket(rawValue: 0)
    /// When the next dead letter expires, as far as is known: 0 at first, so that somebody looks.
    var deadLettersExpire = ExpiryBucket(rawValue: 0)
    /// The same of those that were buried since somebody looked.
    var buriedExpire = ExpiryBucket(rawValue: .max)
    /// How often outcomes were forgotten since the start.
    var forgets: UInt64 = 0
    /// The last record of each queue of which outcomes were forgotten because there were too many.
    var forgottenThrough: [UInt32: OutcomeLocation] = [:]
    /// Where in the store there is disk space of forgotten outcomes.
    var forgottenRange: ClosedRange<OutcomeLocation>?
    /// Sparse records that are being rewritten.
    var cleaning: [(handle: UInt32, group: GroupID)] = []
    let startMonotonicMilliseconds: UInt64
    private var nextToken: UInt64 = 1
    private var groupCounter: UInt64 = 1

    /// Answers since the last ``takeAnswers()``.
    var answers: [Answer] = []
    var notices: [Notice] = []
    /// What happened since the start.
    public internal(set) var totals = BrokerTotals()
    /// Whether submits are refused because the disk is nearly full.
    public internal(set) var isDiskLow = false
    /// Whether submits and claims are refused because the broker is shutting down.
    public internal(set) var isDraining = false

    /// A payload record holds at most that many bytes, so that a claim from the middle of a backlog reads little.
    static let segmentByteCountMax = 64 * 1024
    /// Attempts of one group that began within that time are stored with the same beginning, a tenth of the grace that a
    /// timeout has; others cost eight bytes more.
    private static let attemptStartPrecisionMilliseconds = Defaults.timeoutGraceMilliseconds / 10

    struct OpenPart: Sendable {
        var handle: UInt32
        var span: Int
        /// What its tasks depend on: bytes of its table that grow with it.
        var dependencyByteCount = 0
    }

    /// - Parameters:
    ///   - index: What recovery found; an empty one for a new store.
    ///   - epoch: The store's epoch of this start, raised before anything is served.
    ///   - storeKey: The store's own key, made once.
    ///   - now: The moment of serving: recovered leases have their full duration from here.
    public init(
        configuration: CoreConfiguration,
        index: DurableIndex,
        epoch: UInt32,
        storeKey: StoreKey,
        now: Now
    ) {
        self.configuration = configuration
        self.index = index
        self.epoch = epoch
        self.storeKey = storeKey
        self.cipher = TaskIDCipher(key: storeKey)
        self.clock = StoreClock(milliseconds: index.storeMilliseconds)
        self.now = now
        self.startMonotonicMilliseconds = now.monotonicMilliseconds
        self.jitter = SplitMix64(seed: configuration.seed)
        let group = GroupID(epoch: epoch, counter: groupCounter)
        self.batch = EffectBatch(group: group)
        self.clock.advance(to: now)
        self.index.storeMilliseconds = clock.milliseconds
        self.index.openGroup(group)
        beginServing()
    }

    // MARK: Deciding

    /// Decides a command.
    ///
    /// - Parameter fetched: Stored bytes that an earlier call asked for.
    /// - Returns: What must be fetched before the command can be decided; when this is not empty, nothing was done (but
    ///   that a session which is to be closed waits for nothing any more), and the caller comes again with the bytes,
    ///   read when everything decided so far is written. Something else may have happened in between: it may be asked
    ///   again.
    public mutating func decide(_ command: Command, fetched: [Fetch: Fetched] = [:], now: Now) -> [Fetch] {
        advance(to: now)
        if case .closeSession(let id) = command { endWaits(of: id) }
        let missing = reads(command, fetched).filter { fetched[$0] == nil }
        guard missing.isEmpty else { return missing }
        settledCount = 0
        switch command {
        case .openSession(let id, let settings):
            session.sessions[id] = SessionState.Session(settings: settings)
        case .closeSession(let id): closeSession(id, fetched)
        case .request(let id, let request, let principal, let asked):
            answer(asked, from: Asker(session: id, request: request, principal: principal), fetched)
        case .tick: tick(fetched)
        case .clean: clean(fetched)
        case .stepBulk: stepBulk(fetched)
        case .damagedPayload(let lease): buryDamaged(lease)
        case .disk(let isLow): isDiskLow = isLow
        case .drain: drain()
        }
        serveWaiting()
        return []
    }

    /// Who asks.
    struct Asker {
        var session: SessionID
        var request: UInt32
        var principal: Principal
    }

    private mutating func answer(_ request: Request, from asker: Asker, _ fetched: [Fetch: Fetched]) {
        switch request {
        case .submit(let specs): submit(specs, asker, fetched)
        case .claim(let spec): claim(spec, asker)
        case .openStream(let stream, let spec): openStream(stream, spec, asker)
        case .addCredit(let stream, let count): addCredit(stream, count, asker)
        case .closeStream(let stream): closeStream(stream, asker)
        case .complete(let items): complete(items, asker, fetched)
        case .fail(let items): reply(.outcomes(items.map { fail($0, fetched) }), to: asker)
        case .release(let items): reply(.outcomes(items.map { release($0) }), to: asker)
        case .renew(let items): reply(.outcomes(items.map { renew($0, asker.session) }), to: asker)
        case .cancel(let ids): reply(.cancellations(ids.map { cancel(requested: $0) }), to: asker)
        case .redrive(let items): reply(.outcomes(items.map { redrive($0, fetched) }), to: asker)
        case .purge(let ids): reply(.outcomes(ids.map { purge($0, fetched) }), to: asker)
        case .registerWorker(let spec), .heartbeat(let spec): hear(spec, asker)
        case .deregisterWorker(let name): deregister(name, asker)
        case .orderWorker(let name, let order): self.order(name, order, asker)
        case .compact: compact(asker)
        case .putQueuePolicy(let name, let policy): put(policy, of: name, asker)
        case .changeGate(let change): self.change(change, asker)
        case .gates: reply(.gates(gateStatuses(asker.principal.namespace)), to: asker)
        case .explain(let id): explain(id, asker)
        case .explainQueue(let name): explain(queue: name, asker)
        case .putRecurring, .removeRecurring, .pauseRecurring, .runRecurring, .recurring, .upcomingTicks:
            answerRecurring(request, asker, fetched)
        case .startBulk, .bulkOperations, .stopBulk: answerBulk(request, asker)
        case .tasks(let query): list(query, fetched, asker)
        case .status, .result, .statistics, .queues, .workers, .deadLetters, .health, .ping: read(request, asker)
        }
    }

    /// The stored bytes that a command needs; empty on the hot path.
    private mutating func reads(_ command: Command, _ fetched: [Fetch: Fetched]) -> [Fetch] {
        switch command {
        case .request(_, _, _, .fail(let items)): items.compactMap { burialRead(of: $0) }
        case .request(_, _, _, .redrive(let items)): items.compactMap { deadLetterRead($0.task) }
        case .request(_, _, _, .purge(let ids)): ids.compactMap { deadLetterRead($0) }
        case .request(_, _, let principal, .submit(let specs)):
            replacedTagReads(specs, principal) + dependencyReads(specs)
        case .request(_, _, let principal, .complete(let items)):
            replacedTagReads(items, principal) + items.flatMap { dependencyReads($0.followUps) }
        case .request(_, _, _, .tasks(let query)): [taggedRead(query)].compactMap { $0 }
        case .request(_, _, _, let request): [zoneRead(request)].compactMap { $0 }
        case .closeSession(let id): burialReads(session: id)
        case .tick: tickReads()
        case .clean: cleanReads()
        case .stepBulk: bulkReads(fetched)
        default: []
        }
    }

    private func deadLetterRead(_ id: TaskID) -> Fetch? { cipher.sequence(of: id).map { .deadLetter($0) } }

    // MARK: Time

    /// Moves both clocks; the monotonic one never goes back, whatever the caller says.
    private mutating func advance(to now: Now) {
        let monotonic = max(now.monotonicMilliseconds, self.now.monotonicMilliseconds)
        self.now = Now(monotonicMilliseconds: monotonic, wallMilliseconds: now.wallMilliseconds)
        clock.advance(to: self.now)
        index.storeMilliseconds = clock.milliseconds
        index.wallMilliseconds = now.wallMilliseconds
        index.gates.advance(toMilliseconds: monotonic)
    }

    // MARK: Groups

    /// Whether the open group has anything to store.
    public var hasEffects: Bool { !batch.isEmpty }

    /// About how many bytes the open group will have.
    public var openByteCount: Int { batch.byteCount }

    /// The counter of the group that an answer without effects of its own must wait for.
    public var newestGroup: UInt64 { batch.isEmpty ? groupCounter - 1 : groupCounter }

    /// The counter of the newest group that may have been written.
    public var newestClosedGroup: UInt64 { groupCounter - 1 }

    /// Ends the open group and begins the next.
    ///
    /// - Returns: What to store in one atomic batch; groups are stored in the order in which they are closed.
    public mutating func closeGroup() -> EffectBatch {
        precondition(!batch.isEmpty, "an empty group has no number on disk")
        batch.derived = index.closeGroup()
        batch.storeMilliseconds = clock.milliseconds
        batch.nextSequence = index.nextSequence
        groupCounter += 1
        let closed = batch
        let group = GroupID(epoch: epoch, counter: groupCounter)
        batch = EffectBatch(group: group)
        index.openGroup(group)
        openPart = nil
        movedSegments = 0
        openOutcomes.removeAll(keepingCapacity: true)
        openTags.removeAll()
        return closed
    }

    mutating func makeToken() -> LeaseToken {
        defer { nextToken += 1 }
        return LeaseToken(rawValue: UInt64(epoch) << 44 | nextToken)
    }

    // MARK: Recording

    /// Records a transition: in the index and in the batch, nothing between the two.
    mutating func record(_ transition: Transition) {
        if batch.transitions.isEmpty { batch.transitionsStoreMilliseconds = clock.milliseconds }
        var transition = transition
        if transition.operation == .claim { transition.claimedStoreMilliseconds = attemptStart }
        if !index.checkpoints.isEmpty { keepCheckpoint(in: &transition) }
        index.apply(transition, texts: batch.texts)
        batch.transitions.append(transition)
    }

    /// When an attempt begins that is claimed now, in store time.
    ///
    /// The time of the group's first transition is stored once for all. It is precise enough unless the disk lets the
    /// group wait, so that the attempt would lose part of its time with a restart. None begins before the circuit turned that let
    /// it through: it would not count.
    private var attemptStart: UInt64 {
        let first = batch.transitionsStoreMilliseconds
        let isPrecise = clock.milliseconds - first < Self.attemptStartPrecisionMilliseconds
        return isPrecise && first >= circuitTurnStoreMilliseconds ? first : clock.milliseconds
    }

    /// Lets a transition say what the task has saved, unless it says something itself or the task is over or another one.
    private mutating func keepCheckpoint(in transition: inout Transition) {
        let isKept = transition.state.isWaiting || transition.state == .inProgress
        guard isKept, transition.checkpoint == nil, transition.operation != .replace,
            let checkpoint = index.checkpoints[transition.sequence]
        else { return }
        transition.checkpoint = batch.text(checkpoint)
    }

    // MARK: Answering

    /// Answers a request; the reply waits for every change so far, because it may reveal one.
    mutating func reply(_ reply: Reply, to asker: Asker, missing: Answer.Missing = .nothing) {
        answers.append(
            Answer(
                session: asker.session,
                request: asker.request,
                reply: reply,
                missing: missing,
                writtenThrough: newestGroup,
                syncedThrough: newestGroup
            )
        )
    }

    mutating func reply(_ error: TQError, to asker: Asker) { reply(.error(error), to: asker) }

    /// The answers since the last call, in the order in which they were decided.
    public mutating func takeAnswers() -> [Answer] {
        defer { answers.removeAll(keepingCapacity: true) }
        return answers
    }

    /// What operators should know since the last call.
    public mutating func takeNotices() -> [Notice] {
        defer { notices.removeAll() }
        return notices
    }

    // MARK: Names

    func id(of sequence: TaskSequence, _ slot: TaskSlot) -> TaskID {
        cipher.id(of: sequence, createdMilliseconds: slot.createdMilliseconds)
    }

    /// Where to look for a task: in memory, elsewhere (it has ended), or nowhere.
    enum Whereabouts {
        case slot(TaskSequence, TaskSlot)
        case ended(TaskSequence)
        case nowhere
    }

    func find(_ id: TaskID) -> Whereabouts {
        guard let sequence = cipher.sequence(of: id), sequence.rawValue > 0, sequence.rawValue < index.nextSequence
        else { return .nowhere }
        let slot = index.tasks[sequence]
        guard slot.stateValue != 0 else { return .ended(sequence) }
        return slot.createdMilliseconds & 0xffff_ffff_ffff == id.createdMilliseconds ? .slot(sequence, slot) : .nowhere
    }

    /// The number of a name, given to it now if it is new.
    mutating func number(of name: Name, _ kind: NameKind, _ namespace: UInt32) throws(TQError) -> UInt32 {
        let known =
            switch kind {
            case .queue: index.queueNames.number(of: name, namespace: namespace)
            case .type: index.typeNames.number(of: name, namespace: namespace)
            case .contentType: index.contentTypes.number(of: name, namespace: namespace)
            case .retryPolicy: nil as UInt32?
            }
        if let known { return known }
        let word =
            switch kind {
            case .queue: "queue"
            case .type: "task type"
            case .contentType: "content type"
            case .retryPolicy: "retry policy"
            }
        try check(name, word)
        let count = index.nameCount(kind)
        guard count < kind.countMax else {
            throw TQError(.limitExceeded, "The broker knows \(count) \(word) names, its limit. Use fewer of them.")
        }
        let copy = Name(bytes: Bytes(Array(name.bytes)))
        let row = NameRow(kind: kind, number: UInt32(count + 1), namespace: namespace, name: copy)
        index.apply(row)
        batch.names.append(row)
        return row.number
    }
}
