import CommandLineSupport
import Histogram
import NIOPosix
import TQClient
import TQModel

/// What a backlog that waits for its key costs the tasks of other keys: waits for delivery at a fixed rate, in turns on a broker
/// without such a backlog and on one with it.
struct BlockedKey {
    let free: MeasuredBroker
    let blocked: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    /// Submits per second.
    let rate: Int
    /// Tasks that wait for the key.
    let tasks: Int

    private static let rounds = 5
    private static let seconds = 5
    private static let factorMax = 1.2
    private static let queue: Name = "bench"

    func measure() async throws -> [Figure] {
        // A holder that goes away gives its place back.
        var holders: [TQClient] = []
        for broker in [free, blocked] {
            let stock = try await Stock(broker)
            try await stock.client.limitRunning(.key("full"), to: 1)
            try await stock.client.limitRunning(.key("key-*"), to: 4)
            // The first one takes the only place, and keeps it.
            let spec = TaskSpec(
                queue: Self.queue,
                type: "bench",
                payload: Bytes(repeating: 0x61, count: 256),
                leaseMilliseconds: 86_400_000,
                timeoutMilliseconds: 86_400_000,
                sharing: Sharing(limitKey: "full")
            )
            try await stock.submit(1, "holder submitted") { _ in spec }
            guard try await stock.client.claim(ClaimSpec(queues: [Self.queue])).count == 1 else {
                throw CommandFailure(.failed, "The task that holds the key is missing.")
            }
            if broker === blocked { try await stock.submit(tasks, "tasks behind the key") { _ in spec } }
            holders.append(stock.client)
        }
        let figures = try await compare()
        for holder in holders { await holder.close() }
        return figures
    }

    private func compare() async throws -> [Figure] {
        var alone = Histogram<UInt32>.latency
        var beside = Histogram<UInt32>.latency
        var factors: [Double] = []
        for round in 0..<Self.rounds {
            let isFreeFirst = round % 2 == 0
            let first = try await waits(isFreeFirst ? free : blocked)
            let second = try await waits(isFreeFirst ? blocked : free)
            let (without, with) = isFreeFirst ? (first, second) : (second, first)
            factors.append(Double(with.valueAtPercentile(99)) / Double(without.valueAtPercentile(99)))
            alone.add(without)
            beside.add(with)
        }
        let factor = Spread(factors)
        return LoadRun.figures("free", alone) + LoadRun.figures("blocked", beside) + factor.figures("p99_factor") + [
            Figure("target", verdict("p99_factor_median < \(Self.factorMax)", factor.median < Self.factorMax))
        ]
    }

    /// How long tasks of other keys wait for their delivery.
    private func waits(_ broker: MeasuredBroker) async throws -> Histogram<UInt32> {
        let run = LoadRun(
            total: rate * Self.seconds,
            goal: .completed,
            queue: "\(Self.queue)",
            payloadByteCount: 256,
            resultByteCount: 32,
            on: group.next()
        )
        let interval = 1_000_000_000 / Int64(rate)
        try await run.execute(
            [
                Consumer(run, window: 256, completes: true),
                Producer(run, window: 256, interval: interval, extras: .sharing),
            ],
            host: broker.host,
            port: broker.port,
            on: group,
            label: broker === free ? "without a backlog" : "with a backlog"
        )
        return run.claimLatency
    }
}
