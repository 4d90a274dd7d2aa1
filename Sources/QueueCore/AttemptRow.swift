public import TQModel

/// An attempt that did not succeed.
public struct AttemptRow: Hashable, Sendable {
    /// The task.
    public var sequence: TaskSequence
    /// Which attempt it was, from 1.
    public var number: UInt16
    /// How it ended.
    public var end: AttemptEnd
    /// The token of its lease; later attempts have higher ones.
    public var token: LeaseToken
    /// When it began, in milliseconds since 1970.
    public var startWallMilliseconds: UInt64
    /// When it ended, in milliseconds since 1970.
    public var endWallMilliseconds: UInt64
    /// The name of the worker, in the batch's texts; empty for none.
    public var worker: EffectBatch.Span
    /// What went wrong, in the batch's texts.
    public var error: EffectBatch.Span

    /// Creates a row.
    public init(
        sequence: TaskSequence,
        number: UInt16,
        end: AttemptEnd,
        token: LeaseToken,
        startWallMilliseconds: UInt64,
        endWallMilliseconds: UInt64,
        worker: EffectBatch.Span,
        error: EffectBatch.Span
    ) {
        self.sequence = sequence
        self.number = number
        self.end = end
        self.token = token
        self.startWallMilliseconds = startWallMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
        self.worker = worker
        self.error = error
    }

    /// Its place in the history of its task, which has ``Limits/historyMax`` of them.
    public var place: UInt8 { UInt8((number &- 1) % UInt16(Limits.historyMax)) }
}
