public import TQModel

/// The name of a time zone, such as `Europe/Berlin` or `Etc/GMT+5`, in a form that is safe below a directory of zones.
///
/// Whether there is such a zone only its file tells. A name has 1 to ``bytesMax`` bytes: letters, digits, `_`, `+`, `-`,
/// and `/` between its parts. So there is no `.` to leave the directory with, no `/` in front, and no empty part.
public struct ZoneName: Hashable, Sendable, CustomStringConvertible {
    private let text: String

    /// Twice as long as the longest that there is.
    public static let bytesMax = 64

    /// The zone that needs no file.
    public static let utc = ZoneName(checked: "UTC")

    private init(checked text: String) { self.text = text }

    /// Checks a name.
    ///
    /// - Throws: `invalidArgument` with the name and what is allowed.
    public init(_ text: some Sequence<UInt8>) throws(TQError) {
        let bytes = Array(text)
        func wrong(_ clause: String) -> TQError {
            TQError(.invalidArgument, "The time zone \(quoted(bytes)) is not a name of one: \(clause).")
        }
        guard (1...Self.bytesMax).contains(bytes.count) else {
            throw wrong("it has \(bytes.count) bytes; use 1 to \(Self.bytesMax), such as Europe/Berlin")
        }
        guard bytes.allSatisfy({ isLetter($0) || isDigit($0) || "_+-/".utf8.contains($0) }) else {
            throw wrong("use letters, digits, '_', '+', '-' and '/', such as Europe/Berlin")
        }
        let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty }) else { throw wrong("a '/' stands between two parts") }
        self.text = String(decoding: bytes, as: UTF8.self)
    }

    public var description: String { text }
}
