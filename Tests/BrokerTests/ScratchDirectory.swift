import Glibc
import Testing

/// A directory on disk of its own, removed with everything in it.
final class ScratchDirectory: Sendable {
    let path: String

    init(_ parent: String? = nil) throws {
        let parent = parent ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/tq-broker-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template), "mkdtemp in \(parent)")
        path = String(cString: made)
    }

    deinit { Self.removeTree(path) }

    private static func removeTree(_ path: String) {
        // A test may have taken the right to list it away.
        chmod(path, 0o700)
        for name in (try? names(in: path)) ?? [] where remove("\(path)/\(name)") != 0 { removeTree("\(path)/\(name)") }
        remove(path)
    }

    /// The names in a directory, sorted.
    static func names(in path: String) throws -> [String] {
        let directory = try #require(opendir(path), "\(path)")
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The store's files that end so, the newest last.
    func storeFiles(_ suffix: String) throws -> [String] {
        try Self.names(in: "\(path)/data/db").filter { $0.hasSuffix(suffix) || $0.hasPrefix(suffix) }.map {
            "\(path)/data/db/\($0)"
        }
    }

    static func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY)
        try #require(descriptor >= 0, "\(path)")
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
        try #require(pread(descriptor, &bytes, bytes.count, 0) == bytes.count)
        return bytes
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0, "\(path)")
        defer { close(descriptor) }
        try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }

    /// Turns one bit of a file over.
    static func flip(_ path: String, at position: (Int) -> Int) throws {
        var bytes = try read(path)
        bytes[position(bytes.count)] ^= 0x10
        try write(bytes, to: path)
    }
}
