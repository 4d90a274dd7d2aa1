/// An attempt that did not succeed: an entry of a task's history.
///
/// An attempt that its worker released counts for nothing, and is not kept.
public struct Attempt: Hashable, Sendable {
    /// Which attempt it was, counted from 1 since the submit or the last redrive.
    public var number: UInt16
    /// How it ended.
    public var end: AttemptEnd
    /// When it began, in milliseconds since 1970.
    public var startWallMilliseconds: UInt64
    /// When it ended, in milliseconds since 1970.
    public var endWallMilliseconds: UInt64
    /// The worker that ran it; empty when the client was no worker.
    public var worker: Name
    /// What went wrong, up to ``Limits/errorBytesMax`` bytes.
    public var error: Bytes

    public init(
        number: UInt16,
        end: AttemptEnd,
        startWallMilliseconds: UInt64,
        endWallMilliseconds: UInt64,
        worker: Name,
        error: Bytes
    ) {
        self.number = number
        self.end = end
        self.startWallMilliseconds = startWallMilliseconds
        self.endWallMilliseconds = endWallMilliseconds
        self.worker = worker
        self.error = error
    }
}

/// How an attempt ended that did not succeed.
public enum AttemptEnd: UInt8, Sendable, CaseIterable {
    /// Its worker said that it failed.
    case failed = 1
    /// Its worker said that it failed, and that retries are useless.
    case failedPermanently = 2
    /// It took longer than its timeout.
    case timedOut = 3
    /// A crash: its lease ran out without a word.
    case leaseLapsed = 4
    /// A crash: its worker or its connection was gone.
    case workerLost = 5

    /// The name in JSON and on the command line.
    public var name: String {
        switch self {
        case .failed: "failed"
        case .failedPermanently: "failedPermanently"
        case .timedOut: "timedOut"
        case .leaseLapsed: "leaseLapsed"
        case .workerLost: "workerLost"
        }
    }
}
