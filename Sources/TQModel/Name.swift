/// Bytes that may be a part of a larger buffer; sharing them copies nothing.
public typealias Bytes = ArraySlice<UInt8>

/// The name of a queue, a task type or a worker: 1 to 255 bytes of UTF-8 without control characters or blanks.
///
/// A name is checked when the broker meets it for the first time (``isValid``), not when it is made, because
/// the hot path meets the same few names again and again.
public struct Name: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The text in UTF-8, as it came; not checked yet.
    public let bytes: Bytes

    @inlinable public init(bytes: Bytes) { self.bytes = bytes }
    public init(_ text: String) { self.bytes = Bytes(Array(text.utf8)) }
    public init(stringLiteral text: String) { self.init(text) }

    /// All bytes at once: the standard way takes one after the other.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes.count)
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    /// Whether the broker takes this name; a `*` is left to patterns.
    public var isValid: Bool { bytes.isWord(bytesMax: Limits.nameBytesMax) }

    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

extension Bytes {
    /// Whether these are 1 to so many bytes of UTF-8 without blanks, control characters and `*`.
    func isWord(bytesMax: Int) -> Bool {
        guard !isEmpty, count <= bytesMax else { return false }
        // Nearly all are ASCII, and a task with a key and a group has two that are not known yet.
        if allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "*") }) { return true }
        guard let text = String(validating: self, as: UTF8.self) else { return false }
        return text.unicodeScalars.allSatisfy {
            !$0.properties.isWhitespace && $0.properties.generalCategory != .control
        }
            && !contains(UInt8(ascii: "*"))
    }
}

/// Task types that a worker accepts: an exact name, or every name with a prefix (`email.*`, `*`).
public struct TypePattern: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The text in UTF-8, as it came; not checked yet.
    public let bytes: Bytes

    @inlinable public init(bytes: Bytes) { self.bytes = bytes }
    public init(_ text: String) { self.bytes = Bytes(Array(text.utf8)) }
    public init(stringLiteral text: String) { self.init(text) }

    /// Whether this is a name, or a possibly empty name followed by one `*`.
    public var isValid: Bool {
        guard bytes.last == UInt8(ascii: "*") else { return Name(bytes: bytes).isValid }
        return bytes.count == 1 || Name(bytes: bytes.dropLast()).isValid
    }

    /// Whether a task of that type is accepted.
    public func matches(_ type: Bytes) -> Bool {
        guard bytes.last == UInt8(ascii: "*") else { return bytes == type }
        return type.starts(with: bytes.dropLast())
    }

    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
