public import TQModel

/// Whether payloads and results are compressed before they are sent.
public enum PayloadCompression: Sendable {
    /// They are sent as they are.
    case none
    /// Those of at least `from` bytes are compressed when that makes them shorter.
    ///
    /// - Parameter level: One of ``Zstd/levels``.
    case zstd(level: Int = 3, from: Int = 1024, dictionary: CompressionDictionary? = nil)
}

/// How somebody encodes what he sends, and decodes what he gets.
public struct ContentCoding: Sendable {
    private let compression: PayloadCompression
    private let dictionaries: [CompressionDictionary]

    /// - Parameter dictionaries: Those that what he gets may need, besides the one that he compresses with.
    public init(_ compression: PayloadCompression, dictionaries: [CompressionDictionary]) {
        self.compression = compression
        if case .zstd(_, _, let own?) = compression {
            self.dictionaries = dictionaries + [own]
        } else {
            self.dictionaries = dictionaries
        }
    }

    /// Whether anything is compressed at all.
    public var isEncoding: Bool { if case .none = compression { false } else { true } }

    /// Compresses plain bytes, if that is wanted and of use.
    ///
    /// - Throws: `invalidArgument` when the compression asks for something that there is not.
    public func encode(_ bytes: inout Bytes, _ content: inout Content) throws(TQError) {
        guard case .zstd(let level, let least, let dictionary) = compression, content.encoding == .identity,
            bytes.count >= least
        else { return }
        // Longer ones are refused as they are: what has room on the wire must have room behind it, too.
        guard bytes.count <= Limits.payloadBytesMax else { return }
        do throws(CompressionError) {
            guard let frame = try Zstd.compress(bytes, level: level, dictionary: dictionary) else { return }
            bytes = frame
            content.encoding = .zstd
        } catch {
            throw TQError(.invalidArgument, "The payload cannot be compressed: \(error).")
        }
    }

    /// Makes encoded bytes plain, at most ``TQModel/Limits/payloadBytesMax`` of them.
    ///
    /// - Parameter thing: What the bytes are, for an error.
    /// - Throws: `invalidArgument` when they are not what their content says.
    public func decode(
        _ bytes: inout Bytes,
        _ content: inout Content,
        of thing: @autoclosure () -> String
    ) throws(TQError) {
        guard content.encoding == .zstd else { return }
        do throws(CompressionError) {
            let countMax = Limits.payloadBytesMax
            bytes = try Zstd.decompress(bytes, countMax: countMax, dictionaries: dictionaries)
            content.encoding = .identity
        } catch {
            throw TQError(.invalidArgument, "The \(thing()) cannot be decompressed: \(error).")
        }
    }
}
