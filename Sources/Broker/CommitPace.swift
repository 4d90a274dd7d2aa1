import QueueCore

/// When the open commit group may leave.
///
/// A sync costs the processor as much for one task as for a hundred. When few commands come from many sessions, a group
/// that left at once would hold one or two of them. So no more than 667 groups a second leave for long, unless they are
/// worth a sync already, or everybody who was active lately waits for the open one: then nobody is left to wait for. A
/// client that sends one request after the other is never delayed by this, nor are few commands, nor clients that keep
/// their windows full. docs/decisions/0005 has figures.
struct CommitPace {
    /// Nanoseconds from one group to the next, in the long run.
    private static let interval: UInt64 = 1_500_000
    /// Groups that may leave at once after a pause.
    private static let burst: UInt64 = 8
    /// So many answers are worth a sync.
    private static let answersWorthSync = 32
    /// Nanoseconds for which a session counts as active.
    private static let window: UInt64 = 4_000_000

    /// The window and the group for which a session was counted last.
    private struct Stamp {
        var window = UInt64.max
        var group = UInt64.max
    }

    private var stamps: [SessionID: Stamp] = [:]
    private var window: UInt64 = 0
    /// Sessions that were active in this window, and in the one before.
    private var active = 0
    private var activeBefore = 0
    private var group: UInt64 = 0
    /// Sessions, and answers to them, that wait for the open group.
    private var waiting = 0
    private var answers = 0
    /// When the groups so far would all have left, one after the other in the long run's pace.
    private var due: UInt64 = 0

    /// From when on the open group may leave, in nanoseconds of the monotonic clock.
    var end: UInt64 { due - min(due, Self.burst * Self.interval) }

    /// Notes that a session waits for the open group with so many answers more.
    mutating func waits(_ session: SessionID, answers count: Int, at nanoseconds: UInt64) {
        answers += count
        advance(to: nanoseconds / Self.window)
        var stamp = stamps[session] ?? Stamp()
        if stamp.window != window { active += 1 }
        if stamp.group != group { waiting += 1 }
        stamp.window = window
        stamp.group = group
        stamps[session] = stamp
    }

    private mutating func advance(to present: UInt64) {
        guard present != window else { return }
        activeBefore = present == window + 1 ? active : 0
        active = 0
        window = present
        // Sessions end without a word here.
        if stamps.count > 2 * activeBefore + 1024 { stamps = stamps.filter { $0.value.window + 1 >= window } }
    }

    /// Whether the open group may leave before its time.
    var isFull: Bool { answers >= Self.answersWorthSync || waiting >= max(active, activeBefore) }

    func mayLeave(at nanoseconds: UInt64) -> Bool { nanoseconds >= end || isFull }

    /// The open group leaves.
    mutating func leave(at nanoseconds: UInt64) {
        // Groups that leave early, because they are full, leave no debt behind: the next one waits one interval at most.
        due = min(max(due, nanoseconds), nanoseconds + Self.burst * Self.interval) + Self.interval
        group += 1
        (waiting, answers) = (0, 0)
    }
}
