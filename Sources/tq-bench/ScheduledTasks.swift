import CommandLineSupport
import Glibc
import Histogram
import NIOCore
import NIOPosix
import TQClient
import TQModel

/// How late scheduled tasks reach a worker that waits for them, while others pass.
///
/// As many tasks wait for their time as fall due in one hour; those of the first seconds are measured. The others are due
/// when the run is over, so that the broker holds them all the time.
struct ScheduledTasks {
    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    /// Scheduled tasks, due over one hour.
    let tasks: Int
    /// How much of the hour is measured.
    let seconds: Int
    /// Other tasks per second that are submitted, claimed and completed.
    let rate: Int

    private static let hour = 3600
    private static let queue: Name = "scheduled"
    private static let lateMillisecondsMax = 100.0
    private static let otherRateMin = 20_000.0

    private var measured: Int { tasks * seconds / Self.hour }

    func measure() async throws -> [Figure] {
        guard measured > 0 else { throw CommandFailure(.usage, "No task is due in \(seconds) s: add --tasks 100000.") }
        let stock = try await Stock(broker)
        try await schedule(tasks - measured, from: wallMilliseconds() + restDelay, stock, "tasks due later")
        // What is measured is stored before its first task is due.
        let start = wallMilliseconds() + 2_000 + UInt64(measured / 20)
        try await schedule(measured, from: start, stock, "tasks due now")
        guard wallMilliseconds() < start else {
            throw CommandFailure(.failed, "The tasks were not stored before the first one was due.")
        }
        let held = try await stock.client.statistics().counts.scheduled
        let run = makeRun(measured, Self.queue, on: group)
        let meter = LatenessMeter(run, window: 64, completes: true)
        async let lateness: Void = run.execute(
            [meter],
            host: broker.host,
            port: broker.port,
            on: group,
            label: "scheduled tasks"
        )
        try await Task.sleep(for: .milliseconds(start - min(start, wallMilliseconds())))
        let other = try await otherLoad()
        try await lateness
        let left = try await stock.client.statistics().counts.scheduled
        await stock.client.close()
        return [Figure("scheduled_held", held), Figure("scheduled_left", left), Figure("scheduled_measured", measured)]
            + figures(run.claimLatency, early: meter.earlyCount, other)
    }

    /// Milliseconds from the beginning until tasks are due that are not measured: a long time after the end.
    private var restDelay: UInt64 { UInt64(seconds) * 1000 + 120_000 + UInt64(tasks / 5) }

    /// Stores tasks that are due at the rate of the whole hour, in no order.
    private func schedule(_ count: Int, from start: UInt64, _ stock: Stock, _ label: String) async throws {
        var random = SplitMix64(seed: 1)
        let places = (0..<count).shuffled(using: &random)
        let payload = Bytes(repeating: 0x61, count: 248)
        let span = Double(Self.hour * 1000) / Double(tasks)
        try await stock.submit(count, label) { index in
            let due = start + UInt64(Double(places[index]) * span)
            let stamp = withUnsafeBytes(of: due.bigEndian) { Bytes($0) }
            return TaskSpec(
                queue: Self.queue,
                type: "bench",
                payload: stamp + payload,
                start: .at(wallMilliseconds: due)
            )
        }
    }

    /// Lets other tasks pass while scheduled ones fall due.
    private func otherLoad() async throws -> Usage {
        // Its own thread, so that it does not delay the meter.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let run = makeRun(rate * seconds, "others", on: group)
        let connections = 4
        let batch = 20
        let interval = Int64(connections * batch) * 1_000_000_000 / Int64(rate)
        let loads =
            (0..<connections).map { _ in Consumer(run, window: 256, completes: true) }
            + (0..<connections).map { _ in Producer(run, window: 64, interval: interval, batch: batch) }
        let usage = try await broker.usage {
            try await run.execute(loads, host: broker.host, port: broker.port, on: group, label: "other tasks")
        }
        try await group.shutdownGracefully()
        return usage
    }

    private func makeRun(_ total: Int, _ queue: Name, on group: MultiThreadedEventLoopGroup) -> LoadRun {
        LoadRun(
            total: total,
            goal: .completed,
            queue: queue.description,
            payloadByteCount: 256,
            resultByteCount: 32,
            on: group.next()
        )
    }

    private func figures(_ lateness: Histogram<UInt32>, early: Int, _ other: Usage) -> [Figure] {
        func late(_ percentile: Double) -> Double { Double(lateness.valueAtPercentile(percentile)) / 1000 }
        let otherRate = Double(rate * seconds) / other.seconds
        let isMet = late(99) < Self.lateMillisecondsMax && otherRate >= Self.otherRateMin && early == 0
        return [
            Figure("late_ms_p50", late(50)), Figure("late_ms_p99", late(99)), Figure("late_ms_max", late(100)),
            Figure("early", early), Figure("other_tasks_per_second", Int(otherRate)),
            Figure("broker_cpu_percent", other.cpuSeconds / other.seconds * 100),
            Figure("broker_rss_mb", Double(other.residentBytes) / 1e6),
            Figure("target", verdict("late_ms_p99 < 100 with other_tasks_per_second >= 20000", isMet)),
        ]
    }
}

/// Claims scheduled tasks, whose payloads begin with the milliseconds since 1970 at which they are due.
private final class LatenessMeter: Consumer, @unchecked Sendable {
    /// Tasks that came before their time.
    private(set) var earlyCount = 0

    override func wait(of delivery: Delivery, until now: NIODeadline) -> TimeAmount {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let late = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) - Int64(delivery.payload.stamp) * 1_000_000
        if late < 0 { earlyCount += 1 }
        return .nanoseconds(late)
    }
}

private func wallMilliseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
}
