import TQModel

/// A stored record of which some entries are still needed: a segment, or the transitions of a group.
struct StoredRecord: Sendable {
    var group: GroupID
    var part: UInt16
    var isSegment: Bool
    /// Entries that were written.
    var count: UInt32
    /// Entries that are still needed; at 0 the record is deleted.
    var live: UInt32
    /// A fresh segment's first sequence.
    var first: TaskSequence

    var key: SegmentKey { SegmentKey(group: group, part: part) }

    /// Whether so few entries are left that it pays to write them anew.
    var isSparse: Bool { live > 0 && live <= count / 8 }
}

/// All records with live entries, by handle.
///
/// Handles are small numbers given out again after a record's death; 0 is never one.
struct RecordTable: Sendable {
    /// Groups that must have passed before a sparse record is worth rewriting: most die by themselves before.
    static let carryAge: UInt64 = 300

    private var records: ContiguousArray<StoredRecord> = []
    private var free: [UInt32] = []
    /// The sequences of moved segments, whose sequences are not consecutive.
    private var movedSequences: [UInt32: [TaskSequence]] = [:]
    /// Records that became sparse, in that order; the group tells a reused handle.
    private var sparse: [(handle: UInt32, group: GroupID)] = []
    private(set) var liveCount = 0

    init() {
        records.append(
            StoredRecord(
                group: GroupID(rawValue: 0),
                part: 0,
                isSegment: false,
                count: 0,
                live: 0,
                first: TaskSequence(0)
            )
        )
    }

    subscript(handle: UInt32) -> StoredRecord { records[Int(handle)] }

    mutating func insert(_ record: StoredRecord) -> UInt32 {
        liveCount += 1
        if let handle = free.popLast() {
            records[Int(handle)] = record
            return handle
        }
        records.append(record)
        return UInt32(records.count - 1)
    }

    /// Counts one entry more; `sequence` is kept where the segment's sequences are not consecutive.
    mutating func addEntry(_ handle: UInt32, _ sequence: TaskSequence) {
        let index = Int(handle)
        records[index].count += 1
        records[index].live += 1
        if records[index].isSegment, records[index].key.isMoved {
            movedSequences[handle, default: []].append(sequence)
        }
    }

    /// Counts an entry as needed again that was released: a redrive of a task whose row is still there.
    mutating func retainEntry(_ handle: UInt32) { records[Int(handle)].live += 1 }

    /// Says how many entries a record was written with, where not all were counted.
    mutating func setCount(_ handle: UInt32, _ count: UInt32) { records[Int(handle)].count = count }

    /// Counts one needed entry less, and says whether that was the last one.
    mutating func removeEntry(_ handle: UInt32) -> Bool {
        let index = Int(handle)
        precondition(records[index].live > 0, "a record's entries are released once each")
        let wasSparse = records[index].isSparse
        records[index].live -= 1
        if records[index].isSparse, !wasSparse { sparse.append((handle, records[index].group)) }
        return records[index].live == 0
    }

    /// Forgets a record without live entries; its handle may come back.
    mutating func remove(_ handle: UInt32) {
        movedSequences[handle] = nil
        records[Int(handle)] = StoredRecord(
            group: GroupID(rawValue: 0),
            part: 0,
            isSegment: false,
            count: 0,
            live: 0,
            first: TaskSequence(0)
        )
        free.append(handle)
        liveCount -= 1
    }

    /// The sequences that a segment was written with.
    func sequences(_ handle: UInt32) -> [TaskSequence] {
        let record = self[handle]
        guard !record.key.isMoved else { return movedSequences[handle] ?? [] }
        return (0..<UInt64(record.count)).map { TaskSequence(record.first.rawValue + $0) }
    }

    /// Whether ``takeSparse(before:limit:)`` may find something.
    func hasSparse(before group: GroupID) -> Bool {
        sparse.contains { Self.isOldEnough($0.group, at: group) }
    }

    /// Sparse records old enough to be rewritten, at most `limit`; those that died meanwhile are dropped.
    mutating func takeSparse(before group: GroupID, limit: Int) -> [UInt32] {
        var due: [UInt32] = []
        var kept: [(handle: UInt32, group: GroupID)] = []
        for entry in sparse {
            let record = self[entry.handle]
            guard record.group == entry.group, record.isSparse else { continue }
            if due.count < limit, Self.isOldEnough(record.group, at: group) {
                due.append(entry.handle)
            } else {
                kept.append(entry)
            }
        }
        sparse = kept
        return due
    }

    /// Looks for sparse records after recovery, where no entry was removed step by step.
    mutating func findSparse() {
        sparse = records.indices.dropFirst()
            .filter { records[$0].isSparse }
            .map { (UInt32($0), records[$0].group) }
    }

    /// Records without live entries that were not forgotten yet, segments first; for recovery.
    var dead: [UInt32] {
        let found = records.indices.filter { records[$0].group.rawValue != 0 && records[$0].live == 0 }
        return (found.filter { records[$0].isSegment } + found.filter { !records[$0].isSegment }).map { UInt32($0) }
    }

    /// Live records in order of their keys, for comparisons.
    var sorted: [StoredRecord] {
        records.filter { $0.live > 0 }
            .sorted {
                ($0.isSegment ? 0 : 1, $0.group.rawValue, $0.part) < ($1.isSegment ? 0 : 1, $1.group.rawValue, $1.part)
            }
    }

    private static func isOldEnough(_ record: GroupID, at group: GroupID) -> Bool {
        record.epoch != group.epoch || record.counter + carryAge <= group.counter
    }
}
