import Glibc

/// The engine's list of table files, MANIFEST, when a power cut has torn the entries that were being added to it.
///
/// The engine reads over an end that is missing, but takes pages that are missing before others for damage. Entries are
/// records in blocks of 32 KiB; a record is a checksum u32, a length u16, a type u8 (1 whole, 2 first, 3 middle, 4 last
/// part of an entry) and its bytes. A block's last bytes are zeros when no head fits.
public struct TornManifest {
    private static let blockByteCount = 32 << 10
    private static let headByteCount = 7

    private let store: String
    private let name: String
    /// The entries before it are whole.
    private let end: Int
    private let content: [UInt8]

    /// Looks at the list of a store; `nil` where it cannot be read, or nothing but its end is missing.
    public init?(store: String) {
        guard let current = try? Salvage.bytes(of: store + "/CURRENT") else { return nil }
        name = String(decoding: current.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard name.hasPrefix("MANIFEST-"), let content = try? Salvage.bytes(of: "\(store)/\(name)")
        else { return nil }
        end = Self.end(of: content)
        // Without its first entry the list says nothing.
        guard end > 0, end < content.count else { return nil }
        self.store = store
        self.content = content
    }

    /// Runs a body on the same store with the shorter list, made of links in a directory beside it.
    public func withShortenedCopy<Result>(
        _ body: (String) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        let copy = store + ".shortened"
        Salvage.removeTree(copy)
        defer { Salvage.removeTree(copy) }
        try Salvage.makeDirectory(copy)
        for file in try Salvage.fileNames(in: store) where file != name && file != "LOCK" && !file.hasPrefix("LOG") {
            guard link("\(store)/\(file)", "\(copy)/\(file)") == 0 else { throw .system("link", "\(copy)/\(file)") }
        }
        try Salvage.write(Array(content[..<end]), to: "\(copy)/\(name)")
        return try body(copy)
    }

    /// Cuts off what is torn, durably.
    public func cut() throws(StorageError) {
        let path = "\(store)/\(name)"
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", path) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(end)) == 0, fsync(descriptor) == 0 else { throw .system("shorten", path) }
    }

    /// Where the last whole entry before the first damage ends.
    private static func end(of content: [UInt8]) -> Int {
        var (offset, end) = (0, 0)
        while true {
            let left = blockByteCount - offset % blockByteCount
            if left < headByteCount { offset += left }
            guard content.count - offset >= headByteCount else { return end }
            let length = Int(content[offset + 4]) | Int(content[offset + 5]) << 8
            let type = content[offset + 6]
            let next = offset + headByteCount + length
            guard (1...4).contains(type), next <= content.count,
                checksum(content[(offset + 6)..<next])
                    == content[offset..<offset + 4].reversed().reduce(0, { $0 << 8 | UInt32($1) })
            else { return end }
            offset = next
            if type == 1 || type == 4 { end = next }
        }
    }

    /// The engine's checksum: CRC32C, turned and moved.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let crc = CRC32C.checksum(of: bytes)
        return (crc >> 15 | crc << 17) &+ 0xa282_ead8
    }
}
