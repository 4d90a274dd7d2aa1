/// What went wrong, in every API of tq: a code to act on and a sentence to read.
public struct TQError: Error, Hashable, Sendable, CustomStringConvertible {
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

        public static let invalidArgument = Code(rawValue: 1)
        public static let malformedFrame = Code(rawValue: 2)
        public static let frameTooLarge = Code(rawValue: 3)
        public static let unknownMessage = Code(rawValue: 4)
        public static let versionUnsupported = Code(rawValue: 5)
        public static let payloadTooLarge = Code(rawValue: 6)
        public static let taskNotFound = Code(rawValue: 7)
        public static let queueFull = Code(rawValue: 8)
        public static let leaseLost = Code(rawValue: 9)
        public static let conflict = Code(rawValue: 10)
        public static let notCancellable = Code(rawValue: 11)
        public static let outcomeUnknown = Code(rawValue: 12)
        public static let readOnly = Code(rawValue: 13)
        public static let diskFull = Code(rawValue: 14)
        public static let storageCorrupt = Code(rawValue: 15)
        public static let draining = Code(rawValue: 16)
        public static let tooManyConnections = Code(rawValue: 17)
        public static let timedOut = Code(rawValue: 18)
        public static let notLeader = Code(rawValue: 19)
        public static let unauthenticated = Code(rawValue: 20)
        public static let forbidden = Code(rawValue: 21)
        public static let rateLimited = Code(rawValue: 22)
        public static let limitExceeded = Code(rawValue: 23)
        public static let queueNotFound = Code(rawValue: 24)
        public static let workerNotFound = Code(rawValue: 25)
        public static let connectionFailed = Code(rawValue: 26)
        public static let notABroker = Code(rawValue: 27)
        public static let taskFailed = Code(rawValue: 28)
        public static let taskCancelled = Code(rawValue: 29)
        public static let internalError = Code(rawValue: 30)

        public var description: String { name }
    }
}
