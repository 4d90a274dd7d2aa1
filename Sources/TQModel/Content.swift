/// What the bytes of a payload or a result are.
///
/// The broker stores the bytes as they come and keeps this beside them; clients and workers act on it.
public struct Content: Hashable, Sendable {
    /// What the bytes are when they are decoded, such as `application/json`; `nil` when nobody said.
    ///
    /// A name like any other: no blanks, so `text/plain;charset=utf-8`.
    public var type: Name?
    /// How they are encoded.
    public var encoding: Encoding

    /// Plain bytes of which nobody said what they are.
    public static let unspecified = Content()

    public init(type: Name? = nil, encoding: Encoding = .identity) {
        self.type = type
        self.encoding = encoding
    }

    /// What was done to bytes to make them shorter.
    public enum Encoding: UInt8, Hashable, Sendable, CaseIterable {
        /// Nothing.
        case identity = 0
        /// They are one frame of zstd (RFC 8878).
        case zstd = 1

        /// The name in JSON and on the command line.
        public var name: String {
            switch self {
            case .identity: "identity"
            case .zstd: "zstd"
            }
        }
    }
}
