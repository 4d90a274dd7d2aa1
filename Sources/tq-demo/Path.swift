import Glibc
import Telemetry

/// A path as the system knows it: any bytes but zero, also such that are no UTF-8.
struct Path: Hashable, Sendable, CustomStringConvertible {
    let bytes: [UInt8]

    init(_ text: String) { bytes = Array(text.utf8) }

    init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// A file of this directory.
    func appending(_ name: some Sequence<UInt8>) -> Path { Path(bytes + [UInt8(ascii: "/")] + name) }

    /// What the system is called with.
    var cString: [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    /// For people: on one line, and unable to steer the terminal.
    var description: String { String(decoding: bytes, as: UTF8.self).printable }
}

/// What changes when a file does.
struct FileVersion: Hashable, Sendable {
    private let device: UInt
    private let inode: UInt
    private let byteCount: Int
    private let changeSeconds: Int
    private let changeNanoseconds: Int

    init(_ status: stat) {
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        byteCount = Int(status.st_size)
        changeSeconds = status.st_ctim.tv_sec
        changeNanoseconds = status.st_ctim.tv_nsec
    }

    /// The present version of a file; `nil` when it is gone.
    init?(of path: Path) {
        var status = stat()
        guard lstat(path.cString, &status) == 0 else { return nil }
        self.init(status)
    }
}
