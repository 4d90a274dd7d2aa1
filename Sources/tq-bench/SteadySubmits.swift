import Histogram
import NIOCore
import NIOPosix

/// Submits at a fixed rate, whose latency says what something else costs everybody.
struct SteadySubmits {
    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    let queue: String
    /// Submits per second.
    let rate: Int

    private static let connections = 4

    /// The latency of so many submits.
    func latency(of tasks: Int, _ label: String) async throws -> Histogram<UInt32> {
        let run = makeRun(tasks)
        try await execute(run, label)
        return run.submitLatency
    }

    /// The latency of the submits while something else happens.
    func latency(_ label: String, while body: () async throws -> Void) async throws -> Histogram<UInt32> {
        let run = makeRun(LoadRun.endless)
        let loop = group.next()
        async let load: Void = execute(run, label)
        do {
            try await body()
        } catch {
            loop.execute { run.end() }
            throw error
        }
        loop.execute { run.end() }
        try await load
        return run.submitLatency
    }

    private func makeRun(_ total: Int) -> LoadRun {
        LoadRun(
            total: total,
            goal: .submitted,
            queue: queue,
            payloadByteCount: 256,
            resultByteCount: 0,
            on: group.next()
        )
    }

    private func execute(_ run: LoadRun, _ label: String) async throws {
        let interval = Int64(Self.connections) * 1_000_000_000 / Int64(rate)
        try await run.execute(
            (0..<Self.connections).map { _ in Producer(run, window: 256, interval: interval) },
            host: broker.host,
            port: broker.port,
            on: group,
            label: label
        )
    }
}
