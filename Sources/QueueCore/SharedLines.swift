import TQModel

/// The line in which a task waits that shares something: one for each queue, priority, type, group and limit key.
struct LinePlace: Hashable, Sendable {
    var queue: UInt32
    var lane: UInt8
    var type: UInt32
    /// The numbers of a group and a limit key; 0 for none.
    var group: UInt32
    var key: UInt32

    /// Where a task waits with that rank.
    init(_ slot: TaskSlot, _ sharing: SharingTable.Entry) {
        queue = slot.queue
        lane = UInt8(slot.rank.rawValue >> 24)
        type = slot.type
        group = sharing.group
        key = sharing.limit
    }

    /// What has no group and no key.
    fileprivate init(_ section: LineSection, queue: UInt32) {
        (self.queue, lane, type, group, key) = (queue, UInt8(section.lane), section.type, 0, 0)
    }

    fileprivate var section: LineSection { LineSection(lane: Int(lane), type: type) }
}

/// The lines of one priority and one type.
struct LineSection: Hashable, Comparable, Sendable {
    private var number: UInt64

    init(lane: Int, type: UInt32) { number = UInt64(lane) << 32 | UInt64(type) }

    var lane: Int { Int(number >> 32) }
    var type: UInt32 { UInt32(truncatingIfNeeded: number) }

    /// The next one that there could be.
    var successor: LineSection {
        var next = self
        next.number += 1
        return next
    }

    static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// Where a group is among those of one priority: the one whose turn it is goes first.
struct TurnHead: Comparable, Sendable {
    var turn: UInt64
    var entry: ReadyLanes.Entry

    static func < (left: Self, right: Self) -> Bool {
        left.turn == right.turn ? left.entry < right.entry : left.turn < right.turn
    }
}

/// The pending tasks of one queue that share something with others.
///
/// Each line is a heap. Of each line only the first task stands among those of its group, and of each group only the first
/// among those of its section, so that a backlog costs a claim no more than one task would. What stands is looked at again when
/// it comes first: a key may have reached its limit since, a group had its turn, a task been cancelled. Who can go forward
/// stands again by the event that lets it.
struct SharedLines: Sendable {
    private struct Group: Sendable {
        var lines: [UInt32: BinaryHeap<ReadyLanes.Entry>] = [:]
        /// The first tasks of the lines whose keys are open.
        var heads = Heads<UInt32, ReadyLanes.Entry>()
    }

    private struct Section: Sendable {
        var groups: [UInt32: Group] = [:]
        /// The first tasks of the groups.
        var heads = Heads<UInt32, TurnHead>()
    }

    private var sections: [LineSection: Section] = [:]
    /// The sections that there are, by priority and type.
    private var order: [LineSection] = []
    private var turns: [UInt8: Turns] = [:]
    /// Tasks in the lines, stale ones included.
    private var entryCount = 0

    var isEmpty: Bool { order.isEmpty }

    /// Types with lines, in order of their numbers.
    var typeNumbers: [UInt32] { Set(order.map(\.type)).sorted() }

    /// The first section from one on; of one type when one is named.
    func section(from first: LineSection, type: UInt32?) -> LineSection? {
        var place = self.place(of: first)
        while place < order.count {
            if type.map({ $0 == order[place].type }) ?? true { return order[place] }
            place += 1
        }
        return nil
    }

    /// Where a section is among those that there are, or would be.
    private func place(of section: LineSection) -> Int {
        var (lower, upper) = (0, order.count)
        while lower < upper {
            let middle = (lower + upper) / 2
            if order[middle] < section { lower = middle + 1 } else { upper = middle }
        }
        return lower
    }

    // MARK: Lines

    /// Puts a task into its line.
    mutating func push(_ entry: ReadyLanes.Entry, _ place: LinePlace, pending: UInt64, _ index: inout DurableIndex) {
        if entryCount > Int(pending) * 2 + 1024 { sweep(place.queue, &index) }
        let section = place.section
        if sections[section]?.groups[place.group]?.lines[place.key]?.push(entry) == nil {
            var line = BinaryHeap<ReadyLanes.Entry>()
            line.push(entry)
            if sections[section] == nil { order.insert(section, at: self.place(of: section)) }
            sections[section, default: Section()].groups[place.group, default: Group()].lines[place.key] = line
            index.sharings.add(place)
        }
        entryCount += 1
        if first(of: place, index) == entry { stand(place, &index) }
    }

    /// Lets the first task of a line stand among those of its group, and of its section.
    mutating func stand(_ place: LinePlace, _ index: inout DurableIndex) {
        guard index.isOpen(key: place.key) else { return }
        guard let entry = first(of: place, index) else { return end(place, &index) }
        sections[place.section]?.groups[place.group]?.heads.stand(place.key, entry)
        guard let head = head(place, &index) else { return }
        sections[place.section]?.heads.stand(place.group, head)
    }

    /// Forgets a line of which nothing is left.
    mutating func drop(_ place: LinePlace) {
        let section = place.section
        guard let line = sections[section]?.groups[place.group]?.lines.removeValue(forKey: place.key) else { return }
        entryCount -= line.count
        sections[section]?.groups[place.group]?.heads.leave(place.key)
        guard sections[section]?.groups[place.group]?.lines.isEmpty == true else { return }
        sections[section]?.groups[place.group] = nil
        sections[section]?.heads.leave(place.group)
        guard sections[section]?.groups.isEmpty == true else { return }
        sections[section] = nil
        order.remove(at: self.place(of: section))
        if isEmpty { turns.removeAll() }
    }

    // MARK: Claims

    /// The first task of a section that can be claimed, with its line.
    mutating func first(
        _ section: LineSection,
        queue: UInt32,
        _ index: inout DurableIndex
    ) -> (head: TurnHead, place: LinePlace)? {
        var place = LinePlace(section, queue: queue)
        // Few groups can be noisy at once: each has a part of all that runs.
        var noisy: [(group: UInt32, head: TurnHead, noise: UInt64)] = []
        var found: TurnHead?
        while found == nil, let (group, standing) = sections[section]?.heads.first {
            place.group = group
            let now = head(place, &index)
            guard let now, now == standing else {
                sections[section]?.heads.move(group, to: now)
                continue
            }
            let noise = index.noise(of: place)
            if noise == 0 {
                found = now
            } else {
                noisy.append((group, now, noise))
                sections[section]?.heads.move(group, to: nil)
            }
        }
        for (group, head, _) in noisy { sections[section]?.heads.stand(group, head) }
        if found == nil, let least = noisy.min(by: { ($0.noise, $0.head) < ($1.noise, $1.head) }) {
            (place.group, found) = (least.group, least.head)
        }
        guard let found, let key = sections[section]?.groups[place.group]?.heads.first?.line else { return nil }
        place.key = key
        return (found, place)
    }

    /// Takes the task that ``first(_:queue:_:)`` has just returned out of its line.
    mutating func removeFirst(_ place: LinePlace, _ index: inout DurableIndex) {
        if sections[place.section]?.groups[place.group]?.lines[place.key]?.removeFirst() != nil { entryCount -= 1 }
        if first(of: place, index) == nil { end(place, &index) }
    }

    // MARK: Turns

    /// When it is a group's turn among those of a priority.
    func turn(_ group: Name, lane: UInt8) -> UInt64 { turns.isEmpty ? 0 : turns[lane]?.turn(of: group) ?? 0 }

    /// Notes that a group had its turn.
    mutating func serve(_ group: Name, lane: UInt8, at turn: UInt64, weight: UInt16) {
        turns[lane, default: Turns()].serve(group, at: turn, weight: weight)
    }

    // MARK: Parts

    /// The first task of a group whose line is open, and where that puts the group.
    private mutating func head(_ place: LinePlace, _ index: inout DurableIndex) -> TurnHead? {
        guard !index.isPaused(group: place.group) else { return nil }
        while let (key, standing) = sections[place.section]?.groups[place.group]?.heads.first {
            var line = place
            line.key = key
            let isOpen = index.isOpen(key: key)
            let now = isOpen ? first(of: line, index) : nil
            if now == standing {
                let group = index.sharings.keys[Int(place.group)].gateKey.name
                return TurnHead(turn: turn(group, lane: place.lane), entry: standing)
            }
            sections[place.section]?.groups[place.group]?.heads.move(key, to: now)
            if isOpen, now == nil { end(line, &index) }
        }
        return nil
    }

    /// The first task of a line; stale ones before it are dropped.
    private mutating func first(of place: LinePlace, _ index: borrowing DurableIndex) -> ReadyLanes.Entry? {
        while let entry = sections[place.section]?.groups[place.group]?.lines[place.key]?.first {
            if index.holds(entry, place) { return entry }
            sections[place.section]?.groups[place.group]?.lines[place.key]?.removeFirst()
            entryCount -= 1
        }
        return nil
    }

    /// Drops every stale task, and repetitions.
    private mutating func sweep(_ queue: UInt32, _ index: inout DurableIndex) {
        for place in places(of: queue) { sweep(place, &index) }
    }

    /// All lines, in some fixed order.
    private func places(of queue: UInt32) -> [LinePlace] {
        var places: [LinePlace] = []
        for section in order {
            var place = LinePlace(section, queue: queue)
            for group in sections[section]?.groups.keys.sorted() ?? [] {
                place.group = group
                for key in sections[section]?.groups[group]?.lines.keys.sorted() ?? [] {
                    place.key = key
                    places.append(place)
                }
            }
        }
        return places
    }

    private mutating func sweep(_ place: LinePlace, _ index: inout DurableIndex) {
        guard let old = sections[place.section]?.groups[place.group]?.lines[place.key] else { return }
        var line = BinaryHeap<ReadyLanes.Entry>()
        var seen: Set<TaskSequence> = []
        old.forEach { if index.holds($0, place), seen.insert($0.sequence).inserted { line.push($0) } }
        entryCount -= old.count - line.count
        sections[place.section]?.groups[place.group]?.lines[place.key] = line
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
        for place in places(of: queue) {
            sections[place.section]?.groups[place.group]?.lines[place.key]?.forEach {
                if index.holds($0, place) { found.append($0.sequence) }
            }
        }
        return found
    }

    /// How many tasks with the same type, group and key that hold go before one, counting so many at most.
    func count(before entry: ReadyLanes.Entry, _ place: LinePlace, most: Int, _ index: borrowing DurableIndex) -> Int {
        var found: Set<TaskSequence> = []
        for section in order where section.lane <= entry.lane && section.type == place.type {
            var place = place
            place.lane = UInt8(section.lane)
            sections[section]?.groups[place.group]?.lines[place.key]?.forEach {
                if found.count < most, $0 < entry, index.holds($0, place) { found.insert($0.sequence) }
            }
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
