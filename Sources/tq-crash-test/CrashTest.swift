import CommandLineSupport
import Glibc
import HistoryChecker
import TQClient
import TQModel

/// Kills a broker under load, again and again, and looks after each restart whether it kept its promises.
final class CrashTest {
    private let plan: CrashPlan
    private let directory: TestDirectory
    private var random: SplitMix64
    private let broker: BrokerProcess
    private let load: LoadProcess
    private let recorder: Recorder
    private let follower: HistoryFollower
    private let reading: StoreReading
    private var report: CrashReport
    private let progress: Progress?
    /// From the start of the process to "broker ready", the last time.
    private var startDuration = Duration.milliseconds(50)

    init(_ plan: CrashPlan, progress: Progress? = nil) throws {
        self.plan = plan
        self.progress = progress
        random = SplitMix64(seed: plan.seed)
        directory = try TestDirectory(parent: plan.dataParent, seed: plan.seed)
        let history = directory.path + "/history"
        recorder = try Recorder(history)
        follower = try HistoryFollower(history)
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
            logPath: directory.path + "/load.log"
        )
        var options = ClientOptions()
        options.reconnectDelayMin = .milliseconds(5)
        options.reconnectDelayMax = .milliseconds(40)
        reading = StoreReading(
            TQClient(addresses: [BrokerAddress(host: "127.0.0.1", port: broker.port)], options: options)
        )
        report = CrashReport(seed: plan.seed)
    }

    /// Runs the test; its directory is kept when something is wrong, with the report in what is thrown or returned.
    func run() async throws -> CrashReport {
        let began = ContinuousClock.now
        do {
            try await runCycles()
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

    private func runCycles() async throws {
        try broker.spawn()
        try await serve()
        while report.kills < plan.kills {
            try await killUnderLoad()
            while wantsKillDuringRecovery { try await killDuringRecovery() }
            try await restart()
            try await check()
            guard follower.checker.violationCount == 0 else { return }
            try load.tell(.resume)
            progress?.update(UInt64(report.kills))
        }
        try await finish()
        progress?.finish(UInt64(report.kills))
    }

    // MARK: Kills

    private func killUnderLoad() async throws {
        try await Task.sleep(for: .seconds(Double.random(in: plan.seconds.range, using: &random)))
        try kill(duringRecovery: false)
    }

    /// After every restart at least one kill in five was during a recovery; now and then one follows another.
    private var wantsKillDuringRecovery: Bool {
        report.killsDuringRecovery * 5 < report.kills || random.chance(10)
    }

    private func killDuringRecovery() async throws {
        try broker.spawn()
        try await Task.sleep(for: startDuration * Double.random(in: 0..<1, using: &random))
        try kill(duringRecovery: true)
    }

    private func kill(duringRecovery isMeant: Bool) throws {
        broker.kill()
        recorder.record([.stopped(.kill)])
        // The process is over: what it has not logged by now it has not reached.
        let isDuringRecovery = isMeant && !broker.isReady
        try follower.follow()
        let met = follower.atLastStop
        guard met.isReal else {
            report.idleKills += 1
            guard report.idleKills <= plan.kills + 10 else {
                throw CommandFailure(.failed, "Most kills met no work: see load.log, or give the load more --seconds.")
            }
            return
        }
        report.kills += 1
        if isDuringRecovery { report.killsDuringRecovery += 1 }
        // The last start was a slow one: the next kill comes earlier.
        if isMeant, !isDuringRecovery { startDuration = startDuration / 2 }
        report.met(met)
        guard plan.isVerbose else { return }
        writeToStandardError(
            "kill \(report.kills)\(isDuringRecovery ? " during recovery" : ""): \(met.acknowledged) tasks acknowledged, "
                + "\(met.inFlight) requests in flight, \(met.leased) tasks leased\n"
        )
    }

    // MARK: Starts

    private func restart() async throws {
        try broker.spawn()
        try await serve()
    }

    private func serve() async throws {
        let began = ContinuousClock.now
        try await broker.awaitReady()
        startDuration = ContinuousClock.now - began
        report.longestStart = max(report.longestStart, startDuration)
        recorder.record([.serving])
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
        try await restart()
        try await check(isLast: true, mustEqualPrevious: true)
        try broker.stop()
        recorder.record([.stopped(.clean)])
        try await restart()
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
