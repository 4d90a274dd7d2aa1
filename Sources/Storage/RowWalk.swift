import ByteStore

/// Keys with the same prefix, in order or against it; what stands behind the prefix has the same length in all.
struct RowWalk {
    let store: any ByteStoreReader
    let family: Family
    let prefix: [UInt8]
    let isDescending: Bool

    /// The first end of a key at `end` or behind it, in the direction of the walk.
    func seek(_ end: [UInt8]) throws(StorageError) -> [UInt8]? {
        if isDescending {
            return try store.last(family, from: prefix, through: prefix + end).map { Array($0.key[prefix.count...]) }
        }
        var found: [UInt8]?
        let behind = prefix + Array(repeating: UInt8.max, count: end.count + 1)
        try store.scan(family, from: prefix + end, to: behind) { key, _ throws(StorageError) in
            found = Array(key[prefix.count...])
            return .stop
        }
        return found
    }

    /// Up to so many ends of keys, from `end` on.
    func ends(from end: [UInt8], limit: Int) throws(StorageError) -> [[UInt8]] {
        var ends: [[UInt8]] = []
        var next: [UInt8]? = end
        while ends.count < limit, let from = next, let found = try seek(from) {
            ends.append(found)
            next = step(from: found)
        }
        return ends
    }

    /// The end that comes next to this one; `nil` behind the last one there can be.
    func step(from end: [UInt8]) -> [UInt8]? {
        var end = end
        let (carried, change): (UInt8, UInt8) = isDescending ? (0, .max) : (.max, 1)
        for place in end.indices.reversed() {
            let carries = end[place] == carried
            end[place] &+= change
            if !carries { return end }
        }
        return nil
    }

    /// The first end at `end` or behind it that all walks have.
    ///
    /// Each one jumps to where the others are, so this takes time in the rows of the rarest.
    ///
    /// - Parameters:
    ///   - seeks: Counts the seeks.
    ///   - limit: At this count an end is returned that not all may have.
    static func seek(
        _ walks: [RowWalk],
        _ end: [UInt8],
        seeks: inout Int,
        limit: Int
    ) throws(StorageError) -> [UInt8]? {
        var candidate = end
        var (agreeing, turn) = (0, 0)
        while agreeing < walks.count, seeks < limit {
            seeks += 1
            guard let found = try walks[turn].seek(candidate) else { return nil }
            agreeing = found == candidate ? agreeing + 1 : 1
            candidate = found
            turn = (turn + 1) % walks.count
        }
        return candidate
    }
}
