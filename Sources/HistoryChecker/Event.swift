public import TQModel

/// One thing that was seen of a broker, from outside.
///
/// A history is a sequence of events in the order in which they were recorded: an invocation is recorded before the
/// request leaves, a return after the reply arrived, so that the broker's decision lies between the two.
public struct Event: Hashable, Sendable {
    /// The recorder's clocks; the monotonic one never goes back within a history.
    public var time: Now
    /// Who did it; 0 for events of the broker itself.
    public var client: UInt32
    /// What happened.
    public var kind: Kind

    public init(time: Now, client: UInt32 = 0, kind: Kind) {
        self.time = time
        self.client = client
        self.kind = kind
    }

    /// What happened.
    public enum Kind: Hashable, Sendable {
        /// A client is about to send a call.
        case invoked(OperationNumber, Call)
        /// An operation that never returns may have happened, for ever.
        case returned(OperationNumber, Outcome)
        /// The broker is gone from here to the next `serving`.
        case stopped(Stop)
        /// The broker answers again, after a stop or for the first time.
        case serving
        /// Nothing but the time: recorded before and after every step of the wall clock.
        case clock
        /// From here on the broker may take back what this client holds: it closed its connection or fell silent.
        case sessionEnded
        /// Until `orderEnded` one client claims, and nothing else makes a task claimable: none is submitted, given
        /// back, redriven, falls due or lapses.
        case orderBegan
        /// Ends the phase that `orderBegan` began.
        case orderEnded
        /// Live workers had the time to do everything; what waits for its start time is excepted.
        case drained
        /// The rows that follow, up to `dumpEnded`, are the whole store at one moment; nothing is decided meanwhile.
        ///
        /// Like every reply, a dump must not tell of what a power cut could still undo.
        /// `mustEqualPrevious` says that nothing happened since the dump before, but for stops and recoveries.
        case dumpBegan(mustEqualPrevious: Bool)
        /// One row of a dump.
        case dumped(StoredTask)
        /// The counters that the broker keeps of a queue, or of all queues together (`nil`); within a dump.
        case counted(queue: QueueNumber?, TaskCounts)
        /// The dump is complete: what it did not show is not in the store.
        case dumpEnded
    }

    /// How a broker ended.
    public enum Stop: UInt8, Hashable, Sendable, CaseIterable {
        /// It was asked to stop and did.
        case clean = 1
        /// Its process was killed: what it wrote is kept.
        case kill = 2
        /// The machine went dark: what was not synced may be gone, acknowledged claims included.
        case powerCut = 3
    }
}

/// Ties an invocation to its return; never used twice in a history.
public typealias OperationNumber = UInt64

/// The recorder's number of a queue.
public typealias QueueNumber = UInt32

/// The recorder's number of an idempotency key; keys of different queues are different keys.
public typealias KeyNumber = UInt64
