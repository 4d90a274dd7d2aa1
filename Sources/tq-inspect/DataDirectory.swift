import ByteStore
import CommandLineSupport
import Glibc
import Storage

/// The data directory of a broker, held so that no broker starts while it is read.
final class DataDirectory {
    let path: String
    private let lock: DirectoryLock

    /// Takes the lock of a directory that holds a store; its file is the only one that is touched.
    init(_ path: String) throws(StorageError) {
        guard access(path + "/db/CURRENT", F_OK) == 0 || access(path + "/mark", F_OK) == 0 else {
            throw StorageError(.notFound, "there is no store in \(path): name the --data-dir of a broker", path: path)
        }
        self.path = path
        lock = try DirectoryLock(path)
    }

    /// The high-water mark; `nil` where there is none.
    func mark() throws(StorageError) -> Mark? { try HighWaterMark.read(path + "/mark") }

    /// Opens the store as a broker would; what is in the log is read into memory, nothing is written.
    ///
    /// - Parameter checksTables: Whether damage of table files that a broker scans refuses the store.
    func store(checksTables: Bool = true) throws(StorageError) -> RocksDBStorage {
        // A mark that cannot be read is a matter of its own.
        let mark = (try? mark()) ?? nil
        var options = RocksDBOptions.numbered
        options.checksTables = checksTables
        let opening = try StoreOpening(
            path + "/db",
            options: options,
            mark: mark,
            createIfMissing: false,
            readOnly: true
        )
        return opening.store
    }
}

extension StorageError {
    var exitStatus: ExitStatus {
        switch kind {
        case .locked: .refused
        case .notFound: .notFound
        default: .failed
        }
    }
}
