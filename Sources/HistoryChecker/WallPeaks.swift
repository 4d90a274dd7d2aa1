/// Answers how late the wall clock has been since an event, although it may jump back.
struct WallPeaks {
    /// Falling times at rising positions: each is the latest of all that came after the one before it.
    private var peaks: [(position: Int, milliseconds: UInt64)] = []

    mutating func record(_ milliseconds: UInt64, at position: Int) {
        while let last = peaks.last, last.milliseconds <= milliseconds { peaks.removeLast() }
        peaks.append((position, milliseconds))
    }

    /// The latest time that was recorded at this position or later; 0 when none was.
    func latest(since position: Int) -> UInt64 {
        peaks.first { $0.position >= position }?.milliseconds ?? 0
    }
}
