public import TQModel

import Recurrence

/// A recurring task as it is stored: what is submitted, and when.
public struct RecurringRow: Hashable, Sendable {
    /// Its number, from 1.
    public var number: UInt32
    /// The namespace of its name; 0 is the default one.
    public var namespace: UInt32
    /// Its name.
    public var name: Name
    /// When it is due, as a text that says everything.
    public var recurrence: Bytes
    /// When it was put, in milliseconds since 1970.
    public var createdMilliseconds: UInt64
    /// How many missed ticks are made up for.
    public var catchUpMax: UInt32
    /// What becomes of a tick while the task of the one before has not ended.
    public var overlap: RecurringSpec.Overlap
    /// The span after which a task that has not started is late; 0 for never.
    public var startByMilliseconds: UInt64
    /// Whether a late task becomes a dead letter.
    public var buriesLate: Bool
    /// Its tasks, without sequence and times.
    public var task: TaskRow
    /// What their workers get.
    public var payload: Bytes
    /// The tags that they carry.
    public var tags: [TaskTag]

    /// Creates a row.
    public init(
        number: UInt32,
        namespace: UInt32,
        name: Name,
        recurrence: Bytes,
        createdMilliseconds: UInt64,
        catchUpMax: UInt32,
        overlap: RecurringSpec.Overlap,
        startByMilliseconds: UInt64,
        buriesLate: Bool,
        task: TaskRow,
        payload: Bytes,
        tags: [TaskTag] = []
    ) {
        self.number = number
        self.namespace = namespace
        self.name = name
        self.recurrence = recurrence
        self.createdMilliseconds = createdMilliseconds
        self.catchUpMax = catchUpMax
        self.overlap = overlap
        self.startByMilliseconds = startByMilliseconds
        self.buriesLate = buriesLate
        self.task = task
        self.payload = payload
        self.tags = tags
    }
}

/// How far a recurring task is; written in the same group as the task of each tick, so that none is due twice.
public struct RecurringState: Hashable, Sendable {
    /// The number of the recurring task.
    public var number: UInt32
    /// Whether nothing is submitted until somebody resumes it.
    public var isPaused = false
    /// Ticks up to this instant are over, in milliseconds since 1970.
    public var throughWallMilliseconds: UInt64
    /// The last tick that was due; 0 before the first.
    public var lastTickWallMilliseconds: UInt64 = 0
    /// The task that was submitted last; 0 before the first.
    public var lastSequence = TaskSequence(0)
    /// When that was, in milliseconds since 1970; a part of its id.
    public var lastCreatedMilliseconds: UInt64 = 0
    /// Tasks that were submitted.
    public var submitted: UInt64 = 0
    /// Ticks that were left out.
    public var skipped: UInt64 = 0

    /// Creates the state of one that begins.
    public init(number: UInt32, throughWallMilliseconds: UInt64) {
        self.number = number
        self.throughWallMilliseconds = throughWallMilliseconds
    }
}

/// The tick that a task is for.
public struct TaskTick: Hashable, Sendable {
    /// The number of the recurring task.
    public var recurring: UInt32
    /// When the tick was due, in milliseconds since 1970.
    public var wallMilliseconds: UInt64

    /// Creates a tick.
    public init(recurring: UInt32, wallMilliseconds: UInt64) {
        self.recurring = recurring
        self.wallMilliseconds = wallMilliseconds
    }
}

/// A recurring task in the index.
struct RecurringTask: Sendable {
    var row: RecurringRow
    var recurrence: Recurrence
    var state: RecurringState
}

/// When recurring tasks are due next, and what is known of the time zones that they name; made anew after a restart.
struct TickTimes: Sendable {
    struct Entry: Comparable, Sendable {
        var wallMilliseconds: UInt64
        var number: UInt32

        static func < (left: Self, right: Self) -> Bool {
            (left.wallMilliseconds, left.number) < (right.wallMilliseconds, right.number)
        }
    }

    /// The rules of a zone, as its file said.
    struct Zone: Sendable {
        /// `nil` as long as no file could be read.
        var rules: ZoneRules?
        /// Why it could not be read the last time; empty when it could.
        var problem = ""
        /// When that was, on the monotonic clock; `nil` for never.
        var readMilliseconds: UInt64?
        /// Whether a recurring task names it; others are forgotten when they were asked about.
        var isUsed = false
    }

    private var due = BinaryHeap<Entry>()
    private var next: [UInt32: UInt64] = [:]
    /// Recurring tasks whose next tick is still to be found.
    var undated: Set<UInt32> = []
    var zones: [ZoneName: Zone] = [:]

    /// A file is read again after an hour: the next edition of the database may be there.
    private static let freshMilliseconds: UInt64 = 3_600_000
    /// One that cannot be read is tried again after a minute.
    private static let retryMilliseconds: UInt64 = 60_000

    /// When a recurring task is due next; `nil` for never, and while that is not known.
    subscript(number: UInt32) -> UInt64? { next[number] }

    mutating func set(_ number: UInt32, next instant: UInt64?) {
        undated.remove(number)
        next[number] = instant
        guard let instant else { return }
        due.push(Entry(wallMilliseconds: instant, number: number))
        guard due.count > next.count * 2 + 1024 else { return }
        due = BinaryHeap()
        for (number, instant) in next { due.push(Entry(wallMilliseconds: instant, number: number)) }
    }

    /// Lets the next tick be found with the next turn.
    mutating func undate(_ number: UInt32, _ zone: ZoneName) {
        next[number] = nil
        undated.insert(number)
        if zone != .utc { zones[zone, default: Zone()].isUsed = true }
    }

    /// Lets go of zones that somebody asked about: anybody may ask about any name.
    mutating func forgetUnusedZones() {
        if zones.contains(where: { !$0.value.isUsed }) { zones = zones.filter(\.value.isUsed) }
    }

    mutating func forget(_ number: UInt32) {
        next[number] = nil
        undated.remove(number)
    }

    /// The earliest that is due, taken out.
    mutating func takeDue(wallMilliseconds now: UInt64) -> Entry? {
        while let first = due.first, first.wallMilliseconds <= now {
            due.removeFirst()
            guard next[first.number] == first.wallMilliseconds else { continue }
            next[first.number] = nil
            return first
        }
        return nil
    }

    func rules(of zone: ZoneName) -> ZoneRules? { zone == .utc ? .utc : zones[zone]?.rules }

    /// Whether a zone's file is to be read.
    func needsFile(_ zone: ZoneName, monotonicMilliseconds now: UInt64) -> Bool {
        guard zone != .utc else { return false }
        guard let known = zones[zone], let read = known.readMilliseconds else { return true }
        return now - min(read, now) >= (known.problem.isEmpty ? Self.freshMilliseconds : Self.retryMilliseconds)
    }

    /// The zones whose files are to be read, in order of their names.
    func outdatedZones(monotonicMilliseconds now: UInt64) -> [ZoneName] {
        zones.isEmpty
            ? []
            : zones.keys.filter { needsFile($0, monotonicMilliseconds: now) }
                .sorted { $0.description < $1.description }
    }
}

// MARK: The index

extension DurableIndex {
    mutating func apply(_ row: RecurringRow) {
        // Checked where it comes from: a request, or a store.
        guard let recurrence = try? Recurrence(row.recurrence) else { return }
        var fresh = RecurringTask(
            row: row,
            recurrence: recurrence,
            state: RecurringState(number: row.number, throughWallMilliseconds: row.createdMilliseconds)
        )
        if let known = recurring[row.number] { fresh.state = known.state }
        recurring[row.number] = fresh
        recurringNumbers[ScopedName(namespace: row.namespace, name: row.name)] = row.number
        nextRecurring = max(nextRecurring, row.number + 1)
    }

    mutating func apply(_ state: RecurringState) { recurring[state.number]?.state = state }

    mutating func apply(removedRecurring number: UInt32) {
        guard let task = recurring.removeValue(forKey: number) else { return }
        let name = ScopedName(namespace: task.row.namespace, name: task.row.name)
        // A replay takes a group's removals last: the name may belong to another one already.
        if recurringNumbers[name] == number { recurringNumbers[name] = nil }
    }

    /// Takes a recurring task.
    ///
    /// - Throws: A sentence when it cannot be read, names what the store does not know, or has the last number.
    public mutating func recover(_ row: RecurringRow) throws(RecoveryError) {
        let what = "recurring task \(row.number)"
        guard row.number > 0, row.number < .max else { throw RecoveryError("\(what) has a number out of range") }
        guard row.task.queue > 0, Int(row.task.queue) < queues.count else {
            throw RecoveryError("\(what) names queue \(row.task.queue), which is unknown")
        }
        guard row.task.options?.retryPolicy ?? 0 <= UInt32(retryPolicies.count) else {
            throw RecoveryError("\(what) names a retry policy that is unknown")
        }
        guard knows(row.task.content) else {
            throw RecoveryError("\(what) names content type \(row.task.content.type), which is unknown")
        }
        guard row.catchUpMax <= Limits.catchUpMax, row.startByMilliseconds <= Limits.durationMillisecondsMax * 100
        else {
            throw RecoveryError("\(what) has a number of missed ticks or a latest start out of range")
        }
        do throws(TQError) { _ = try Recurrence(row.recurrence) } catch { throw RecoveryError("\(error.message)") }
        apply(row)
    }

    /// Takes how far a recurring task is.
    ///
    /// - Throws: A sentence when there is no such task.
    public mutating func recover(_ state: RecurringState) throws(RecoveryError) {
        guard recurring[state.number] != nil else {
            throw RecoveryError("there is a state of recurring task \(state.number), which does not exist")
        }
        guard state.submitted < 1 << 60, state.skipped < 1 << 60 else {
            throw RecoveryError("recurring task \(state.number) counts more ticks than there can be")
        }
        apply(state)
    }
}
