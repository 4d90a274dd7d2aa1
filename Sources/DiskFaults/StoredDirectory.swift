import TQModel

/// What a name stands for.
enum StoredEntry {
    case file(StoredFile)
    case directory(StoredDirectory)
}

/// The names of a directory: those that are durable, and what happened since.
final class StoredDirectory {
    private struct Change {
        /// The names that change, each with what it stands for now.
        var entries: [(name: String, entry: StoredEntry?)]
        /// The index of its record.
        var index: Int
    }

    let inode: UInt64
    private(set) var current: [String: StoredEntry] = [:]
    private var durable: [String: StoredEntry] = [:]
    private var changes: [Change] = []

    init(inode: UInt64) { self.inode = inode }

    /// Changes names, all of them or none.
    func change(_ entries: [(name: String, entry: StoredEntry?)], index: Int) {
        for (name, entry) in entries { current[name] = entry }
        changes.append(Change(entries: entries, index: index))
    }

    /// Makes durable what was changed before that record.
    func settle(before index: Int) {
        let settled = changes.prefix { $0.index < index }
        apply(settled, to: &durable)
        changes.removeFirst(settled.count)
    }

    /// The names in an image.
    func entries(_ image: DiskImage) -> [String: StoredEntry] {
        switch image {
        case .kill: return current
        case .strict: return durable
        case .torn(let seed):
            var random = SplitMix64(seed: SplitMix64.mix(seed) ^ inode)
            var entries = durable
            apply(changes.prefix(Int.random(in: 0...changes.count, using: &random)), to: &entries)
            return entries
        }
    }

    private func apply(_ changes: ArraySlice<Change>, to entries: inout [String: StoredEntry]) {
        for change in changes {
            for (name, entry) in change.entries { entries[name] = entry }
        }
    }
}
