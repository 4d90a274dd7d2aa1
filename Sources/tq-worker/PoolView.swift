import Glibc
import TQClient
import TQModel
import TQWorker

/// What a pool sees when it looks at the broker.
struct PoolView: Sendable {
    /// Tasks of the pool's queues that can start now, and those that run.
    let tasks: UInt64
    private let workers: [WorkerStatus]

    /// - Throws: What the client throws.
    init(of queues: Set<Name>, through client: TQClient) async throws(TQError) {
        let counts = try await client.queues().filter { queues.contains($0.name) }.map(\.counts)
        tasks = counts.reduce(0) { $0 + $1.pending + $1.inProgress }
        workers = try await client.workers()
    }

    /// How many tasks the worker of a process of this machine holds; 0 for one that has not said who it is.
    ///
    /// It is found by the name that workers make for themselves.
    func leases(ofProcess id: pid_t) -> UInt32 {
        let prefix = WorkerOptions.makeNamePrefix(process: id).utf8
        return workers.first { $0.spec.name.bytes.starts(with: prefix) }?.leases ?? 0
    }
}
