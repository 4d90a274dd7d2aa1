public import ByteStore
import Glibc
import QueueCore
public import Storage

/// What the next start would find in a data directory.
public struct FoundStore: Sendable {
    /// The last batch; 0 where there is no store yet.
    public private(set) var sequence: UInt64 = 0
    /// The digest of the index, comparable with those of a ``WorkRecord``.
    public private(set) var digest: UInt32 = 0
    /// Whether torn writes at the end of the log were cut off.
    public private(set) var isCutOff = false
    /// Why a broker would refuse the store, or what `tq-inspect verify` would find.
    public private(set) var problems: [String] = []

    /// Opens, recovers and verifies the store in a data directory, which is changed as a start would change it.
    ///
    /// - Parameter look: Is shown the store while it is open.
    public init(
        _ directory: String,
        look: (RocksDBStorage, RecoveredStore) throws(StorageError) -> Void = { _, _ in }
    ) {
        // A power cut before the directory was durable leaves nothing to be opened.
        guard access(directory, F_OK) == 0 else { return }
        do throws(StorageError) {
            let mark = try HighWaterMark.read(directory + "/mark")
            let opening = try StoreOpening(directory + "/db", options: .numbered, mark: mark)
            let store = opening.store
            isCutOff = opening.cutOff != nil
            defer { store.close() }
            guard let recovered = try Recovery.recover(from: store, mark: mark) else { return }
            sequence = recovered.position.sequence
            digest = WorkRecord.digest(recovered.index)
            var found: [String] = []
            _ = StoreVerification.verify(store, mark: mark) { found.append("\($0.place): \($0.message)") }
            problems = found
            try look(store, recovered)
        } catch {
            problems.append("refused: \(error)")
        }
    }
}
