import CommandLineSupport
import Histogram
import NIOCore
import NIOPosix
import Synchronization
import TQClient
import TQModel
import TQWorker

/// The floor that every release must reach on two cores, the load beside the broker: below it nothing is published.
struct Promises {
    /// One promise and what was measured of it.
    struct Verdict {
        var promise: String
        var required: String
        var measured: String
        var isKept: Bool
    }

    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup

    /// Offered rates are 5 % above what is promised, so that a start-up pause does not decide.
    private static let submitRate = 10_500
    private static let taskRate = 5_250

    func measure() async throws -> [Verdict] {
        try await submits() + lifecycle() + oneWorker()
    }

    static func print(_ verdicts: [Verdict], _ format: OutputFormat) {
        let columns = [
            Column<Verdict>("PROMISE", "promise") { $0.promise },
            Column<Verdict>("REQUIRED", "required") { $0.required },
            Column<Verdict>("MEASURED", "measured") { $0.measured },
            Column<Verdict>("VERDICT", "verdict") { $0.isKept ? "kept" : "BROKEN" },
        ]
        Listing(columns).print(verdicts, format: format)
    }

    // MARK: The promises

    private func submits() async throws -> [Verdict] {
        // Ten seconds, and then the backlog at which memory is promised.
        let run = makeRun(total: 100_000, queue: "promises-submit")
        let seconds = try await load(run, rate: Self.submitRate, label: "submit")
        let rate = Double(run.submittedCount) / seconds
        return [
            atLeast("submits per second", 10_000, rate),
            below("submit p99 at that rate, ms", 10, Double(run.submitLatency.valueAtPercentile(99)) / 1000),
            below("resident memory with 100,000 pending, MB", 500, Double(broker.residentBytes) / 1e6),
        ]
    }

    private func lifecycle() async throws -> [Verdict] {
        let total = Self.taskRate * 6
        let crew = try Crew(broker, queue: "promises-lifecycle", workers: 10, expecting: total)
        let run = makeRun(total: total, queue: "promises-lifecycle")
        let before = broker.cpuSeconds
        let began = NIODeadline.now()
        async let processed: Void = crew.finishAll()
        _ = try await load(run, rate: Self.taskRate, label: "lifecycle, 10 workers")
        await processed
        let seconds = Double((NIODeadline.now() - began).nanoseconds) / 1e9
        let cpu = (broker.cpuSeconds - before) / seconds * 100
        try await crew.dismiss()
        return [
            atLeast("tasks per second with 10 workers", 5_000, Double(total) / seconds),
            below("assignment p99 at that rate, ms", 100, crew.assignmentMilliseconds(percentile: 99)),
            below("broker processor time at that rate, % of a core", 50, cpu),
        ]
    }

    private func oneWorker() async throws -> [Verdict] {
        let total = 20_000
        _ = try await load(makeRun(total: total, queue: "promises-worker"), rate: 0, label: "fill for one worker")
        let crew = try Crew(broker, queue: "promises-worker", workers: 1, expecting: total)
        let began = NIODeadline.now()
        await crew.finishAll()
        let seconds = Double((NIODeadline.now() - began).nanoseconds) / 1e9
        try await crew.dismiss()
        return [atLeast("tasks per second of one worker", 1_000, Double(total) / seconds)]
    }

    // MARK: Making load

    private func makeRun(total: Int, queue: String) -> LoadRun {
        LoadRun(
            total: total,
            goal: .submitted,
            queue: queue,
            payloadByteCount: 256,
            resultByteCount: 32,
            on: group.next()
        )
    }

    private func load(_ run: LoadRun, rate: Int, label: String) async throws -> Double {
        let connections = 4
        let interval = rate == 0 ? 0 : Int64(connections) * 1_000_000_000 / Int64(rate)
        let began = NIODeadline.now()
        try await run.execute(
            (0..<connections).map { _ in Producer(run, window: 256, interval: interval) },
            host: broker.host,
            port: broker.port,
            on: group,
            label: label
        )
        return Double((NIODeadline.now() - began).nanoseconds) / 1e9
    }

    // MARK: Verdicts

    private func atLeast(_ promise: String, _ required: Double, _ measured: Double) -> Verdict {
        Verdict(
            promise: promise,
            required: ">= \(text(required))",
            measured: text(measured),
            isKept: measured >= required
        )
    }

    private func below(_ promise: String, _ required: Double, _ measured: Double) -> Verdict {
        Verdict(
            promise: promise,
            required: "< \(text(required))",
            measured: text(measured),
            isKept: measured < required
        )
    }

    private func text(_ value: Double) -> String {
        value >= 100 || value == value.rounded() ? "\(Int(value))" : "\(Double(Int(value * 100)) / 100)"
    }
}

/// Workers of the worker library, in this process, that return a fixed result.
private struct Crew {
    private let workers: [Worker]
    private let running: [Task<Void, any Error>]
    private let tally: Tally

    init(_ broker: MeasuredBroker, queue: String, workers count: Int, expecting total: Int) throws {
        let tally = Tally(expecting: total)
        let result = Bytes(repeating: 0x72, count: 32)
        workers = try (0..<count).map { _ in
            var options = WorkerOptions()
            options.queues = [Name(queue)]
            options.concurrency = 64
            let worker = try Worker(brokers: "\(broker.host):\(broker.port)", options: options)
            worker.register("bench") { payload, _ in
                tally.count(NIODeadline.now() - .uptimeNanoseconds(payload.stamp))
                return result
            }
            return worker
        }
        running = workers.map { worker in Task { try await worker.run() } }
        self.tally = tally
    }

    func finishAll() async { for await _ in tally.done {} }

    func assignmentMilliseconds(percentile: Double) -> Double { tally.milliseconds(percentile: percentile) }

    func dismiss() async throws {
        for worker in workers { await worker.shutdown() }
        for task in running { try await task.value }
    }
}

/// Counts handled tasks, and how long each had waited for its worker.
private final class Tally: Sendable {
    private struct State {
        var left: Int
        var latency = Histogram<UInt32>.latency
    }

    private let state: Mutex<State>
    /// Ends when all expected tasks were handled.
    let done: AsyncStream<Void>
    private let end: AsyncStream<Void>.Continuation

    init(expecting total: Int) {
        state = Mutex(State(left: total))
        (done, end) = AsyncStream<Void>.makeStream()
    }

    func count(_ latency: TimeAmount) {
        state.withLock { state in
            state.latency.record(UInt64(min(max(1, latency.nanoseconds / 1000), 60_000_000)))
            state.left -= 1
            if state.left == 0 { end.finish() }
        }
    }

    func milliseconds(percentile: Double) -> Double {
        state.withLock { Double($0.latency.valueAtPercentile(percentile)) / 1000 }
    }
}
