import CommandLineSupport
import TQClient
import TQModel

/// Gives a broker tasks in the states that something is measured with, by the client library.
struct Stock {
    let client: TQClient

    private static let batch = 1000
    private static let requestsAtOnce = 8

    init(_ broker: MeasuredBroker) async throws {
        var options = ClientOptions()
        options.makesIdempotencyKeys = false
        client = try await TQClient.connect(to: "\(broker.host):\(broker.port)", options: options)
    }

    /// Submits tasks, about in their order.
    @discardableResult
    func submit(
        _ count: Int,
        _ label: String,
        _ task: @escaping @Sendable (Int) -> TaskSpec
    ) async throws -> [TaskID] {
        let progress = Progress(label, total: UInt64(count))
        var ids: [TaskID] = []
        try await withThrowingTaskGroup(of: [TaskID].self) { group in
            var running = 0
            for first in stride(from: 0, to: count, by: Self.batch) {
                if running >= Self.requestsAtOnce, let done = try await group.next() {
                    ids += done
                    progress.update(UInt64(ids.count))
                } else {
                    running += 1
                }
                group.addTask { [client] in
                    let tasks = (first..<min(count, first + Self.batch)).map(task)
                    return try await client.submit(tasks).map { try $0.get().id }
                }
            }
            for try await done in group { ids += done }
        }
        progress.finish(UInt64(ids.count))
        return ids
    }

    /// Makes dead letters of tasks that wait in these queues.
    func bury(_ count: Int, in queues: [Name], _ label: String) async throws {
        try await end(count, in: queues, label) { [client] deliveries in
            try await client.fail(
                deliveries.map { Failure(lease: $0.lease, error: Bytes("no such host".utf8), isPermanent: true) }
            )
        }
    }

    /// Completes tasks that wait in these queues.
    func complete(_ count: Int, in queues: [Name], _ label: String) async throws {
        try await end(count, in: queues, label) { [client] deliveries in
            try await client.complete(
                deliveries.map { Completion(lease: $0.lease, result: Bytes(repeating: 0x72, count: 32)) }
            )
        }
    }

    private func end(
        _ count: Int,
        in queues: [Name],
        _ label: String,
        _ report: ([Delivery]) async throws -> [TQError?]
    ) async throws {
        let progress = Progress(label, total: UInt64(count))
        var done = 0
        while done < count {
            let size = UInt32(min(Self.batch, count - done))
            let deliveries = try await client.claim(ClaimSpec(queues: queues, count: size))
            guard !deliveries.isEmpty else { throw CommandFailure(.failed, "\(count - done) tasks are missing.") }
            if let error = try await report(deliveries).lazy.compactMap({ $0 }).first { throw error }
            done += deliveries.count
            progress.update(UInt64(done))
        }
        progress.finish(UInt64(done))
    }
}
