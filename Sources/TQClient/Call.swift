import NIOCore
import TQModel
import WireProtocol

/// One request on its way: queued, sent, perhaps sent again, and answered once.
///
/// Everything but ``completion`` and ``answerLimit``, which are set before the call is handed over, belongs to the
/// session's event loop.
final class Call: @unchecked Sendable {
    let request: Request
    let resend: Resend
    /// How long to wait for a connection, counted anew after each lost one; `nil` for ever.
    private let patience: TimeAmount?
    /// When to stop waiting for a connection; `nil` for never.
    private(set) var deadline: NIODeadline?
    /// How long an unknown outcome is met by sending it again, counted from its beginning; `nil` for ever.
    private let persistence: TimeAmount?
    private var lastResend: NIODeadline?
    var completion: (Result<Reply, TQError>) -> Void
    /// How long a connection may owe the reply before it counts as lost; `nil` for as long as it is heard of.
    var answerLimit: TimeAmount?

    /// How often it was written to a connection; more than once after a lost one, or after a write that failed.
    private(set) var sends = 0
    private var firstSent = NIODeadline.distantFuture
    /// The caller waits no longer.
    var isAbandoned = false
    private var isFinished = false

    init(
        _ request: Request,
        resend: Resend,
        patience: TimeAmount?,
        persistence: TimeAmount? = nil,
        completion: @escaping @Sendable (Result<Reply, TQError>) -> Void = { _ in }
    ) {
        self.request = request
        self.resend = resend
        self.patience = patience
        self.persistence = persistence ?? patience
        self.completion = completion
    }

    /// What may be done with a request of which nobody knows whether it was done: its connection was lost before its
    /// reply came, or the broker could not store it for sure.
    enum Resend {
        /// Doing it twice would do harm: its outcome is unknown.
        case never
        /// Doing it twice is the same as once.
        case always
        /// The second time finds the first one's traces and is refused; then the outcome is unknown.
        case fenced
    }

    /// Begins to wait for a connection.
    func wait(from now: NIODeadline) {
        deadline = patience.map { now + $0 }
        if sends == 0 { lastResend = persistence.map { now + $0 } }
    }

    /// Writes down that it is written to a connection.
    func sent(at now: NIODeadline) {
        if sends == 0 { firstSent = now }
        sends += 1
    }

    /// Whether a broker that has seen it may forget its idempotency keys before it arrives again.
    func isTooOldToResend(at now: NIODeadline) -> Bool {
        guard sends > 0, let window = request.idempotencyWindow else { return false }
        // The other half is for the way there.
        return firstSent + (window / 2).timeAmount <= now
    }

    func finish(_ result: Result<Reply, TQError>) {
        guard !isFinished else { return }
        isFinished = true
        completion(result)
    }

    /// The error of a reply that leaves open whether it was done; `nil` for any other reply.
    func doubt(in reply: Reply) -> TQError? {
        guard case .error(let error) = reply else { return nil }
        let verdict = afterAllSends(error)
        return verdict.code == .outcomeUnknown ? verdict : nil
    }

    /// Whether it does no harm to send it at that time once more, and its caller waits for that.
    func mayBeSentAgain(at time: NIODeadline) -> Bool {
        guard resend != .never, !isAbandoned, !isTooOldToResend(at: time) else { return false }
        return lastResend.map { time < $0 } ?? true
    }

    func finish(with reply: Reply) {
        switch reply {
        case .error(let error): finish(.failure(afterAllSends(error)))
        case .outcomes(let errors) where resend == .fenced && sends > 1:
            finish(.success(.outcomes(errors.map { $0.map(afterResend) })))
        case .completed(let entries) where resend == .fenced && sends > 1:
            finish(.success(.completed(entries.map { $0.mapError(afterResend) })))
        case .cancellations(let entries) where resend == .fenced && sends > 1:
            finish(.success(.cancellations(entries.map { $0.mapError(afterResend) })))
        default: finish(.success(reply))
        }
    }

    /// The error for a call that is given up because there is no connection.
    func fail(becauseOf cause: TQError) {
        guard sends > 0, !request.changesNothing else { return finish(.failure(cause)) }
        finish(
            .failure(
                TQError(
                    .outcomeUnknown,
                    "The connection was lost before the \(request.messageType) was answered; it may have happened. \(cause.message)"
                )
            )
        )
    }

    /// A broker that changes nothing now may have done an earlier sending.
    private func afterAllSends(_ error: TQError) -> TQError {
        error.code == .readOnly && sends > 1 && !request.changesNothing ? inDoubt(error) : error
    }

    /// A refusal of the second sending may come from the success of the first.
    private func afterResend(_ error: TQError) -> TQError {
        switch error.code {
        case .leaseLost, .notCancellable, .taskNotFound, .conflict: inDoubt(error)
        default: error
        }
    }

    private func inDoubt(_ refusal: TQError) -> TQError {
        TQError(
            .outcomeUnknown,
            "The \(request.messageType) was sent more than once and refused at last; "
                + "an earlier one may have happened. \(refusal.message)",
            retryAfterMilliseconds: refusal.retryAfterMilliseconds
        )
    }
}

extension Request {
    /// The shortest time for which a broker remembers the key of one of its tasks; `nil` for all but submits.
    fileprivate var idempotencyWindow: Duration? {
        guard case .submit(let tasks) = self else { return nil }
        let windows = tasks.map(\.idempotencyWindowMilliseconds)
        let shortest = windows.map { $0 == 0 ? Defaults.idempotencyWindowMilliseconds : $0 }.min() ?? 0
        return .milliseconds(Int64(clamping: shortest))
    }

    /// Whether it makes no difference if the broker has seen it.
    fileprivate var changesNothing: Bool {
        switch self {
        case .status, .result, .tasks, .statistics, .queues, .workers, .deadLetters, .health, .ping, .heartbeat,
            .registerWorker:
            true
        default: false
        }
    }
}
