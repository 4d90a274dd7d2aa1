import CommandLineSupport
import Histogram
import NIOPosix
import TQClient
import TQModel

/// What a redrive of many dead letters costs everybody else: submits at a fixed rate, in turns alone and beside one.
struct Redrives {
    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    let rate: Int
    /// Dead letters.
    let tasks: Int

    private static let rounds = 3
    private static let idleSeconds = 5
    private static let factorMax = 2.0
    private static let queue: Name = "redrive"

    func measure() async throws -> [Figure] {
        let stock = try await Stock(broker)
        let submits = SteadySubmits(broker: broker, group: group, queue: "others", rate: rate)
        let payload = Bytes(repeating: 0x61, count: 256)
        try await stock.submit(tasks, "tasks submitted") { _ in
            TaskSpec(queue: Self.queue, type: "bench", payload: payload)
        }
        var idle = Histogram<UInt32>.latency
        var during = Histogram<UInt32>.latency
        var factors: [Double] = []
        var rates: [Double] = []
        for _ in 0..<Self.rounds {
            try await stock.bury(tasks, in: [Self.queue], "dead letters made")
            let alone = try await submits.latency(of: rate * Self.idleSeconds, "submits alone")
            let began = ContinuousClock.now
            let beside = try await submits.latency("submits beside a redrive") { try await redriveAll(stock.client) }
            rates.append(Double(tasks) / ((ContinuousClock.now - began) / .seconds(1)))
            factors.append(Double(beside.valueAtPercentile(99)) / Double(alone.valueAtPercentile(99)))
            idle.add(alone)
            during.add(beside)
        }
        await stock.client.close()
        let factor = Spread(factors)
        return LoadRun.figures("idle", idle) + LoadRun.figures("during", during) + factor.figures("p99_factor")
            + Spread(rates).wholeFigures("redriven_per_second") + [
                Figure("target", verdict("p99_factor_median < \(Self.factorMax)", factor.median < Self.factorMax))
            ]
    }

    /// One bulk operation, as `tq-admin dead-letter redrive` starts it.
    private func redriveAll(_ client: TQClient) async throws {
        let progress = Progress("dead letters redriven", total: UInt64(tasks))
        let operation = try await client.startBulk(BulkSpec(.redrive, filter: TaskFilter(queue: Self.queue)))
        let ended = try await client.waitForBulk(operation.number) { progress.update($0.changed) }
        progress.finish(ended.changed)
        guard ended.changed == tasks else {
            throw CommandFailure(.failed, "\(ended.changed) of \(tasks) dead letters were redriven.")
        }
    }
}
