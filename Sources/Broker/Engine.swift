import ByteStore
import Glibc
import Logging
import QueueCore
import Storage
import Synchronization
import TQModel

/// The broker's machine: one core under one lock, one thread that commits, one that reads and keeps time.
///
/// A burst of commands enters the core under the lock; the core edits memory and fills the open commit group. The
/// committer swaps the group out, writes and syncs it while the next one fills, and lets the answers leave that waited for
/// it. docs/architecture.md follows one submit and one claim through here.
final class Engine: Sendable {
    let settings: BrokerSettings
    let logger: Logger
    let sessions = SessionTable()
    let monitor: Monitor<State>
    let isTickWaiting = Atomic(false)
    let compactions = Mutex(Compactions())
    /// The second in which the log said that something cannot be read.
    private let lastUnreadable = Atomic<UInt64>(0)
    /// Reads the present store.
    let reader: Mutex<StoreReader>
    /// Reads stored bytes for commands and replies, and keeps time; may wait for the disk, the event loops may not.
    let reads = WorkThread()
    /// Answers that wait, without their payloads, until their sessions have read more.
    let postponed = Mutex<[SessionID: [Answer]]>([:])

    /// Bytes in the open group beyond which commands wait: the disk's pace is everybody's pace.
    private static let openByteCountMax = 8 << 20

    struct State {
        var core: QueueCore
        var files: StoreFiles
        /// Answers that wait for a group to be written or synced, in the order in which they were decided.
        var held: [Answer] = []
        /// The newest group, by counter, that is written, and that is acknowledged as synced.
        var written: UInt64 = 0
        var synced: UInt64 = 0
        /// The newest group that an answer waits to see synced.
        var syncWanted: UInt64 = 0
        /// Why nothing is changed until the store is rebuilt.
        var failure: String?
        /// The first session that the core knows; older ones ended with the core before it.
        var firstSession: SessionID = 0
        var isDraining = false
        /// Whether the mark is to be written.
        var isMarkDue = false
        /// Whether the interval of the weaker mode has passed.
        var isIntervalDue = false
        var pace = CommitPace()
        var committer = Committer.working
        var isStopping = false
        var hasStopped = false

        /// What the committing thread does.
        enum Committer {
            case working
            /// Waits until the open group may leave.
            case pausing
            /// Waits for something to commit.
            case idle
        }

        /// Lets an answer wait until what it tells of is safe.
        mutating func hold(_ answer: Answer) {
            syncWanted = max(syncWanted, answer.syncedThrough)
            held.append(answer)
        }

        /// Whether what the answer tells of is as safe as its client was promised.
        func mayLeave(_ answer: Answer) -> Bool {
            answer.writtenThrough <= written && answer.syncedThrough <= synced
        }

        var hasWork: Bool { core.hasEffects || syncWanted > synced || isMarkDue || isIntervalDue }

        /// Whether the store takes no changes: it is to be rebuilt, or it is closed.
        var cannotChange: Bool { failure != nil || hasStopped }
    }

    init(_ settings: BrokerSettings, files: StoreFiles, logger: Logger) {
        self.settings = settings
        self.logger = logger
        self.reader = Mutex(files.reader)
        self.monitor = Monitor(State(core: Self.makeCore(settings, files), files: files))
        logCutOff(files)
        WorkThread.start { [self] in runCommitter() }
    }

    private func logCutOff(_ files: StoreFiles) {
        guard let cutOff = files.cutOff else { return }
        logger.warning(
            "the last writes before a power cut were torn and are cut off; all that was acknowledged is there",
            metadata: ["found": "\(cutOff.message)"]
        )
    }

    private static func makeCore(_ settings: BrokerSettings, _ files: StoreFiles) -> QueueCore {
        defer { files.releaseIndex() }
        var configuration = settings.core
        configuration.syncIntervalMilliseconds = settings.syncIntervalMilliseconds
        configuration.seed = .random(in: .min ... .max)
        return QueueCore(
            configuration: configuration,
            index: files.index,
            epoch: files.epoch,
            storeKey: files.identity.key,
            now: BrokerClock.now()
        )
    }

    /// What the queue holds, for the start log.
    var counts: TaskCounts { monitor.withLock { $0.core.index.counts } }

    // MARK: Deciding

    /// Decides a burst of commands under one lock.
    func perform(_ commands: [Command]) {
        let now = BrokerClock.now()
        var needing: [Command] = []
        let ready = monitor.withLock(when: { $0.core.openByteCount < Self.openByteCountMax || $0.cannotChange }) {
            state -> [Answer] in
            guard !state.cannotChange else { return commands.compactMap { refuse($0, state) } }
            // A burst belongs to one session.
            if let session = commands.first?.session, session < state.firstSession { return [] }
            for command in commands where !state.core.decide(command, now: now).isEmpty {
                needing.append(command)
            }
            return collect(&state, for: commands.first?.session)
        }
        release(ready)
        for command in needing { reads.submit { [self] in performWithReads(command) } }
    }

    /// Decides a command that needs stored bytes: they are read outside the lock, and read again if something came between.
    ///
    /// What it needs may be in a group on its way to the disk: that group is written first.
    func performWithReads(_ command: Command) {
        var fetched: [Fetch: Fetched] = [:]
        while true {
            let now = BrokerClock.now()
            let step = monitor.withLock { state -> Step in
                guard !state.cannotChange else { return Step(ready: [refuse(command, state)].compactMap { $0 }) }
                if let session = command.session, session < state.firstSession { return Step() }
                let missing = state.core.decide(command, fetched: fetched, now: now)
                let ready = collect(&state, for: command.session)
                return Step(
                    missing: missing,
                    ready: ready,
                    epoch: state.core.epoch,
                    decidedThrough: state.core.newestGroup
                )
            }
            release(step.ready)
            if step.missing.isEmpty { return }
            awaitStored(step)
            do throws(StorageError) {
                let reader = reader.withLock { $0 }
                // Who asked can ask again; what nobody asked for goes on as far as it can.
                let asked = if case .request = command { true } else { false }
                let found = try reader.fetch(step.missing, onFailure: asked ? nil : { [self] in logUnreadable($0) })
                fetched.merge(found) { $1 }
            } catch {
                return refuseUnread(command, because: error)
            }
        }
    }

    /// One look at a command that may need stored bytes.
    private struct Step {
        var missing: [Fetch] = []
        var ready: [Answer] = []
        var epoch: UInt32 = 0
        /// The newest group, by counter, when the command was looked at.
        var decidedThrough: UInt64 = 0
    }

    /// Waits until everything that was decided so far is in the store: what is to be read may have been stored just now.
    private func awaitStored(_ step: Step) {
        monitor.withLock(when: { state in
            state.cannotChange || state.core.epoch != step.epoch || state.written >= step.decidedThrough
        }) { _ in }
    }

    /// What cannot be read may be intact: whoever asked may try again.
    private func refuseUnread(_ command: Command, because error: StorageError) {
        logUnreadable(error)
        guard case .request(let session, let id, _, _) = command else { return }
        let refusal = TQError(
            .readOnly,
            "Nothing was done, because the store cannot be read: \(error). Try again.",
            retryAfterMilliseconds: 1000
        )
        sessions[session]?.deliver([(id, .error(refusal))])
    }

    /// Says once a second at most that something cannot be read: timers try again and again.
    private func logUnreadable(_ error: StorageError) {
        let second = BrokerClock.monotonicNanoseconds() / 1_000_000_000
        guard lastUnreadable.exchange(second, ordering: .relaxed) != second else { return }
        logger.error("the store cannot be read", metadata: ["error": "\(error)"])
    }

    /// The answer to a request while nothing may change: health is served, everything else waits for the rebuild.
    private func refuse(_ command: Command, _ state: State) -> Answer? {
        guard case .request(let session, let id, _, let request) = command else { return nil }
        let reply: Reply =
            switch request {
            case .ping: .done
            case .health:
                .health(
                    Health(
                        status: .readOnly,
                        reason: state.failure ?? "it has stopped.",
                        syncIntervalMilliseconds: settings.syncIntervalMilliseconds,
                        version: settings.core.version
                    )
                )
            default: .error(readOnlyError(state))
            }
        return Answer(session: session, request: id, reply: reply, writtenThrough: 0, syncedThrough: 0)
    }

    func readOnlyError(_ state: State) -> TQError {
        let failure = state.failure ?? "it has stopped."
        return TQError(
            .readOnly,
            "The broker changes nothing until its store is rebuilt: \(failure). Try again in a second.",
            retryAfterMilliseconds: 1000
        )
    }

    /// Takes the core's answers: those that may leave now are returned, the others are held.
    private func collect(_ state: inout State, for session: SessionID?) -> [Answer] {
        for notice in state.core.takeNotices() { log(notice) }
        var ready: [Answer] = []
        let heldBefore = state.held.count
        for answer in state.core.takeAnswers() {
            if state.mayLeave(answer) { ready.append(answer) } else { state.hold(answer) }
        }
        let heldCount = state.held.count - heldBefore
        if let session, heldCount > 0 {
            state.pace.waits(session, answers: heldCount, at: BrokerClock.monotonicNanoseconds())
        }
        wakeCommitter(&state)
        return ready
    }

    func wakeCommitter(_ state: inout State) {
        let mustWake =
            switch state.committer {
            case .working: false
            case .pausing: state.hasWork && state.pace.isFull
            case .idle: state.hasWork
            }
        guard mustWake else { return }
        state.committer = .working
        monitor.wakeAllAfterwards()
    }

    /// Takes the held answers that may leave now.
    private func takeReady(_ state: inout State) -> [Answer] {
        var ready: [Answer] = []
        var waiting: [Answer] = []
        for answer in state.held {
            if state.mayLeave(answer) {
                ready.append(answer)
            } else {
                waiting.append(answer)
            }
        }
        state.held = waiting
        return ready
    }

    private func log(_ notice: Notice) {
        switch notice {
        case .leaseLapsed(let task, let worker, let crashes):
            logger.warning(
                "a lease ended without a word from its holder",
                metadata: [
                    "task_id": "\(task)", "worker": "\(worker.map(\.description) ?? "none")", "crashes": "\(crashes)",
                ]
            )
        case .attemptTimedOut(let task, let worker, let attempt):
            logger.warning(
                "an attempt took longer than its timeout",
                metadata: [
                    "task_id": "\(task)", "worker": "\(worker.map(\.description) ?? "none")", "attempt": "\(attempt)",
                ]
            )
        case .workerLost(let name, let leases):
            logger.warning("a silent worker was given up", metadata: ["worker": "\(name)", "leases": "\(leases)"])
        case .deadLettered(let task, let reason):
            logger.warning("a task became a dead letter", metadata: ["task_id": "\(task)", "reason": "\(reason.name)"])
        case .bulkStarted(let operation):
            logger.notice("a bulk operation was started", metadata: operation.logMetadata)
        case .bulkEnded(let operation):
            logger.notice("a bulk operation has ended", metadata: operation.logMetadata)
        case .gateChanged(let gate):
            logger.notice(
                gate.isPaused ? "a gate was paused" : "a gate was changed",
                metadata: [
                    "gate": "\(gate.scope)", "running_max": "\(gate.runningMax)", "running": "\(gate.running)",
                    "circuit": "\(gate.circuit?.state.name ?? "none")",
                ]
            )
        case .circuitTurned(let gate):
            logger.log(
                level: gate.circuit?.state == .open ? .warning : .notice,
                "the circuit of a gate is \(gate.circuit?.state.name ?? "gone")",
                metadata: [
                    "gate": "\(gate.scope)", "attempts": "\(gate.circuit?.attempts ?? 0)",
                    "failures": "\(gate.circuit?.failures ?? 0)",
                ]
            )
        case .pauseEnded(let gate):
            logger.notice("the pause of a gate is over", metadata: ["gate": "\(gate.scope)"])
        case .zoneUnusable(let zone, let problem):
            logger.error("recurring tasks are not due: \(problem)", metadata: ["zone": "\(zone)"])
        case .damagedRecord(let text):
            logger.error("a stored record is damaged", metadata: ["record": "\(text)"])
        }
    }

    // MARK: Committing

    /// What the committer does in one turn.
    private struct Turn {
        /// The group to write; `nil` when only a sync or the mark is due.
        var effects: EffectBatch?
        /// The newest group, by counter, that is written after this turn.
        var through: UInt64
        /// Whether an answer waits for a sync; in the weaker mode, whether its interval has passed.
        var needsSync: Bool
        var needsMark: Bool
        /// Whether answers can leave between write and sync: deliveries of tasks that were synced before.
        var isSplit: Bool
        var files: StoreFiles
    }

    private func runCommitter() {
        while let turn = nextTurn() {
            do throws(StorageError) {
                try commit(turn)
            } catch {
                guard rebuild(after: error) else { break }
            }
        }
        monitor.withLock { $0.hasStopped = true }
        monitor.wakeAll()
    }

    private func nextTurn() -> Turn? {
        monitor.loop { state in
            let now = BrokerClock.monotonicNanoseconds()
            guard state.hasWork else {
                if state.isStopping { return .done(nil) }
                // What comes next comes soon, or not for a while.
                let isSoon = now < state.pace.end
                state.committer = isSoon ? .pausing : .idle
                return isSoon ? .waitUntil(state.pace.end) : .wait
            }
            guard state.isStopping || state.pace.mayLeave(at: now) else {
                state.committer = .pausing
                return .waitUntil(state.pace.end)
            }
            state.committer = .working
            state.pace.leave(at: now)
            defer { (state.isMarkDue, state.isIntervalDue) = (false, false) }
            // Who waits for room goes on with the next group while this one is synced.
            if state.core.openByteCount >= Self.openByteCountMax { monitor.wakeAllAfterwards() }
            let effects = state.core.hasEffects ? state.core.closeGroup() : nil
            let through = effects?.group.counter ?? state.written
            let synced = state.synced
            let turn = Turn(
                effects: effects,
                through: through,
                needsSync: settings.syncIntervalMilliseconds > 0 ? state.isIntervalDue : state.syncWanted > synced,
                needsMark: state.isMarkDue,
                isSplit: state.held.contains { $0.syncedThrough <= synced && $0.writtenThrough <= through },
                files: state.files
            )
            return .done(turn)
        }
    }

    private func commit(_ turn: Turn) throws(StorageError) {
        let log = turn.files.log
        var needsSync = turn.needsSync
        if let effects = turn.effects {
            let isTogether = needsSync && !turn.isSplit
            try log.commit(effects, sync: isTogether)
            if isTogether { try turn.files.noteMark() }
            // In the weaker mode what is written counts as synced: the interval syncs it.
            let isAcknowledged = isTogether || settings.syncIntervalMilliseconds > 0
            advance(written: turn.through, synced: isAcknowledged ? turn.through : 0)
            if isTogether { needsSync = false }
        }
        if needsSync {
            if log.written != log.synced { try log.sync() }
            try turn.files.noteMark()
            advance(written: turn.through, synced: turn.through)
        }
        if turn.needsMark { try turn.files.writeMark() }
    }

    /// Lets the answers leave that waited for a group.
    private func advance(written: UInt64, synced: UInt64) {
        let ready = monitor.withLock { state in
            state.written = max(state.written, written)
            state.synced = max(state.synced, synced)
            return takeReady(&state)
        }
        monitor.wakeAll()
        release(ready)
    }

    // MARK: Failure

    /// After a failed write or sync nothing is guessed: everybody who waits is told that the outcome is unknown, and the
    /// store is opened and recovered anew until that works.
    ///
    /// - Returns: `false` when the broker is stopped before it works.
    private func rebuild(after error: StorageError) -> Bool {
        logger.critical(
            "a write failed: nothing is changed until the store is rebuilt",
            metadata: ["error": "\(error)"]
        )
        let (held, files) = monitor.withLock { state -> ([Answer], StoreFiles) in
            state.failure = error.description
            defer { state.held = [] }
            return (state.held, state.files)
        }
        monitor.wakeAll()
        for answer in held { answerUnknown(answer, error) }
        files.close()
        if error.kind == .noSpace { giveReserveUp() }
        while !monitor.withLock({ $0.isStopping }) {
            sleep(1)
            do throws(StorageError) {
                // Damage that was met once would be met again, and again after serving for a while.
                let rebuilt = try StoreFiles(
                    settings,
                    acknowledged: files.acknowledged,
                    checksTables: error.kind == .corruption
                )
                serve(rebuilt)
                logCutOff(rebuilt)
                logger.notice("the store was rebuilt: serving again")
                return true
            } catch {
                if error.kind == .noSpace { giveReserveUp() }
                let reason = StartError(error, settings)
                logger.error("the store cannot be rebuilt yet", metadata: ["error": "\(reason)"])
            }
        }
        return false
    }

    private func answerUnknown(_ answer: Answer, _ error: StorageError) {
        // A stream ends with the connection, and a lease has its full duration after it.
        if answer.reply.isUnasked { return }
        let unknown = TQError(
            .outcomeUnknown,
            "The broker could not store this (\(error.description)): it may have happened or not. "
                + "Repeat it with the same idempotency key.",
            retryAfterMilliseconds: 1000
        )
        sessions[answer.session]?.deliver([(answer.request, .error(unknown))])
    }

    /// Goes on with a rebuilt store; its core knows no session, so that clients connect again.
    private func serve(_ files: StoreFiles) {
        reader.withLock { $0 = files.reader }
        let isDiskLow = isDiskLow() ?? false
        let ended = monitor.withLock { state in
            state.core = Self.makeCore(settings, files)
            _ = state.core.decide(.disk(isLow: isDiskLow), now: BrokerClock.now())
            if state.isDraining { _ = state.core.decide(.drain, now: BrokerClock.now()) }
            state.files = files
            (state.written, state.synced, state.syncWanted) = (0, 0, 0)
            state.failure = nil
            let (ended, next) = sessions.removeAll()
            state.firstSession = next
            return ended
        }
        for sink in ended { sink.disconnect() }
    }

    // MARK: Stopping

    /// Refuses new work; what runs may end.
    func drain() {
        monitor.withLock { $0.isDraining = true }
        perform([.drain])
    }

    /// Whether no worker holds a task and nobody waits for the disk.
    var isQuiet: Bool { monitor.withLock { $0.core.index.counts.inProgress == 0 && $0.held.isEmpty } }

    /// Commits what is decided, notes how far that is, closes the store, and ends what sessions are left.
    func stop() {
        reads.stop()
        monitor.withLock { $0.isStopping = true }
        monitor.wakeAll()
        monitor.withLock(when: { $0.hasStopped }) { state in
            guard state.failure == nil else { return }
            do throws(StorageError) {
                try state.files.log.sync()
                try state.files.writeMark()
            } catch {
                logger.error("the last sync failed", metadata: ["error": "\(error)"])
            }
            state.files.close()
        }
        for sink in sessions.removeAll().sinks { sink.disconnect() }
    }
}

extension Command {
    /// Whose command it is; `nil` for the broker's own.
    fileprivate var session: SessionID? {
        switch self {
        case .openSession(let id, _), .closeSession(let id), .request(let id, _, _, _): id
        case .tick, .clean, .stepBulk, .damagedPayload, .disk, .drain: nil
        }
    }
}

extension BulkStatus {
    /// What an audit of the log asks for: what was done, to which tasks, and what came of it.
    fileprivate var logMetadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "bulk": "\(number)", "change": "\(spec.change)", "filter": "\(spec.filter.description)",
            "phase": "\(phase.name)", "changed": "\(changed)", "refused": "\(refused)",
        ]
        if !problem.isEmpty { metadata["problem"] = "\(String(decoding: problem, as: UTF8.self))" }
        return metadata
    }
}
