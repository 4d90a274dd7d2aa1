import TQModel

/// One queue: its counters and the order of its pending tasks.
struct QueueState: Sendable {
    var counts = TaskCounts()
    /// Every pending task.
    private var ready = ReadyLanes()
    /// Pending tasks of one type, for types that somebody claims by name; built at the first such claim.
    private var readyByType: [UInt32: ReadyLanes] = [:]
    /// The types of tasks that were ever pending here, in order of appearance.
    private(set) var types: [UInt32] = []
    private var knownTypes: Set<UInt32> = []

    mutating func push(_ entry: ReadyLanes.Entry, type: UInt32, tasks: TaskTable, queue: UInt32) {
        if types.last != type, knownTypes.insert(type).inserted { types.append(type) }
        ready.push(entry)
        readyByType[type]?.push(entry)
        let limit = Int(counts.pending) * 2 + 1024
        if ready.count > limit {
            ready.sweep { Self.holds($0, tasks, queue) }
        }
        if let lanes = readyByType[type], lanes.count > limit {
            readyByType[type]?.sweep { Self.holds($0, tasks, queue) }
        }
    }

    /// The first pending task, or the first of one type.
    mutating func first(type: UInt32?, tasks: TaskTable, queue: UInt32) -> ReadyLanes.Entry? {
        guard counts.pending > 0 else { return nil }
        guard let type else { return ready.first { Self.holds($0, tasks, queue) } }
        if readyByType[type] == nil {
            var lanes = ReadyLanes()
            ready.forEach { entry in
                if tasks[entry.sequence].type == type, Self.holds(entry, tasks, queue) { lanes.push(entry) }
            }
            readyByType[type] = lanes
        }
        return readyByType[type]?.first { Self.holds($0, tasks, queue) }
    }

    /// Removes what ``first(type:tasks:queue:)`` has just returned.
    mutating func removeFirst(_ entry: ReadyLanes.Entry, type: UInt32?) {
        if let type { readyByType[type]?.removeFirst(entry) } else { ready.removeFirst(entry) }
    }

    /// Whether an entry's task is pending, here and with that rank.
    private static func holds(_ entry: ReadyLanes.Entry, _ tasks: TaskTable, _ queue: UInt32) -> Bool {
        let slot = tasks[entry.sequence]
        return slot.stateValue == TaskState.pending.rawValue && slot.queue == queue && slot.rank == entry.rank
    }
}
