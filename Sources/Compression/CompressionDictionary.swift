import CZstd
import Synchronization
public import TQModel

/// What many small payloads have in common, so that each of them need not say it: the output of `zstd --train`.
///
/// Both sides must have it: a frame says which one it needs, by its number.
public final class CompressionDictionary: Sendable {
    /// The number by which a frame names it; `zstd --train` makes one up.
    public let id: UInt32
    private let bytes: Bytes
    nonisolated(unsafe) let decompressing: OpaquePointer
    /// Prepared for compressing, by level.
    private let prepared = Mutex(Prepared())

    private struct Prepared: @unchecked Sendable { var byLevel: [Int: OpaquePointer] = [:] }

    /// Takes the bytes of a file that `zstd --train` wrote.
    ///
    /// - Throws: `invalidArgument` when they are something else.
    public init(_ bytes: Bytes) throws(TQError) {
        let (id, prepared) = bytes.withUnsafeBytes {
            (ZSTD_getDictID_fromDict($0.baseAddress, $0.count), ZSTD_createDDict($0.baseAddress, $0.count))
        }
        guard id != 0, let prepared else {
            ZSTD_freeDDict(prepared)
            throw TQError(
                .invalidArgument,
                "\(bytes.count) bytes are no dictionary of zstd. Make one with zstd --train."
            )
        }
        self.id = id
        self.bytes = bytes
        self.decompressing = prepared
    }

    deinit {
        ZSTD_freeDDict(decompressing)
        prepared.withLock { for (_, dictionary) in $0.byLevel { ZSTD_freeCDict(dictionary) } }
    }

    /// The dictionary for compressing at a level; made once.
    func compressing(_ level: Int) throws(CompressionError) -> OpaquePointer {
        try prepared.withLock { (prepared) throws(CompressionError) in
            if let known = prepared.byLevel[level] { return known }
            let made = bytes.withUnsafeBytes { ZSTD_createCDict($0.baseAddress, $0.count, Int32(level)) }
            let dictionary = try Zstd.allocated(made)
            prepared.byLevel[level] = dictionary
            return dictionary
        }
    }
}
