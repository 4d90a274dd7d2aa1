import Foundation
import Testing

@Suite("Content types and compression on the command line", .timeLimit(.minutes(10)))
struct ContentTests {
    private static let log = String(repeating: "a line of a log\n", count: 500)
    private static let dictionary = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../Fixtures/invoices.dictionary").standardizedFileURL.path
    private static let invoice = """
        {"kind": "invoice", "id": 4, "customer": {"name": "ada", "country": "DE"}, "lines": [], "paid": true}
        """

    private func fields(_ outcome: CommandOutcome) throws -> [String: Any] {
        #expect(outcome.status == 0, "\(outcome.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        return try #require(object as? [String: Any] ?? (object as? [[String: Any]])?.first)
    }

    private func id(_ outcome: CommandOutcome) throws -> String {
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test("a compressed payload is plain for the program, which learns what it is, and so is its result for who asks")
    func roundTrip() throws {
        let broker = try BrokerProcess()
        let id = try id(
            broker.admin(
                "submit",
                "count",
                "--payload-file",
                "-",
                "--content-type",
                "text/plain",
                "--compress",
                input: Self.log
            )
        )
        let waiting = try fields(broker.admin("status", id, "--output", "json"))
        #expect(waiting["payload_content_type"] as? String == "text/plain")
        #expect(waiting["payload_encoding"] as? String == "zstd")
        let worker = try broker.startWorker(
            "exec",
            "--compress",
            "--result-type",
            "text/csv",
            "--",
            "sh",
            "-c",
            "echo $TQ_TASK_CONTENT_TYPE; cat"
        )
        defer { worker.end() }
        let expected = "text/plain\n" + Self.log
        #expect(try broker.admin("wait", id, "--timeout", "60s").output == expected)
        let result = try fields(broker.admin("result", id, "--output", "json"))
        #expect(result["result"] as? String == expected)
        #expect(result["content_type"] as? String == "text/csv")
        let status = try fields(broker.admin("status", id, "--output", "json"))
        #expect(status["result_content_type"] as? String == "text/csv")
        #expect(status["result_encoding"] as? String == "zstd")
        #expect(status["result_bytes"] as? Int ?? 1_000 < 200)
        worker.end()
        broker.stop()
        let dump = try Commands.run("tq-inspect", ["dump", "--data-dir", broker.directory.path])
        let task = try fields(dump)
        #expect(task["result_content_type"] as? String == "text/csv" && task["result_encoding"] as? String == "zstd")
        #expect(task["result_base64"] != nil)
    }

    @Test("with a dictionary both sides read what the other one sends; without it the attempt fails and says why")
    func dictionary() throws {
        let broker = try BrokerProcess()
        let submit = ["submit", "echo", Self.invoice, "--compress", "--dictionary", Self.dictionary]
        let first = try id(broker.admin(submit))
        let worker = try broker.startWorker("exec", "--", "cat")
        let lost = try broker.admin("wait", first, "--timeout", "60s")
        #expect(lost.status == 10)
        #expect(lost.errors.contains("it needs dictionary 4711, which was not given"))
        worker.end()
        let other = try broker.startWorker(
            "exec",
            "--compress",
            "--dictionary",
            Self.dictionary,
            "--",
            "cat",
            Self.dictionary
        )
        defer { other.end() }
        #expect(try broker.admin("dead-letter", "redrive", first).status == 0)
        #expect(try broker.admin("wait", first, "--timeout", "60s", "--dictionary", Self.dictionary).status == 0)
    }

    @Test("another payload for a dead letter says what it is; options that mean nothing are refused")
    func redrive() throws {
        let broker = try BrokerProcess()
        let id = try id(broker.admin("submit", "t", "old", "--max-retries", "0", "--content-type", "text/plain"))
        let worker = try broker.startWorker("exec", "--", "false")
        #expect(try broker.admin("wait", id, "--timeout", "60s").status == 10)
        worker.end()
        let dead = try fields(broker.admin("status", id, "--output", "json"))
        #expect(dead["payload_content_type"] as? String == "text/plain")
        let redrive = try broker.admin(
            "dead-letter",
            "redrive",
            id,
            "--payload-file",
            "-",
            "--content-type",
            "text/csv",
            "--compress",
            input: Self.log
        )
        #expect(redrive.status == 0, "\(redrive.errors)")
        let status = try fields(broker.admin("status", id, "--output", "json"))
        #expect(status["payload_content_type"] as? String == "text/csv")
        #expect(status["payload_encoding"] as? String == "zstd")
        for arguments in [
            ["dead-letter", "redrive", id, "--content-type", "text/csv"], ["dead-letter", "redrive", id, "--compress"],
            ["submit", "t", "p", "--dictionary", Self.dictionary],
        ] { #expect(try broker.admin(arguments).status == 64, "\(arguments)") }
    }
}
