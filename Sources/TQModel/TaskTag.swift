/// A word that a task is found by: 1 to 64 bytes of UTF-8 with the characters of a ``Name``, by convention `key:value`.
///
/// There may be as many different ones as there are tasks: they are kept on the disk, beside the tasks that carry them.
public struct TaskTag: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The text in UTF-8, as it came; not checked yet.
    public let bytes: Bytes

    @inlinable public init(bytes: Bytes) { self.bytes = bytes }
    public init(_ text: String) { self.bytes = Bytes(Array(text.utf8)) }
    public init(stringLiteral text: String) { self.init(text) }

    /// Whether the broker takes this tag.
    public var isValid: Bool { bytes.isWord(bytesMax: Limits.tagBytesMax) }

    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
