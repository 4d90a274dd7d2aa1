/// How the priority of a queue's tasks rises while they wait, so that none waits for ever behind more urgent ones.
public struct PriorityAging: Hashable, Sendable {
    /// The time from its submit after which a task counts as one more urgent, and after as much again as two, in milliseconds from
    /// 1 on.
    public var stepMilliseconds: UInt32
    /// By how much it counts as more urgent at most, from 1 to 255.
    public var most: UInt8

    /// - Parameter most: 255, up to the highest priority, unless said otherwise.
    public init(stepMilliseconds: UInt32, most: UInt8 = .max) {
        self.stepMilliseconds = stepMilliseconds
        self.most = most
    }

    /// The rank of a task that has waited so long.
    public func rank(_ rank: Rank, afterMilliseconds waited: UInt64) -> Rank {
        let steps = UInt32(min(UInt64(most), waited / UInt64(max(1, stepMilliseconds))))
        return Rank(rawValue: rank.rawValue - min(rank.rawValue >> 24, steps) << 24)
    }
}
