import TQModel

/// What the broker keeps in memory of one task: 40 bytes, the payload is on disk.
///
/// A slot lives as long as the segment that holds the task's row, so an ended task keeps its slot for a while.
struct TaskSlot: Sendable {
    /// 48 bits of creation time, above them 6 of the payload's size class, and 10 of the number of its content type.
    private var createdAndPayload: UInt64 = 0
    /// The segment that holds the row, as a handle of the record table.
    var segment: UInt32 = 0
    /// The record that holds the newest transition; 0 before the first one.
    var transition: UInt32 = 0
    var rank = Rank(rawValue: 0)
    var queue: UInt32 = 0
    var type: UInt32 = 0
    /// Waiting: the number of what it shares; in progress: the lease's place in the lease table; ended: the bucket of the outcome.
    var link: UInt32 = 0
    /// Waiting or in progress: the place in the segment; ended: the part of the outcome's record.
    var place: UInt16 = 0
    var attempts: UInt16 = 0
    var crashes: UInt16 = 0
    /// A ``TaskState``; 0 is a free slot.
    var stateValue: UInt8 = 0
    private var flags: UInt8 = 0

    /// Whether the task has options in the index.
    var hasOptions: Bool {
        get { flags & 1 != 0 }
        set { flags = flags & ~1 | (newValue ? 1 : 0) }
    }

    /// Whether the task was put back from the dead letters: it may start however late it is.
    var isRedriven: Bool {
        get { flags & 2 != 0 }
        set { flags = flags & ~2 | (newValue ? 2 : 0) }
    }

    /// Whether its history may have attempts that are not counted: from before it was put back.
    var hasEarlierAttempts: Bool {
        get { flags & 4 != 0 }
        set { flags = flags & ~4 | (newValue ? 4 : 0) }
    }

    /// Whether its queue or its rank is not that of its row: every transition states both.
    var isArranged: Bool {
        get { flags & 16 != 0 }
        set { flags = flags & ~16 | (newValue ? 16 : 0) }
    }

    /// Milliseconds since 1970, 48 bits of them as in the task's id.
    var createdMilliseconds: UInt64 {
        get { createdAndPayload & 0xffff_ffff_ffff }
        set { createdAndPayload = createdAndPayload & ~0xffff_ffff_ffff | newValue & 0xffff_ffff_ffff }
    }

    /// A bound on the payload's bytes: less than twice as many, in steps of powers of two.
    var payloadByteCountMax: Int { 1 << Int(createdAndPayload >> 48 & 0x3f) }

    /// What the payload is; ten bits hold every number up to ``TQModel/Limits/contentTypesMax``.
    var content: StoredContent {
        StoredContent(type: UInt32(createdAndPayload >> 54), flags & 8 != 0 ? .zstd : .identity)
    }

    /// Notes how large the payload is, and what it is.
    mutating func setPayload(byteCount: UInt32, _ content: StoredContent) {
        let sizeClass = UInt64(UInt32.bitWidth - byteCount.leadingZeroBitCount)
        createdAndPayload = createdAndPayload & 0xffff_ffff_ffff | sizeClass << 48 | UInt64(content.type) << 54
        flags = flags & ~8 | (content.encoding == .zstd ? 8 : 0)
    }

    var state: TaskState {
        get { TaskState(rawValue: stateValue) ?? .blocked }
        set { stateValue = newValue.rawValue }
    }

    /// Whether the task can still run without a redrive.
    var isLive: Bool { stateValue != 0 && (state.isWaiting || state == .inProgress) }
}

/// The slots of all tasks, found by sequence with arithmetic.
///
/// Sequences are dense, so slots lie in pages of 1,024; a page of which only stragglers are left becomes a few entries
/// of a dictionary, so that memory follows the live tasks.
struct TaskTable: Sendable {
    private static let pageSize: UInt64 = 1024
    /// Below this many slots an old page is worth less than a dictionary's entries.
    private static let sparseCount = 64

    private struct Page: Sendable {
        var slots: ContiguousArray<TaskSlot>
        var used = 0
    }

    private var pages: ContiguousArray<Page?> = []
    private var firstPage: UInt64 = 0
    private var sparse: [UInt64: TaskSlot] = [:]
    private(set) var count = 0

    /// Pages, given back ones between others included.
    var pageCount: Int { pages.count }

    /// The slot of a task; one with state 0 when there is none.
    subscript(sequence: TaskSequence) -> TaskSlot {
        let number = sequence.rawValue
        let page = number / Self.pageSize
        if page >= firstPage, page - firstPage < UInt64(pages.count) {
            let index = Int(truncatingIfNeeded: page - firstPage)
            if let slots = pages[index]?.slots {
                return slots[Int(truncatingIfNeeded: number % Self.pageSize)]
            }
        }
        return sparse.isEmpty ? TaskSlot() : sparse[number] ?? TaskSlot()
    }

    /// Stores the slot of a task that may or may not have one.
    mutating func set(_ sequence: TaskSequence, _ slot: TaskSlot) {
        let number = sequence.rawValue
        if let index = pageIndex(number) {
            let place = Int(truncatingIfNeeded: number % Self.pageSize)
            if pages[index]?.slots[place].stateValue == 0 {
                pages[index]?.used += 1
                count += 1
            }
            pages[index]?.slots[place] = slot
        } else if sparse.updateValue(slot, forKey: number) == nil {
            count += 1
        }
    }

    /// Frees the slot of a task.
    mutating func remove(_ sequence: TaskSequence) {
        let number = sequence.rawValue
        let page = number / Self.pageSize
        guard page >= firstPage, page - firstPage < UInt64(pages.count),
            pages[Int(page - firstPage)] != nil
        else {
            if sparse.removeValue(forKey: number) != nil { count -= 1 }
            return
        }
        let index = Int(page - firstPage)
        let place = Int(truncatingIfNeeded: number % Self.pageSize)
        guard pages[index]?.slots[place].stateValue != 0 else { return }
        pages[index]?.slots[place] = TaskSlot()
        pages[index]?.used -= 1
        count -= 1
        thinOut(index)
    }

    /// Calls the body for every used slot in order of sequence; for recovery, dumps and checks, not for the hot path.
    func forEach(_ body: (TaskSequence, TaskSlot) -> Void) {
        var stragglers = sparse.keys.sorted()[...]
        func visitStragglers(below number: UInt64) {
            while let next = stragglers.first, next < number {
                stragglers.removeFirst()
                if let slot = sparse[next] { body(TaskSequence(next), slot) }
            }
        }
        for (index, page) in pages.enumerated() {
            guard let page else { continue }
            let base = (firstPage + UInt64(index)) * Self.pageSize
            visitStragglers(below: base)
            for (place, slot) in page.slots.enumerated() where slot.stateValue != 0 {
                body(TaskSequence(base + UInt64(place)), slot)
            }
        }
        visitStragglers(below: .max)
    }

    /// Some tasks in the order of their sequences, or against it.
    struct Found {
        var sequences: [TaskSequence] = []
        /// Where to go on; `nil` at the end.
        var next: TaskSequence?
        /// Places that were looked at.
        var scanned: Int
    }

    /// Finds tasks from a sequence on, at most `count`, and looks at about `limit` places for them.
    ///
    /// A dense page takes about a microsecond; of the stragglers all are looked at, and those of one page put in order.
    func find(
        from first: TaskSequence,
        isDescending: Bool,
        count: Int,
        limit: Int,
        where matches: (TaskSlot) -> Bool
    ) -> Found {
        func isAhead(_ number: UInt64) -> Bool { isDescending ? number <= first.rawValue : number >= first.rawValue }
        var found = Found(scanned: sparse.count)
        var places = 0
        /// Takes a task if there is room for it.
        func take(_ number: UInt64) -> Bool {
            guard found.sequences.count < count else {
                found.next = TaskSequence(number)
                return false
            }
            found.sequences.append(TaskSequence(number))
            return true
        }
        // One more than fit says where to go on.
        var nearest = NearestNumbers(count: count + 1, isDescending: isDescending)
        for (number, slot) in sparse where isAhead(number) && nearest.mayTake(number) && matches(slot) {
            nearest.insert(number)
        }
        var stragglers = nearest.inOrder[...]
        for page in isDescending ? Array(pages.indices.reversed()) : Array(pages.indices) {
            let base = (firstPage + UInt64(page)) * Self.pageSize
            let last = base + Self.pageSize - 1
            guard let slots = pages[page]?.slots, isAhead(isDescending ? base : last) else { continue }
            while let next = stragglers.first, isDescending ? next > last : next < base {
                guard take(next) else { return found }
                stragglers.removeFirst()
            }
            for step in 0..<Self.pageSize {
                let number = isDescending ? last - step : base + step
                let slot = slots[Int(number - base)]
                guard slot.stateValue != 0, isAhead(number), matches(slot) else { continue }
                guard take(number) else { return found }
            }
            found.scanned += Int(Self.pageSize)
            places += Int(Self.pageSize)
            // What is before the first page, or behind the last one, are stragglers that were looked at.
            guard places < limit || isDescending && base == 0 else {
                found.next = TaskSequence(isDescending ? base - 1 : last + 1)
                return found
            }
        }
        for number in stragglers {
            guard take(number) else { return found }
        }
        return found
    }

    /// The page of a number if it is, or may become, dense: only the newest pages are made.
    private mutating func pageIndex(_ number: UInt64) -> Int? {
        let page = number / Self.pageSize
        if pages.isEmpty { firstPage = page }
        guard page >= firstPage else { return nil }
        let index = page - firstPage
        if index < UInt64(pages.count) {
            return pages[Int(index)] == nil ? nil : Int(index)
        }
        // A gap (other tasks ended long ago) costs 16 bytes for 1,024 sequences; before one that costs more than the
        // tasks so far, those become stragglers.
        if index - UInt64(pages.count) > UInt64(count) * 4 + 1024 {
            for old in pages.indices { moveStragglers(old) }
            pages.removeAll()
            firstPage = page
        }
        while UInt64(pages.count) < page - firstPage { pages.append(nil) }
        pages.append(Page(slots: ContiguousArray(repeating: TaskSlot(), count: Int(Self.pageSize))))
        if pages.count >= 2 { thinOut(pages.count - 2) }
        return Int(page - firstPage)
    }

    /// Moves the stragglers of an old page into the dictionary, and forgets leading pages without slots.
    private mutating func thinOut(_ index: Int) {
        guard index < pages.count - 1, let page = pages[index], page.used <= Self.sparseCount else { return }
        moveStragglers(index)
        guard pages[0] == nil else { return }
        let empty = pages.prefix { $0 == nil }.count
        if empty > 256 || empty * 2 > pages.count {
            pages.removeFirst(empty)
            firstPage += UInt64(empty)
        }
    }

    private mutating func moveStragglers(_ index: Int) {
        guard let page = pages[index] else { return }
        pages[index] = nil
        guard page.used > 0 else { return }
        let base = (firstPage + UInt64(index)) * Self.pageSize
        for (place, slot) in page.slots.enumerated() where slot.stateValue != 0 { sparse[base + UInt64(place)] = slot }
    }
}

/// The first so many of numbers that come in any order, or the last ones backwards.
///
/// It holds twice as many at most, and sorts them when there are so many: far behind the first ones nothing costs more than
/// a comparison.
private struct NearestNumbers {
    let count: Int
    let isDescending: Bool
    private var numbers: [UInt64] = []
    /// What is behind this one is not among the first; `nil` while there are too few.
    private var last: UInt64?

    init(count: Int, isDescending: Bool) { (self.count, self.isDescending) = (count, isDescending) }

    /// Whether a number may be among the first.
    func mayTake(_ number: UInt64) -> Bool { last.map { isDescending ? number > $0 : number < $0 } ?? true }

    mutating func insert(_ number: UInt64) {
        numbers.append(number)
        guard numbers.count >= count * 2 else { return }
        numbers = inOrder
        last = numbers.last
    }

    var inOrder: [UInt64] { Array(numbers.sorted(by: isDescending ? { $0 > $1 } : { $0 < $1 }).prefix(count)) }
}
