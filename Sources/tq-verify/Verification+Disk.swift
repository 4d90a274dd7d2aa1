import CommandLineSupport
import DiskFaults
import FoundationEssentials
import Glibc
import HistoryChecker
import TQModel

extension Verification {
    // MARK: Power cuts

    /// The power goes out: the next broker finds what the disk had kept, and no more.
    func cutPower(after fault: FaultKind) throws {
        broker.kill()
        try noteStop(.powerCut, of: fault)
        let replay = try DiskReplay(try disk.journal())
        try inspectImages(replay)
        // The history goes on with what the last moment left.
        let image = plan.isControl || random.chance(50) ? DiskImage.strict : .torn(seed: random.next())
        try write(image, of: replay, at: replay.journal.count, to: dataDirectory)
    }

    /// Looks into what the disk would have kept, had the power gone out at other moments of the round.
    private func inspectImages(_ replay: DiskReplay) throws {
        let journal = replay.journal
        var past = CheckedPast(roundStart.checker, follower.events)
        // Before the work began the load rested, and only the broker's own start was under way.
        let first = journal.firstCut(after: roundStart.nanoseconds)
        let cuts = (0..<plan.images).map { _ in Int.random(in: first...journal.count, using: &random) }.sorted()
        for (number, cut) in cuts.enumerated() {
            let image = number.isMultiple(of: 2) ? DiskImage.strict : .torn(seed: random.next())
            try write(image, of: replay, at: cut, to: imageDirectory)
            let finding = past.check(storeIn: imageDirectory, cutAt: journal.nanoseconds(atCut: cut))
            report.images.tasks += finding.taskCount
            if image == .strict { report.images.strict += 1 } else { report.images.torn += 1 }
            guard let problem = finding.problem else { continue }
            let isFirst = report.problems.isEmpty
            report.problems.append("A power cut at operation \(cut) of \(journal.count) (\(image)): \(problem)")
            if isFirst { try write(image, of: replay, at: cut, to: directory.path + "/lost") }
        }
        try write(.strict, of: try DiskReplay(journal), at: journal.start, to: imageDirectory)
        report.images.unsynced += 1
        if past.check(storeIn: imageDirectory, cutAt: .max).problem != nil { report.images.unsyncedLosing += 1 }
        removeTree(imageDirectory)
    }

    private func write(_ image: DiskImage, of replay: DiskReplay, at cut: Int, to path: String) throws {
        removeTree(path)
        try replay.advance(to: cut)
        try replay.write(image, to: path)
    }

    private func removeTree(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    private var dataDirectory: String { directory.path + "/data" }
    var imageDirectory: String { directory.path + "/image" }

    // MARK: A disk that fails

    /// One write or sync fails, and what it should have kept is gone for good; the broker has to rebuild its store.
    func failDisk() async throws {
        let isSync = random.chance(60)
        try await failUntilRebuilt {
            if isSync {
                disk.control.fail(.sync, with: EIO, random.chance(50) ? .drop : .plain, times: 1)
            } else {
                disk.control.fail(.write, with: EIO, random.chance(50) ? .torn : .plain, times: 1)
            }
        } end: {
            disk.control.restore(isSync ? .sync : .write)
        }
        if isSync { report.disk.failedSyncs += 1 } else { report.disk.failedWrites += 1 }
        try await work()
        try cutPower(after: .failingDisk)
    }

    /// Nothing grows for a second; then there is room again.
    func fillDisk() async throws {
        try await failUntilRebuilt {
            disk.control.setFull(true)
        } end: {
            try await Task.sleep(for: .seconds(1))
            disk.control.setFull(false)
        }
        report.disk.fills += 1
        try await work()
        try cutPower(after: .fullDisk)
    }

    /// Lets something fail, and waits until the broker has noticed it, and then until it serves again by itself.
    private func failUntilRebuilt(begin: () -> Void, end: () async throws -> Void) async throws {
        let began = Recorder.now().monotonicMilliseconds
        // A fault that meets the engine's own log file is nobody's loss; the next one will meet something else.
        repeat { begin() } while try await !broker.hasLogged("\"a write failed", within: .seconds(2))
        // Its leases start again with their full durations, as after any restart.
        recorder.record([.stopped(.kill)])
        try await end()
        guard try await broker.hasLogged("\"the store was rebuilt") else {
            throw CommandFailure(.failed, "The broker does not serve again although its disk works; see broker.log.")
        }
        recorder.record([.serving])
        follower.noteFailure(began...Recorder.now().monotonicMilliseconds)
    }

    /// Every sync takes as long as on a disk with a long queue.
    func slowDisk() async throws {
        disk.control.delaySyncs(by: .milliseconds(Int.random(in: 20...400, using: &random)))
        try await Task.sleep(for: .seconds(1))
        disk.control.delaySyncs(by: .zero)
        try await work()
        try cutPower(after: .slowDisk)
    }

    // MARK: The clock

    /// The wall clock jumps there and back; the broker and the load see the same one.
    func stepClock() async throws {
        for seconds: Int64 in [3_600, -3_600, 86_400, -86_400].shuffled(using: &random).prefix(2) {
            setWallClock(ahead: seconds)
            try await work()
            setWallClock(ahead: 0)
            try await work()
        }
        try kill(.clockSteps)
    }

    func setWallClock(ahead seconds: Int64) {
        recorder.record([.clock])
        disk.control.setWallClock(aheadBySeconds: seconds)
        recorder.wallClockSeconds = seconds
        recorder.record([.clock])
        report.clockSteps += 1
    }
}
