import Glibc

/// SIGTERM and SIGINT, waited for by a thread of their own instead of by a handler.
enum StopSignals {
    /// Keeps both signals from every thread that is started from now on.
    static func block() {
        var signals = set
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// Waits for the next of them.
    static func next() async {
        await withCheckedContinuation { continuation in
            let box = Unmanaged.passRetained(Box(continuation))
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { pointer in
                    guard let pointer else { return nil }
                    var signals = StopSignals.set
                    var received: CInt = 0
                    sigwait(&signals, &received)
                    Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().continuation.resume()
                    return nil
                }, box.toOpaque())
            pthread_detach(thread)
        }
    }

    private static var set: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        return signals
    }

    private final class Box: Sendable {
        let continuation: CheckedContinuation<Void, Never>

        init(_ continuation: CheckedContinuation<Void, Never>) { self.continuation = continuation }
    }
}
