import CRocksDB
import Glibc

/// The way to the rows of a store that does not open any more, or not without losses.
public enum Salvage {
    /// Opens what is left of a store, for reading; the store itself is never changed.
    ///
    /// The write-ahead log is cut at the first damage or gap. What cannot be opened like that is copied, and the copy
    /// gets a new manifest of all its sound table files.
    ///
    /// - Parameters:
    ///   - path: The directory of the store, which nobody uses.
    ///   - scratch: A directory for the copy, which must not exist; it is made when it is needed, and is left to the caller.
    ///   - onLoss: Takes what could not be used, as a sentence.
    public static func open(
        path: String,
        options: RocksDBOptions,
        scratch: String,
        onLoss: (String) -> Void
    ) throws(StorageError) -> RocksDBStorage {
        var options = options
        options.recovery = .cutAtDamage
        options.checksTables = false
        let damaged = try unopenableTables(in: path)
        for error in damaged { onLoss(error.description) }
        if damaged.isEmpty {
            do throws(StorageError) {
                return try RocksDBStorage.open(path: path, options: options, createIfMissing: false, readOnly: true)
            } catch {
                guard error.kind != .newerFormat else { throw error }
                onLoss(error.message)
            }
        }
        try copyFiles(from: path, to: scratch)
        for error in damaged { unlink(scratch + (error.path ?? "").dropFirst(path.count)) }
        try options.withEngineSettings { settings, families throws(StorageError) in
            try StorageError.check(tq_store_rebuild_manifest(scratch, &settings, families, families.count))
        }
        return try RocksDBStorage.open(path: scratch, options: options, createIfMissing: false, readOnly: true)
    }

    /// Why each table file cannot be opened that cannot be.
    static func unopenableTables(in path: String) throws(StorageError) -> [StorageError] {
        var errors: [StorageError] = []
        for name in try fileNames(in: path) where name.hasSuffix(".sst") {
            do throws(StorageError) {
                try StorageError.check(tq_table_check("\(path)/\(name)"))
            } catch {
                errors.append(StorageError(error.kind, error.message, path: "\(path)/\(name)"))
            }
        }
        return errors
    }

    /// The names of the files in a directory, in order.
    public static func fileNames(in path: String) throws(StorageError) -> [String] {
        guard let entries = opendir(path) else {
            throw errno == ENOENT
                ? StorageError(.notFound, "there is no store at \(path)", path: path) : .system("list", path)
        }
        defer { closedir(entries) }
        var names: [String] = []
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            var status = stat()
            if stat("\(path)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG { names.append(name) }
        }
        return names.sorted()
    }

    /// Copies the files of a directory into one that must not exist; hard links would share what is appended later.
    public static func copyFiles(from source: String, to target: String) throws(StorageError) {
        let names = try fileNames(in: source)
        guard mkdir(target, 0o700) == 0 else { throw .system("create", target) }
        for name in names where name != "LOCK" { try copyFile("\(source)/\(name)", to: "\(target)/\(name)") }
    }

    private static func copyFile(_ source: String, to target: String) throws(StorageError) {
        let input = Glibc.open(source, O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { throw .system("open", source) }
        defer { close(input) }
        let output = Glibc.open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw .system("create", target) }
        defer { close(output) }
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(input, &piece, piece.count)
            guard count >= 0 else { throw .system("read", source) }
            if count == 0 { return }
            guard Glibc.write(output, piece, count) == count else { throw .system("write", target) }
        }
    }

    /// Hands out every place of a file at which a small number stands as a little-endian u32, with up to `byteCount`
    /// bytes from there on.
    public static func forEach(
        _ number: UInt8,
        in path: String,
        upTo limit: Int = .max,
        byteCount: Int,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        var offset = 0
        while offset < limit {
            let count = pread(descriptor, &piece, piece.count, off_t(offset))
            guard count > 0 else { return }
            piece.withUnsafeBytes { piece in
                guard let start = piece.baseAddress else { return }
                var place = 0
                while place + 4 <= count, let found = memchr(start + place, CInt(number), count - place - 3) {
                    place = UnsafeRawPointer(found) - start
                    if piece.loadUnaligned(fromByteOffset: place, as: UInt32.self).littleEndian == UInt32(number) {
                        body(UnsafeRawBufferPointer(rebasing: piece[place..<min(place + byteCount, count)]))
                    }
                    place += 1
                }
            }
            guard count == piece.count else { return }
            // Pieces overlap, so that nothing is cut in two.
            offset += count - byteCount
        }
    }

    /// All bytes of a file.
    public static func bytes(of path: String) throws(StorageError) -> [UInt8] {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", path) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Int(max(0, lseek(descriptor, 0, SEEK_END))))
        guard pread(descriptor, &bytes, bytes.count, 0) == bytes.count else { throw .system("read", path) }
        return bytes
    }

    /// Makes a file of these bytes, which must not exist.
    public static func write(_ bytes: [UInt8], to path: String) throws(StorageError) {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("create", path) }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw .system("write", path) }
    }

    /// Makes a directory for its owner, which must not exist.
    public static func makeDirectory(_ path: String) throws(StorageError) {
        guard mkdir(path, 0o700) == 0 else { throw .system("create", path) }
    }

    /// Gives a directory another name, durably.
    public static func rename(_ path: String, to newPath: String) throws(StorageError) {
        guard Glibc.rename(path, newPath) == 0 else { throw .system("rename \(path) to", newPath) }
        try syncEntry(of: newPath)
    }

    /// Whether there is something of that name.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Removes a directory with its files and the directories in it; what cannot be removed stays.
    public static func removeTree(_ path: String) {
        guard let entries = opendir(path) else { return }
        var names: [String] = []
        while let entry = readdir(entries) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            )
        }
        closedir(entries)
        for name in names where name != "." && name != ".." && remove("\(path)/\(name)") != 0 {
            removeTree("\(path)/\(name)")
        }
        remove(path)
    }
}

extension ByteStoreReader {
    /// Hands out every row of a family that can be read, in key order; blocks that cannot be read are passed over.
    ///
    /// - Parameter onGap: Takes why the rows behind a key cannot be read, once for each run of them.
    public func scanReadable(
        _ family: Family,
        onGap: (_ after: [UInt8], StorageError) -> Void,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        var lower: [UInt8] = []
        while true {
            var last = lower
            var bodyError: StorageError?
            do throws(StorageError) {
                try scan(family, from: lower, to: nil) { key, value throws(StorageError) in
                    last = [UInt8](key)
                    do throws(StorageError) { try body(key, value) } catch {
                        bodyError = error
                        throw error
                    }
                    return .continue
                }
                return
            } catch {
                if let bodyError { throw bodyError }
                onGap(last, error)
            }
            guard let next = readableKey(family, after: last) else { return }
            lower = next
        }
    }

    /// About the first key behind another from which a scan can start; `nil` when there is none.
    ///
    /// Doubles the distance until a scan starts, then halves it: rows are missed between two damaged blocks at most.
    private func readableKey(_ family: Family, after key: [UInt8]) -> [UInt8]? {
        let start = SpacedKey(key).number
        func isReadable(_ distance: UInt128) -> Bool? {
            let (number, isBeyond) = start.addingReportingOverflow(distance)
            guard !isBeyond else { return nil }
            do throws(StorageError) {
                try scan(family, from: SpacedKey(number).bytes, to: nil) { _, _ in .stop }
                return true
            } catch {
                return false
            }
        }
        var high: UInt128 = 1
        while let found = isReadable(high), !found {
            guard high < 1 << 127 else { return nil }
            high <<= 1
        }
        guard isReadable(high) == true else { return nil }
        var low = high / 2
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if isReadable(middle) == true { high = middle } else { low = middle }
        }
        return SpacedKey(start + high).bytes
    }
}

/// A key as a number, so that distances between keys can be halved; no key of a store has more than 16 bytes.
private struct SpacedKey {
    var number: UInt128

    init(_ number: UInt128) { self.number = number }

    init(_ key: [UInt8]) {
        number = 0
        for place in 0..<16 { number = number << 8 | UInt128(place < key.count ? key[place] : 0) }
    }

    /// The least key with that number.
    var bytes: [UInt8] {
        let bytes = withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
        return Array(bytes.prefix(16 - number.trailingZeroBitCount / 8))
    }
}
