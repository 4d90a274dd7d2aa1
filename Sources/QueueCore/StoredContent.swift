public import TQModel

/// What a payload or a result is, as records and slots hold it.
public struct StoredContent: RawRepresentable, Hashable, Sendable {
    /// The number of the content type in the lower 15 bits, 0 for none; the top bit is set for zstd.
    public let rawValue: UInt16

    private static let zstdBit: UInt16 = 1 << 15

    /// Plain bytes of which nobody said what they are.
    public static let unspecified = StoredContent(rawValue: 0)

    /// Takes what a record says.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// - Parameter type: At most ``TQModel/Limits/contentTypesMax``.
    init(type: UInt32, _ encoding: Content.Encoding) {
        rawValue = UInt16(truncatingIfNeeded: type) & ~Self.zstdBit | (encoding == .zstd ? Self.zstdBit : 0)
    }

    /// The number of the content type; 0 for none.
    public var type: UInt32 { UInt32(rawValue & ~Self.zstdBit) }
    /// How the bytes are encoded.
    public var encoding: Content.Encoding { rawValue & Self.zstdBit == 0 ? .identity : .zstd }
}

extension DurableIndex {
    /// What a number of a record stands for.
    public func content(_ stored: StoredContent) -> Content {
        guard stored != .unspecified else { return .unspecified }
        return Content(type: stored.type == 0 ? nil : contentTypes.name(stored.type), encoding: stored.encoding)
    }

    /// Whether the content's type is one that the store knows.
    public func knows(_ content: StoredContent) -> Bool { content.type <= contentTypes.count }
}

extension QueueCore {
    /// What stands for a content in records; its type gets a number now if it is new.
    mutating func stored(_ content: Content) throws(TQError) -> StoredContent {
        guard content != .unspecified else { return .unspecified }
        // The default namespace: what bytes are is no secret of who sends them, and there are few numbers.
        let type = try content.type.map { (name) throws(TQError) in try number(of: name, .contentType, 0) } ?? 0
        return StoredContent(type: type, content.encoding)
    }
}
