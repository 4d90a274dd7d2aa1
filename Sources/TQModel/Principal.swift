/// Who asks, and for what part of the broker; carried by every request, even where authentication is off.
public struct Principal: Hashable, Sendable {
    /// The namespace in which names and keys are looked up; 0 is the default one.
    public var namespace: UInt32
    /// What is allowed.
    public var scopes: Scopes

    public init(namespace: UInt32 = 0, scopes: Scopes) {
        self.namespace = namespace
        self.scopes = scopes
    }

    /// Everybody, on a broker without authentication.
    public static let anonymous = Principal(scopes: .all)

    /// What a principal may do.
    public struct Scopes: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Submit tasks.
        public static let submit = Scopes(rawValue: 1)
        /// Claim tasks and end them, register workers.
        public static let claim = Scopes(rawValue: 2)
        /// Look at tasks, results, queues and counters.
        public static let read = Scopes(rawValue: 4)
        /// Cancel tasks.
        public static let cancel = Scopes(rawValue: 8)
        /// Change queues and redrive dead letters.
        public static let admin = Scopes(rawValue: 16)
        /// Everything.
        public static let all: Scopes = [.submit, .claim, .read, .cancel, .admin]
    }
}
