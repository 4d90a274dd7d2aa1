import QueueCore
import Storage
import Synchronization

/// A replica that knows the committed batches as bytes alone.
struct Follower {
    private(set) var index: DurableIndex
    private let inbox: Inbox
    private let subscription: CommitSubscription

    private final class Inbox: Sendable {
        let batches = Mutex<[CommittedBatch]>([])
    }

    /// - Parameter index: What the log's store holds now.
    init(_ log: CommitLog, _ index: DurableIndex) throws(Broken) {
        self.index = index
        let inbox = Inbox()
        self.inbox = inbox
        do {
            subscription = try log.subscribe(from: log.written.sequence + 1) { batch in
                inbox.batches.withLock { $0.append(batch) }
            }
        } catch {
            throw Broken("replay", "The log lets nobody follow: \(error)")
        }
    }

    /// Applies the batch that was just committed, and compares what follows from it with what the core said.
    mutating func take(_ effects: EffectBatch) throws(Broken) {
        let batches = inbox.batches.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for batch in batches {
            do {
                let derived = index.apply(try batch.effects())
                guard derived == effects.derived else {
                    throw Broken("replay", "From group \(effects.group) follows \(derived), not \(effects.derived)")
                }
            } catch let error as Broken {
                throw error
            } catch {
                throw Broken("replay", "A committed batch cannot be read: \(error)")
            }
        }
    }
}
