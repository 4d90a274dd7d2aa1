import ByteStore
import HistoryChecker
import Storage
import TQModel

/// What a broker would find in a data directory that nobody uses.
enum StoredTasks {
    /// All of it, as the events of a dump.
    ///
    /// - Throws: Why a broker would refuse the store.
    static func dump(_ dataDirectory: String) throws(StorageError) -> [Event.Kind] {
        let mark = try HighWaterMark.read(dataDirectory + "/mark")
        var options = RocksDBOptions.numbered
        options.memtableBytes = 1 << 20
        let store = try StoreOpening(dataDirectory + "/db", options: options, mark: mark).store
        defer { store.close() }
        var events = [Event.Kind.dumpBegan(mustEqualPrevious: false)]
        do throws(StorageError) {
            let inspection = try StoreInspection(store, mark: mark)
            try inspection.forEachTask(withPayloads: true) { task throws(StorageError) in
                if let damage = task.damage {
                    throw StorageError(.corruption, "task \(task.id) is damaged: \(damage)", path: dataDirectory)
                }
                events.append(.dumped(StoredTask(task)))
            }
            events.append(.counted(queue: nil, try inspection.summary().counts))
        } catch  where error.kind == .notFound {
            // The power was cut before the store had anything.
        }
        events.append(.dumpEnded)
        return events
    }
}

extension StoredTask {
    fileprivate init(_ task: StoreInspection.InspectedTask) {
        self.init(
            id: task.id,
            queue: QueueNumber((Load.queues.firstIndex(of: task.queue) ?? -1) + 1),
            rank: task.priority.rank,
            state: task.state,
            attempts: task.attempts,
            payload: task.payload.map { Digest(of: $0) },
            result: task.result.map { Digest(of: $0) }
        )
    }
}
