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
        }
    }

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
        guard let free = settings.freeBytes(settings.dataDirectory) else { return }
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

    /// Gives the disk space of expired outcomes back, on a thread of its own; call it about once an hour.
    func compact() {
        guard isCompacting.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        WorkThread.start { [self] in
            defer { isCompacting.store(false, ordering: .relaxed) }
            let (files, bucket) = monitor.withLock { ($0.files, $0.core.index.expiredThrough) }
            do throws(StorageError) {
                try files.reclaimExpired(through: bucket)
            } catch  where error.kind != .closed {
                logger.error("expired results keep their disk space", metadata: ["error": "\(error)"])
            } catch {
                // The broker stopped or rebuilds: the next turn does it.
            }
        }
    }
}
