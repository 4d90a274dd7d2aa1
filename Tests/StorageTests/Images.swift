import Storage
import Synchronization

/// Committed batches, kept.
final class Images: Sendable {
    private let batches = Mutex<[CommittedBatch]>([])

    var all: [CommittedBatch] { batches.withLock { $0 } }

    func append(_ batch: CommittedBatch) { batches.withLock { $0.append(batch) } }
}
