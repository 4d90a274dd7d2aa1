import Glibc
import Synchronization
import TQModel

/// Says on standard error how far a long command is: a bar that redraws itself on a terminal, else a line now and then.
public final class Progress: Sendable {
    private let meter: Mutex<ProgressMeter>
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant

    /// Creates the progress of a command.
    ///
    /// - Parameters:
    ///   - label: What is counted, such as `tasks submitted`.
    ///   - total: How many there will be; `nil` when nobody knows.
    public init(_ label: String, total: UInt64? = nil) {
        self.meter = Mutex(ProgressMeter(label: label, total: total, terminalWidth: terminalWidth()))
        self.start = clock.now
    }

    /// Says that so many are done; cheap enough to be called for each one.
    public func update(_ done: UInt64) { show(done, isLast: false) }

    /// Shows the last state and leaves the line.
    public func finish(_ done: UInt64) { show(done, isLast: true) }

    private func show(_ done: UInt64, isLast: Bool) {
        let elapsed = (clock.now - start) / .milliseconds(1)
        let text = meter.withLock { $0.text(done: done, elapsedMilliseconds: UInt64(elapsed), isLast: isLast) }
        if let text { writeToStandardError(text) }
    }
}

/// Decides when progress is shown, and how it looks.
struct ProgressMeter {
    let label: String
    let total: UInt64?
    /// `nil` when nobody watches: plain lines, and fewer of them.
    let terminalWidth: Int?
    private var nextMilliseconds: UInt64

    private static let redrawMilliseconds: UInt64 = 100
    private static let lineMilliseconds: UInt64 = 5000

    init(label: String, total: UInt64?, terminalWidth: Int?) {
        self.label = label
        self.total = total
        self.terminalWidth = terminalWidth
        self.nextMilliseconds = terminalWidth == nil ? Self.lineMilliseconds : 0
    }

    /// What to write now; `nil` for nothing.
    mutating func text(done: UInt64, elapsedMilliseconds: UInt64, isLast: Bool) -> String? {
        guard isLast || elapsedMilliseconds >= nextMilliseconds else { return nil }
        nextMilliseconds =
            elapsedMilliseconds + (terminalWidth == nil ? Self.lineMilliseconds : Self.redrawMilliseconds)
        let line = line(done: done, elapsedMilliseconds: elapsedMilliseconds)
        guard let terminalWidth else { return line + "\n" }
        return "\r\u{1b}[K" + line.truncated(toWidth: terminalWidth - 1) + (isLast ? "\n" : "")
    }

    private func line(done: UInt64, elapsedMilliseconds: UInt64) -> String {
        let rate = elapsedMilliseconds == 0 ? 0 : done * 1000 / elapsedMilliseconds
        let span = DurationArgument(milliseconds: elapsedMilliseconds)
        guard let total, total > 0 else { return "\(done) \(label), \(rate)/s, \(span)" }
        let share = min(1, Double(done) / Double(total))
        let percent = "\(Int(share * 100)) %"
        guard terminalWidth != nil else { return "\(percent) \(done)/\(total) \(label), \(rate)/s, \(span)" }
        let cells = 30
        let filled = Int(share * Double(cells))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: cells - filled)
        return "\(bar) \(percent) \(done)/\(total) \(label), \(rate)/s, \(span)"
    }
}
