import HistoryChecker
import TQModel

/// What clients saw, as the checker reads it; kept as long as the run, so that a violation can show its events.
struct History {
    private(set) var checker: Checker
    private(set) var events: [Event] = []
    private var operations: OperationNumber = 0

    init(_ rules: Rules) { checker = Checker(rules: rules) }

    mutating func record(_ kind: Event.Kind, client: UInt32 = 0, at now: Now) {
        let event = Event(time: now, client: client, kind: kind)
        events.append(event)
        checker.observe(event)
    }

    mutating func invoke(_ call: Call, client: UInt32, at now: Now) -> OperationNumber {
        operations += 1
        record(.invoked(operations, call), client: client, at: now)
        return operations
    }

    mutating func finish() { checker.finish() }

    /// Throws the first violation.
    func check() throws(Broken) {
        guard let violation = checker.violations.first else { return }
        let task = violation.task.map { " (task \($0))" } ?? ""
        throw Broken("\(violation.invariant)", violation.sentence + task, events: violation.events)
    }

    /// An event as a line of a history file, with its position and with blanks for tabs.
    func line(_ position: Int) -> String {
        var bytes: [UInt8] = []
        events[position].appendLine(to: &bytes)
        let blanks = bytes.dropLast().map { $0 == UInt8(ascii: "\t") ? UInt8(ascii: " ") : $0 }
        return "\(position) " + String(decoding: blanks, as: UTF8.self)
    }

    /// A number that differs when two histories do.
    var digest: UInt64 {
        var bytes: [UInt8] = []
        for event in events { event.appendLine(to: &bytes) }
        return Digest(of: bytes).rawValue
    }
}
