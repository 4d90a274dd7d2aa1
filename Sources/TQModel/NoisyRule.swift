/// When a group is noisy: its tasks wait until those of quiet groups with the same priority run.
///
/// The rule and its numbers are those of the fair queues of Amazon SQS (2025), counted over all queues.
public struct NoisyRule: Hashable, Sendable {
    /// A group is noisy when more than so many of a hundred tasks that run are its own, from 1 to 99.
    public var percent: UInt8
    /// And as many as that are, from 1 on.
    public var runningMin: UInt32

    public init(percent: UInt8 = 10, runningMin: UInt32 = 30) {
        self.percent = percent
        self.runningMin = runningMin
    }

    /// Whether a group is noisy of whose tasks so many run, of so many in all.
    public func applies(to running: UInt64, of all: UInt64) -> Bool {
        running >= UInt64(runningMin) && running * 100 > all * UInt64(percent)
    }
}
