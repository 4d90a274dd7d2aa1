import TQModel

/// The line in which a task waits that shares something: one for each queue, type, group and limit key.
struct LinePlace: Hashable, Sendable {
    var queue: UInt32
    var type: UInt32
    /// The numbers of a group and a limit key; 0 for none.
    var group: UInt32
    var key: UInt32
}

/// Where a group is in its queue's order: urgent ones first, among those of one priority the one whose turn it is.
struct TurnHead: Comparable, Sendable {
    var lane: UInt8
    var turn: UInt64
    var entry: ReadyLanes.Entry

    init(_ entry: ReadyLanes.Entry, turn: UInt64) {
        self.lane = UInt8(entry.rank.rawValue >> 24)
        self.turn = turn
        self.entry = entry
    }

    static func < (left: Self, right: Self) -> Bool {
        if left.lane != right.lane { return left.lane < right.lane }
        return left.turn == right.turn ? left.entry < right.entry : left.turn < right.turn
    }
}

/// The pending tasks of one queue that share something with others.
///
/// Each line is a heap. Of each line only the first task stands among those of its group, and of each group only the first
/// among those of its type, so that a backlog costs a claim no more than one task would. What stands is looked at again when
/// it comes first: a key may have reached its limit since, a group had its turn, a task been cancelled. Who can go forward
/// stands again by the event that lets it.
struct SharedLines: Sendable {
    private struct Group: Sendable {
        var lines: [UInt32: BinaryHeap<ReadyLanes.Entry>] = [:]
        /// The first tasks of the lines whose keys are open.
        var heads = Heads<UInt32, ReadyLanes.Entry>()
    }

    private struct OfType: Sendable {
        var groups: [UInt32: Group] = [:]
        /// The first tasks of the groups.
        var heads = Heads<UInt32, TurnHead>()
    }

    private var types: [UInt32: OfType] = [:]
    private var turns: [UInt8: Turns] = [:]
    /// Tasks in the lines, stale ones included.
    private var entryCount = 0

    var isEmpty: Bool { types.isEmpty }

    /// Types with lines, in order of their numbers.
    var typeNumbers: [UInt32] { types.keys.sorted() }

    // MARK: Lines

    /// Puts a task into its line.
    mutating func push(_ entry: ReadyLanes.Entry, _ place: LinePlace, pending: UInt64, _ index: inout DurableIndex) {
        if entryCount > Int(pending) * 2 + 1024 { sweep(place.queue, &index) }
        if types[place.type]?.groups[place.group]?.lines[place.key]?.push(entry) == nil {
            var line = BinaryHeap<ReadyLanes.Entry>()
            line.push(entry)
            types[place.type, default: OfType()].groups[place.group, default: Group()].lines[place.key] = line
            index.sharings.add(place)
        }
        entryCount += 1
        if first(of: place, index) == entry { stand(place, &index) }
    }

    /// Lets the first task of a line stand among those of its group, and of its type.
    mutating func stand(_ place: LinePlace, _ index: inout DurableIndex) {
        guard index.isOpen(key: place.key) else { return }
        guard let entry = first(of: place, index) else { return end(place, &index) }
        types[place.type]?.groups[place.group]?.heads.stand(place.key, entry)
        guard let head = head(place, &index) else { return }
        types[place.type]?.heads.stand(place.group, head)
    }

    /// Forgets a line of which nothing is left.
    mutating func drop(_ place: LinePlace) {
        guard let line = types[place.type]?.groups[place.group]?.lines.removeValue(forKey: place.key) else { return }
        entryCount -= line.count
        types[place.type]?.groups[place.group]?.heads.leave(place.key)
        guard types[place.type]?.groups[place.group]?.lines.isEmpty == true else { return }
        types[place.type]?.groups[place.group] = nil
        types[place.type]?.heads.leave(place.group)
        guard types[place.type]?.groups.isEmpty == true else { return }
        types[place.type] = nil
        if types.isEmpty { turns.removeAll() }
    }

    // MARK: Claims

    /// The first task of a type that can be claimed, with its line.
    mutating func first(
        queue: UInt32,
        type: UInt32,
        _ index: inout DurableIndex
    ) -> (head: TurnHead, place: LinePlace)? {
        while let (group, standing) = types[type]?.heads.first {
            let place = LinePlace(queue: queue, type: type, group: group, key: 0)
            let now = head(place, &index)
            if let now, now == standing, let key = types[type]?.groups[group]?.heads.first?.line {
                return (now, LinePlace(queue: queue, type: type, group: group, key: key))
            }
            types[type]?.heads.move(group, to: now)
        }
        return nil
    }

    /// Takes the task that ``first(queue:type:_:)`` has just returned out of its line.
    mutating func removeFirst(_ place: LinePlace, _ index: inout DurableIndex) {
        if types[place.type]?.groups[place.group]?.lines[place.key]?.removeFirst() != nil { entryCount -= 1 }
        if first(of: place, index) == nil { end(place, &index) }
    }

    // MARK: Turns

    /// When it is a group's turn among those of a priority.
    func turn(_ group: Name, lane: UInt8) -> UInt64 { turns.isEmpty ? 0 : turns[lane]?.turn(of: group) ?? 0 }

    /// Notes that a group had its turn.
    mutating func serve(_ group: Name, _ head: TurnHead, weight: UInt16) {
        turns[head.lane, default: Turns()].serve(group, at: head.turn, weight: weight)
    }

    // MARK: Parts

    /// The first task of a group whose line is open, and where that puts the group.
    private mutating func head(_ place: LinePlace, _ index: inout DurableIndex) -> TurnHead? {
        guard !index.isPaused(group: place.group) else { return nil }
        while let (key, standing) = types[place.type]?.groups[place.group]?.heads.first {
            var line = place
            line.key = key
            let isOpen = index.isOpen(key: key)
            let now = isOpen ? first(of: line, index) : nil
            if now == standing {
                let group = index.sharings.keys[Int(place.group)].gateKey.name
                return TurnHead(standing, turn: turn(group, lane: UInt8(standing.rank.rawValue >> 24)))
            }
            types[place.type]?.groups[place.group]?.heads.move(key, to: now)
            if isOpen, now == nil { end(line, &index) }
        }
        return nil
    }

    /// The first task of a line; stale ones before it are dropped.
    private mutating func first(of place: LinePlace, _ index: borrowing DurableIndex) -> ReadyLanes.Entry? {
        while let entry = types[place.type]?.groups[place.group]?.lines[place.key]?.first {
            if index.holds(entry, place) { return entry }
            types[place.type]?.groups[place.group]?.lines[place.key]?.removeFirst()
            entryCount -= 1
        }
        return nil
    }

    /// Drops every stale task, and repetitions.
    private mutating func sweep(_ queue: UInt32, _ index: inout DurableIndex) {
        for type in typeNumbers {
            for group in types[type]?.groups.keys.sorted() ?? [] {
                for key in types[type]?.groups[group]?.lines.keys.sorted() ?? [] {
                    sweep(LinePlace(queue: queue, type: type, group: group, key: key), &index)
                }
            }
        }
    }

    private mutating func sweep(_ place: LinePlace, _ index: inout DurableIndex) {
        guard let old = types[place.type]?.groups[place.group]?.lines[place.key] else { return }
        var line = BinaryHeap<ReadyLanes.Entry>()
        var seen: Set<TaskSequence> = []
        old.forEach { if index.holds($0, place), seen.insert($0.sequence).inserted { line.push($0) } }
        entryCount -= old.count - line.count
        types[place.type]?.groups[place.group]?.lines[place.key] = line
        if line.isEmpty { end(place, &index) }
    }

    /// Forgets a line in which nobody waits.
    private mutating func end(_ place: LinePlace, _ index: inout DurableIndex) {
        index.sharings.remove(place)
        drop(place)
    }

    // MARK: Looking

    /// The tasks of all lines that hold; for checks.
    func all(queue: UInt32, _ index: borrowing DurableIndex) -> [TaskSequence] {
        var found: [TaskSequence] = []
        for (type, groups) in types.mapValues(\.groups) {
            for (group, lines) in groups.mapValues(\.lines) {
                for key in lines.keys {
                    let place = LinePlace(queue: queue, type: type, group: group, key: key)
                    lines[key]?.forEach { if index.holds($0, place) { found.append($0.sequence) } }
                }
            }
        }
        return found
    }

    /// How many tasks of one line that hold go before one, counting so many at most.
    func count(before entry: ReadyLanes.Entry, _ place: LinePlace, most: Int, _ index: borrowing DurableIndex) -> Int {
        var found: Set<TaskSequence> = []
        types[place.type]?.groups[place.group]?.lines[place.key]?.forEach {
            if found.count < most, $0 < entry, index.holds($0, place) { found.insert($0.sequence) }
        }
        return found.count
    }
}

/// The first ones of several lines, the best of them first.
///
/// What stands may be outdated: whoever finds it in front looks at it again and moves it. So a line must stand anew when
/// what it has becomes better, and need not when that becomes worse.
struct Heads<Line: Hashable & Sendable, Head: Comparable & Sendable>: Sendable {
    private struct Standing: Comparable, Sendable {
        var head: Head
        var line: Line
        static func < (left: Self, right: Self) -> Bool { left.head < right.head }
        static func == (left: Self, right: Self) -> Bool { left.head == right.head && left.line == right.line }
    }

    private var heap = BinaryHeap<Standing>()
    private var standing: [Line: Head] = [:]

    /// The best one.
    var first: (line: Line, head: Head)? {
        mutating get {
            while let top = heap.first {
                if standing[top.line] == top.head { return (top.line, top.head) }
                heap.removeFirst()
            }
            return nil
        }
    }

    /// Lets a line stand with what it has, unless it stands with something better.
    mutating func stand(_ line: Line, _ head: Head) {
        if let old = standing[line], old <= head { return }
        standing[line] = head
        heap.push(Standing(head: head, line: line))
        guard heap.count > standing.count * 2 + 16 else { return }
        heap = BinaryHeap()
        for (line, head) in standing { heap.push(Standing(head: head, line: line)) }
    }

    /// Lets a line that stands first stand with what it has now, or not at all.
    mutating func move(_ line: Line, to head: Head?) {
        standing[line] = head
        heap.removeFirst()
        if let head { heap.push(Standing(head: head, line: line)) }
    }

    /// Lets a line stand no more.
    mutating func leave(_ line: Line) { standing[line] = nil }
}

/// Whose turn it is among the groups of one priority: start-time fair queueing.
///
/// A group's next turn comes one step after its last one, or a part of it by its weight, and the least is served. A group that
/// had nothing to do begins where the others are: it saves nothing up. (P. Goyal, H. Vin, H. Cheng: Start-time Fair Queueing,
/// 1996.)
private struct Turns: Sendable {
    /// One turn, divisible by most weights.
    private static let step: UInt64 = 720_720

    private var present: UInt64 = 0
    private var next: [Name: UInt64] = [:]
    private var pruneCount = 64

    func turn(of group: Name) -> UInt64 { max(present, next[group] ?? 0) }

    mutating func serve(_ group: Name, at turn: UInt64, weight: UInt16) {
        present = max(present, turn)
        next[group] = turn + Self.step / UInt64(max(1, weight))
        guard next.count > pruneCount else { return }
        let present = present
        next = next.filter { $0.value > present }
        pruneCount = max(64, next.count * 2)
    }
}
