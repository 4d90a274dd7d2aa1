import TQModel

/// One queue: its counters and the order of its pending tasks.
struct QueueState: Sendable {
    var counts = TaskCounts()
    /// Bytes of the results that are kept.
    var resultBytes: UInt64 = 0
    /// Bytes of the payloads and errors of the dead letters.
    var deadLetterBytes: UInt64 = 0
    /// Whether the queue is among those that got a pending task since somebody looked.
    var isAnnounced = false
    /// Pending tasks that share something with others.
    var shared = SharedLines()
    /// How the priority of its tasks rises while they wait.
    var aging: PriorityAging?
    /// Which groups wait for others.
    var noisy: NoisyRule?
    /// Every other pending task.
    private var ready = ReadyLanes()
    /// The same tasks by type, from the first claim that names types on.
    private var readyByType: [UInt32: ReadyLanes]?
    /// The types in `readyByType`, in order of appearance.
    private var types: [UInt32] = []
    private var pushesByType = 0

    mutating func push(_ entry: ReadyLanes.Entry, type: UInt32, tasks: TaskTable, queue: UInt32) {
        let limit = Int(counts.pending) * 2 + 1024
        ready.push(entry)
        if ready.count > limit { ready.sweep { Self.holds($0, tasks, queue) } }
        guard readyByType != nil else { return }
        pushesByType += 1
        // The next claim that names types makes them anew, without what is stale.
        if pushesByType > limit { readyByType = nil } else { push(entry, type: type) }
    }

    /// The types of which tasks may be pending.
    mutating func pendingTypes(tasks: TaskTable, queue: UInt32) -> [UInt32] {
        if readyByType == nil { buildByType(tasks, queue) }
        guard !shared.isEmpty else { return types }
        return types + shared.typeNumbers.filter { !types.contains($0) }
    }

    /// The first pending task, or the first of one type.
    mutating func first(type: UInt32?, tasks: TaskTable, queue: UInt32) -> ReadyLanes.Entry? {
        guard counts.pending > 0 else { return nil }
        guard let type else { return ready.first { Self.holds($0, tasks, queue) } }
        if readyByType == nil { buildByType(tasks, queue) }
        // The type of a task changes when another submit takes its place.
        return readyByType?[type]?.first { Self.holds($0, tasks, queue) && tasks[$0.sequence].type == type }
    }

    /// The first lane from one on in which tasks may be pending, or tasks of one type.
    mutating func nextLane(type: UInt32?, from lane: Int, tasks: TaskTable, queue: UInt32) -> Int? {
        guard let type else { return ready.occupied.first(from: lane) }
        if readyByType == nil { buildByType(tasks, queue) }
        return readyByType?[type]?.occupied.first(from: lane)
    }

    /// The first pending task of a lane that ``nextLane(type:from:tasks:queue:)`` has just named.
    mutating func first(in lane: Int, type: UInt32?, tasks: TaskTable, queue: UInt32) -> ReadyLanes.Entry? {
        guard let type else { return ready.first(in: lane) { Self.holds($0, tasks, queue) } }
        return readyByType?[type]?.first(in: lane) {
            Self.holds($0, tasks, queue) && tasks[$0.sequence].type == type
        }
    }

    /// How many pending tasks go before an entry, counting so many at most; takes time in those, and in stale ones.
    func count(before entry: ReadyLanes.Entry, most: Int, tasks: TaskTable, queue: UInt32) -> Int {
        ready.count(before: entry, most: most) { Self.holds($0, tasks, queue) }
    }

    /// Entries in the order of all types, stale ones included.
    var readyCount: Int { ready.count }

    /// Removes what ``first(type:tasks:queue:)`` has just returned.
    mutating func removeFirst(_ entry: ReadyLanes.Entry, type: UInt32?) {
        if let type { readyByType?[type]?.removeFirst(entry) } else { ready.removeFirst(entry) }
    }

    private mutating func buildByType(_ tasks: TaskTable, _ queue: UInt32) {
        readyByType = [:]
        types = []
        pushesByType = 0
        ready.sweep { Self.holds($0, tasks, queue) }
        ready.forEach { push($0, type: tasks[$0.sequence].type) }
    }

    private mutating func push(_ entry: ReadyLanes.Entry, type: UInt32) {
        if readyByType?[type]?.push(entry) != nil { return }
        var lanes = ReadyLanes()
        lanes.push(entry)
        readyByType?[type] = lanes
        types.append(type)
    }

    /// Whether an entry's task is pending, here and with that rank, and shares nothing.
    private static func holds(_ entry: ReadyLanes.Entry, _ tasks: TaskTable, _ queue: UInt32) -> Bool {
        let slot = tasks[entry.sequence]
        return slot.stateValue == TaskState.pending.rawValue && slot.queue == queue && slot.rank == entry.rank
            && slot.link == 0
    }
}
