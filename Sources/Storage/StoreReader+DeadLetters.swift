import ByteStore
import QueueCore
import TQModel

extension StoreReader {
    /// Payloads in one step of a bulk operation, the first one in any case.
    private static let stepByteCountMax = 1 << 20
    /// Seeks and records of one step, a few milliseconds.
    private static let stepReadsMax = 2_000

    /// Some dead letters of a selection, the earliest first; one that is damaged holds up none of the others.
    func deadLetters(
        _ selection: TaskSelection,
        from first: TaskSequence,
        through last: TaskSequence,
        limit: Int
    ) throws(StorageError) -> Fetched {
        let walks = deadLetterWalks(selection, isDescending: false)
        var names = SelectedNames(reader: self, selection: selection)
        var letters: [(row: DeadLetterRow, payload: Bytes)] = []
        var unreadable: [String] = []
        var (reads, byteCount) = (0, 0)
        var damaged: UInt64 = 0
        var end: [UInt8]? = KeyLayout.deadLetter(first)
        while let key = end,
            let found = try RowWalk.seek(walks, key, seeks: &reads, damaged: &damaged, limit: Self.stepReadsMax)
        {
            let sequence = TaskSequence(key: found)
            if damaged > 0 {
                unreadable.append("Dead letters from \(TaskSequence(key: key)) to \(sequence) cannot be read.")
                damaged = 0
            }
            guard sequence <= last else { break }
            guard letters.count + unreadable.count < limit, byteCount < Self.stepByteCountMax, reads < Self.stepReadsMax
            else { return .deadLetters(letters, unreadable: unreadable, next: sequence) }
            end = walks[0].step(from: found)
            reads += 1
            do throws(StorageError) {
                guard let (row, error, payload) = try deadLetter(at: found) else { continue }
                guard selection.matches(row, error: error), try names.of(row.task.queue, row.task.type) != nil
                else { continue }
                letters.append((row, payload))
                byteCount += payload.count
            } catch  where error.kind == .corruption {
                unreadable.append("Dead letter \(sequence) cannot be read: \(error)")
            }
        }
        if damaged > 0 { unreadable.append("The last dead letters cannot be read.") }
        return .deadLetters(letters, unreadable: unreadable, next: nil)
    }

    /// The rows that lead to the dead letters of a selection, as far as there are some; the ends of their keys are sequences.
    func deadLetterWalks(_ selection: TaskSelection, isDescending: Bool) -> [RowWalk] {
        var prefixes: [[UInt8]] = []
        if let queue = selection.queue { prefixes.append(Posting.deadLetters(.queue, queue)) }
        if let type = selection.type { prefixes.append(Posting.deadLetters(.type, type)) }
        func walk(_ family: Family, _ prefix: [UInt8]) -> RowWalk {
            RowWalk(store: store, family: family, prefix: prefix, isDescending: isDescending)
        }
        var walks = prefixes.isEmpty ? [walk(.deadLetter, [])] : prefixes.map { walk(.index, $0) }
        if let tag = selection.tag { walks.append(walk(.index, Posting.tagged(tag))) }
        return walks
    }
}

extension TaskSelection {
    /// Whether what can be told without a name holds for a dead letter.
    func matches(_ row: DeadLetterRow, error: Bytes) -> Bool {
        matches(
            queue: row.task.queue,
            type: row.task.type,
            row.task.rank,
            createdMilliseconds: row.task.createdMilliseconds
        ) && matches(error: error)
    }
}

extension TaskSequence {
    /// The sequence that a key of eight bytes is, or ends with.
    init(key: [UInt8]) { self.init(key.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }) }
}

/// The names of queues and types that were met on the way, each read once.
struct SelectedNames {
    let reader: StoreReader
    let selection: TaskSelection
    private var queues: [UInt32: NameRow] = [:]
    private var types: [UInt32: NameRow] = [:]

    init(reader: StoreReader, selection: TaskSelection) {
        (self.reader, self.selection) = (reader, selection)
    }

    /// The names of a task's queue and type, when they are asked for.
    mutating func of(_ queue: UInt32, _ type: UInt32) throws(StorageError) -> (queue: Name, type: Name)? {
        let queue = try row(.queue, queue, &queues)
        let type = try row(.type, type, &types)
        guard queue.namespace == selection.namespace, selection.types?.matches(type.name.bytes) ?? true else {
            return nil
        }
        return (queue.name, type.name)
    }

    private func row(
        _ kind: NameKind,
        _ number: UInt32,
        _ known: inout [UInt32: NameRow]
    ) throws(StorageError) -> NameRow {
        if let row = known[number] { return row }
        let unknown = NameRow(kind: kind, number: number, namespace: 0, name: Name(bytes: []))
        let row = try reader.nameRow(kind, number) ?? unknown
        known[number] = row
        return row
    }
}
