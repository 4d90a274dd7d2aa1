import Glibc

/// Why a journal, an image or a control file cannot be used.
public struct DiskFailure: Error, CustomStringConvertible {
    /// What is wrong, and where.
    public let description: String

    init(_ description: String) { self.description = description }

    /// What the system says of a path.
    static func system(_ action: String, _ path: String, _ code: CInt = errno) -> DiskFailure {
        DiskFailure("Cannot \(action) \(path): \(String(cString: strerror(code))).")
    }
}
