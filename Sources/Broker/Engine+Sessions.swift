import QueueCore
import Synchronization
import TQModel

/// Who uses the engine: connections, and users in the same process.
extension Engine {
    func openSession(_ sink: any SessionSink, _ settings: SessionSettings) -> SessionID {
        let id = sessions.add(sink)
        perform([.openSession(id, settings)])
        return id
    }

    func closeSession(_ id: SessionID) {
        sessions.remove(id)
        postponed.withLock { $0[id] = nil }
        perform([.closeSession(id)])
    }

    /// Whether a session holds a lease or waits for an answer.
    func isBusy(_ id: SessionID) -> Bool {
        monitor.withLock { state in
            state.core.isBusy(id) || state.held.contains { $0.session == id }
        }
    }
}
