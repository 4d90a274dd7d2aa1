/// What went wrong, in every API of tq: a code to act on and a sentence to read.
public struct TQError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Which kind of error it is.
    public var code: Code
    /// What happened, to which thing, and the way out.
    public var message: String
    /// When to try again, where the broker knows it.
    public var retryAfterMilliseconds: UInt32?

    public init(_ code: Code, _ message: String, retryAfterMilliseconds: UInt32? = nil) {
        self.code = code
        self.message = message
        self.retryAfterMilliseconds = retryAfterMilliseconds
    }

    /// Whether the same request may succeed later.
    public var retryable: Bool { code.isRetryable }

    public var description: String { "\(code.name): \(message)" }

    /// The kind of an error: one row of the error table, the same in every protocol.
    ///
    /// A code that this version does not know keeps its number and is named `unknown(n)`.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// The number in the native protocol.
        public let rawValue: UInt16

        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// A value of the request is out of its range or contradicts another.
        public static let invalidArgument = Code(rawValue: 1)
        /// The bytes are no message of the protocol; the connection is closed.
        public static let malformedFrame = Code(rawValue: 2)
        /// The message is longer than ``Limits/frameBytesMax``.
        public static let frameTooLarge = Code(rawValue: 3)
        /// The message is of a kind that the broker does not know.
        public static let unknownMessage = Code(rawValue: 4)
        /// Client and broker have no version of the protocol in common.
        public static let versionUnsupported = Code(rawValue: 5)
        /// The payload or result is longer than ``Limits/payloadBytesMax``.
        public static let payloadTooLarge = Code(rawValue: 6)
        /// There is no such task, or its retention ran out.
        public static let taskNotFound = Code(rawValue: 7)
        /// The queue holds as many waiting tasks as it may.
        public static let queueFull = Code(rawValue: 8)
        /// The lease lapsed or ended, and nothing was changed.
        public static let leaseLost = Code(rawValue: 9)
        /// The idempotency key belongs to a task with other content, or another task holds the unique key.
        public static let conflict = Code(rawValue: 10)
        /// The task has ended.
        public static let notCancellable = Code(rawValue: 11)
        /// The write may or may not be on disk; send the same request with the same idempotency key again.
        public static let outcomeUnknown = Code(rawValue: 12)
        /// A write failed, so nothing is changed until the store was rebuilt.
        public static let readOnly = Code(rawValue: 13)
        /// Free space is below the reserve: submits are refused while completions go on.
        public static let diskFull = Code(rawValue: 14)
        /// Stored bytes are damaged.
        public static let storageCorrupt = Code(rawValue: 15)
        /// The broker is about to stop.
        public static let draining = Code(rawValue: 16)
        /// The broker has as many connections as it may.
        public static let tooManyConnections = Code(rawValue: 17)
        /// The time that the request allowed ran out.
        public static let timedOut = Code(rawValue: 18)
        /// Another broker leads; its addresses are in the message.
        public static let notLeader = Code(rawValue: 19)
        /// The caller did not say who it is, and must.
        public static let unauthenticated = Code(rawValue: 20)
        /// The caller may not do that.
        public static let forbidden = Code(rawValue: 21)
        /// The caller asks more often than it may.
        public static let rateLimited = Code(rawValue: 22)
        /// A bound of ``Limits`` is exceeded.
        public static let limitExceeded = Code(rawValue: 23)
        /// There is no such queue.
        public static let queueNotFound = Code(rawValue: 24)
        /// There is no such worker.
        public static let workerNotFound = Code(rawValue: 25)
        /// No connection, or it ended before the answer came.
        public static let connectionFailed = Code(rawValue: 26)
        /// Something else than a broker answers at that address.
        public static let notABroker = Code(rawValue: 27)
        /// The task that was waited for became a dead letter.
        public static let taskFailed = Code(rawValue: 28)
        /// The task that was waited for was cancelled.
        public static let taskCancelled = Code(rawValue: 29)
        /// A fault of the program.
        public static let internalError = Code(rawValue: 30)
        /// Somebody wants the attempt to end: its lease stays as it is and is not renewed any more.
        public static let cancelRequested = Code(rawValue: 31)
        /// There is no such recurring task.
        public static let recurringNotFound = Code(rawValue: 32)
        /// There is no bulk operation with that number, or it ended too long ago.
        public static let bulkNotFound = Code(rawValue: 33)

        public var description: String { name }
    }
}
