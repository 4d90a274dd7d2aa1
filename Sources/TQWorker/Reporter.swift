import Logging
import Synchronization
import TQClient
import TQModel

/// How one attempt ended.
enum AttemptReport: Sendable {
    case completed(Completion)
    case failed(Failure)
    case released(Release)

    var lease: LeaseHandle {
        switch self {
        case .completed(let completion): completion.lease
        case .failed(let failure): failure.lease
        case .released(let release): release.lease
        }
    }

    /// What to report instead of a success that the broker refuses for what is in it: the lease would only lapse.
    func failure(refusedWith error: TQError) -> AttemptReport? {
        guard case .completed(let completion) = self else { return nil }
        switch error.code {
        case .invalidArgument, .conflict, .payloadTooLarge, .limitExceeded, .storageCorrupt:
            let text = "The broker refuses what the attempt hands over: \(error.message)"
            return .failed(Failure(lease: completion.lease, error: Bytes(text.utf8)))
        default: return nil
        }
    }

    var bytes: Int {
        switch self {
        case .completed(let completion):
            completion.followUps.reduce(completion.result.count) {
                $0 + $1.payload.count + ($1.dependencies?.tasks.count ?? 0) * 16 + 500
            }
        case .failed(let failure): failure.error.count
        case .released: 0
        }
    }
}

/// Tells the broker how attempts ended, many in one frame, until it has answered.
///
/// What ends in the same turn of the event loop goes out together. Reports outlive connections and broker restarts.
final class Reporter: Sendable {
    private struct State {
        var ends: [AttemptReport] = []
        var isScheduled = false
        /// Reported or waiting to be, and not answered.
        var unanswered = 0
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(5))
    }
    private let state = Mutex(State())
    private let client: TQClient
    private let logger: Logger
    private let onIdle: @Sendable () -> Void

    init(client: TQClient, logger: Logger, onIdle: @escaping @Sendable () -> Void) {
        self.client = client
        self.logger = logger
        self.onIdle = onIdle
    }

    var isIdle: Bool { state.withLock { $0.unanswered == 0 } }

    func add(_ ends: [AttemptReport]) {
        guard !ends.isEmpty else { return }
        state.withLock { $0.unanswered += ends.count }
        send(ends, after: .zero)
    }

    private func send(_ ends: [AttemptReport], after delay: Duration) {
        let isFirst = state.withLock { state in
            state.ends.append(contentsOf: ends)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if isFirst { client.schedule(after: delay) { self.flush() } }
    }

    private func flush() {
        let ends = state.withLock { state in
            defer { (state.ends, state.isScheduled) = ([], false) }
            return state.ends
        }
        for batch in Self.batches(ends) { report(batch) }
    }

    private func report(_ batch: [AttemptReport]) {
        guard let request = Self.request(batch) else { return }
        client.report(request) { result in
            switch result {
            case .success(let outcomes): self.answered(batch, outcomes)
            case .failure(let error): self.answered(batch, batch.map { _ in error })
            }
        }
    }

    /// What the broker could not do for now is told again; the rest is settled.
    private func answered(_ batch: [AttemptReport], _ outcomes: [TQError?]) {
        var again: [AttemptReport] = []
        var failures: [AttemptReport] = []
        for (end, outcome) in zip(batch, outcomes) {
            guard let outcome else { continue }
            if outcome.retryable, outcome.code != .connectionFailed { again.append(end) }
            if let failure = end.failure(refusedWith: outcome) { failures.append(failure) }
            logger.log(
                level: outcome.code == .leaseLost ? .notice : .warning,
                "the end of an attempt was refused",
                metadata: ["task": "\(end.lease.task)", "error": "\(outcome)"]
            )
        }
        // Before the others are settled, so that nobody finds the worker idle between the two.
        add(failures)
        let settled = batch.count - again.count
        let (isIdle, wait) = state.withLock { state in
            state.unanswered -= settled
            if again.isEmpty { state.backoff.reset() }
            return (state.unanswered == 0, again.isEmpty ? .zero : state.backoff.next())
        }
        if !again.isEmpty { send(again, after: wait) }
        if isIdle { onIdle() }
    }

    /// Runs of one kind, none too large for a frame.
    static func batches(_ ends: [AttemptReport]) -> [[AttemptReport]] {
        var completed = Batches()
        var failed = Batches()
        var released = Batches()
        for end in ends {
            switch end {
            case .completed: completed.add(end)
            case .failed: failed.add(end)
            case .released: released.add(end)
            }
        }
        return completed.all + failed.all + released.all
    }

    private struct Batches {
        var all: [[AttemptReport]] = []
        private var bytes = 0

        mutating func add(_ end: AttemptReport) {
            if let count = all.last?.count, count < 1000, bytes + end.bytes <= Limits.replyPayloadBytesMax {
                all[all.count - 1].append(end)
                bytes += end.bytes
            } else {
                all.append([end])
                bytes = end.bytes
            }
        }
    }

    private static func request(_ batch: [AttemptReport]) -> Request? {
        switch batch.first {
        case .completed:
            .complete(batch.compactMap { if case .completed(let completion) = $0 { completion } else { nil } })
        case .failed: .fail(batch.compactMap { if case .failed(let failure) = $0 { failure } else { nil } })
        case .released: .release(batch.compactMap { if case .released(let release) = $0 { release } else { nil } })
        case nil: nil
        }
    }
}
