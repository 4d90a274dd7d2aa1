import CommandLineSupport
import DiskFaults
import Glibc
import HistoryChecker
import TQClient
import TQModel

/// Lets a broker under load meet one fault after the other, and looks after each whether it kept its promises.
final class Verification {
    let plan: VerificationPlan
    let directory: TestDirectory
    var random: SplitMix64
    let disk: FaultyDisk
    let broker: BrokerProcess
    let load: LoadProcess
    let recorder: Recorder
    let follower: HistoryFollower
    /// When the present round's work began, on the clock of journals, and what the checker knew then.
    var roundStart: (nanoseconds: UInt64, checker: Checker)
    private let reading: StoreReading
    var report: VerificationReport
    private let onRound: (Int) -> Void
    /// From the start of the process to "broker ready", the last time.
    private var startDuration = Duration.milliseconds(50)

    /// - Parameter onRound: Told how many faults met work so far.
    init(_ plan: VerificationPlan, onRound: @escaping (Int) -> Void = { _ in }) throws {
        self.plan = plan
        self.onRound = onRound
        random = SplitMix64(seed: plan.seed)
        directory = try TestDirectory(parent: plan.dataParent, seed: plan.seed)
        let history = directory.path + "/history"
        recorder = try Recorder(history)
        follower = try HistoryFollower(history)
        roundStart = (0, follower.checker)
        disk = try FaultyDisk(directory.path)
        if plan.isControl { disk.syncNothing() }
        broker = try BrokerProcess(
            plan.broker,
            directory: directory.path,
            environment: plan.brokerEnvironment,
            random: &random
        )
        load = try LoadProcess(
            port: broker.port,
            history: history,
            seed: random.next(),
            environment: disk.clockEnvironment,
            logPath: directory.path + "/load.log"
        )
        var options = ClientOptions()
        options.reconnectDelayMin = .milliseconds(5)
        options.reconnectDelayMax = .milliseconds(40)
        reading = StoreReading(
            TQClient(addresses: [BrokerAddress(host: "127.0.0.1", port: broker.port)], options: options)
        )
        report = VerificationReport(seed: plan.seed)
    }

    /// Runs the rounds; the directory is kept when something is wrong, with the report in what is thrown or returned.
    func run() async throws -> VerificationReport {
        let began = ContinuousClock.now
        do {
            try await runRounds()
        } catch let failure as CommandFailure {
            report.failure = failure.description
        } catch let error as TQError {
            report.failure = error.description
        }
        broker.kill()
        load.end()
        try follower.finish()
        report.take(follower)
        report.duration = ContinuousClock.now - began
        report.directory = report.isClean ? nil : directory.path
        if report.isClean || plan.removesDirectory { directory.remove() }
        return report
    }

    private func runRounds() async throws {
        while report.rounds < plan.roundsMax, plan.end.map({ ContinuousClock.now < $0 }) ?? true {
            try await runRound(plan.faults[(plan.firstFault + report.rounds) % plan.faults.count])
            guard !report.hasFound(follower) else { return }
            onRound(report.rounds)
        }
        try await finish()
    }

    // MARK: Rounds

    /// Starts a broker, checks what it has, lets it work, and ends it with a fault.
    private func runRound(_ fault: FaultKind) async throws {
        if fault == .kill { while wantsKillDuringRecovery { try await killDuringRecovery() } }
        try await start(for: fault)
        try await check()
        guard !report.hasFound(follower) else { return }
        roundStart = (DiskJournal.nanosecondsNow, follower.mark())
        try load.tell(.resume)
        try await work()
        switch fault {
        case .kill: try kill(fault)
        case .pause: try await pause()
        case .powerCut: try cutPower(after: fault)
        case .failingDisk: try await failDisk()
        case .slowDisk: try await slowDisk()
        case .fullDisk: try await fillDisk()
        case .bitFlips: try await flipBits()
        case .clockSteps: try await stepClock()
        }
        // A fault that met no work is tried again, so that every kind gets its share.
        if follower.atLastStop.isReal { report.rounds += 1 }
    }

    /// Lets the broker work for a while.
    func work() async throws {
        try await Task.sleep(for: .seconds(Double.random(in: plan.seconds.range, using: &random)))
    }

    private func start(for fault: FaultKind) async throws {
        try broker.spawn(disk.environment(for: fault))
        try await serve()
    }

    private func serve() async throws {
        let began = ContinuousClock.now
        try await broker.awaitReady()
        startDuration = ContinuousClock.now - began
        report.longestStart = max(report.longestStart, startDuration)
        recorder.record([.serving])
    }

    // MARK: Kills

    /// After every start at least one kill in five was during a recovery; now and then one follows another.
    private var wantsKillDuringRecovery: Bool {
        report.kills > 0 && (report.killsDuringRecovery * 5 < report.kills || random.chance(10))
    }

    private func killDuringRecovery() async throws {
        try broker.spawn()
        try await Task.sleep(for: startDuration * Double.random(in: 0..<1, using: &random))
        broker.kill()
        // The process is over: what it has not logged by now it has not reached.
        let isDuringRecovery = !broker.isReady
        try noteStop(.kill, of: .kill)
        if isDuringRecovery {
            report.killsDuringRecovery += 1
        } else {
            // The last start was a slow one: the next kill comes earlier.
            startDuration = startDuration / 2
        }
    }

    /// Ends the broker's process at this moment.
    func kill(_ fault: FaultKind) throws {
        broker.kill()
        try noteStop(.kill, of: fault)
    }

    /// Records that the broker is gone, and counts the round when it met work.
    func noteStop(_ stop: Event.Stop, of fault: FaultKind) throws {
        recorder.record([.stopped(stop)])
        try follower.follow()
        let met = follower.atLastStop
        guard met.isReal else {
            report.idleRounds += 1
            guard report.idleRounds <= report.rounds + 10 else {
                throw CommandFailure(.failed, "Most faults met no work: see load.log, or give the load more --seconds.")
            }
            return
        }
        report.count(fault, met)
        guard plan.isVerbose else { return }
        writeToStandardError(
            "round \(report.rounds + 1), \(fault.rawValue): \(met.acknowledged) tasks acknowledged, \(met.inFlight) requests in "
                + "flight, \(met.leased) tasks leased\n"
        )
    }

    /// Stops the broker for longer than any lease of the load lasts; it must not take the leases for valid afterwards.
    private func pause() async throws {
        broker.signal(SIGSTOP)
        try await Task.sleep(for: .seconds(Double.random(in: 2...3, using: &random)))
        broker.signal(SIGCONT)
        try await work()
        try kill(.pause)
    }

    // MARK: Checks

    /// Stops the load, reads everything, and lets the checker see it; the load stays stopped.
    private func check(isLast: Bool = false, mustEqualPrevious: Bool = false) async throws {
        try load.tell(.pause)
        try follower.follow()
        let events = try await reading.events(
            of: follower.tasks,
            everyResult: isLast,
            mustEqualPrevious: mustEqualPrevious
        )
        recorder.record(events)
        try follower.follow()
        report.checks += 1
    }

    /// Lets everything end that is there, and looks whether two more restarts leave it alone.
    private func finish() async throws {
        try await start(for: .kill)
        try await check()
        // Start times that were given while the clock was ahead.
        if report.clockSteps > 0 { setWallClock(ahead: 2 * 86_400) }
        try load.tell(.resume)
        try load.tell(.drain)
        let isDrained = try await awaitDrain()
        try load.tell(.pause)
        // The checker names the tasks that are left.
        recorder.record([.drained])
        try await check(isLast: true)
        guard isDrained, follower.checker.violationCount == 0 else { return }
        broker.kill()
        recorder.record([.stopped(.kill)])
        try broker.spawn()
        try await Task.sleep(for: startDuration * Double.random(in: 0..<1, using: &random))
        broker.kill()
        recorder.record([.stopped(.kill)])
        try await start(for: .kill)
        try await check(isLast: true, mustEqualPrevious: true)
        try broker.stop()
        recorder.record([.stopped(.clean)])
        try await start(for: .kill)
        try await check(isLast: true, mustEqualPrevious: true)
    }

    /// Waits until no task waits or is in progress; whether that happened in time.
    private func awaitDrain() async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let counts = try await reading.total()
            if counts.waiting == 0, counts.inProgress == 0 { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }
}
