public import ByteStore

/// The files of a data directory at rest, in memory, so that a damaged copy of them is made quickly again and again.
public struct StoreImage: Sendable {
    /// The bytes of each file by its name below the data directory, as in `db/000012.sst`.
    public var files: [String: [UInt8]] = [:]

    /// Reads the files of a broker's data directory; the broker has ended, in whatever way.
    public init(dataDirectory: String) throws(StorageError) {
        if Salvage.exists(dataDirectory + "/mark") { files["mark"] = try Salvage.bytes(of: dataDirectory + "/mark") }
        for name in try Salvage.fileNames(in: dataDirectory + "/db") where name != "LOCK" {
            files["db/\(name)"] = try Salvage.bytes(of: "\(dataDirectory)/db/\(name)")
        }
    }

    /// Writes the files into a directory that must not exist.
    public func write(to directory: String) throws(StorageError) {
        try Salvage.makeDirectory(directory)
        try Salvage.makeDirectory(directory + "/db")
        for (name, bytes) in files { try Salvage.write(bytes, to: "\(directory)/\(name)") }
    }

    /// What the files of a store are to it.
    public enum FileKind: String, Sendable, CaseIterable {
        /// A part of the write-ahead log.
        case log
        /// A table file.
        case table
        /// The list of all files of the database.
        case manifest
        /// The name of the manifest.
        case current
        /// The engine's settings, which nobody reads.
        case options
        /// The engine's own id of the database.
        case identity
        /// The high-water mark.
        case mark
        /// The engine's diary, and anything unknown.
        case other

        /// The kind of a file of an image.
        public init(_ name: String) {
            switch name {
            case "mark": self = .mark
            case "db/CURRENT": self = .current
            case "db/IDENTITY": self = .identity
            case _ where name.hasSuffix(".log"): self = .log
            case _ where name.hasSuffix(".sst"): self = .table
            case _ where name.hasPrefix("db/MANIFEST"): self = .manifest
            case _ where name.hasPrefix("db/OPTIONS"): self = .options
            default: self = .other
            }
        }
    }

    /// The names of the files of a kind, in order.
    public func names(_ kind: FileKind) -> [String] { files.keys.filter { FileKind($0) == kind }.sorted() }
}

/// Something that a disk, or a person, does to one file of a store.
public enum Damage: Hashable, Sendable {
    /// One bit is another, counted from the lowest one of the first byte.
    case flip(file: String, bit: Int)
    /// The file ends after so many bytes.
    case cut(file: String, byteCount: Int)
    /// Bytes are zero.
    case zero(file: String, Range<Int>)
    /// The file is gone.
    case delete(file: String)
    /// The file has other bytes, those of an older copy for example.
    case replace(file: String, [UInt8])

    /// The file's name below the data directory.
    public var file: String {
        switch self {
        case .flip(let file, _), .cut(let file, _), .zero(let file, _), .delete(let file), .replace(let file, _): file
        }
    }
}

extension StoreImage {
    /// The image after a damage; a place beyond the end of the file changes nothing.
    public func damaged(_ damage: Damage) -> StoreImage {
        var image = self
        switch damage {
        case .flip(let file, let bit):
            guard bit / 8 < files[file]?.count ?? 0 else { break }
            image.files[file]?[bit / 8] ^= 1 << UInt8(bit % 8)
        case .cut(let file, let byteCount): image.files[file] = files[file].map { Array($0.prefix(byteCount)) }
        case .zero(let file, let range):
            for place in range.clamped(to: 0..<(files[file]?.count ?? 0)) { image.files[file]?[place] = 0 }
        case .delete(let file): image.files[file] = nil
        case .replace(let file, let bytes): image.files[file] = bytes
        }
        return image
    }

    /// A flip of a bit chosen by a number: first a file, each with the same chance, then a bit of it.
    ///
    /// - Parameter file: The only file to choose a bit of; `nil` for any but the engine's diary.
    public func flip(chosenBy random: inout some RandomNumberGenerator, in file: String? = nil) -> Damage {
        let names = files.filter { !$0.value.isEmpty && FileKind($0.key) != .other }.keys.sorted()
        guard let file = file ?? names.randomElement(using: &random) else { return .flip(file: "mark", bit: 0) }
        return .flip(file: file, bit: .random(in: 0..<max(1, (files[file]?.count ?? 0) * 8), using: &random))
    }
}
