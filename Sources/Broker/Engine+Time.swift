import ByteStore
import Logging
import QueueCore
import Synchronization

/// What the engine does because time passes; the broker's timers call it.
extension Engine {
    /// Tells the core that time has passed; call it about twenty times a second.
    func tick() {
        // When the reading thread is behind, one waiting tick is enough.
        guard isTickWaiting.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            return
        }
        reads.submit { [self] in
            isTickWaiting.store(false, ordering: .relaxed)
            performWithReads(.tick)
            if monitor.withLock({ $0.failure == nil && $0.core.hasSparseRecords }) { performWithReads(.clean) }
            stepBulk()
        }
    }

    /// Lets bulk operations go on for a part of the time until the next tick; the rest of it is for the reads of others.
    private func stepBulk() {
        let end = BrokerClock.monotonicNanoseconds() + Self.bulkNanosecondsPerTick
        while BrokerClock.monotonicNanoseconds() < end,
            monitor.withLock({ $0.failure == nil && !$0.isStopping && $0.core.hasBulkWork })
        {
            performWithReads(.stepBulk)
        }
    }

    private static let bulkNanosecondsPerTick: UInt64 = 5_000_000

    /// Syncs what was acknowledged without it; call it in the interval of the weaker mode.
    func syncInterval() {
        monitor.withLock { $0.isIntervalDue = true }
        monitor.wakeAll()
    }

    private func makeMarkDue() {
        monitor.withLock { $0.isMarkDue = true }
        monitor.wakeAll()
    }

    /// Compares the free space of the disk with the reserve; call it about once a second.
    func watchDisk() {
        makeMarkDue()
        guard let isLow = isDiskLow() else { return }
        if isLow != monitor.withLock({ $0.core.isDiskLow }) {
            let metadata: Logger.Metadata = ["reserve_bytes": "\(settings.diskReserveBytes)"]
            if isLow {
                logger.error("the disk is nearly full: submits are refused, completions go on", metadata: metadata)
            } else {
                logger.notice("the disk has room again: submits are taken", metadata: metadata)
            }
        }
        perform([.disk(isLow: isLow)])
    }

    /// Whether less is free than the reserve, what its file holds included; `nil` when the system does not say.
    ///
    /// Gives the file up when hardly anything else is left, and takes the space again when there is room for all of it.
    func isDiskLow() -> Bool? {
        guard let free = settings.freeBytes(settings.dataDirectory) else { return nil }
        let reserve = ReserveFile(settings)
        let held = reserve.heldBytes
        if held > 0, free < reserve.byteCount / 4 { giveReserveUp() }
        if held == 0, free >= settings.diskReserveBytes { reads.submit { reserve.hold() } }
        return free + held < settings.diskReserveBytes
    }

    /// Makes room for what must be stored on a full disk: completions, and the files of a rebuild.
    func giveReserveUp() {
        let reserve = ReserveFile(settings)
        guard reserve.heldBytes > 0 else { return }
        reserve.giveUp()
        logger.error("the disk is full: the reserve was given up", metadata: ["bytes": "\(reserve.byteCount)"])
    }
}
