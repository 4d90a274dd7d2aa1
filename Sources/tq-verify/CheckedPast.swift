import ByteStore
import DiskFaults
import FoundationEssentials
import HistoryChecker
import TQModel

/// A history that is played again, to ask what a store would have to hold had the power gone out at some moment of it.
struct CheckedPast {
    private var checker: Checker
    private let events: [Event]
    private var next = 0
    /// What the clock of histories is ahead of the one of journals, at least; at most a millisecond more.
    private let clockOffset: UInt64

    init(_ checker: Checker, _ events: [Event]) {
        self.checker = checker
        self.events = events
        let milliseconds = DiskJournal.nanosecondsNow / 1_000_000
        clockOffset = max(Recorder.now().monotonicMilliseconds, milliseconds + 1) - milliseconds - 1
    }

    /// What was found in an image.
    struct Finding {
        var taskCount: Int
        /// What is wrong; `nil` when every promise was kept.
        var problem: String?
    }

    /// Opens a store as a broker would and lets the checker see it.
    ///
    /// - Parameter nanoseconds: When the power went out, on the clock of journals; never less than the call before.
    mutating func check(storeIn directory: String, cutAt nanoseconds: UInt64) -> Finding {
        let cut = nanoseconds == .max ? .max - 2 : nanoseconds / 1_000_000 + clockOffset
        // What returned within a millisecond of the cut may have returned after it, what was asked may have been asked before.
        while next < events.count, events[next].time.monotonicMilliseconds < cut {
            checker.observe(events[next])
            next += 1
        }
        var time = next > 0 ? events[next - 1].time : Now(monotonicMilliseconds: 0, wallMilliseconds: 0)
        do throws(StorageError) {
            let dump = try StoredTasks.dump(directory)
            var present = checker
            for event in events[next...].prefix(while: { $0.time.monotonicMilliseconds <= cut + 2 }) {
                if case .invoked = event.kind { present.observe(event) }
                time = event.time
            }
            for kind in [.stopped(.powerCut)] + dump { present.observe(Event(time: time, kind: kind)) }
            let count = dump.count { if case .dumped = $0 { true } else { false } }
            return Finding(taskCount: count, problem: present.violations.first?.description)
        } catch {
            return Finding(taskCount: 0, problem: "the store is refused: \(error)")
        }
    }
}
