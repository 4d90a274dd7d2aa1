import CommandLineSupport
import Glibc
import HistoryChecker
import TQModel

/// Reads a history while it is written, checks it, and counts what is in it.
final class HistoryFollower {
    private(set) var checker: Checker
    private(set) var counts = HistoryCounts()
    /// Every task whose submit was acknowledged, in that order.
    private(set) var tasks: [TaskID] = []
    /// What was acknowledged, in flight and leased when the broker stopped for the last time.
    private(set) var atLastStop = Load(acknowledged: 0, inFlight: 0, leased: 0)

    /// The events since the last mark.
    private(set) var events: [Event] = []
    private var keepsEvents = false
    private let descriptor: Int32
    private var rest: [UInt8] = []
    private var open: [OperationNumber: OpenCall] = [:]
    private var stops = 0
    private var failures: [ClosedRange<UInt64>] = []
    private var acknowledgedKeys: Set<KeyNumber> = []
    private var unfinished: Set<TaskID> = []
    private var leases: [TaskID: (token: LeaseToken, endMilliseconds: UInt64)] = [:]

    private struct OpenCall {
        var call: Call
        var milliseconds: UInt64
        /// How often the broker had stopped when the request left.
        var stops: Int
    }

    /// What a kill meets.
    struct Load {
        /// Tasks whose submit was acknowledged and whose end was not.
        var acknowledged: Int
        /// Requests without an answer, but for claims and questions.
        var inFlight: Int
        var leased: Int

        /// Whether there was something to lose in every respect.
        var isReal: Bool { acknowledged > 0 && inFlight > 0 && leased > 0 }
    }

    init(_ path: String) throws {
        var rules = Rules()
        // Both clocks are the broker's own, in milliseconds that were cut and not rounded.
        rules.slackMilliseconds = 5
        checker = Checker(rules: rules)
        descriptor = Glibc.open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(.failed, "Cannot read \(path): \(String(cString: strerror(errno))).")
        }
    }

    deinit { close(descriptor) }

    /// Takes every whole line that was written by now.
    func follow() throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            rest += buffer[..<count]
            try takeLines()
        }
    }

    /// The history is complete.
    func finish() throws {
        try follow()
        checker.finish()
    }

    private func takeLines() throws {
        guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return }
        for event in try Event.events(in: Array(rest[...end])) { observe(event) }
        rest.removeFirst(end + 1)
    }

    private func observe(_ event: Event) {
        var event = event
        switch event.kind {
        case .invoked(let number, let call):
            open[number] = OpenCall(call: call, milliseconds: event.time.monotonicMilliseconds, stops: stops)
        case .returned(let number, let outcome):
            guard let invoked = open.removeValue(forKey: number) else { break }
            let wasInterrupted = wasInterrupted(invoked, returned: event.time)
            let outcome = wasInterrupted ? withoutOwnDuplicate(outcome, of: invoked.call) : outcome
            event.kind = .returned(number, outcome)
            count(invoked.call, outcome, wasInterrupted, at: event.time)
        case .stopped: stop(at: event.time)
        case .dumped: counts.rowsRead += 1
        default: break
        }
        if keepsEvents { events.append(event) }
        checker.observe(event)
    }

    /// Keeps every event from now on, beside the checker's state at this moment.
    func mark() -> Checker {
        keepsEvents = true
        events = []
        return checker
    }

    /// The outcome, but for a task that is only a duplicate of the same call.
    ///
    /// The client library sends a submit again when the broker stopped before the reply came. The history has one call
    /// for both.
    private func withoutOwnDuplicate(_ outcome: Outcome, of call: Call) -> Outcome {
        guard case .submit(let submit) = call, case .submitted(let id, let isDuplicate) = outcome, let key = submit.key
        else { return outcome }
        return .submitted(id, isDuplicate: isDuplicate && acknowledgedKeys.contains(key))
    }

    /// Whether the broker was gone, or had failed, between a request and its reply.
    private func wasInterrupted(_ call: OpenCall, returned: Now) -> Bool {
        call.stops < stops
            || failures.contains {
                $0.overlaps(call.milliseconds...max(call.milliseconds, returned.monotonicMilliseconds))
            }
    }

    /// Says when the broker had a reason to refuse, or to have forgotten, what it was asked; before that time is followed.
    func noteFailure(_ milliseconds: ClosedRange<UInt64>) { failures.append(milliseconds) }

    private func stop(at time: Now) {
        stops += 1
        let inFlight = open.values.count { call in
            switch call.call {
            case .claim, .status, .result: false
            default: true
            }
        }
        let leased = leases.values.count { $0.endMilliseconds > time.monotonicMilliseconds }
        atLastStop = Load(acknowledged: unfinished.count, inFlight: inFlight, leased: leased)
    }

    private func count(_ call: Call, _ outcome: Outcome, _ wasInterrupted: Bool, at time: Now) {
        switch (call, outcome) {
        case (_, .unknown): counts.unknown += 1
        case (_, .refused(let code)):
            if code.isExpected(wasInterrupted) {
                counts.refused += 1
            } else {
                counts.unexpectedRefusals[code, default: 0] += 1
            }
        case (.submit(let submit), .submitted(let id, let isDuplicate)):
            if let key = submit.key { acknowledgedKeys.insert(key) }
            if isDuplicate {
                counts.duplicates += 1
            } else {
                counts.submits += 1
                tasks.append(id)
                unfinished.insert(id)
            }
        case (.claim, .delivered(let deliveries)):
            counts.deliveries += deliveries.count
            for delivery in deliveries {
                let end = time.monotonicMilliseconds + UInt64(delivery.leaseMilliseconds)
                leases[delivery.lease.task] = (delivery.lease.token, end)
            }
        case (.complete(let lease, _), .done):
            counts.completions += 1
            end(lease, isFinal: true)
        case (.fail(let lease, _, _), .done):
            counts.failures += 1
            end(lease, isFinal: false)
        case (.release(let lease, _), .done):
            counts.releases += 1
            end(lease, isFinal: false)
        case (.renew, .done): counts.renewals += 1
        case (.cancel(let id), .done), (.cancel(let id), .cancelRequested):
            counts.cancels += 1
            unfinished.remove(id)
        case (.redrive, .done): counts.redrives += 1
        default: break
        }
    }

    private func end(_ lease: LeaseHandle, isFinal: Bool) {
        if isFinal { unfinished.remove(lease.task) }
        if leases[lease.task]?.token == lease.token { leases[lease.task] = nil }
    }
}

/// What a history has shown.
struct HistoryCounts {
    /// Acknowledged, all of them.
    var submits = 0, deliveries = 0, completions = 0, failures = 0, releases = 0, renewals = 0, cancels = 0,
        redrives = 0
    /// Submits that found the task of an earlier one with the same key.
    var duplicates = 0
    /// Requests that the broker refused as it should, such as completions with a lost lease.
    var refused = 0
    /// Requests whose answer a kill took away.
    var unknown = 0
    /// Rows of all full reads.
    var rowsRead = 0
    /// Refusals that a healthy broker has no reason for.
    var unexpectedRefusals: [TQError.Code: Int] = [:]

    mutating func add(_ other: HistoryCounts) {
        submits += other.submits
        deliveries += other.deliveries
        completions += other.completions
        failures += other.failures
        releases += other.releases
        renewals += other.renewals
        cancels += other.cancels
        redrives += other.redrives
        duplicates += other.duplicates
        refused += other.refused
        unknown += other.unknown
        rowsRead += other.rowsRead
        unexpectedRefusals.merge(other.unexpectedRefusals, uniquingKeysWith: +)
    }
}

extension TQError.Code {
    /// Whether the load asks for this refusal, or a broker whose disk has failed must give it.
    fileprivate func isExpected(_ wasInterrupted: Bool) -> Bool {
        switch self {
        case .leaseLost, .notCancellable, .taskNotFound, .cancelRequested: true
        case .readOnly, .diskFull: wasInterrupted
        default: false
        }
    }
}
