import CRocksDB
import Glibc

/// What the store could not do.
///
/// After a failed write or sync its outcome is unknown, except for the kinds ``Kind/writesStopped``,
/// ``Kind/closed`` and ``Kind/invalid``: with them nothing was written.
public struct StorageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What went wrong, as far as a caller can act on it.
    public enum Kind: Hashable, Sendable {
        /// The operating system refused to read, write or sync.
        case io
        /// The disk is full.
        case noSpace
        /// Stored bytes are damaged or missing.
        case corruption
        /// Another process holds the data directory.
        case locked
        /// The store was written by a later version.
        case newerFormat
        /// There is no store at the path.
        case notFound
        /// The store was closed; nothing was done.
        case closed
        /// An earlier write or sync failed, so this one was not tried; the store must be opened anew.
        case writesStopped
        /// The call cannot be carried out, whatever the state of the disk; nothing was done.
        case invalid
    }

    /// Which kind of failure it is, and so what may have been written.
    public var kind: Kind
    /// What happened, with the engine's own words, and the way out.
    public var message: String
    /// The file or directory concerned, where it is known.
    public var path: String?

    public init(_ kind: Kind, _ message: String, path: String? = nil) {
        self.kind = kind
        self.message = message
        self.path = path
    }

    public var description: String {
        guard let path, !message.contains(path) else { return message }
        return "\(path): \(message)"
    }
}

extension StorageError {
    /// What `errno` says about a path.
    static func system(_ action: String, _ path: String, _ code: CInt = errno) -> StorageError {
        let kind: Kind = code == ENOSPC || code == EDQUOT ? .noSpace : .io
        return StorageError(kind, "cannot \(action) \(path): \(String(cString: strerror(code)))", path: path)
    }

    /// Takes over what the engine reported and frees its text.
    static func check(_ status: tq_status) throws(StorageError) {
        guard status.code != TQ_OK else { return }
        let message = status.message.map { String(cString: $0) } ?? "no message"
        free(status.message)
        throw StorageError(Kind(status.code), message, path: fileNamed(in: message))
    }

    /// The file that the engine blames: a table or log before the manifest that lists it.
    private static func fileNamed(in message: String) -> String? {
        // The engine's words for a short file run into its path: "an sstable/path/000012.sst".
        let words = message.split { " :,;()[]\"".contains($0) }
            .map { $0.hasPrefix("sstable/") ? $0.dropFirst("sstable".count) : $0 }
        let files = words.filter { $0.hasSuffix(".sst") || $0.hasSuffix(".log") }
        if let file = files.first(where: { $0.dropFirst().contains("/") }) ?? files.first { return String(file) }
        // A table that is missing is named after the second attempt to open it, by a name from before 2014.
        if let file = words.first(where: { $0.hasSuffix(".ldb") }) { return file.dropLast(4) + ".sst" }
        return words.first { $0.hasSuffix("/CURRENT") || $0.contains("MANIFEST-") }.map(String.init)
    }
}

extension StorageError.Kind {
    init(_ code: tq_code) {
        switch code {
        case TQ_IO: self = .io
        case TQ_NO_SPACE: self = .noSpace
        case TQ_CORRUPTION: self = .corruption
        case TQ_LOCKED: self = .locked
        case TQ_NEWER_FORMAT: self = .newerFormat
        case TQ_NOT_FOUND: self = .notFound
        case TQ_CLOSED: self = .closed
        default: self = .invalid
        }
    }
}
