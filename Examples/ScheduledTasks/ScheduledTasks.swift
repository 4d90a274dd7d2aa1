import Foundation
import TQClient
import TQModel
import TQWorker

/// What worker and client agree on.
enum MakeReport: TaskDefinition {
    struct Input: Codable, Sendable {
        var kind: String
    }
    struct Output: Codable, Sendable {
        var finished: Date
    }
    static let taskType = "make_report"
    static let queue = "reports"
}

/// Submits tasks that start later, and one again and again.
@main
enum ScheduledTasks {
    static func main() async {
        let addresses = ProcessInfo.processInfo.environment["TQ_BROKER_ADDR"] ?? "127.0.0.1:6379"
        do {
            let client = try await TQClient.connect(to: addresses)
            // The worker is here only so that the example needs no other program.
            var options = WorkerOptions()
            options.queues = [Name(MakeReport.queue)]
            let worker = try Worker(brokers: addresses, options: options)
            worker.register(MakeReport.self) { _, _ in MakeReport.Output(finished: .now) }
            async let running: Void = worker.run()
            try await startLater(client)
            try await recur(client)
            await worker.shutdown()
            try await running
            await client.close()
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }

    /// Two tasks that wait for their time: a span from now, and a time of the wall clock.
    private static func startLater(_ client: TQClient) async throws(TQError) {
        // A span is measured on a clock that nobody sets.
        let delayed = try await client.submit(MakeReport.self, .init(kind: "delayed")) { task in
            task.start = .after(milliseconds: 1_000)
        }
        let time = Date(timeIntervalSinceNow: 2)
        let timed = try await client.submit(MakeReport.self, .init(kind: "timed")) { task in
            task.start = .at(wallMilliseconds: UInt64(time.timeIntervalSince1970 * 1000))
        }
        for (name, task) in [("delayed", delayed), ("timed", timed)] {
            let status = try await client.status(task.id)
            print("\(name) \(task.id) is \(status.state.name) until \(text(status.startWallMilliseconds))")
        }
        for (name, task) in [("delayed", delayed), ("timed", timed)] {
            let report = try await task.result(within: .seconds(60))
            print("\(name) \(task.id) finished \(text(report.finished))")
        }
    }

    /// A task for each working day at 8:30 in Berlin, also when clocks change there.
    private static func recur(_ client: TQClient) async throws(TQError) {
        let recurrence = "cron:30 8 * * MON-FRI Europe/Berlin"
        // Asks the broker when that is; nothing is kept.
        for tick in try await client.upcomingTicks(of: recurrence) { print("would be due \(text(tick))") }

        // Put again unchanged, as with each start of a program, it loses no tick and gets none twice.
        let status = try await client.putRecurring(
            RecurringSpec(
                name: "working-day",
                recurrence: Bytes(recurrence.utf8),
                task: TaskSpec(
                    queue: Name(MakeReport.queue),
                    type: Name(MakeReport.taskType),
                    payload: try JSONPayload.encode(MakeReport.Input(kind: "recurring"))
                ),
                // No second report while one is being made.
                overlap: .skip
            )
        )
        show(status)
        // Ticks that pass while it is paused are left out.
        show(try await client.pauseRecurring(status.name))
        show(try await client.resumeRecurring(status.name))

        // Once now, besides its ticks.
        let id = try await client.runRecurring(status.name)
        let report = try await TaskHandle<MakeReport.Output>(id: id, client: client).result(within: .seconds(60))
        print("recurring \(id) finished \(text(report.finished))")

        // Only the example forgets it again; leave this out.
        try await client.removeRecurring(status.name)
        print("\(status.name) is removed")
    }

    private static func show(_ status: RecurringStatus) {
        let next = status.upcoming.first.map(text) ?? "never"
        print("\(status.name) \(status.isPaused ? "is paused" : "runs"), next \(next)")
    }

    private static func text(_ wallMilliseconds: UInt64) -> String {
        text(Date(timeIntervalSince1970: Double(wallMilliseconds) / 1000))
    }

    private static func text(_ date: Date) -> String {
        date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
