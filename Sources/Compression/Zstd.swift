import CZstd
public import TQModel

/// Bytes as one frame of zstd (RFC 8878), and back.
///
/// Frames come from strangers. They are decompressed piece by piece into memory that grows with what has come out, never with what
/// a frame says of itself, and only as far as a limit goes.
public enum Zstd {
    /// How hard to try, from the fastest to the shortest; beyond, a reader needs more memory than it gives.
    public static let levels = 1...19

    /// A frame may look back over at most 8 MiB: so much a reader keeps.
    private static let windowLogMax: Int32 = 23
    /// What one byte of a frame may become, on average.
    private static let growthMax = 1000
    /// What any frame may become: short ones grow most, and do no harm.
    private static let unsuspiciousByteCount = 1 << 20

    /// What a frame of so many bytes may become.
    private static func limit(_ frameByteCount: Int, _ countMax: Int) -> Int {
        min(countMax, max(unsuspiciousByteCount, frameByteCount * growthMax))
    }

    // MARK: Compressing

    /// Compresses bytes.
    ///
    /// - Returns: `nil` when that makes them no shorter, or so much shorter that no reader would believe it.
    public static func compress(
        _ bytes: Bytes,
        level: Int = 3,
        dictionary: CompressionDictionary? = nil
    ) throws(CompressionError) -> Bytes? {
        guard levels.contains(level) else {
            throw CompressionError(
                "level \(level) is out of range; choose \(levels.lowerBound) to \(levels.upperBound)"
            )
        }
        guard bytes.count > 1 else { return nil }
        let context = try allocated(ZSTD_createCCtx())
        defer { ZSTD_freeCCtx(context) }
        // The checksum tells when a reader has another dictionary with the same number.
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
        if let dictionary { ZSTD_CCtx_refCDict(context, try dictionary.compressing(level)) }
        var code = 0
        let frame = bytes.withUnsafeBytes { source in
            [UInt8](unsafeUninitializedCapacity: source.count - 1) { target, count in
                code = ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
                count = ZSTD_isError(code) == 0 ? code : 0
            }
        }
        if ZSTD_isError(code) != 0 {
            guard ZSTD_getErrorCode(code) == ZSTD_error_dstSize_tooSmall else { throw CompressionError(code) }
            return nil
        }
        return bytes.count <= limit(frame.count, bytes.count) ? frame[...] : nil
    }

    // MARK: Decompressing

    /// The four bytes that a frame begins with.
    private static let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]

    /// Decompresses one frame, all of it.
    ///
    /// - Parameters:
    ///   - countMax: How many bytes may come out.
    ///   - dictionaries: Those that a frame may need.
    /// - Throws: What is wrong with the frame.
    public static func decompress(
        _ frame: Bytes,
        countMax: Int,
        dictionaries: [CompressionDictionary] = []
    ) throws(CompressionError) -> Bytes {
        guard frame.starts(with: magic) else { throw CompressionError("it is no frame of zstd") }
        return try frame.withUnsafeBufferPointer { (source) throws(CompressionError) in
            let dictionary = try dictionary(for: source, in: dictionaries)
            let context = try allocated(ZSTD_createDCtx())
            defer { ZSTD_freeDCtx(context) }
            ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, windowLogMax)
            if let dictionary { ZSTD_DCtx_refDDict(context, dictionary.decompressing) }
            let limit = limit(source.count, countMax)
            let claimed = claimedByteCount(source)
            if let claimed, claimed > limit { throw CompressionError(source.count, become: limit) }
            let bytes = try decompress(source, context, limit)
            guard claimed ?? UInt64(bytes.count) == UInt64(bytes.count) else {
                throw CompressionError("it is damaged: \(bytes.count) bytes came out instead of \(claimed ?? 0)")
            }
            return bytes
        }
    }

    /// What a frame says of the bytes that come out; `nil` when it does not say.
    private static func claimedByteCount(_ frame: UnsafeBufferPointer<UInt8>) -> UInt64? {
        let claimed = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
        // The last two numbers stand for "unknown" and "no frame".
        return claimed < UInt64.max - 1 ? claimed : nil
    }

    private static func dictionary(
        for frame: UnsafeBufferPointer<UInt8>,
        in dictionaries: [CompressionDictionary]
    ) throws(CompressionError) -> CompressionDictionary? {
        let id = ZSTD_getDictID_fromFrame(frame.baseAddress, frame.count)
        guard id != 0 else { return nil }
        guard let dictionary = dictionaries.first(where: { $0.id == id }) else {
            throw CompressionError("it needs dictionary \(id), which was not given")
        }
        return dictionary
    }

    private static func decompress(
        _ source: UnsafeBufferPointer<UInt8>,
        _ context: OpaquePointer,
        _ limit: Int
    ) throws(CompressionError) -> Bytes {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
        var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
        while true {
            let (left, count) = piece.withUnsafeMutableBytes { target in
                var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
                return (ZSTD_decompressStream(context, &output, &input), output.pos)
            }
            guard ZSTD_isError(left) == 0 else { throw CompressionError(left) }
            guard count <= limit - bytes.count else {
                throw CompressionError(source.count, become: limit)
            }
            bytes.append(contentsOf: piece[..<count])
            if left == 0 {
                guard input.pos == input.size else {
                    throw CompressionError("\(input.size - input.pos) bytes follow the frame")
                }
                return bytes[...]
            }
            if input.pos == input.size, count < piece.count { throw CompressionError("it ends in the middle") }
        }
    }

    static func allocated(_ context: OpaquePointer?) throws(CompressionError) -> OpaquePointer {
        guard let context else { throw CompressionError("there is no memory for it") }
        return context
    }
}

/// Why bytes cannot be compressed or decompressed.
public struct CompressionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, as a clause without a full stop.
    public let description: String

    init(_ description: String) { self.description = description }

    init(_ byteCount: Int, become limit: Int) {
        self.init("its \(byteCount) bytes become more than \(limit), which is not allowed")
    }

    /// What the library says, in its words where ours are no better.
    init(_ code: Int) {
        switch ZSTD_getErrorCode(code) {
        case ZSTD_error_frameParameter_windowTooLarge:
            self.init("it looks back over more than 8 MiB; compress it without --ultra and --long")
        case ZSTD_error_checksum_wrong: self.init("it is damaged, or was made with another dictionary")
        case ZSTD_error_dictionary_wrong: self.init("it was made with another dictionary")
        default: self.init("it is damaged: \(String(cString: ZSTD_getErrorName(code)))")
        }
    }
}
