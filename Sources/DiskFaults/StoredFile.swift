import TQModel

/// The content of a file: what is durable, and what happened since.
final class StoredFile {
    private struct Change {
        enum Kind {
            /// The bytes of that part of the journal, at that offset.
            case write(Range<Int>, at: Int)
            case resize(Int)
        }

        enum State {
            case unsynced
            /// A sync of it has failed; it will never be durable.
            case dropped
            /// Synced after one that was dropped.
            case synced
        }

        var kind: Kind
        /// The index of its record.
        var index: Int
        var state = State.unsynced

        var isResize: Bool {
            if case .resize = kind { return true }
            return false
        }

        /// The end of what is written.
        var end: Int {
            switch kind {
            case .write(let payload, let offset): offset + payload.count
            case .resize: 0
            }
        }

        /// The pages that are written to.
        func pages(_ pageByteCount: Int) -> Range<Int> {
            guard case .write(let payload, let offset) = kind, !payload.isEmpty else { return 0..<0 }
            return offset / pageByteCount..<(offset + payload.count - 1) / pageByteCount + 1
        }
    }

    let inode: UInt64
    private(set) var durable: [UInt8] = []
    private var changes: [Change] = []

    init(inode: UInt64) { self.inode = inode }

    /// Notes a write; its bytes stay in the journal.
    func write(_ payload: Range<Int>, at offset: Int, index: Int) {
        changes.append(Change(kind: .write(payload, at: offset), index: index))
    }

    /// Notes a new size.
    func resize(to size: Int, index: Int) {
        changes.append(Change(kind: .resize(size), index: index))
    }

    /// Makes durable what was written before that record, but for what was dropped.
    func settle(before index: Int, _ journal: DiskJournal) {
        let count = changes.prefix { $0.index < index }.count
        for place in 0..<count where changes[place].state == .unsynced {
            Self.apply(changes[place], to: &durable, journal)
            changes[place].state = .synced
        }
        // What was synced after something dropped is still needed to know what lies on top of what.
        changes.removeFirst(changes.prefix { $0.state == .synced }.count)
    }

    /// A sync of what was written before that record has failed for good.
    func drop(before index: Int) {
        for place in changes.indices where changes[place].index < index && changes[place].state == .unsynced {
            changes[place].state = .dropped
        }
    }

    // MARK: Images

    func content(_ image: DiskImage, _ journal: DiskJournal) -> [UInt8] {
        switch image {
        case .strict: return durable
        case .kill:
            var content = durable
            for change in changes { Self.apply(change, to: &content, journal) }
            return content
        case .torn(let seed):
            // The same under each of its names.
            var random = SplitMix64(seed: SplitMix64.mix(seed) ^ inode)
            return torn(&random, journal)
        }
    }

    /// A new size is like a wall: the disk has either reached it with all before it, or nothing behind it.
    private func torn(_ random: inout SplitMix64, _ journal: DiskJournal) -> [UInt8] {
        let walls = changes.indices.filter { changes[$0].isResize && changes[$0].state != .synced }
        let reached = Int.random(in: 0...walls.count, using: &random)
        let first = reached == 0 ? 0 : walls[reached - 1] + 1
        let end = reached == walls.count ? changes.count : walls[reached]
        var content = durable
        for change in changes[..<first] { Self.apply(change, to: &content, journal) }
        tear(changes[first..<end], into: &content, &random, journal)
        for change in changes[end...] where change.state == .synced { Self.apply(change, to: &content, journal) }
        return content
    }

    private func tear(
        _ writes: ArraySlice<Change>,
        into content: inout [UInt8],
        _ random: inout SplitMix64,
        _ journal: DiskJournal
    ) {
        let oldEnd = content.count
        let newEnd = writes.reduce(oldEnd) { max($0, $1.end) }
        let size = Bool.random(using: &random) ? newEnd : Int.random(in: oldEnd...newEnd, using: &random)
        let pageByteCount = Bool.random(using: &random) ? 512 : 4096
        let chance = [0.1, 0.5, 0.9][Int.random(in: 0..<3, using: &random)]

        // How many of the writes to a page have reached the disk; most often all, or none.
        var versions: [Int: Int] = [:]
        for write in writes { for page in write.pages(pageByteCount) { versions[page, default: 0] += 1 } }
        for (page, count) in versions.sorted(by: { $0.key < $1.key }) {
            let isWhole = Double.random(in: 0..<1, using: &random) < chance
            versions[page] = isWhole ? count : Int.random(in: 0..<count, using: &random)
        }
        Self.resize(&content, to: newEnd)
        for write in writes {
            guard case .write(let payload, let offset) = write.kind else { continue }
            for page in write.pages(pageByteCount) {
                let version = versions[page] ?? 0
                guard version > 0 || write.state == .synced else { continue }
                versions[page] = version - 1
                let part = (page * pageByteCount..<(page + 1) * pageByteCount).clamped(to: offset..<write.end)
                let source = payload.lowerBound + part.lowerBound - offset
                Self.copy(source..<source + part.count, to: &content, at: part.lowerBound, journal)
            }
        }
        // What is synced is not shortened.
        let syncedEnd = writes.reduce(size) { $1.state == .synced ? max($0, $1.end) : $0 }
        Self.resize(&content, to: syncedEnd)
    }

    private static func apply(_ change: Change, to content: inout [UInt8], _ journal: DiskJournal) {
        switch change.kind {
        case .resize(let size): resize(&content, to: size)
        case .write(let payload, let offset): copy(payload, to: &content, at: offset, journal)
        }
    }

    private static func copy(_ source: Range<Int>, to content: inout [UInt8], at offset: Int, _ journal: DiskJournal) {
        let bytes = UnsafeRawBufferPointer(rebasing: journal.bytes[source])
        if offset > content.count { resize(&content, to: offset) }
        let overlap = min(content.count - offset, bytes.count)
        content.withUnsafeMutableBytes { content in
            content[offset..<offset + overlap].copyBytes(from: bytes[..<overlap])
        }
        content.append(contentsOf: bytes[overlap...])
    }

    private static func resize(_ content: inout [UInt8], to size: Int) {
        if size < content.count {
            content.removeLast(content.count - size)
        } else {
            content.append(contentsOf: repeatElement(0, count: size - content.count))
        }
    }
}
