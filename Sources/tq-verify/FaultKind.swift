import ArgumentParser

/// What happens to the broker under test; one kind per round.
enum FaultKind: String, CaseIterable, ExpressibleByArgument {
    /// SIGKILL at a random moment, and now and then another one while the next broker starts.
    case kill
    /// SIGSTOP for longer than the leases last.
    case pause
    /// The machine goes dark: of what was not synced nothing is left, or a random part.
    case powerCut = "power-cut"
    /// A write or a sync fails, and what it should have kept is not there after the power cut that follows.
    case failingDisk = "failing-disk"
    /// Each sync takes as long as on a disk that is overloaded.
    case slowDisk = "slow-disk"
    /// No file can grow for a while.
    case fullDisk = "full-disk"
    /// Single bits of the files of a stopped broker change.
    case bitFlips = "bit-flips"
    /// The wall clock jumps by an hour or a day, and back.
    case clockSteps = "clock-steps"

    /// Whether the broker runs on a disk that keeps a journal of what it does.
    var needsJournal: Bool {
        switch self {
        case .powerCut, .failingDisk, .slowDisk, .fullDisk: true
        case .kill, .pause, .bitFlips, .clockSteps: false
        }
    }
}
