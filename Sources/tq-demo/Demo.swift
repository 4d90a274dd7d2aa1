import CommandLineSupport
import Glibc
import TQClient
import TQModel

/// The demo from the first submit to the verdict.
struct Demo {
    let files: FileSet
    let directory: DemoDirectory
    let group: pid_t
    var concurrency: Int?

    static let queue: Name = "demo"

    func run(isSabotaged: Bool) async throws -> Verdict {
        let start = ContinuousClock.now
        let broker = try DemoBroker(data: directory.data, log: directory.brokerLog, group: group)
        try await broker.start()
        let client = try makeClient(broker.address)
        let submission = Submission(files)
        try await submission.run(client, broker)
        let submitted = await submission.files
        let duplicates = await submission.duplicates
        if duplicates > 0 {
            say("\(duplicates) tasks that were sent again had been stored before the kill: they are there once")
        }

        let worker = try startWorker(broker.address)
        try await Work(client: client, broker: broker, count: submitted.count).run(worker, log: directory.workerLog)
        await client.close()
        try await broker.stop()

        var stored = try readStore(directory, group: group)
        if isSabotaged { Self.sabotage(&stored) }
        let digests = try directDigests(of: Array(submitted.values), group: group, log: directory.checkLog)
        return Verdict(
            comparison: Comparison(stored, submitted, digests),
            vanished: await submission.vanished,
            kills: await broker.kills,
            duration: ContinuousClock.now - start
        )
    }

    private func makeClient(_ address: String) throws -> TQClient {
        var options = ClientOptions()
        options.clientName = "tq-demo/\(tqVersion)"
        return TQClient(addresses: try BrokerAddress.list(address), options: options)
    }

    /// One process for all tasks, whatever happens to the broker.
    private func startWorker(_ address: String) throws -> ChildProcess {
        // Few at once for few files, so that there is a middle in which to kill the broker. Leases are short, because
        // a task that was on its way to the worker when the broker was killed is delivered again after its lease.
        let programs = concurrency ?? max(1, min(2 * sysconf(Int32(_SC_NPROCESSORS_ONLN)), files.files.count / 10))
        let arguments = [
            try siblingPath("tq-worker"), "--broker-addr", address, "exec", "--queue", "\(Self.queue)", "--concurrency",
            "\(programs)", "--lease", "5s", "--", "sha256sum",
        ]
        let worker = try ChildProcess(launch(arguments.map { Path($0) }, group: group, log: directory.workerLog))
        say("worker \(worker.id) runs sha256sum, \(programs) at once")
        return worker
    }

    /// What the comparison must find: a task less, and a result that is another one.
    private static func sabotage(_ stored: inout [StoredTask]) {
        stored = Array(stored.dropFirst())
        guard let last = stored.popLast() else { return }
        stored.append(StoredTask(id: last.id, state: last.state, result: Array("altered".utf8)))
    }
}

/// How the demo ended.
struct Verdict {
    let comparison: Comparison
    let vanished: Int
    let kills: Int
    let duration: Duration

    var isGood: Bool { comparison.isGood }

    /// The one line that matters.
    var line: String {
        let times = kills == 1 ? "once" : kills == 2 ? "twice" : "\(kills) times"
        let tenths = Int(duration / .milliseconds(100))
        var parts = [
            "\(comparison.tasks) tasks", "\(comparison.results) results", "\(comparison.lost.count) lost",
            "\(comparison.wrong.count) wrong", "broker killed \(times)", "\(tenths / 10).\(tenths % 10) s",
        ]
        if comparison.changed > 0 {
            parts.append("\(comparison.changed) files changed meanwhile and were not compared")
        }
        if vanished > 0 { parts.append("\(vanished) files were gone when their turn came") }
        return parts.joined(separator: ", ")
    }

    /// What is wrong, one line each.
    var problems: String {
        let all = comparison.lost.map { "lost: \($0)" } + comparison.wrong.map { "wrong: \($0)" }
        return (all.prefix(20) + (all.count > 20 ? ["and \(all.count - 20) more"] : [])).joined(separator: "\n")
    }
}
