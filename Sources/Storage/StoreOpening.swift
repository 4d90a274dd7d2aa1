public import ByteStore

/// A store that was opened after whatever an honest power cut may leave.
///
/// A power cut leaves the last writes torn: pages of a batch that was never acknowledged are there, others are not, and
/// to the engine that is damage. The high-water mark tells it from damage that has taken acknowledged work: what is left
/// without the torn writes reaches the mark, or it does not.
public struct StoreOpening {
    /// The store.
    public let store: RocksDBStorage
    /// Why the end of the log was cut off; `nil` when all of it is there.
    public let cutOff: StorageError?

    /// Opens the store of a directory.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - options: The settings of the engine.
    ///   - mark: The mark beside the store; without one nothing is cut off.
    ///   - createIfMissing: Whether a store is made where there is none.
    ///   - readOnly: To change nothing; a torn list of table files is then refused.
    /// - Throws: What is wrong with the store, which is left as it is.
    public init(
        _ path: String,
        options: RocksDBOptions,
        mark: Mark?,
        createIfMissing: Bool = true,
        readOnly: Bool = false
    ) throws(StorageError) {
        do throws(StorageError) {
            store = try RocksDBStorage.open(
                path: path,
                options: options,
                createIfMissing: createIfMissing,
                readOnly: readOnly
            )
            cutOff = nil
        } catch {
            guard error.kind == .corruption, let mark else { throw error }
            var cutting = options
            cutting.recovery = .cutAtDamage
            // Nothing is changed before it is known that nothing is lost.
            if !readOnly, let manifest = TornManifest(store: path) {
                let isHarmless = try? manifest.withShortenedCopy { Self.reaches(mark, $0, cutting) }
                guard isHarmless == true else { throw error }
                try manifest.cut()
            } else {
                guard Self.reaches(mark, path, cutting) else { throw error }
            }
            store = try RocksDBStorage.open(path: path, options: cutting, createIfMissing: false, readOnly: readOnly)
            cutOff = error
        }
    }

    /// Whether a store without what is torn has all that is known to have been synced.
    private static func reaches(_ mark: Mark, _ path: String, _ options: RocksDBOptions) -> Bool {
        guard let rest = try? RocksDBStorage.open(path: path, options: options, createIfMissing: false, readOnly: true)
        else { return false }
        defer { rest.close() }
        return (try? Recovery.reaches(mark, rest)) == true
    }
}
