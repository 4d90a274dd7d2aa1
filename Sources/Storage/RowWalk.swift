import ByteStore

/// Keys with the same prefix, in order or against it; what stands behind the prefix has the same length in all.
struct RowWalk {
    let store: any ByteStoreReader
    let family: Family
    let prefix: [UInt8]
    let isDescending: Bool

    /// The first end of a key at `end` or behind it, in the direction of the walk.
    func seek(_ end: [UInt8]) throws(StorageError) -> [UInt8]? {
        try ends(from: end, limit: 1).first
    }

    /// The first ends of keys at `end` or behind it, in the direction of the walk, at most so many.
    func ends(from end: [UInt8], limit: Int) throws(StorageError) -> [[UInt8]] {
        var ends: [[UInt8]] = []
        guard isDescending else {
            let behind = prefix + Array(repeating: UInt8.max, count: end.count + 1)
            try store.scan(family, from: prefix + end, to: behind) { key, _ throws(StorageError) in
                ends.append(Array(key[prefix.count...]))
                return ends.count < limit ? .continue : .stop
            }
            return ends
        }
        var next: [UInt8]? = end
        while ends.count < limit, let from = next {
            guard let (key, _) = try store.last(family, from: prefix, through: prefix + from) else { break }
            ends.append(Array(key[prefix.count...]))
            next = step(from: ends[ends.count - 1])
        }
        return ends
    }

    /// The same, past rows that cannot be read.
    ///
    /// - Parameter onDamage: Called when there are some.
    func seekReadable(_ end: [UInt8], onDamage: () -> Void) throws(StorageError) -> [UInt8]? {
        do throws(StorageError) {
            return try seek(end)
        } catch {
            guard error.kind == .corruption else { throw error }
            onDamage()
        }
        return try readableEnd(behind: end).flatMap { end throws(StorageError) in try seek(end) }
    }

    /// About the next end from which a walk can go on behind damaged rows; `nil` when there is none.
    ///
    /// Doubles the distance until a row can be read, then halves it: rows are missed between two damaged blocks at most.
    private func readableEnd(behind end: [UInt8]) throws(StorageError) -> [UInt8]? {
        let start = end.reduce(0 as UInt128) { $0 << 8 | UInt128($1) }
        let last = UInt128.max >> UInt128(128 - end.count * 8)
        let room = isDescending ? start : last - start
        func place(at distance: UInt128) -> [UInt8] {
            let number = isDescending ? start - distance : start + distance
            return withUnsafeBytes(of: number.bigEndian) { Array($0.suffix(end.count)) }
        }
        func isReadable(_ distance: UInt128) throws(StorageError) -> Bool {
            do throws(StorageError) {
                _ = try seek(place(at: distance))
                return true
            } catch {
                guard error.kind == .corruption else { throw error }
                return false
            }
        }
        var (low, high): (UInt128, UInt128) = (0, min(1, room))
        while try !isReadable(high) {
            guard high < room else { return nil }
            (low, high) = (high, min(high * 2, room))
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try isReadable(middle) { high = middle } else { low = middle }
        }
        return place(at: high)
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
    ///   - damaged: Counts runs of rows that cannot be read and are passed over.
    ///   - limit: At this count an end is returned that not all may have.
    static func seek(
        _ walks: [RowWalk],
        _ end: [UInt8],
        seeks: inout Int,
        damaged: inout UInt64,
        limit: Int
    ) throws(StorageError) -> [UInt8]? {
        var candidate = end
        var (agreeing, turn) = (0, 0)
        while agreeing < walks.count, seeks < limit {
            seeks += 1
            guard let found = try walks[turn].seekReadable(candidate, onDamage: { damaged += 1 }) else { return nil }
            agreeing = found == candidate ? agreeing + 1 : 1
            candidate = found
            turn = (turn + 1) % walks.count
        }
        return candidate
    }
}
