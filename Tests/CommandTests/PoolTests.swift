import CommandLineSupport
import Foundation
import TQClient
import TQModel
import Testing

@Suite("tq-worker pool, with real processes", .timeLimit(.minutes(10)))
struct PoolTests {
    private func startPool(port: Int, _ arguments: String...) throws -> ObservedProcess {
        let launch = Commands.launch(
            "tq-worker",
            ["pool", "--interval", "20ms"] + arguments,
            environment: ["TQ_BROKER_ADDR": "127.0.0.1:\(port)"]
        )
        return try ObservedProcess(launch, reads: \.errors)
    }

    /// The numbers of the processes that the pool's lines with this message are about.
    private func processes(_ pool: ObservedProcess, _ message: String, count: Int) throws -> [pid_t] {
        try pool.wait(for: count, linesWith: ["\"message\":\"\(message)\""]).map { line in
            let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return pid_t(try #require(fields?["process"] as? Int))
        }
    }

    /// A pipe with a name; it is open for both sides, so that nobody waits for the other one to open it.
    private func makePipe(_ path: String) throws -> FileHandle {
        try #require(mkfifo(path, 0o600) == 0)
        return try #require(FileHandle(forUpdatingAtPath: path))
    }

    private func readLine(_ pipe: FileHandle) throws -> String {
        var line = Data()
        while let byte = try pipe.read(upToCount: 1), byte != Data("\n".utf8) { line += byte }
        return String(decoding: line, as: UTF8.self)
    }

    @Test("a pool grows to its most workers with the backlog, shrinks to its fewest, and leaves no process behind")
    func life() async throws {
        let broker = try BrokerProcess()
        let directory = broker.directory.path
        let started = try makePipe(directory + "/started")
        let gates = try (0..<6).map { try makePipe(directory + "/gate.\($0)") }
        let pool = try startPool(
            port: broker.port,
            "--queue",
            "mail",
            "--max",
            "3",
            "--cool-down",
            "100ms",
            "--",
            "exec",
            "--concurrency",
            "1",
            "--",
            "sh",
            "-c",
            "read task; echo $task $PPID > \(directory)/started; read go < \(directory)/gate.$task"
        )
        #expect(try processes(pool, "worker started", count: 1).count == 1)

        let client = try await TQClient.connect(to: "127.0.0.1:\(broker.port)")
        let specs = gates.indices.map { TaskSpec(queue: "mail", type: "t", payload: Bytes("\($0)\n".utf8)) }
        let ids = try await client.submit(specs).map { try $0.get().id }
        // Each worker runs one task: those that run at once are as many processes.
        var workers: [Int: pid_t] = [:]
        func readStart() throws {
            let words = try readLine(started).split(separator: " ")
            let process = try #require(pid_t(words[1]))
            workers[try #require(Int(words[0]))] = process
        }
        for _ in 0..<3 { try readStart() }
        #expect(Set(workers.values).count == 3)
        #expect(Set(try processes(pool, "worker started", count: 3)) == Set(workers.values))
        let counts = try #require(try await client.queues().first).counts
        #expect(counts.inProgress == 3 && counts.pending == 3)
        #expect(try await client.workers().count == 3)

        // The first task goes on until the others are done.
        for number in 1..<6 {
            if number > 2 { try readStart() }
            let next = try #require(workers.keys.filter { $0 != 0 }.min())
            try gates[next].write(contentsOf: Data("\n".utf8))
            _ = try await client.waitForResult(ids[next], within: .seconds(60))
            workers[next] = nil
        }
        let ended = try processes(pool, "worker ended", count: 2)
        #expect(
            !ended.contains(try #require(workers[0])),
            "a worker without tasks is stopped rather than one with some"
        )
        try gates[0].write(contentsOf: Data("\n".utf8))
        _ = try await client.waitForResult(ids[0], within: .seconds(60))
        for id in ids { #expect(try await client.status(id).attempts == 1) }

        pool.process.signal(SIGTERM)
        #expect(pool.process.exitCode() == 0)
        try pool.waitForEndOfOutput()
        for process in try processes(pool, "worker started", count: 3) {
            #expect(kill(process, 0) == -1 && errno == ESRCH, "\(process) is still there")
        }
        #expect(pool.text.components(separatedBy: "\"worker started\"").count == 4, "\(pool.text)")
        #expect(!pool.text.contains("ended by itself") && !pool.text.contains("killing"), "\(pool.text)")
        #expect(try await client.workers().isEmpty)
        await client.close()
    }

    @Test("the workers of a pool that is killed end what they run, and end")
    func killed() throws {
        let broker = try BrokerProcess()
        let pool = try startPool(port: broker.port, "--min", "2", "--", "demo")
        try pool.wait(for: 2, linesWith: ["\"worker starts\""])
        pool.process.signal(SIGKILL)
        #expect(pool.process.exitCode() == -SIGKILL)
        // It comes when nobody has the pipe any more.
        try pool.waitForEndOfOutput()
        try pool.wait(for: 2, linesWith: ["\"worker stopped\""])
    }

    @Test("a pool without its broker keeps its size, replaces who dies, and goes on when the broker is back")
    func lostBroker() async throws {
        let directory = DataDirectory()
        var broker = try BrokerProcess(directory)
        let port = broker.port
        for _ in 0..<2 { _ = try broker.admin("submit", "sleep", "1h", "--queue", "naps") }
        let pool = try startPool(
            port: port,
            "--queue",
            "naps",
            "--min",
            "0",
            "--max",
            "2",
            "--cool-down",
            "0",
            "--",
            "demo",
            "--concurrency",
            "1",
            "--grace",
            "0"
        )
        let workers = try processes(pool, "worker started", count: 2)
        try pool.wait(for: 2, linesWith: ["\"worker starts\""])
        broker.signal(SIGKILL)
        #expect(broker.waitForExit() == -SIGKILL)
        try pool.wait(forLineWith: ["the pool keeps its size", "\"wanted\":2"])
        #expect(kill(workers[0], SIGKILL) == 0)
        try pool.wait(forLineWith: ["worker ended by itself", "signal 9"])
        #expect(try processes(pool, "worker started", count: 3).count == 3)
        #expect(!pool.text.contains("asks for fewer"))
        broker = try BrokerProcess(directory, ["--port", "\(port)"])
        try pool.wait(forLineWith: ["the broker is back"])
        pool.process.signal(SIGTERM)
        #expect(pool.process.exitCode() == 0)
        try pool.waitForEndOfOutput()
        #expect(!pool.text.contains("killing"), "\(pool.text)")
        // In good order it would wait for the lease of the worker that was killed.
        broker.signal(SIGKILL)
    }

    @Test("a worker that ends as soon as it starts is started again after waits that grow")
    func earlyEnd() throws {
        let pool = try startPool(port: 1, "--max", "1", "--", "sh", "-c", "exit 7")
        let lines = try pool.wait(for: 3, linesWith: ["no worker is started for a while"])
        let waits = try lines.map { line in
            let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return try #require(fields?["wait_ms"] as? Int)
        }
        #expect(waits[0] > 0 && waits == waits.sorted(), "\(waits)")
        try pool.wait(for: 3, linesWith: ["worker ended by itself", "exit code 7"])
        pool.process.signal(SIGTERM)
        #expect(pool.process.exitCode() == 0)
        try pool.waitForEndOfOutput()
    }

    @Test("a worker that does not end is killed after its grace, or at the second signal", arguments: [false, true])
    func stubborn(hasSecondSignal: Bool) throws {
        let script = "trap '' TERM; echo ready $TQ_BROKER_ADDR >&2; exec tail -f /dev/null"
        let grace = hasSecondSignal ? "1h" : "50ms"
        let pool = try startPool(port: 1, "--max", "1", "--grace", grace, "--", "sh", "-c", script)
        try pool.wait(forLineWith: ["ready 127.0.0.1:1"])
        pool.process.signal(SIGTERM)
        try pool.wait(forLineWith: ["stopping: workers may end"])
        if hasSecondSignal { pool.process.signal(SIGTERM) }
        #expect(pool.process.exitCode() == 0)
        try pool.waitForEndOfOutput()
        try pool.wait(forLineWith: ["\"worker ended\"", "signal 9"])
        try pool.wait(forLineWith: [hasSecondSignal ? "killing all workers" : "worker does not end: killing it"])
    }

    @Test("what would not work as a pool is refused, with the option and its value")
    func usage() throws {
        let wrongs: [([String], String)] = [
            ([], "after --"),
            (["--", "no-such-program"], "no program 'no-such-program'"),
            (["--", "exec"], "Say which program to run"),
            (["--", "exec", "--", "no-such-program"], "no program 'no-such-program'"),
            (["--", "exec", "--nonsense", "--", "cat"], "--nonsense"),
            (["--", "demo", "--name", "w1"], "cannot all be 'w1'"),
            (["--", "demo", "--concurrency", "0"], "0 tasks for a worker"),
            (["--tasks-per-worker", "0", "--", "demo"], "0 tasks for a worker"),
            (["--min", "6", "--max", "5", "--", "demo"], "--min 6"),
            (["--min=-1", "--", "demo"], "--min -1"),
            (["--max", "0", "--", "demo"], "--max 0"),
            (["--max", "1001", "--", "demo"], "--max 1001"),
            (["--interval", "9ms", "--", "demo"], "--interval 9ms"),
        ]
        for (arguments, words) in wrongs {
            let outcome = try Commands.run("tq-worker", ["pool"] + arguments)
            #expect(outcome.status == 64 && outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
        }
        let help = try Commands.run("tq-worker", ["pool", "--help"]).output.split(whereSeparator: \.isWhitespace)
        #expect(help.joined(separator: " ").contains("no more than 10 in an --interval"))
    }
}
