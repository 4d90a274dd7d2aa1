import CommandLineSupport
import Glibc
import TQModel

/// The files below some directories: those that become tasks, and how many do not.
struct FileSet {
    private(set) var files: [(path: Path, byteCount: Int)] = []
    private(set) var links = 0
    private(set) var tooLarge = 0
    private(set) var unreadable = 0
    /// Sockets, devices, named pipes.
    private(set) var special = 0

    /// Goes through a directory and all below it; other file systems too, links never.
    ///
    /// - Throws: When the directory itself cannot be read.
    mutating func add(below directory: Path) throws {
        var open = [directory]
        while let next = open.popLast() {
            guard let names = Self.names(in: next) else {
                let reason = String(cString: strerror(errno))
                if next == directory {
                    throw CommandFailure(.usage, "Cannot read the directory \(directory): \(reason).")
                }
                unreadable += 1
                continue
            }
            for name in names { add(next.appending(name), &open) }
        }
    }

    private mutating func add(_ path: Path, _ directories: inout [Path]) {
        var status = stat()
        guard lstat(path.cString, &status) == 0 else { return unreadable += 1 }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: directories.append(path)
        case S_IFLNK: links += 1
        case S_IFREG where status.st_size > Limits.payloadBytesMax: tooLarge += 1
        case S_IFREG where access(path.cString, R_OK) != 0: unreadable += 1
        case S_IFREG: files.append((path, Int(status.st_size)))
        default: special += 1
        }
    }

    /// The entries of a directory in order, without itself and its parent; `nil` with `errno` when it cannot be read.
    private static func names(in directory: Path) -> [[UInt8]]? {
        guard let stream = opendir(directory.cString) else { return nil }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while let entry = readdir(stream) {
            // In place: a copy would read beyond the end of a short entry.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 1) { name in
                    Array(UnsafeRawBufferPointer(start: name, count: strlen(name)))
                }
            }
            if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The bytes of all of them.
    var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

    /// The files in groups for one submit each.
    func batches(countMax: Int, byteCountMax: Int) -> [[Path]] {
        var batches: [[Path]] = []
        var byteCount = 0
        for file in files {
            byteCount += file.byteCount
            if batches.isEmpty || batches[batches.count - 1].count == countMax || byteCount > byteCountMax {
                batches.append([])
                byteCount = file.byteCount
            }
            batches[batches.count - 1].append(file.path)
        }
        return batches
    }

    /// What was passed over, for people; empty when nothing was.
    var skipped: String {
        let counts = [
            (links, "links"), (tooLarge, "larger than 10 MB"), (unreadable, "unreadable"), (special, "special files"),
        ]
        return counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }
}

/// A file at the moment at which it became a payload.
struct FileImage {
    let payload: [UInt8]
    let version: FileVersion

    /// Reads a file; `nil` when it has become unreadable, too large or something else meanwhile.
    init?(of path: Path) {
        // Whatever stands there now: never wait for the other end of a pipe, never follow a link.
        let descriptor = open(path.cString, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes = [UInt8](repeating: 0, count: min(Int(status.st_size), Limits.payloadBytesMax) + 1)
        var count = 0
        while count < bytes.count {
            let part = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if part < 0, errno == EINTR { continue }
            guard part >= 0 else { return nil }
            if part == 0 { break }
            count += part
        }
        // One byte more than the file had: it grows.
        guard count < bytes.count else { return nil }
        payload = Array(bytes[..<count])
        version = FileVersion(status)
    }
}
