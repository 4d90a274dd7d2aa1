import Logging
import Synchronization

/// Takes what a broker logs, and lets a test wait for a sentence of it.
final class LogProbe: Sendable {
    private struct State {
        var lines: [String] = []
        var waiters: [(text: String, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    var logger: Logger { Logger(label: "test") { _ in Handler(probe: self) } }

    /// Everything so far, one line each.
    var lines: [String] { state.withLock(\.lines) }

    /// Waits until a line with that text has been logged.
    func wait(for text: String) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                let isThere = state.lines.contains { $0.contains(text) }
                if !isThere { state.waiters.append((text, continuation)) }
                return isThere
            }
            if isThere { continuation.resume() }
        }
    }

    fileprivate func add(_ line: String) {
        let ready = state.withLock { state in
            state.lines.append(line)
            let ready = state.waiters.filter { line.contains($0.text) }
            state.waiters.removeAll { line.contains($0.text) }
            return ready
        }
        for waiter in ready { waiter.continuation.resume() }
    }

    private struct Handler: LogHandler {
        let probe: LogProbe
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { probe.add("\(event.level) \(event.message) \(event.metadata ?? [:])") }
    }
}
