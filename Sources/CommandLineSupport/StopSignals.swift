import Glibc

/// SIGTERM and SIGINT as something to wait for.
///
/// A handler writes to a pipe. Blocking the signals and waiting with `sigwait` would not do: the main thread of an
/// async program ends up in libdispatch's `sigsuspend`, which lets every signal through to its default action.
public enum StopSignals {
    /// Catches both signals from now on; call it once, before anything that takes long.
    public static func catchAll() {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "two descriptors are free when a program starts")
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        (readEnd, writeEnd) = (ends[0], ends[1])
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
                let before = errno
                var byte = UInt8(truncatingIfNeeded: number)
                write(writeEnd, &byte, 1)
                errno = before
            }
        }
    }

    /// Waits for the next of them; every signal ends one wait.
    public static func next() async {
        await withCheckedContinuation { continuation in
            let box = Unmanaged.passRetained(Box(continuation))
            var thread = pthread_t()
            pthread_create(
                &thread,
                nil,
                { pointer in
                    guard let pointer else { return nil }
                    var byte: UInt8 = 0
                    while read(readEnd, &byte, 1) < 0, errno == EINTR {}
                    Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().continuation.resume()
                    return nil
                },
                box.toOpaque()
            )
            pthread_detach(thread)
        }
    }

    private final class Box: Sendable {
        let continuation: CheckedContinuation<Void, Never>

        init(_ continuation: CheckedContinuation<Void, Never>) { self.continuation = continuation }
    }
}

/// Written once, before the handlers that read them.
nonisolated(unsafe) private var readEnd: Int32 = -1
nonisolated(unsafe) private var writeEnd: Int32 = -1
