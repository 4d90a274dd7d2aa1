import ByteStore
import HistoryChecker
import QueueCore
import Storage
import TQModel

/// One run: clients, a broker, a disk and a clock, all moved by one seed.
///
/// The same seed gives the same run, event by event, in every process.
public struct Simulation {
    /// What a run found.
    public struct Report: Sendable {
        /// What moved the run.
        public var seed: UInt64
        /// Whether tasks of the run have keys, groups and dependencies; without them order can be looked at over several queues.
        var hasSharing: Bool { seed % 2 == 0 }
        /// Crashes before which at least ``Simulation/acknowledgedMin`` changes were acknowledged.
        public var cycles = 0
        /// All crashes.
        public var crashes = 0
        /// Steps of the run.
        public var steps = 0
        /// Changes that were acknowledged to clients.
        public var acknowledged = 0
        /// Milliseconds that passed for the broker.
        public var simulatedMilliseconds: UInt64 = 0
        /// What the run met.
        public var hits = Hits()
        /// A hash of everything that clients saw and of the store at the end.
        public var digest: UInt64 = 0
        /// What is broken, with the events that show it; `nil` when nothing is.
        public var failure: String?
        /// The promise that is broken, and how, in a sentence; `nil` when none is.
        public var broken: (invariant: String, sentence: String)?
    }

    /// Acknowledged changes that must precede a crash for it to count as a cycle.
    public static let acknowledgedMin = 20
    /// Crashes of one run: few, so that a failing run can be read.
    static let crashesPerRun = 6

    var dice: Dice
    var now: Now
    var broker: SimulatedBroker
    var history: History
    var clients: [Client]
    var nextSession: SessionID = 1
    var nextRequest: UInt32 = 1
    var asked: [AskedKey: Asked] = [:]
    var report: Report
    var acknowledgedSinceCrash = 0
    /// What clients know and may use again.
    var leases: [(lease: LeaseHandle, client: Int)] = []
    /// Leases that ended before the reply of their claim left, as the history knows by now.
    var unseen: Set<LeaseHandle> = []
    var ids: [TaskID] = []
    var known: Set<TaskID> = []
    /// Tasks that somebody wanted to cancel.
    var cancelled: Set<TaskID> = []
    /// Tasks among them that became dead letters.
    var dead: [TaskID] = []
    /// Every task that the core took, with what was submitted, whether or not somebody was told.
    var stored: [TaskID: StoredSpec] = [:]
    var storedIDs: [TaskID] = []
    /// Submits with a key whose outcome is unknown.
    var repeats: [TaskSpec] = []
    var handOvers = HandOvers()
    var ticks = Ticks()
    var bulk = BulkOperations()
    var dependencies = DependencyChecks()
    /// What clients were told of bulk operations last, and the first request that was sent afterwards.
    var toldBulk: [UInt32: (status: BulkStatus, since: UInt32)] = [:]
    var taskPayloads = Payloads()
    var keyed: [TaskSpec] = []
    var payloads: UInt64 = 0
    /// Steps for which a broker that failed stays read-only.
    var stepsToRebuild = 0
    var isDiskLow = false
    var network = Network()
    /// Whether the network hands over everything at once and loses nothing.
    var isCalm = false
    /// Steps for which a slow disk does nothing.
    var stepsOfSlowDisk = 0
    var plannedFault: Fault?
    /// Dead letters that their queue did not keep, of which it had too many.
    var displaced: [TaskSequence] = []
    var lastTickMilliseconds: UInt64
    /// The latest time that the wall clock has shown.
    var latestWallMilliseconds: UInt64

    struct StoredSpec {
        var queue: Name
        var rank: Rank
        var payload: Digest
        var crashesMax: UInt16
        var shortestWait: UInt64
    }

    /// Makes one run from a seed and plays it to its end or to the first violation.
    ///
    /// - Parameter observe: Gets each event as a line, as soon as it is recorded.
    public static func run(seed: UInt64, observe: ((String) -> Void)? = nil) -> Report {
        var dice = Dice(seed: seed)
        let now = Now(monotonicMilliseconds: 1_000_000, wallMilliseconds: 1_700_000_000_000)
        let settings = settings(&dice)
        do {
            let broker = try SimulatedBroker(settings, &dice, at: now)
            var simulation = Simulation(seed: seed, dice: dice, now: now, broker: broker)
            simulation.play(observe)
            return simulation.report
        } catch {
            var report = Report(seed: seed)
            report.failure = "seed \(seed), at the first start\n\(error.invariant): \(error.sentence)"
            report.broken = (error.invariant, error.sentence)
            return report
        }
    }

    private static func settings(_ dice: inout Dice) -> SimulatedBroker.Settings {
        SimulatedBroker.Settings(
            core: CoreConfiguration(
                queueDepthThreshold: dice.oneIn(4) ? 12 : 60,
                leaseMilliseconds: 5_000,
                retentionMilliseconds: 120_000,
                workerInactivityMilliseconds: workerInactivityMilliseconds,
                seed: dice.next()
            ),
            cacheByteCount: dice.oneIn(2) ? 0 : 4_096,
            isFollowed: dice.oneIn(3)
        )
    }

    static let workerInactivityMilliseconds: UInt64 = 20_000
    /// The shortest retention and the shortest window of idempotency keys.
    static let shortestKeptMilliseconds: UInt64 = 60_000

    private init(seed: UInt64, dice: Dice, now: Now, broker: SimulatedBroker) {
        var rules = Rules()
        // Store time follows a wall clock that is ahead, by a tenth of the elapsed time at most.
        rules.retentionMilliseconds = Self.shortestKeptMilliseconds * 10 / 11
        rules.deadLetterRetentionMilliseconds = Self.shortestKeptMilliseconds * 10 / 11
        rules.cappedQueues = [Cast.number(Self.cappedQueue)]
        rules.idempotencyWindowMilliseconds = Self.shortestKeptMilliseconds * 10 / 11
        self.dice = dice
        self.now = now
        self.broker = broker
        self.history = History(rules)
        self.clients = Cast.workers.enumerated().map { Client(number: UInt32($0.offset + 1), worker: $0.element) }
        self.report = Report(seed: seed)
        self.lastTickMilliseconds = now.monotonicMilliseconds
        self.latestWallMilliseconds = now.wallMilliseconds
    }

    private mutating func play(_ observe: ((String) -> Void)?) {
        let start = now.monotonicMilliseconds
        var shown = 0
        func show() {
            guard let observe else { return }
            while shown < history.events.count {
                observe(history.line(shown))
                shown += 1
            }
        }
        do throws(Broken) {
            while report.crashes < Self.crashesPerRun {
                defer { show() }
                try step()
            }
            try finish()
        } catch {
            report.failure = describe(error)
            report.broken = (error.invariant, error.sentence)
        }
        show()
        report.simulatedMilliseconds = now.monotonicMilliseconds - start
        report.digest = Digest(of: broker.process.core.index.canonicalText).rawValue ^ history.digest &* 31
    }

    private func describe(_ broken: Broken) -> String {
        let cited = broken.events.map { "  " + history.line($0) }
        let last = history.events.indices.suffix(15).map { "  " + history.line($0) }
        return
            ([
                "seed \(report.seed), step \(report.steps), after \(report.crashes) crashes",
                "\(broken.invariant): \(broken.sentence)",
            ] + (cited.isEmpty ? [] : ["the events that show it:"] + cited) + ["the last events:"] + last)
            .joined(separator: "\n")
    }

    // MARK: Steps

    /// One small thing happens.
    private mutating func step() throws(Broken) {
        report.steps += 1
        if let problem = broker.process.problem { throw problem }
        noticeSilence()
        switch dice.below(100) {
        case ..<46: askSomething()
        case ..<52: arriveSomething()
        case ..<72: try commit()
        case ..<82: runErrand()
        case ..<90: passTime()
        case ..<95: tick()
        default: try disturb()
        }
        try deliver()
        try checkStreams()
        try history.check()
    }

    /// Things that a broker should not notice, or must survive.
    private mutating func disturb() throws(Broken) {
        switch dice.below(40) {
        case ..<3: stepWallClock()
        case ..<7: planFailure()
        case ..<9: changeDiskSpace()
        case ..<13: broker.writeMark()
        case ..<16: perform(.clean, .clean)
        case ..<18: try checkOrder()
        case ..<19: try recount()
        case ..<21: try compareReplay()
        case ..<23: slowDisk()
        case ..<25: try checkFree()
        case ..<26: try checkTurns()
        case ..<28: try checkAging()
        case ..<29: try checkNoise()
        default:
            // Mostly after enough was acknowledged for the crash to count.
            let isRipe = acknowledgedSinceCrash >= Self.acknowledgedMin
            if dice.oneIn(isRipe ? 3 : 60) { try crash() }
        }
    }

    func isReadOnly() -> Bool { broker.process.failure != nil }

    mutating func perform(_ command: Command, _ kind: CommandKind) {
        report.hits.count(.command(kind))
        broker.process.perform(command, at: now)
    }

    // MARK: Time

    mutating func passTime() {
        let milliseconds =
            switch dice.below(24) {
            case ..<12: dice.below(100)
            case ..<18: dice.below(2_000)
            case ..<22: dice.below(8_000)
            case ..<23: dice.below(40_000)
            default: dice.below(120_000)
            }
        wait(UInt64(milliseconds))
    }

    mutating func wait(_ milliseconds: UInt64) {
        now.monotonicMilliseconds += milliseconds
        now.wallMilliseconds += milliseconds
        latestWallMilliseconds = max(latestWallMilliseconds, now.wallMilliseconds)
        noticeSilence()
    }

    private mutating func stepWallClock() {
        history.record(.clock, at: now)
        if dice.oneIn(2) {
            now.wallMilliseconds += 3_600_000
            report.hits.count(.fault(.wallClockForward))
        } else {
            now.wallMilliseconds -= 3_600_000
            report.hits.count(.fault(.wallClockBack))
        }
        latestWallMilliseconds = max(latestWallMilliseconds, now.wallMilliseconds)
        history.record(.clock, at: now)
    }

    mutating func tick() {
        if now.monotonicMilliseconds > lastTickMilliseconds + 10_000 { report.hits.count(.fault(.lateTick)) }
        lastTickMilliseconds = now.monotonicMilliseconds
        perform(.tick, .tick)
        if !isReadOnly(), broker.process.core.hasSparseRecords { perform(.clean, .clean) }
        if !isReadOnly(), broker.process.core.hasBulkWork { perform(.stepBulk, .stepBulk) }
    }

    /// Says in the history whose leases the broker may take back because their worker was silent too long.
    private mutating func noticeSilence() {
        for index in clients.indices where clients[index].worker != nil && !clients[index].isGivenUp {
            let silent = clients[index].heardMilliseconds + Self.workerInactivityMilliseconds
            if silent <= now.monotonicMilliseconds { giveUp(index) }
        }
    }

    mutating func giveUp(_ client: Int) {
        clients[client].isGivenUp = true
        history.record(.sessionEnded, client: clients[client].number, at: now)
    }

    /// A worker's name was heard: every client that shares it lives.
    mutating func hear(_ worker: Name) {
        guard !isReadOnly(), !broker.process.core.isDraining else { return }
        for index in clients.indices where clients[index].worker == worker {
            clients[index].heardMilliseconds = now.monotonicMilliseconds
            clients[index].isGivenUp = false
        }
    }

    // MARK: The disk

    private mutating func commit() throws(Broken) {
        if isReadOnly() { return try rebuildInTime() }
        guard stepsOfSlowDisk == 0 else { return stepsOfSlowDisk -= 1 }
        guard let step = broker.process.nextCommitStep else {
            // A sync that nobody waits for does no harm.
            if broker.process.hasUnsynced, dice.oneIn(4) { try commit(.sync) }
            return
        }
        try commit(step)
    }

    mutating func commit(_ step: BrokerProcess.CommitStep) throws(Broken) {
        try commit(step, isTogether: dice.oneIn(2))
        if isReadOnly() {
            stepsToRebuild = dice.below(20)
            countFailure()
        }
    }

    mutating func commit(_ step: BrokerProcess.CommitStep, isTogether: Bool) throws(Broken) {
        let closed = broker.process.closedGroup?.effects
        if let effects = try broker.commitStep(step, isTogether: isTogether) {
            try take(effects)
        } else if step == .write, let closed {
            // It may be written all the same.
            try noteTicks(closed)
            try noteBulk(closed)
            dependencies.noteEnds(closed)
        }
    }

    /// Does everything that is under way, so that nothing is.
    ///
    /// - Returns: `false` when the disk failed on the way.
    mutating func settle() throws(Broken) -> Bool {
        let wasCalm = isCalm
        isCalm = true
        defer { isCalm = wasCalm }
        if let session = clients[Self.observer].session { arrive(allOf: session) }
        var steps = 0
        while !broker.process.isSettled {
            if let step = broker.process.nextCommitStep {
                try commit(step)
            } else if broker.process.hasUnsynced {
                try commit(.sync)
            }
            runErrand()
            try deliver()
            if isReadOnly() { return false }
            steps += 1
            guard steps < 10_000 else { throw Broken("I13", "The broker never comes to rest") }
        }
        try deliver()
        return true
    }
}
