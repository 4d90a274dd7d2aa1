/// A row of a family in memory.
struct Row: Sendable {
    var key: [UInt8]
    var value: [UInt8]
    /// Whether the key was put again while it existed, after which a single delete is not allowed.
    var wasOverwritten = false
}

/// A sorted map of bytes to bytes: leaves of up to 128 rows, so that an insertion moves few rows and a copy of the map
/// shares all leaves but those written since.
struct SortedRows: Sendable {
    private static let leafRowsMax = 128

    /// None is empty; the rows ascend within a leaf and from leaf to leaf.
    private var leaves: [[Row]] = []
    private(set) var count = 0
    /// Bytes of all keys and values.
    private(set) var byteCount = 0

    /// A place between rows, or before one.
    struct Position: Hashable {
        var leaf: Int
        var row: Int
    }

    // MARK: Reading

    /// The row at a position, nil at the end.
    subscript(position: Position) -> Row? {
        position.leaf < leaves.count ? leaves[position.leaf][position.row] : nil
    }

    func position(after position: Position) -> Position {
        position.row + 1 < leaves[position.leaf].count
            ? Position(leaf: position.leaf, row: position.row + 1) : Position(leaf: position.leaf + 1, row: 0)
    }

    /// The first row whose key is at least `key`, or the end.
    func lowerBound(_ key: UnsafeRawBufferPointer) -> Position {
        let leaf = firstIndex(leaves.count) { index in
            leaves[index].last.map { $0.key.withUnsafeBytes { compare($0, key) >= 0 } } ?? false
        }
        guard leaf < leaves.count else { return Position(leaf: leaf, row: 0) }
        let rows = leaves[leaf]
        let row = firstIndex(rows.count) { index in rows[index].key.withUnsafeBytes { compare($0, key) >= 0 } }
        return Position(leaf: leaf, row: row)
    }

    /// The row of a key.
    func row(_ key: UnsafeRawBufferPointer) -> Row? {
        guard let row = self[lowerBound(key)], row.key.elementsEqual(key) else { return nil }
        return row
    }

    /// The last row whose key is at most `key`.
    func last(through key: UnsafeRawBufferPointer) -> Row? {
        let position = lowerBound(key)
        if let row = self[position], row.key.elementsEqual(key) { return row }
        if position.row > 0 { return leaves[position.leaf][position.row - 1] }
        return position.leaf > 0 ? leaves[position.leaf - 1].last : nil
    }

    // MARK: Writing

    mutating func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        var position = lowerBound(key)
        if let row = self[position], row.key.elementsEqual(key) {
            byteCount += value.count - row.value.count
            leaves[position.leaf][position.row].value = [UInt8](value)
            leaves[position.leaf][position.row].wasOverwritten = true
            return
        }
        if position.leaf == leaves.count {
            if leaves.isEmpty { leaves.append([]) }
            position = Position(leaf: leaves.count - 1, row: leaves[leaves.count - 1].count)
        }
        leaves[position.leaf].insert(Row(key: [UInt8](key), value: [UInt8](value)), at: position.row)
        count += 1
        byteCount += key.count + value.count
        split(position)
    }

    mutating func remove(_ key: UnsafeRawBufferPointer) {
        let position = lowerBound(key)
        guard let row = self[position], row.key.elementsEqual(key) else { return }
        remove(row, at: position)
    }

    mutating func removeRange(from lower: UnsafeRawBufferPointer, to upper: UnsafeRawBufferPointer) {
        let position = lowerBound(lower)
        // What follows moves up to the position, unless its leaf is gone or at its end.
        while let row = self[settled(position)], row.key.withUnsafeBytes({ compare($0, upper) < 0 }) {
            remove(row, at: settled(position))
        }
    }

    private func settled(_ position: Position) -> Position {
        guard position.leaf < leaves.count, position.row >= leaves[position.leaf].count else { return position }
        return Position(leaf: position.leaf + 1, row: 0)
    }

    private mutating func remove(_ row: Row, at position: Position) {
        leaves[position.leaf].remove(at: position.row)
        if leaves[position.leaf].isEmpty { leaves.remove(at: position.leaf) }
        count -= 1
        byteCount -= row.key.count + row.value.count
    }

    /// Divides a leaf that has grown too large: in halves, or behind its last row while rows arrive in order.
    private mutating func split(_ position: Position) {
        let rows = leaves[position.leaf]
        guard rows.count > Self.leafRowsMax else { return }
        let middle = position.row == rows.count - 1 ? rows.count - 1 : rows.count / 2
        leaves[position.leaf] = Array(rows[..<middle])
        leaves.insert(Array(rows[middle...]), at: position.leaf + 1)
    }

    /// Flips one bit of a row's value, counted from its first byte's lowest bit; false if there is no such bit.
    mutating func flipBit(_ bit: Int, of key: UnsafeRawBufferPointer) -> Bool {
        let position = lowerBound(key)
        guard let row = self[position], row.key.elementsEqual(key), bit >= 0, bit / 8 < row.value.count else {
            return false
        }
        leaves[position.leaf][position.row].value[bit / 8] ^= 1 << UInt8(bit % 8)
        return true
    }

    /// The first of `count` indices of which the condition is true, where it never becomes false again.
    private func firstIndex(_ count: Int, where condition: (Int) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = low + (high - low) / 2
            if condition(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
