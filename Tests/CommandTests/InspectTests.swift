import Foundation
import Testing

@Suite("tq-inspect")
struct InspectTests {
    private func inspect(_ verb: String, _ broker: BrokerProcess, _ more: String...) throws -> CommandOutcome {
        try Commands.run("tq-inspect", [verb, "--data-dir", broker.directory.path] + more)
    }

    private func object(_ text: some StringProtocol) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("a directory in use is refused with the process id of its broker")
    func inUse() throws {
        let broker = try BrokerProcess()
        for verb in ["summary", "dump", "verify"] {
            let outcome = try inspect(verb, broker)
            #expect(outcome.status == 3 && outcome.output.isEmpty, "\(verb)")
            #expect(
                outcome.errors.contains("in use by process \(broker.processIdentifier)"),
                "\(verb): \(outcome.errors)"
            )
        }
    }

    @Test("a directory without a store is not made into one")
    func noStore() throws {
        let path = FileManager.default.temporaryDirectory.appending(component: "tq-test-\(UUID().uuidString)").path
        #expect(try Commands.run("tq-inspect", ["verify", "--data-dir", path]).status == 2)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try Commands.run("tq-inspect", ["verify"]).status == 64)
    }

    @Test("a stopped broker's tasks are counted, dumped once each and verified; damage is found")
    func stopped() throws {
        let broker = try BrokerProcess()
        for number in 1...3 {
            let payload = number == 3 ? "\u{1b}[31m\"quoted\"\n" : "payload \(number)"
            #expect(try broker.admin("submit", "--type", "send", "--payload", payload).status == 0)
        }
        broker.stop()

        let summary = try object(try inspect("summary", broker, "-o", "json").output)
        #expect((summary["tasks"] as? [String: Int])?["pending"] == 3)
        #expect(
            (summary["families"] as? [[String: Any]])?.map { $0["family"] as? String } == [
                "default", "pending", "payload", "in_progress", "completed", "dead_letter", "index",
            ]
        )
        let tasks = try inspect("dump", broker).output.split(separator: "\n").map { try object($0) }
        #expect(Set(tasks.compactMap { $0["task_id"] as? String }).count == 3)
        #expect(tasks.last?["payload"] as? String == "\u{1b}[31m\"quoted\"\n")
        let bare = try inspect("dump", broker, "--no-payload").output.split(separator: "\n").map { try object($0) }
        #expect(bare.count == 3 && bare.allSatisfy { $0["payload"] == nil })
        let whole = try inspect("verify", broker)
        #expect(whole.status == 0 && whole.output.hasPrefix("no damage: "), "\(whole)")

        let files = try FileManager.default.contentsOfDirectory(
            at: broker.directory.appending(path: "db"),
            includingPropertiesForKeys: nil
        )
        let table = try #require(files.first { $0.pathExtension == "sst" })
        var bytes = try Data(contentsOf: table)
        bytes[10] ^= 1
        try bytes.write(to: table)
        let damaged = try inspect("verify", broker, "-o", "json")
        #expect(damaged.status == 1)
        let report = try object(damaged.output)
        #expect(report["ok"] as? Bool == false)
        #expect(damaged.output.contains(table.lastPathComponent))
    }

    @Test("a damaged store is repaired into a new directory, where a broker starts; what is gone is told before")
    func repair() throws {
        let broker = try BrokerProcess()
        for number in 1...3 {
            #expect(try broker.admin("submit", "--type", "send", "--payload", "payload \(number)").status == 0)
        }
        broker.stop()
        let files = try FileManager.default.contentsOfDirectory(
            at: broker.directory.appending(path: "db"),
            includingPropertiesForKeys: nil
        )
        for file in files where file.lastPathComponent.hasPrefix("MANIFEST") { try Data([1]).write(to: file) }
        let repaired = DataDirectory()
        let told = try inspect("repair", broker, "--to", repaired.url.path, "-o", "json")
        #expect(told.status == 1 && told.errors.contains("--accept-loss"))
        #expect(!FileManager.default.fileExists(atPath: repaired.url.path))
        let report = try object(told.output)
        #expect(report["waiting_tasks"] as? Int == 3 && report["lost_batches"] as? Int == 0)

        let done = try inspect("repair", broker, "--to", repaired.url.path, "--accept-loss")
        #expect(done.status == 0, "\(done)")
        #expect(done.output.contains("kept: 3 waiting tasks"))
        #expect(try Commands.run("tq-inspect", ["verify", "--data-dir", repaired.url.path]).status == 0)
        let again = try inspect("repair", broker, "--to", repaired.url.path, "--accept-loss")
        #expect(again.status == 1 && again.errors.contains("exists"))
        let served = try BrokerProcess(repaired)
        #expect(try served.admin("submit", "--type", "send", "--payload", "one more").status == 0)
        served.stop()
        let tasks = try Commands.run("tq-inspect", ["dump", "--data-dir", repaired.url.path]).output
        #expect(tasks.split(separator: "\n").count == 4)
    }
}
