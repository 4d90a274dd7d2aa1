public import ByteStore
import QueueCore
import TQModel

/// What became of a damage to a store.
public enum DamageOutcome: Hashable, Sendable {
    /// A broker does not start there, and says why.
    case refused(StorageError)
    /// A broker starts, and everything is there and as it was.
    case harmless
    /// A broker starts; what is damaged is an error for whoever reads it, or for `tq-inspect verify`. The rest is as it was.
    case detectedAtRead([String])
    /// A broker starts and says that it cut off the end of the log: batches behind the mark, of which no reply told.
    case cutOff(StorageError)
    /// Something is gone or wrong, and nothing says so.
    case silent(String)
}

/// Says what a broker makes of a damaged copy of a store, by doing what a broker does: it opens the copy for writing,
/// recovers it, raises the epoch, and reads every task as clients do.
///
/// ```swift
/// let probe = try DamageProbe(StoreImage(dataDirectory: "/data"), scratch: "/dev/shm/probe")
/// var random = SystemRandomNumberGenerator()
/// let damage = probe.image.flip(chosenBy: &random)
/// if case .silent(let what) = try probe.outcome(of: damage) { print("\(damage): \(what)") }
/// ```
public struct DamageProbe: Sendable {
    /// The sound store.
    public let image: StoreImage
    private let scratch: String
    private let expected: Content

    /// What a sound store holds: the index that recovery builds, and every task in full.
    private struct Content: Sendable {
        var index: [UInt8]
        var tasks: [TaskSequence: StoreInspection.InspectedTask] = [:]
    }

    /// - Parameters:
    ///   - image: A sound store; its content is what is expected of every damaged copy.
    ///   - scratch: A directory that does not exist, for the copies; one in memory makes this fast.
    /// - Throws: Why the store is not sound.
    public init(_ image: StoreImage, scratch: String) throws(StorageError) {
        self.image = image
        self.scratch = scratch
        try image.write(to: scratch)
        defer { Salvage.removeTree(scratch) }
        expected = try Self.withStore(scratch) { store, mark, _ throws(StorageError) in
            let inspection = try StoreInspection(store, mark: mark)
            var content = Content(index: inspection.recovered.index.canonicalText)
            try inspection.forEachTask(withPayloads: true) { content.tasks[$0.sequence] = $0 }
            return content
        }
    }

    /// What becomes of one damage.
    public func outcome(of damage: Damage) throws(StorageError) -> DamageOutcome {
        try outcome(of: image.damaged(damage))
    }

    /// What becomes of a store whose files are others than those of the sound one.
    ///
    /// - Throws: Why the copy cannot be made.
    public func outcome(of damaged: StoreImage) throws(StorageError) -> DamageOutcome {
        try damaged.write(to: scratch)
        defer { Salvage.removeTree(scratch) }
        do throws(StorageError) {
            return try Self.withStore(scratch) { store, mark, cutOff throws(StorageError) in
                if let cutOff { return .cutOff(cutOff) }
                return try compare(store, mark)
            }
        } catch {
            return .refused(error)
        }
    }

    /// Opens a store as a broker does.
    private static func withStore<Result>(
        _ directory: String,
        _ body: (RocksDBStorage, Mark?, _ cutOff: StorageError?) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        let mark = try HighWaterMark.read(directory + "/mark")
        let opening = try StoreOpening(directory + "/db", options: .numbered, mark: mark)
        defer { opening.store.close() }
        return try body(opening.store, mark, opening.cutOff)
    }

    private func compare(_ store: RocksDBStorage, _ mark: Mark?) throws(StorageError) -> DamageOutcome {
        guard let recovered = try Recovery.recover(from: store, mark: mark) else {
            return expected.tasks.isEmpty ? .harmless : .silent("the store is empty")
        }
        guard recovered.index.canonicalText == expected.index else {
            return .silent("the index that was recovered is another")
        }
        let inspection = try StoreInspection(store, mark: mark)
        var errors: [String] = []
        if let difference = difference(inspection, &errors) { return .silent(difference) }
        // What a broker writes at its start, and what it would find at the next one.
        let log = CommitLog(store: store, position: recovered.position)
        try log.begin(epoch: recovered.epoch + 1, index: recovered.index)
        note(&errors) { () throws(StorageError) in try store.checkTables(of: Family.allCases) }
        _ = StoreVerification.verify(store, mark: mark) { errors.append("\($0.place): \($0.message)") }
        return errors.isEmpty ? .harmless : .detectedAtRead(errors)
    }

    /// What is wrong with a task that can be read, or missing without an error.
    private func difference(_ inspection: StoreInspection, _ errors: inout [String]) -> String? {
        var live: [TaskSequence: StoreInspection.InspectedTask] = [:]
        note(&errors) { () throws(StorageError) in
            try inspection.forEachLiveTask(withPayloads: true) { live[$0.sequence] = $0 }
        }
        for task in expected.tasks.values {
            let found: StoreInspection.InspectedTask?
            do throws(StorageError) {
                found =
                    if let task = live[task.sequence] { task } else { try inspection.ended(like: task) }
            } catch {
                errors.append(error.description)
                continue
            }
            guard let found else { return "task \(task.sequence) is gone" }
            if let damage = found.damage {
                errors.append("task \(task.sequence): \(damage)")
            } else if found != task {
                return "task \(task.sequence) is another"
            }
        }
        return nil
    }

    private func note(_ errors: inout [String], _ body: () throws(StorageError) -> Void) {
        do throws(StorageError) { try body() } catch { errors.append(error.description) }
    }
}

extension StoreInspection {
    /// Reads an ended task by its id, as clients do; what clients do not see is taken from what is expected.
    fileprivate func ended(like expected: InspectedTask) throws(StorageError) -> InspectedTask? {
        guard let sequence = reader.sequence(of: expected.id) else { return nil }
        let place = recovered.index.outcome(of: sequence).map { Ended.outcome($0) }
        guard let ended = try reader.endedTask(expected.id, sequence, place ?? .anywhere(redrives: 0)) else {
            return nil
        }
        let status = ended.status
        var task = expected
        (task.sequence, task.queue, task.type) = (sequence, status.queue, status.type)
        (task.state, task.priority) = (status.state, status.priority)
        (task.attempts, task.crashes) = (status.attempts, status.crashes)
        task.endWallMilliseconds = status.endWallMilliseconds
        if status.state == .completed { task.result = ended.result }
        if status.state == .deadLetter {
            task.error = status.error
            let fetch = Fetch.deadLetter(sequence)
            switch try reader.fetch([fetch])[fetch] {
            case .deadLetter(_, _, let payload)?: task.payload = expected.payload == nil ? nil : payload
            case .damaged(let damage)?: throw StorageError(.corruption, damage)
            default: return nil
            }
        }
        return task
    }
}
