import CommandLineSupport
import Glibc
import HistoryChecker
import Synchronization
import TQModel

/// Appends events to a history file that several processes write.
///
/// A line is written with one call before the recorded request leaves, or after its reply came, so that the record
/// outlives every process. The lock makes the order of lines the order of their times.
final class Recorder: Sendable {
    private let descriptor: Int32
    private let lock = Mutex(())
    private let wallClock = Atomic<Int64>(0)

    /// What the wall clock of broker and load is ahead of this process's own.
    var wallClockSeconds: Int64 {
        get { wallClock.load(ordering: .relaxed) }
        set { wallClock.store(newValue, ordering: .relaxed) }
    }

    /// Opens the file, and creates it when there is none.
    init(_ path: String) throws {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(.failed, "Cannot write \(path): \(String(cString: strerror(errno))).")
        }
    }

    deinit { close(descriptor) }

    /// Records events of one client, 0 for the test itself, at the present time.
    func record(_ kinds: [Event.Kind], client: UInt32 = 0) {
        lock.withLock { _ in
            flock(descriptor, LOCK_EX)
            defer { flock(descriptor, LOCK_UN) }
            var time = Self.now()
            time.wallMilliseconds = UInt64(clamping: Int64(time.wallMilliseconds) + wallClockSeconds * 1000)
            for kind in kinds {
                var line: [UInt8] = []
                Event(time: time, client: client, kind: kind).appendLine(to: &line)
                let count = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                guard count == line.count else {
                    // A record with a hole would accuse the broker of what the disk did.
                    writeToStandardError("The history cannot be written: \(String(cString: strerror(errno))).\n")
                    exit(ExitStatus.failed.rawValue)
                }
            }
        }
    }

    /// The clocks of the machine, the same ones that the broker reads.
    static func now() -> Now {
        Now(monotonicMilliseconds: milliseconds(CLOCK_BOOTTIME), wallMilliseconds: milliseconds(CLOCK_REALTIME))
    }

    private static func milliseconds(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(clamping: time.tv_sec) * 1000 + UInt64(clamping: time.tv_nsec) / 1_000_000
    }
}
