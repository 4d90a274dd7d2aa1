import ByteStore
import Glibc
import QueueCore
import TQModel
import Testing

@testable import Storage

/// The data directory of a broker that a seeded workload filled, as it is at rest, with what must be in it.
struct StoreOnDisk {
    let directory: ScratchDirectory
    /// What was in the store after each batch, or the last one: a line for each task, by sequence.
    var contents: [UInt64: [UInt64: String]] = [:]
    /// The last batch, which was acknowledged.
    var lastBatch: UInt64 = 0
    /// The highest token that was handed out.
    var epoch: UInt32 = 0

    var path: String { directory / "data" }

    /// How the broker ended.
    enum End: CaseIterable {
        /// Everything is in table files.
        case closed
        /// Everything since the last flush is in the log.
        case killed
    }

    /// - Parameters:
    ///   - flushes: How often the memory tables are flushed on the way, so that there are several table files.
    ///   - restarts: How often the broker is killed and started again on the way.
    ///   - notesAll: Whether ``contents`` has every batch.
    init(
        seed: UInt64,
        steps: Int = 60,
        flushes: Int = 3,
        restarts: Int = 1,
        end: End,
        notesAll: Bool = false
    ) throws {
        directory = try ScratchDirectory()
        try ScratchDirectory.makeDirectory(path)
        let store = try RocksDBStorage.open(path: path + "/db", options: .numbered)
        let broker = try TestBroker(store)
        // A repair of a store that has lost the newer row of a replaced task takes the older one for it.
        var workload = Workload(seed: seed, replaces: false)
        for step in 1...steps {
            try workload.step(broker)
            try broker.commit()
            if notesAll { try note(broker) }
            if flushes > 0, step % (steps / (flushes + 1)) == 0 { try store.flush() }
            if restarts > 0, step % (steps / (restarts + 1)) == 0 {
                try broker.restart()
                if notesAll { try note(broker) }
            }
        }
        try note(broker)
        try broker.log.sync()
        let mark = Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: broker.log.synced.sequence,
            runningHash: broker.log.synced.runningHash,
            epoch: broker.start.core.epoch
        )
        epoch = broker.start.core.epoch
        _ = try HighWaterMark(path + "/mark", initial: mark)
        // A store that is let go without this flushes nothing.
        if end == .closed { store.close() }
    }

    /// A store as it was killed at some time, and the same one later.
    static func twice(seed: UInt64) throws -> (older: StoreImage, newer: StoreOnDisk) {
        let older = try StoreOnDisk(seed: seed, steps: 30, flushes: 1, restarts: 0, end: .killed)
        let image = try StoreImage(dataDirectory: older.path)
        // The same directory goes on: what the older one had is in the newer one.
        let store = try RocksDBStorage.open(path: older.path + "/db", options: .numbered)
        let broker = try TestBroker(store, mark: try HighWaterMark.read(older.path + "/mark"))
        var workload = Workload(seed: seed + 1, replaces: false)
        for step in 1...30 {
            try workload.step(broker)
            try broker.commit()
            if step == 15 { try store.flush() }
        }
        try broker.log.sync()
        let synced = broker.log.synced
        let mark = Mark(
            storeID: TestBroker.identity.id,
            syncedSequence: synced.sequence,
            runningHash: synced.runningHash,
            epoch: synced.epoch
        )
        try HighWaterMark(older.path + "/mark", initial: mark).write(mark)
        store.close()
        return (image, older)
    }

    private mutating func note(_ broker: TestBroker) throws {
        lastBatch = broker.log.written.sequence
        contents[lastBatch] = try Self.contents(of: broker.store)
    }

    /// A line for each task; leases and progress are left out, which a repair takes back.
    static func contents(of store: any ByteStoreReader) throws -> [UInt64: String] {
        var lines: [UInt64: String] = [:]
        try StoreInspection(store, mark: nil).forEachTask(withPayloads: true) { task throws(StorageError) in
            lines[task.sequence.rawValue] = Self.line(task)
        }
        return lines
    }

    static func line(_ task: StoreInspection.InspectedTask) -> String {
        let wasLeased = task.state == .inProgress
        let (state, attempts) = wasLeased ? (.pending, task.attempts - 1) : (task.state, task.attempts)
        return "\(task.id) \(task.queue) \(task.type) \(state.name) \(task.priority) attempts \(attempts) "
            + "crashes \(task.crashes) start \(task.startWallMilliseconds) end \(task.endWallMilliseconds) "
            + "payload \(task.payload.map { "\(Array($0))" } ?? "-") result \(task.result.map { "\(Array($0))" } ?? "-") "
            + "error \(task.error.map { "\(Array($0))" } ?? "-") damage \(task.damage ?? "-")"
    }

    /// The files of the database that end or begin so.
    func files(_ mark: String) throws -> [String] {
        try Salvage.fileNames(in: path + "/db").filter { $0.hasSuffix(mark) || $0.hasPrefix(mark) }
            .map { "\(path)/db/\($0)" }
    }
}
