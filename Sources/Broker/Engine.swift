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
    private let settings: BrokerSettings
    private let logger: Logger
    private let sessions = SessionTable()
    private let monitor: Monitor<State>
    private let isTickWaiting = Atomic(false)
    /// Reads the present store.
    private let reader: Mutex<StoreReader>
    /// Reads stored bytes for commands and replies, and keeps time; may wait for the disk, the event loops may not.
    private let reads = WorkThread()

    /// Bytes in the open group beyond which commands wait: the disk's pace is everybody's pace.
    private static let openByteCountMax = 8 << 20
    private static let markIntervalMilliseconds: UInt64 = 1000

    private struct State {
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
        /// Whether the mark or the interval of the weaker mode is due.
        var isTimeDue = false
        var isCommitterIdle = false
        var isStopping = false
        var hasStopped = false

        /// Whether what the answer tells of is as safe as its client was promised.
        func mayLeave(_ answer: Answer) -> Bool {
            #if TQ_PLANT_BUGS
            if core.configuration.plantedBug == .replyBeforeWrite { return true }
            #endif
            return answer.writtenThrough <= written && answer.syncedThrough <= synced
        }

        var hasWork: Bool { core.hasEffects || syncWanted > synced || isTimeDue }
    }

    init(_ settings: BrokerSettings, files: StoreFiles, logger: Logger) {
        self.settings = settings
        self.logger = logger
        self.reader = Mutex(files.reader)
        self.monitor = Monitor(State(core: Self.makeCore(settings, files), files: files))
        WorkThread.start { [self] in runCommitter() }
    }

    private static func makeCore(_ settings: BrokerSettings, _ files: StoreFiles) -> QueueCore {
        defer { files.releaseIndex() }
        var configuration = settings.core
        configuration.seed = .random(in: .min ... .max)
        return QueueCore(
            configuration: configuration,
            index: files.index,
            epoch: files.epoch,
            storeKey: files.identity.key,
            now: BrokerClock.now()
        )
    }

    // MARK: Sessions

    func openSession(_ sink: any SessionSink, _ settings: SessionSettings) -> SessionID {
        let id = sessions.add(sink)
        perform([.openSession(id, settings)])
        return id
    }

    func closeSession(_ id: SessionID) {
        sessions.remove(id)
        perform([.closeSession(id)])
    }

    /// Whether a session holds a lease or waits for an answer.
    func isBusy(_ id: SessionID) -> Bool {
        monitor.withLock { state in
            state.core.isBusy(id) || state.held.contains { $0.session == id }
        }
    }

    /// What the queue holds, for the start log.
    var counts: TaskCounts { monitor.withLock { $0.core.index.counts } }

    // MARK: Deciding

    /// Decides a burst of commands under one lock.
    func perform(_ commands: [Command]) {
        let now = BrokerClock.now()
        var needing: [Command] = []
        let ready = monitor.withLock(when: { $0.core.openByteCount < Self.openByteCountMax || $0.failure != nil }) {
            state -> [Answer] in
            if let failure = state.failure { return commands.compactMap { Self.refuse($0, failure, settings) } }
            for command in commands {
                if !state.core.decide(command, now: now).isEmpty {
                    needing.append(command)
                }
            }
            return collect(&state)
        }
        release(ready)
        for command in needing { reads.submit { [self] in performWithReads(command) } }
    }

    /// Decides a command that needs stored bytes: they are read outside the lock, and read again if something came between.
    private func performWithReads(_ command: Command) {
        var fetched: [Fetch: Fetched] = [:]
        while true {
            let now = BrokerClock.now()
            let (missing, ready) = monitor.withLock { state -> ([Fetch], [Answer]) in
                if let failure = state.failure {
                    return ([], [Self.refuse(command, failure, settings)].compactMap { $0 })
                }
                let missing = state.core.decide(command, fetched: fetched, now: now)
                return (missing, collect(&state))
            }
            release(ready)
            if missing.isEmpty { return }
            do throws(StorageError) {
                let reader = reader.withLock { $0 }
                fetched.merge(try reader.fetch(missing)) { $1 }
            } catch {
                logger.error("the store cannot be read", metadata: ["error": "\(error)"])
                for fetch in missing { fetched[fetch] = .damaged(error.description) }
            }
        }
    }

    /// The answer to a request while nothing may change: health is served, everything else waits for the rebuild.
    private static func refuse(_ command: Command, _ failure: String, _ settings: BrokerSettings) -> Answer? {
        guard case .request(let session, let id, _, let request) = command else { return nil }
        let reply: Reply =
            switch request {
            case .ping: .done
            case .health:
                .health(
                    Health(
                        status: .readOnly,
                        reason: failure,
                        syncIntervalMilliseconds: settings.syncIntervalMilliseconds,
                        version: settings.core.version
                    ))
            default:
                .error(
                    TQError(
                        .readOnly,
                        "The broker changes nothing until its store is rebuilt: \(failure). Try again in a second.",
                        retryAfterMilliseconds: 1000))
            }
        return Answer(session: session, request: id, reply: reply, writtenThrough: 0, syncedThrough: 0)
    }

    /// Takes the core's answers: those that may leave now are returned, the others are held.
    private func collect(_ state: inout State) -> [Answer] {
        for notice in state.core.takeNotices() { log(notice) }
        var ready: [Answer] = []
        for answer in state.core.takeAnswers() {
            if state.mayLeave(answer) {
                ready.append(answer)
            } else {
                state.syncWanted = max(state.syncWanted, answer.syncedThrough)
                state.held.append(answer)
            }
        }
        if state.isCommitterIdle, state.hasWork {
            state.isCommitterIdle = false
            monitor.wakeAll()
        }
        return ready
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
                metadata: ["task_id": "\(task)", "worker": "\(worker.map(\.description) ?? "none")", "crashes": "\(crashes)"])
        case .workerLost(let name, let leases):
            logger.warning("a silent worker was given up", metadata: ["worker": "\(name)", "leases": "\(leases)"])
        case .deadLettered(let task, let reason):
            logger.warning("a task became a dead letter", metadata: ["task_id": "\(task)", "reason": "\(reason.name)"])
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
        /// Whether an answer waits for a sync.
        var needsSync: Bool
        /// Whether answers can leave between write and sync: deliveries of tasks that were synced before.
        var isSplit: Bool
        var files: StoreFiles
    }

    private func runCommitter() {
        var times = CommitTimes(BrokerClock.now().monotonicMilliseconds)
        while let turn = nextTurn() {
            do throws(StorageError) {
                try commit(turn, &times)
            } catch {
                rebuild(after: error)
            }
        }
        monitor.withLock { $0.hasStopped = true }
        monitor.wakeAll()
    }

    private struct CommitTimes {
        var sync: UInt64
        var mark: UInt64

        init(_ now: UInt64) { (sync, mark) = (now, now) }
    }

    private func nextTurn() -> Turn? {
        monitor.withLock(when: { $0.hasWork || $0.isStopping || !$0.isCommitterIdle }) { state in
            if !state.hasWork {
                state.isCommitterIdle = true
                if state.isStopping { return nil }
            }
            state.isTimeDue = false
            let effects = state.core.hasEffects ? state.core.closeGroup() : nil
            let through = effects?.group.counter ?? state.written
            let synced = state.synced
            return Turn(
                effects: effects,
                through: through,
                needsSync: state.syncWanted > synced,
                isSplit: state.held.contains { $0.syncedThrough <= synced && $0.writtenThrough <= through },
                files: state.files
            )
        }
    }

    private func commit(_ turn: Turn, _ times: inout CommitTimes) throws(StorageError) {
        let log = turn.files.log
        let isInterval = settings.syncIntervalMilliseconds > 0
        var needsSync = turn.needsSync && !isInterval
        if let effects = turn.effects {
            let isTogether = needsSync && !turn.isSplit
            try log.commit(effects, sync: isTogether)
            advance(written: turn.through, synced: isTogether || isInterval ? turn.through : 0)
            if isTogether { needsSync = false }
        }
        let now = BrokerClock.now().monotonicMilliseconds
        if isInterval, now >= times.sync + UInt64(settings.syncIntervalMilliseconds) {
            needsSync = true
            times.sync = now
        }
        if needsSync {
            try log.sync()
            advance(written: turn.through, synced: turn.through)
        }
        if now >= times.mark + Self.markIntervalMilliseconds {
            try turn.files.writeMark()
            times.mark = now
        }
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

    // MARK: Replying

    /// Hands answers to their sessions; those that lack bytes which are not in memory go through the reading thread.
    private func release(_ answers: [Answer]) {
        guard !answers.isEmpty else { return }
        var replies = SessionReplies()
        var lacking: [Answer] = []
        let completion = AnswerCompletion(reader.withLock { $0 })
        for answer in answers {
            if let reply = completion.cachedReply(to: answer) {
                replies.append(reply, to: answer)
            } else {
                lacking.append(answer)
            }
        }
        replies.deliver(to: sessions)
        if !lacking.isEmpty { reads.submit { [self, lacking] in complete(lacking) } }
    }

    private func complete(_ answers: [Answer]) {
        var replies = SessionReplies()
        let completion = AnswerCompletion(reader.withLock { $0 })
        for answer in answers {
            let (reply, damaged) = completion.reply(to: answer)
            for lease in damaged { performWithReads(.damagedPayload(lease)) }
            replies.append(reply, to: answer)
        }
        replies.deliver(to: sessions)
    }

    // MARK: Time

    /// Tells the core that time has passed; call it about twenty times a second.
    func tick() {
        // When the reading thread is behind, one waiting tick is enough.
        guard isTickWaiting.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        reads.submit { [self] in
            isTickWaiting.store(false, ordering: .relaxed)
            performWithReads(.tick)
            if monitor.withLock({ $0.failure == nil && $0.core.hasSparseRecords }) { performWithReads(.clean) }
            if settings.syncIntervalMilliseconds > 0 { makeTimeDue() }
        }
    }

    private func makeTimeDue() {
        monitor.withLock { state in
            state.isTimeDue = true
            state.isCommitterIdle = false
        }
        monitor.wakeAll()
    }

    /// Compares the free space of the disk with the reserve; call it about once a second.
    func watchDisk() {
        makeTimeDue()
        guard let free = StoreFiles.freeBytes(settings.dataDirectory) else { return }
        let isLow = free < settings.diskReserveBytes
        if isLow != monitor.withLock({ $0.core.isDiskLow }) {
            let metadata: Logger.Metadata = ["free_bytes": "\(free)", "reserve_bytes": "\(settings.diskReserveBytes)"]
            if isLow {
                logger.error("the disk is nearly full: submits are refused, completions go on", metadata: metadata)
            } else {
                logger.notice("the disk has room again: submits are taken", metadata: metadata)
            }
        }
        perform([.disk(isLow: isLow)])
    }

    // MARK: Failure

    /// After a failed write or sync nothing is guessed: everybody who waits is told that the outcome is unknown, and the
    /// store is opened and recovered anew until that works.
    private func rebuild(after error: StorageError) {
        logger.critical("a write failed: nothing is changed until the store is rebuilt", metadata: ["error": "\(error)"])
        let (held, files) = monitor.withLock { state -> ([Answer], StoreFiles) in
            state.failure = error.description
            defer { state.held = [] }
            return (state.held, state.files)
        }
        monitor.wakeAll()
        for answer in held {
            let unknown = TQError(
                .outcomeUnknown,
                "The broker could not store this (\(error.description)): it may have happened or not. "
                    + "Repeat it with the same idempotency key.",
                retryAfterMilliseconds: 1000)
            sessions[answer.session]?.deliver([(answer.request, .error(unknown))])
        }
        files.close()
        while true {
            sleep(1)
            if monitor.withLock({ $0.isStopping }) { return }
            do throws(StorageError) {
                let files = try StoreFiles(settings)
                monitor.withLock { state in
                    state.core = Self.makeCore(settings, files)
                    state.files = files
                    state.held = []
                    (state.written, state.synced, state.syncWanted) = (0, 0, 0)
                    state.failure = nil
                }
                reader.withLock { $0 = files.reader }
                // The new core knows no session; clients connect again and go on.
                for sink in sessions.all { sink.disconnect() }
                logger.notice("the store was rebuilt: serving again")
                return
            } catch {
                logger.error("the store cannot be rebuilt yet", metadata: ["error": "\(error)"])
            }
        }
    }

    // MARK: Stopping

    /// Refuses new work; what runs may end.
    func drain() { perform([.drain]) }

    /// Whether no worker holds a task.
    var isQuiet: Bool { monitor.withLock { $0.core.index.counts.inProgress == 0 } }

    /// Commits what is decided, notes how far that is, and closes the store.
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
    }
}
