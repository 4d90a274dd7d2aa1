import Glibc

/// The state of a directory at a cut of a journal, which moves forward: from it images are made.
///
/// Moving over a whole journal costs as much as reading it once, an image as much as its own size.
public final class DiskReplay {
    /// The journal that is replayed.
    public let journal: DiskJournal
    /// The operations before it have happened, those from it on have not.
    public private(set) var cut = 0

    private let root: StoredDirectory
    private var files: [UInt64: StoredFile] = [:]
    private var directories: [UInt64: StoredDirectory]
    /// Where syncs under way have begun.
    private var syncs: [UInt64: Int] = [:]

    /// Begins with the directory that the process found.
    public init(_ journal: DiskJournal) throws(DiskFailure) {
        self.journal = journal
        root = StoredDirectory(inode: journal.directory)
        directories = [journal.directory: root]
        try advance(to: journal.start)
    }

    /// Lets the operations up to a cut happen.
    ///
    /// - Parameter cut: From ``DiskJournal/start`` to ``DiskJournal/count``; one that lies behind does nothing.
    public func advance(to cut: Int) throws(DiskFailure) {
        while self.cut < min(cut, journal.count) {
            let record = journal[self.cut]
            guard try apply(record) else {
                throw DiskFailure("Record \(self.cut) of the journal, \(record.kind), contradicts those before it.")
            }
            self.cut += 1
        }
    }

    /// Makes a directory, which must not exist, and writes the image of the present cut into it.
    public func write(_ image: DiskImage, to path: String) throws(DiskFailure) {
        try write(root, image, to: path)
    }

    // MARK: Operations

    /// Lets an operation happen; false when there is nothing that it could happen to.
    private func apply(_ record: DiskJournal.Record) throws(DiskFailure) -> Bool {
        switch record.kind {
        case .started: return settleAll()
        case .create: return create(record)
        case .directory:
            let made = StoredDirectory(inode: record.file)
            directories[record.file] = made
            return give(name(record.payload), .directory(made))
        case .write, .truncate: return change(record)
        case .rename: return rename(record)
        case .link:
            guard let (from, to) = twoNames(record.payload), let (directory, last) = place(from) else { return false }
            return give(to, directory.current[last])
        case .remove: return give(name(record.payload), nil)
        case .syncBegin: syncs[record.number] = cut
        case .syncEnd: return endSync(record)
        }
        return true
    }

    private func create(_ record: DiskJournal.Record) -> Bool {
        // A file that is there at the start may have several names; later an inode is used again only for a new file.
        let known = cut < journal.start ? files[record.file] : nil
        let file = known ?? StoredFile(inode: record.file)
        files[record.file] = file
        return give(name(record.payload), .file(file))
    }

    private func change(_ record: DiskJournal.Record) -> Bool {
        // The bytes of files are in the journal, but for some zeros; one that claims more is not believed.
        guard record.number <= UInt64(journal.byteCount + (16 << 20)), let file = files[record.file] else {
            return false
        }
        if record.kind == .write {
            file.write(record.payload, at: Int(record.number), index: cut)
        } else {
            file.resize(to: Int(record.number), index: cut)
        }
        return true
    }

    private func rename(_ record: DiskJournal.Record) -> Bool {
        guard let (from, to) = twoNames(record.payload), let (source, oldName) = place(from),
            let (target, newName) = place(to), let entry = source.current[oldName]
        else { return false }
        if source === target {
            if oldName != newName { source.change([(oldName, nil), (newName, entry)], index: cut) }
        } else {
            target.change([(newName, entry)], index: cut)
            source.change([(oldName, nil)], index: cut)
        }
        return true
    }

    private func endSync(_ record: DiskJournal.Record) -> Bool {
        guard let begin = syncs.removeValue(forKey: record.number) else { return false }
        switch record.outcome {
        case .kept: break
        case .dropped: files[record.file]?.drop(before: begin)
        case .durable:
            files[record.file]?.settle(before: begin, journal)
            directories[record.file]?.settle(before: begin)
        }
        return files[record.file] != nil || directories[record.file] != nil
    }

    private func settleAll() -> Bool {
        for file in files.values { file.settle(before: cut, journal) }
        for directory in directories.values { directory.settle(before: cut) }
        return true
    }

    // MARK: Names

    /// Lets a name stand for something, or for nothing.
    private func give(_ name: String?, _ entry: StoredEntry?) -> Bool {
        guard let name, let (directory, last) = place(name) else { return false }
        directory.change([(last, entry)], index: cut)
        return true
    }

    private func name(_ payload: Range<Int>) -> String? {
        let bytes = journal.bytes[payload]
        return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }

    private func twoNames(_ payload: Range<Int>) -> (String, String)? {
        guard let middle = journal.bytes[payload].firstIndex(of: 0),
            let from = name(payload.lowerBound..<middle), let to = name(middle + 1..<payload.upperBound)
        else { return nil }
        return (from, to)
    }

    /// The directory that holds a path's last name, and that name.
    private func place(_ path: String) -> (StoredDirectory, String)? {
        let names = path.split(separator: "/", omittingEmptySubsequences: false)
        guard let last = names.last, !names.contains(where: { ["", ".", ".."].contains($0) }) else { return nil }
        var directory = root
        for name in names.dropLast() {
            guard case .directory(let inner) = directory.current[String(name)] else { return nil }
            directory = inner
        }
        return (directory, String(last))
    }

    // MARK: Images

    private func write(_ directory: StoredDirectory, _ image: DiskImage, to path: String) throws(DiskFailure) {
        guard mkdir(path, 0o700) == 0 else { throw .system("make", path) }
        for (name, entry) in directory.entries(image) {
            switch entry {
            case .file(let file): try Self.write(file.content(image, journal), to: "\(path)/\(name)")
            case .directory(let inner): try write(inner, image, to: "\(path)/\(name)")
            }
        }
    }

    private static func write(_ content: [UInt8], to path: String) throws(DiskFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("create", path) }
        defer { close(descriptor) }
        var rest = content[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { throw .system("write", path) }
            rest.removeFirst(written)
        }
    }
}
