public import TQModel

/// A bulk operation as it is stored: what it is for and how far it is, written anew with each of its steps.
public struct BulkOperation: Hashable, Sendable {
    /// Its number, from 1.
    public var number: UInt32
    /// What becomes of the tasks.
    public var change: BulkChange.Kind
    /// The queue's number, or the priority, of a change that needs one; else 0.
    public var target: UInt32
    /// Which tasks.
    public var selection: TaskSelection
    /// At most that many changes a second; 0 for no such bound.
    public var perSecond: UInt32
    /// Whether it goes on.
    public var phase: BulkPhase
    /// Every task before this one is behind it.
    public var next: TaskSequence
    /// The last task that it is for: the newest one at its start.
    public var last: TaskSequence
    /// Tasks that were changed.
    public var changed: UInt64
    /// Tasks that it was for and could not change.
    public var refused: UInt64
    /// Why the first of them could not.
    public var problem: Bytes
    /// When it began, in milliseconds since 1970.
    public var startWallMilliseconds: UInt64
    /// When it ended, in milliseconds since 1970; 0 while it goes on.
    public var endWallMilliseconds: UInt64

    /// Creates one that begins.
    public init(
        number: UInt32,
        change: BulkChange.Kind,
        target: UInt32,
        selection: TaskSelection,
        perSecond: UInt32,
        last: TaskSequence,
        startWallMilliseconds: UInt64
    ) {
        self.number = number
        self.change = change
        self.target = target
        self.selection = selection
        self.perSecond = perSecond
        self.phase = .running
        self.next = TaskSequence(1)
        self.last = last
        self.changed = 0
        self.refused = 0
        self.problem = []
        self.startWallMilliseconds = startWallMilliseconds
        self.endWallMilliseconds = 0
    }

    /// Notes that a task could not be changed.
    mutating func refuse(because problem: Bytes) {
        refused += 1
        if self.problem.isEmpty { self.problem = problem.prefix(Limits.errorBytesMax) }
    }
}

/// When each bulk operation with a rate may take its next step; a restart begins anew.
struct BulkPaces: Sendable {
    /// What was not used so long ago is lost.
    private static let burstMilliseconds: UInt64 = 200
    /// Steps of a slow operation are small, so that its changes come evenly.
    private static let stepsPerSecond: UInt32 = 10

    private var due: [UInt32: UInt64] = [:]
    /// The one that took a step last.
    var turn: UInt32 = 0

    func isDue(_ operation: BulkOperation, monotonicMilliseconds now: UInt64) -> Bool {
        operation.perSecond == 0 || due[operation.number] ?? 0 <= now
    }

    /// The most that an operation changes in its next step.
    func stepCount(_ operation: BulkOperation, of most: Int) -> Int {
        operation.perSecond == 0 ? most : max(1, min(most, Int(operation.perSecond / Self.stepsPerSecond)))
    }

    /// Notes what an operation did in its step.
    mutating func step(_ operation: BulkOperation, count: Int, monotonicMilliseconds now: UInt64) {
        turn = operation.number
        guard operation.perSecond > 0 else { return }
        let from = max(due[operation.number] ?? 0, now - min(now, Self.burstMilliseconds))
        due[operation.number] = from + UInt64(count) * 1000 / UInt64(operation.perSecond)
    }

    mutating func forget(_ number: UInt32) { due[number] = nil }
}

// MARK: The index

extension DurableIndex {
    mutating func apply(_ operation: BulkOperation) {
        bulkOperations[operation.number] = operation
        nextBulk = max(nextBulk, operation.number + 1)
    }

    mutating func apply(removedBulk number: UInt32) { bulkOperations[number] = nil }

    /// Takes a bulk operation.
    ///
    /// - Throws: A sentence when it names what the store does not know, or has the last number.
    public mutating func recover(_ operation: BulkOperation) throws(RecoveryError) {
        let what = "bulk operation \(operation.number)"
        guard operation.number > 0, operation.number < .max else {
            throw RecoveryError("\(what) has a number out of range")
        }
        let queues = [operation.selection.queue, operation.change == .move ? operation.target : nil].compactMap { $0 }
        if let unknown = queues.first(where: { $0 == 0 || Int($0) >= self.queues.count }) {
            throw RecoveryError("\(what) names queue \(unknown), which is unknown")
        }
        if let type = operation.selection.type, type == 0 || Int(type) > typeNames.count {
            throw RecoveryError("\(what) names task type \(type), which is unknown")
        }
        apply(operation)
    }
}
