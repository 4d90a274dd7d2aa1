import ByteStore
import HistoryChecker
import QueueCore
import TQModel

extension Simulation {
    // MARK: Crashes

    /// The broker ends in one of the ways in which brokers end, and another one takes over.
    mutating func crash() throws(Broken) {
        if acknowledgedSinceCrash >= Self.acknowledgedMin { report.cycles += 1 }
        acknowledgedSinceCrash = 0
        report.crashes += 1
        if isReadOnly() { report.hits.count(.fault(.crashWhileReadOnly)) }
        switch dice.below(8) {
        case ..<3: kill()
        case 3: try stopCleanly()
        default:
            // Mostly the moments between a write and its sync.
            for step in [BrokerProcess.CommitStep.close, .write]
            where dice.oneIn(2) && step == broker.process.nextCommitStep {
                try commit(step, isTogether: false)
            }
            if dice.oneIn(2) { try askAtTheLastMoment() }
            try deliver()
            cutPower()
        }
        if dice.oneIn(4) { wait(UInt64(dice.below(60_000))) }
        if dice.oneIn(4) { try probeDamage() }
        try startAgain()
        if dice.oneIn(8) {
            report.hits.count(.fault(.crashBeforeFirstReply))
            if dice.oneIn(2) { kill() } else { cutPower() }
            try startAgain()
        }
        if dice.oneIn(4) { try recount() }
    }

    private mutating func kill() {
        report.hits.count(.fault(.kill))
        end(.kill)
        broker.kill()
    }

    private mutating func cutPower() {
        let unsynced = broker.disk.unsyncedCount
        let kept = dice.below(unsynced + 1)
        report.hits.count(.fault(.powerCut))
        if kept < unsynced { report.hits.count(.fault(.powerCutLosingBatches)) }
        if broker.process.hasUnsynced { report.hits.count(.fault(.powerCutBetweenWriteAndSync)) }
        end(.powerCut)
        broker.powerCut(keepingUnsynced: kept)
    }

    /// Refuses new work, answers everybody, syncs and closes.
    private mutating func stopCleanly() throws(Broken) {
        guard !isReadOnly() else { return kill() }
        perform(.drain, .drain)
        for _ in 0..<dice.below(10) {
            askSomething()
            try deliver()
        }
        guard try settle() else { return kill() }
        report.hits.count(.fault(.cleanStop))
        broker.writeMark()
        end(.clean)
        broker.kill()
    }

    private mutating func end(_ stop: Event.Stop) {
        endConnections()
        history.record(.stopped(stop), at: now)
    }

    /// The broker is gone: what is on the way reaches nobody.
    mutating func endConnections() {
        for client in clients.indices { abandon(client) }
        network = Network()
        stepsOfSlowDisk = 0
    }

    /// Opens the disk until the first batch is on it; sometimes the next crash comes before.
    private mutating func startAgain() throws(Broken) {
        isDiskLow = false
        if dice.oneIn(6) {
            if dice.oneIn(2) { planFailingWrite(after: 0) } else { planFailingSync(after: 0) }
        }
        while try !broker.start(at: now) {
            report.hits.count(.fault(.crashDuringRecovery))
            broker.healDisk()
            if dice.oneIn(2) { kill() } else { cutPower() }
        }
        broker.healDisk()
        noteRecovered()
        history.record(.serving, at: now)
    }

    mutating func noteRecovered() {
        bulk.restart(from: broker.process.core.index)
        note(ticks.restart(from: broker.process.core.index))
        taskPayloads.restart()
        let counts = broker.process.core.index.counts
        if counts.pending > 0 { report.hits.count(.event(.recoveryOfPendingTasks)) }
        if counts.inProgress > 0 { report.hits.count(.event(.recoveryOfLeases)) }
    }

    // MARK: A failing disk

    /// The disk does nothing for a while.
    mutating func slowDisk() {
        stepsOfSlowDisk = dice.below(60)
        if broker.process.nextCommitStep != nil { report.hits.count(.fault(.slowDisk)) }
    }

    /// Lets one of the next writes or syncs fail, or all for lack of space.
    mutating func planFailure() {
        switch dice.below(5) {
        case ..<2: planFailingWrite(after: dice.below(3))
        case ..<4: planFailingSync(after: dice.below(3))
        default: broker.disk.setOutOfSpace(dice.oneIn(2) ? .happened : .lost)
        }
    }

    private mutating func planFailingWrite(after count: Int) {
        let outcome: SimulatedDisk.FailedOutcome = dice.oneIn(2) ? .happened : .lost
        broker.disk.plan(.init(failingWrites: [broker.disk.writeCount + 1 + count: outcome]))
        plannedFault = outcome == .happened ? .failedWriteThatHappened : .failedWriteThatDidNot
    }

    private mutating func planFailingSync(after count: Int) {
        let outcome: SimulatedDisk.FailedOutcome = dice.oneIn(2) ? .happened : .lost
        broker.disk.plan(.init(failingSyncs: [broker.disk.syncCount + 1 + count: outcome]))
        plannedFault = outcome == .happened ? .failedSyncThatHappened : .failedSyncThatDidNot
    }

    mutating func countFailure() {
        if broker.process.failure?.kind == .noSpace {
            report.hits.count(.fault(.diskFull))
        } else if let plannedFault {
            report.hits.count(.fault(plannedFault))
        }
    }

    /// A broker whose disk failed opens its store anew after a while; its clients must connect again.
    mutating func rebuildInTime() throws(Broken) {
        guard stepsToRebuild == 0 else { return stepsToRebuild -= 1 }
        try deliver()
        endConnections()
        history.record(.stopped(.kill), at: now)
        broker.kill()
        broker.healDisk()
        isDiskLow = false
        _ = try broker.start(at: now, keepsErrands: true)
        noteRecovered()
        history.record(.serving, at: now)
    }

    mutating func changeDiskSpace() {
        isDiskLow = !isDiskLow && dice.oneIn(2)
        perform(.disk(isLow: isDiskLow), .disk)
    }
}
