/// Ids in the order in which they are served; joining, leaving and going behind the others take constant time.
///
/// Who leaves makes a gap, which is closed when there are as many gaps as ids.
struct WaitingLine: Sendable {
    private var entries: [UInt64?] = []
    private var places: [UInt64: Int] = [:]

    var count: Int { places.count }
    var isEmpty: Bool { places.isEmpty }

    /// The ids in their order.
    var ids: [UInt64] { entries.compactMap { $0 } }

    mutating func join(_ id: UInt64) {
        guard places[id] == nil else { return }
        places[id] = entries.count
        entries.append(id)
    }

    mutating func leave(_ id: UInt64) {
        guard let place = places.removeValue(forKey: id) else { return }
        entries[place] = nil
        guard entries.count > 2 * places.count + 16 else { return }
        entries = entries.filter { $0 != nil }
        for (place, id) in entries.enumerated() { if let id { places[id] = place } }
    }

    /// Lets an id wait behind all others.
    mutating func rotate(_ id: UInt64) {
        guard places[id] != nil else { return }
        leave(id)
        join(id)
    }
}
