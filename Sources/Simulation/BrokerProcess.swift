import ByteStore
import QueueCore
import Storage
import TQModel

/// What a crash takes: the core, its commit group on the way to the disk, and the answers that wait for it.
///
/// It does what the broker's engine does, by the same rules, one small step at a time, so that anything can happen between
/// two of them: commands enter the core, a group is closed, written, synced, stored bytes are read on the side.
struct BrokerProcess {
    private(set) var core: QueueCore
    let log: CommitLog
    private let reader: StoreReader
    /// Answers that wait for a group to be written or synced.
    private var held: [Answer] = []
    /// The newest group, by counter, that is written, and that is synced.
    private var written: UInt64 = 0
    private var synced: UInt64 = 0
    /// The newest group that an answer waits to see synced.
    private var syncWanted: UInt64 = 0
    /// The group that is swapped out and not written yet, with the index at that moment.
    private var closed: (effects: EffectBatch, index: DurableIndex)?
    /// What waits for stored bytes, in order.
    private(set) var errands: [Errand]
    /// Why nothing is changed until the store is rebuilt.
    private(set) var failure: StorageError?
    /// What runs behind gates since the last command.
    private(set) var gates: Gates
    /// What a gate let through that it should not have.
    private(set) var problem: Broken?
    /// The effects at which that was looked for last.
    private var watched: (group: UInt64, byteCount: Int) = (0, 0)
    /// Counts of running tasks that were compared with the leases, and keys that were found at their limits.
    var keysCompared = 0
    var keysAtLimit = 0
    /// Replies that have left.
    private var replies: [SentReply] = []
    private var notices: [Notice] = []
    /// Tasks that were taken, as soon as it is decided.
    private var submissions: [(spec: TaskSpec, submission: Submission)] = []
    private var edits: [Redrive] = []
    /// What streams were given, as soon as it is decided.
    private var streamed: [Streamed] = []

    /// Something that needs stored bytes: a command before it can be decided, an answer before it can leave.
    enum Errand {
        case command(Command, fetched: [Fetch: Fetched], missing: [Fetch], decidedThrough: UInt64)
        case answer(Answer)
    }

    /// Tasks that a stream was given; another delivery of it may overtake this one.
    struct Streamed {
        var session: SessionID
        var stream: UInt32
        var tokens: [LeaseToken]
    }

    /// A reply as it leaves, with the answer that it was made of.
    struct SentReply {
        var answer: Answer
        var reply: Reply
    }

    init(core: QueueCore, log: CommitLog, reader: StoreReader, errands: [Errand] = []) {
        self.core = core
        gates = Gates(of: core.index)
        problem = gates.countProblem(core.index) ?? core.index.dependencyProblem
        self.log = log
        self.reader = reader
        // Sessions ended with the core before this one, and what it had decided is in the store or lost.
        self.errands = errands.compactMap { errand in
            switch errand {
            case .command(.request, _, _, _), .command(.closeSession, _, _, _): nil
            case .command(let command, let fetched, let missing, _):
                .command(command, fetched: fetched, missing: missing, decidedThrough: 0)
            case .answer: errand
            }
        }
    }

    // MARK: Deciding

    private mutating func watch() {
        // What a command changes in the index it records in the open group.
        let effects = (group: core.newestGroup, byteCount: core.openByteCount)
        guard effects != watched else { return }
        watched = effects
        let before = gates
        gates = Gates(of: core.index)
        problem =
            problem ?? gates.problem(since: before, core.index) ?? gates.countProblem(core.index)
            ?? core.index.dependencyProblem
        keysCompared += core.index.keysRunning.count
        keysAtLimit += gates.keysAtLimit
    }

    mutating func perform(_ command: Command, at now: Now) {
        guard failure == nil else { return refuse(command) }
        let missing = core.decide(command, now: now)
        watch()
        if missing.isEmpty {
            collect(after: command)
        } else {
            errands.append(
                .command(command, fetched: [:], missing: missing, decidedThrough: core.newestGroup)
            )
        }
    }

    /// Goes one step further with the oldest errand.
    mutating func runErrand(at now: Now) {
        guard let errand = errands.first else { return }
        switch errand {
        case .answer(let answer):
            errands.removeFirst()
            complete(answer, at: now)
        case .command(let command, var fetched, let missing, let decided):
            guard failure == nil else {
                errands.removeFirst()
                return refuse(command)
            }
            if !missing.isEmpty {
                // What is to be read may have been stored just now.
                guard written >= decided, let found = try? reader.fetch(missing) else { return }
                fetched.merge(found) { $1 }
                errands[0] = .command(command, fetched: fetched, missing: [], decidedThrough: decided)
                return
            }
            let more = core.decide(command, fetched: fetched, now: now)
            watch()
            if more.isEmpty {
                errands.removeFirst()
                collect(after: command)
            } else {
                errands[0] = .command(command, fetched: fetched, missing: more, decidedThrough: core.newestGroup)
            }
        }
    }

    private mutating func complete(_ answer: Answer, at now: Now) {
        let core = core
        let present = AnswerCompletion.Present(
            place: { core.payloadPlace(of: $0) },
            isElsewhere: { core.isElsewhere($0, than: $1) }
        )
        switch AnswerCompletion(reader).outcome(of: answer, present) {
        case .askAgain(let command): perform(command, at: now)
        case .reply(let reply, let damaged):
            for lease in damaged { perform(.damagedPayload(lease), at: now) }
            guard answer.readsNewest else { return replies.append(SentReply(answer: answer, reply: reply)) }
            hold(reply, to: answer)
        }
    }

    /// Lets a reply leave once everything is synced that may have been read for it.
    private mutating func hold(_ reply: Reply, to answer: Answer) {
        var whole = answer
        (whole.reply, whole.missing) = (reply, .nothing)
        (whole.writtenThrough, whole.syncedThrough) = (written, written)
        if failure != nil {
            replies.append(SentReply(answer: answer, reply: .error(Self.readOnly)))
        } else if whole.syncedThrough <= synced {
            replies.append(SentReply(answer: whole, reply: reply))
        } else {
            syncWanted = max(syncWanted, written)
            held.append(whole)
        }
    }

    private static let readOnly = TQError(.readOnly, "Nothing is changed until the store is rebuilt.")

    private mutating func refuse(_ command: Command) {
        guard case .request(let session, let id, _, let request) = command else { return }
        let reply: Reply =
            switch request {
            case .ping: .done
            case .health: .health(Health(status: .readOnly, reason: failure?.description ?? ""))
            default: .error(Self.readOnly)
            }
        let answer = Answer(session: session, request: id, reply: reply, writtenThrough: 0, syncedThrough: 0)
        replies.append(SentReply(answer: answer, reply: reply))
    }

    /// Takes the core's answers: those that may leave now do, the others are held.
    private mutating func collect(after command: Command) {
        notices += core.takeNotices()
        for answer in core.takeAnswers() {
            switch answer.reply {
            case .submitted(let results):
                guard case .request(answer.session, answer.request, _, .submit(let specs)) = command else { break }
                note(specs, results)
            case .outcomes(let outcomes):
                guard case .request(answer.session, answer.request, _, .redrive(let items)) = command else { break }
                edits += zip(items, outcomes).filter { $1 == nil && $0.payload != nil }.map(\.0)
            case .completed(let entries):
                guard case .request(answer.session, answer.request, _, .complete(let items)) = command else { break }
                for case (let item, .success(let submissions)) in zip(items, entries) {
                    note(item.followUps, submissions.map { .success($0) })
                }
            case .delivery(let stream, let deliveries):
                streamed.append(
                    Streamed(session: answer.session, stream: stream, tokens: deliveries.map(\.lease.token))
                )
            default: break
            }
            if answer.writtenThrough <= written, answer.syncedThrough <= synced {
                release(answer)
            } else {
                syncWanted = max(syncWanted, answer.syncedThrough)
                held.append(answer)
            }
        }
    }

    private mutating func note(_ specs: [TaskSpec], _ results: [Result<Submission, TQError>]) {
        for case (let spec, .success(let submission)) in zip(specs, results) { submissions.append((spec, submission)) }
    }

    private mutating func release(_ answer: Answer) {
        if let reply = AnswerCompletion(reader).cachedReply(to: answer) {
            replies.append(SentReply(answer: answer, reply: reply))
        } else {
            errands.append(.answer(answer))
        }
    }

    /// Replies that nobody took yet.
    var peekReplies: [SentReply] { replies }

    mutating func takeReplies() -> [SentReply] {
        defer { replies = [] }
        return replies
    }

    mutating func takeSubmissions() -> [(spec: TaskSpec, submission: Submission)] {
        defer { submissions = [] }
        return submissions
    }

    /// Dead letters that got another payload.
    mutating func takeEdits() -> [Redrive] {
        defer { edits = [] }
        return edits
    }

    mutating func takeStreamed() -> [Streamed] {
        defer { streamed = [] }
        return streamed
    }

    mutating func takeNotices() -> [Notice] {
        defer { notices = [] }
        return notices
    }

    // MARK: Committing

    /// What the committer can do next.
    enum CommitStep {
        case close
        case write
        case sync
    }

    /// What the committer would do next: it syncs only when an answer waits for that.
    var nextCommitStep: CommitStep? {
        guard failure == nil else { return nil }
        if closed != nil { return .write }
        if syncWanted > synced, written > synced { return .sync }
        return core.hasEffects ? .close : nil
    }

    /// Whether there is something that a power cut would take.
    var hasUnsynced: Bool { failure == nil && written > synced }

    mutating func closeGroup() {
        guard closed == nil, core.hasEffects else { return }
        let effects = core.closeGroup()
        closed = (effects, core.index)
    }

    /// The group that is written next, and the index at its end.
    var closedGroup: (effects: EffectBatch, index: DurableIndex)? { closed }

    mutating func write(sync: Bool) throws(StorageError) {
        guard let (effects, _) = closed else { return }
        try log.commit(effects, sync: sync)
        closed = nil
        advance(written: effects.group.counter, synced: sync ? effects.group.counter : 0)
    }

    mutating func sync() throws(StorageError) {
        try log.sync()
        advance(written: written, synced: written)
    }

    private mutating func advance(written: UInt64, synced: UInt64) {
        self.written = max(self.written, written)
        self.synced = max(self.synced, synced)
        let waiting = held
        held = []
        for answer in waiting {
            if answer.writtenThrough <= self.written, answer.syncedThrough <= self.synced {
                release(answer)
            } else {
                held.append(answer)
            }
        }
    }

    /// A write or sync failed: who waits is told that the outcome is unknown, and nothing is decided any more.
    mutating func fail(_ error: StorageError) {
        failure = error
        for answer in held {
            let unknown = TQError(.outcomeUnknown, "It may have happened or not: \(error.description)")
            replies.append(SentReply(answer: answer, reply: .error(unknown)))
        }
        held = []
        closed = nil
    }

    // MARK: Looking

    /// Requests that were decided, or will be, and whose replies have not left.
    var undelivered: [Answer] {
        held + errands.compactMap { if case .answer(let answer) = $0 { answer } else { nil } }
    }

    /// Requests that wait for stored bytes before they can be decided.
    var undecided: [(session: SessionID, request: UInt32)] {
        errands.compactMap { errand in
            guard case .command(.request(let session, let request, _, _), _, _, _) = errand else { return nil }
            return (session, request)
        }
    }

    /// Whether everything that was decided is on the disk and everybody was answered.
    var isSettled: Bool {
        errands.isEmpty && held.isEmpty && closed == nil && !core.hasEffects && written == synced
    }
}
