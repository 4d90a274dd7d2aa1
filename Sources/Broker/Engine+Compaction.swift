import ByteStore
import Logging
import QueueCore
import Synchronization
import TQModel

/// The turns of compaction: one at a time, on a thread of its own, because one may take minutes.
struct Compactions {
    /// Answers that leave when the next turn is over.
    var asked: [Answer] = []
    var isRunning = false
    /// The last bucket whose disk space was given back.
    var reclaimed = ExpiryBucket(rawValue: 0)
}

extension Engine {
    /// Gives the disk space of outcomes back that are gone; for an answer, after all those whose time has come.
    ///
    /// Call it about once an hour without one.
    func compact(for answer: Answer? = nil) {
        let isFirst = compactions.withLock { state in
            if let answer { state.asked.append(answer) }
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard isFirst else { return }
        WorkThread.start { [self] in
            repeat {
                let asked = compactions.withLock { state in
                    defer { state.asked = [] }
                    return state.asked
                }
                let reply = compactionTurn(isAsked: !asked.isEmpty)
                for answer in asked { sessions[answer.session]?.deliver([(answer.request, reply)]) }
            } while compactions.withLock { state in
                state.isRunning = !state.asked.isEmpty
                return state.isRunning
            }
        }
    }

    private func compactionTurn(isAsked: Bool) -> Reply {
        let files = monitor.withLock { $0.files }
        var compaction = Compaction(diskBytesBefore: files.diskBytes)
        let expired = awaitExpiry(ofAllDue: isAsked)
        do throws(StorageError) {
            // What expired since the last turn; the rest has nothing to give.
            if isAsked || compactions.withLock({ $0.reclaimed }) < expired.bucket || expired.forgotten != nil {
                try files.reclaim(expiredThrough: expired.bucket, forgotten: expired.forgotten)
                // What ticks still remove has its turn with the next one.
                if expired.isGone { compactions.withLock { $0.reclaimed = expired.bucket } }
            }
            compaction.diskBytesAfter = files.diskBytes
            return .compacted(compaction)
        } catch {
            // A broker that stops, or rebuilds its store, does it in its next turn.
            if error.kind != .closed {
                logger.error("expired results keep their disk space", metadata: ["error": "\(error)"])
            }
            let text = "The disk space was not given back: \(error). Ask again later."
            return .error(TQError(.readOnly, text, retryAfterMilliseconds: 1000))
        }
    }

    /// Waits until what ticks have taken is gone from the store: only then a compaction gives its space back.
    ///
    /// - Parameter all: Waits for the ticks that take all that is due, too.
    /// - Returns: The last bucket that expired, whether nothing of it is left, and where outcomes were forgotten since the last
    ///   turn.
    private func awaitExpiry(
        ofAllDue all: Bool
    ) -> (bucket: ExpiryBucket, isGone: Bool, forgotten: ClosedRange<OutcomeLocation>?) {
        let decided = monitor.withLock(when: { !all || $0.cannotChange || !$0.core.isExpiring }) { state in
            (
                bucket: state.core.index.expiredThrough, isSwept: !state.core.isExpiring,
                forgotten: state.core.takeForgottenRange(), epoch: state.core.epoch, group: state.core.newestGroup
            )
        }
        return monitor.withLock(when: { state in
            state.cannotChange || state.core.epoch != decided.epoch || state.written >= decided.group
        }) { state in
            let isWritten = state.core.epoch == decided.epoch && state.written >= decided.group
            return (decided.bucket, isWritten && decided.isSwept, decided.forgotten)
        }
    }
}
