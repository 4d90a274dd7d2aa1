import NIOCore
import TQModel

/// Calls that the broker cannot say the outcome of: to send them again is the way to hear of it, as after a lost
/// connection.
extension Session {
    /// Sends the call again after a while, which grows with every time.
    ///
    /// - Returns: `false` when that might do it twice, or comes too late for its caller.
    func sendLater(_ call: Call, after doubt: TQError) -> Bool {
        var backoff = Backoff(first: .milliseconds(20), longest: .seconds(2), attempts: call.sends - 1)
        let wait = backoff.next(atLeastMilliseconds: doubt.retryAfterMilliseconds).timeAmount
        guard !isClosed, call.mayBeSentAgain(at: .now() + wait) else { return false }
        unknown.append(call)
        // A failed write leaves many calls in doubt at once; they keep their order and go out in one burst.
        guard unknown.count == 1 else { return true }
        eventLoop.scheduleTask(in: wait) {
            self.takeUnknown()
            self.sendWaiting()
        }
        return true
    }

    /// Lets the calls of unknown outcome wait for a connection, before those that were never sent.
    func takeUnknown() {
        let now = NIODeadline.now()
        for call in unknown { call.wait(from: now) }
        waiting = unknown + waiting
        watchPatience(of: unknown)
        unknown = []
    }
}
