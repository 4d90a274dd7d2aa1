import Glibc
import TQModel

/// The clocks of the machine, read for each burst of commands.
enum BrokerClock {
    static func now() -> Now {
        // The boot-time clock goes on while the machine is suspended, and no clock setting touches it.
        Now(monotonicMilliseconds: milliseconds(CLOCK_BOOTTIME), wallMilliseconds: milliseconds(CLOCK_REALTIME))
    }

    /// For spans shorter than a millisecond, and for waits: stands still while the machine is suspended.
    static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_nsec)
    }

    private static func milliseconds(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(clamping: time.tv_sec) * 1000 + UInt64(clamping: time.tv_nsec) / 1_000_000
    }
}
