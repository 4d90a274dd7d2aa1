import TQModel

/// Tasks that can be claimed, in order of (rank, sequence): 256 lanes, one for each priority.
///
/// Fresh tasks arrive in order of sequence and cost 8 bytes in a lane's FIFO; tasks that return, and ranks between
/// two priorities, go to a heap beside it. Entries are not removed when a task is claimed or cancelled otherwise:
/// whoever takes an entry asks whether it still holds, and a structure of mostly stale entries is swept.
struct ReadyLanes: Sendable {
    /// A task's place in the order.
    struct Entry: Hashable, Comparable, Sendable {
        var rank: Rank
        var sequence: TaskSequence

        /// That of its priority.
        var lane: Int { Int(rank.rawValue >> 24) }

        static func < (left: Self, right: Self) -> Bool {
            left.rank == right.rank ? left.sequence < right.sequence : left.rank < right.rank
        }
    }

    private struct Lane: Sendable {
        var fifo = ChunkedFIFO()
        var returned = BinaryHeap<Entry>()
        var isEmpty: Bool { fifo.isEmpty && returned.isEmpty }
    }

    private var lanes: ContiguousArray<Lane> = []
    /// The lane's place in `lanes` plus one; 0 where a priority was never used.
    private var laneNumbers = ContiguousArray<UInt16>(repeating: 0, count: 256)
    /// Which lanes have entries, stale ones included.
    private(set) var occupied = LaneSet()
    /// Entries, stale ones included.
    private(set) var count = 0

    mutating func push(_ entry: Entry) {
        let number = entry.lane
        if laneNumbers[number] == 0 {
            lanes.append(Lane())
            laneNumbers[number] = UInt16(lanes.count)
        }
        let index = Int(laneNumbers[number]) - 1
        if entry.rank.rawValue & 0xff_ffff == 0, lanes[index].fifo.accepts(entry.sequence) {
            lanes[index].fifo.push(entry.sequence)
        } else {
            lanes[index].returned.push(entry)
        }
        count += 1
        occupied.insert(number)
    }

    /// The first entry that holds; stale ones before it are dropped.
    mutating func first(where holds: (Entry) -> Bool) -> Entry? {
        while let lane = occupied.first(from: 0) {
            if let entry = first(in: lane, where: holds) { return entry }
        }
        return nil
    }

    /// The first entry of a lane that holds; stale ones before it are dropped.
    mutating func first(in number: Int, where holds: (Entry) -> Bool) -> Entry? {
        guard laneNumbers[number] > 0 else { return nil }
        let index = Int(laneNumbers[number]) - 1
        while let entry = head(lane: index, number: number) {
            if holds(entry) { return entry }
            drop(entry, lane: index)
        }
        occupied.remove(number)
        return nil
    }

    /// Removes an entry that ``first(where:)`` has just returned.
    mutating func removeFirst(_ entry: Entry) {
        let index = Int(laneNumbers[entry.lane]) - 1
        drop(entry, lane: index)
        if lanes[index].isEmpty { occupied.remove(entry.lane) }
    }

    /// Drops every stale entry, and repetitions: a task that left and came back may have left an entry behind.
    mutating func sweep(where holds: (Entry) -> Bool) {
        var fresh = ReadyLanes()
        var seen: Set<TaskSequence> = []
        forEach { if holds($0), seen.insert($0.sequence).inserted { fresh.push($0) } }
        self = fresh
    }

    /// Every entry in some fixed order, stale ones included.
    func forEach(_ body: (Entry) -> Void) {
        for number in 0..<256 where laneNumbers[number] > 0 {
            let lane = lanes[Int(laneNumbers[number]) - 1]
            let rank = Rank(rawValue: UInt32(number) << 24)
            lane.fifo.forEach {
                body(Entry(rank: rank, sequence: $0))
                return true
            }
            lane.returned.forEach(body)
        }
    }

    /// How many entries that hold go before one, counting so many at most.
    func count(before entry: Entry, most: Int, where holds: (Entry) -> Bool) -> Int {
        var seen: Set<TaskSequence> = []
        for number in 0...entry.lane where laneNumbers[number] > 0 {
            let lane = lanes[Int(laneNumbers[number]) - 1]
            let rank = Rank(rawValue: UInt32(number) << 24)
            func take(_ other: Entry) {
                if seen.count < most, other < entry, holds(other) { seen.insert(other.sequence) }
            }
            // Its sequences rise: behind the entry, and behind enough of them, nothing counts.
            lane.fifo.forEach { sequence in
                let other = Entry(rank: rank, sequence: sequence)
                take(other)
                return seen.count < most && other < entry
            }
            lane.returned.forEach(take)
            if seen.count >= most { break }
        }
        return seen.count
    }

    private func head(lane index: Int, number: Int) -> Entry? {
        let queued = lanes[index].fifo.first.map {
            Entry(rank: Rank(rawValue: UInt32(number) << 24), sequence: $0)
        }
        guard let returned = lanes[index].returned.first else { return queued }
        guard let queued else { return returned }
        return min(queued, returned)
    }

    private mutating func drop(_ entry: Entry, lane index: Int) {
        if lanes[index].returned.first == entry {
            lanes[index].returned.removeFirst()
        } else {
            lanes[index].fifo.removeFirst()
        }
        count -= 1
    }
}

/// Some of the 256 lanes.
struct LaneSet: Sendable {
    private var words = SIMD4<UInt64>()

    mutating func insert(_ lane: Int) { words[lane >> 6] |= 1 << UInt64(lane & 63) }

    mutating func remove(_ lane: Int) { words[lane >> 6] &= ~(1 << UInt64(lane & 63)) }

    /// The first of them from one on.
    func first(from lane: Int) -> Int? {
        guard lane < 256 else { return nil }
        var word = lane >> 6
        var bits = words[word] & (.max << UInt64(lane & 63))
        while bits == 0 {
            word += 1
            guard word < 4 else { return nil }
            bits = words[word]
        }
        return word << 6 + bits.trailingZeroBitCount
    }
}

/// A first-in, first-out list of rising sequences in chunks of 512, so that growing copies nothing large.
struct ChunkedFIFO: Sendable {
    private static let chunkSize = 512

    private var chunks: ContiguousArray<ContiguousArray<TaskSequence>> = []
    /// The first chunk that is in use, and the place in it.
    private var firstChunk = 0
    private var position = 0
    private var last = TaskSequence(0)

    var isEmpty: Bool { firstChunk == chunks.count }

    var first: TaskSequence? { isEmpty ? nil : chunks[firstChunk][position] }

    /// Whether the sequence keeps the list rising.
    func accepts(_ sequence: TaskSequence) -> Bool { isEmpty || sequence > last }

    mutating func push(_ sequence: TaskSequence) {
        last = sequence
        if isEmpty || chunks[chunks.count - 1].count == Self.chunkSize {
            var chunk = ContiguousArray<TaskSequence>()
            // The first chunk grows by doubling: most queues are short.
            if !isEmpty { chunk.reserveCapacity(Self.chunkSize) }
            chunks.append(chunk)
        }
        chunks[chunks.count - 1].append(sequence)
    }

    mutating func removeFirst() {
        position += 1
        guard position == chunks[firstChunk].count else { return }
        chunks[firstChunk] = []
        firstChunk += 1
        position = 0
        if firstChunk == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            firstChunk = 0
        } else if firstChunk > 64, firstChunk * 2 > chunks.count {
            chunks.removeFirst(firstChunk)
            firstChunk = 0
        }
    }

    /// Visits the sequences in their order, as long as the body says to go on.
    func forEach(_ body: (TaskSequence) -> Bool) {
        for index in firstChunk..<chunks.count {
            for place in (index == firstChunk ? position : 0)..<chunks[index].count
            where !body(chunks[index][place]) {
                return
            }
        }
    }
}

/// The least element first, in an array.
struct BinaryHeap<Element: Comparable & Sendable>: Sendable {
    private var elements: ContiguousArray<Element> = []

    var isEmpty: Bool { elements.isEmpty }
    var count: Int { elements.count }
    var first: Element? { elements.first }

    mutating func push(_ element: Element) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard elements[child] < elements[parent] else { break }
            elements.swapAt(child, parent)
            child = parent
        }
    }

    @discardableResult
    mutating func removeFirst() -> Element? {
        guard !elements.isEmpty else { return nil }
        elements.swapAt(0, elements.count - 1)
        let removed = elements.removeLast()
        var parent = 0
        while true {
            var least = parent
            let left = 2 * parent + 1
            if left < elements.count, elements[left] < elements[least] { least = left }
            if left + 1 < elements.count, elements[left + 1] < elements[least] { least = left + 1 }
            if least == parent { return removed }
            elements.swapAt(parent, least)
            parent = least
        }
    }

    func forEach(_ body: (Element) -> Void) { elements.forEach(body) }
}
