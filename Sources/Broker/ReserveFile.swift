import Glibc

/// Disk space that a file of the data directory holds, half of the reserve, and that is given up when the disk is full.
///
/// A threshold alone does not keep the room that completions need: other programs fill the same disk, and submits may do so
/// between two looks at it.
struct ReserveFile {
    private let path: String
    /// How many bytes the file holds.
    let byteCount: UInt64

    init(_ settings: BrokerSettings) {
        path = settings.dataDirectory + "/reserve"
        byteCount = settings.diskReserveBytes / 2
    }

    /// Bytes that the file takes from the disk now.
    var heldBytes: UInt64 {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_blocks) * 512 : 0
    }

    /// Takes the space; without the room for it nothing is taken.
    func hold() {
        guard byteCount > 0 else { return giveUp() }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        if posix_fallocate(descriptor, 0, off_t(byteCount)) != 0 { giveUp() }
    }

    /// Gives the space back to the disk.
    func giveUp() { unlink(path) }
}
