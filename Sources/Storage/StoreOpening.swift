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
    /// - Parameter mark: The mark beside the store; without one nothing is cut off.
    /// - Throws: What is wrong with the store, which is left as it is.
    public init(
        _ path: String,
        options: RocksDBOptions,
        mark: Mark?,
        createIfMissing: Bool = true,
        readOnly: Bool = false
    ) throws(StorageError) {
        func open(_ options: RocksDBOptions, readOnly: Bool) throws(StorageError) -> RocksDBStorage {
            try RocksDBStorage.open(path: path, options: options, createIfMissing: createIfMissing, readOnly: readOnly)
        }
        do throws(StorageError) {
            store = try open(options, readOnly: readOnly)
            cutOff = nil
        } catch {
            var cutting = options
            cutting.recovery = .cutAtDamage
            guard error.kind == .corruption, let mark, let rest = try? open(cutting, readOnly: true) else {
                throw error
            }
            defer { rest.close() }
            // Nothing is changed before it is known that nothing is lost.
            guard try Recovery.reaches(mark, rest) else { throw error }
            store = try open(cutting, readOnly: readOnly)
            cutOff = error
        }
    }
}
