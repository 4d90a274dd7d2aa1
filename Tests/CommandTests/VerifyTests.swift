import Foundation
import HistoryChecker
import TQModel
import Testing

@testable import tq_verify

@Suite("tq-verify")
struct VerifyTests {
    private let directory = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path

    @Test("a broker that is killed under load and while it starts keeps its promises")
    func kills() throws {
        let arguments = [
            "--fault", "kill", "--rounds", "3", "--seconds", "0.1-0.3", "--data-parent", directory, "-o", "json",
        ]
        let outcome = try Commands.run("tq-verify", arguments)
        #expect(outcome.status == 0, "\(outcome.errors)\n\(outcome.output)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(try #require(report["kill"] as? Int) >= 3)
        #expect(try #require(report["kills_during_recovery"] as? Int) >= 1)
        #expect(try #require(report["completions"] as? Int) > 0)
        #expect(report["violations"] as? Int == 0)
        #expect(report["directory"] is NSNull, "the data of a test that passed is removed")
    }

    @Test("a broker keeps its promises through every kind of fault")
    func everyFault() throws {
        let arguments = [
            "--rounds", "8", "--seconds", "0.1-0.3", "--images", "4", "--flips", "8", "--data-parent", directory,
            "-o", "json",
        ]
        let outcome = try Commands.run("tq-verify", arguments)
        #expect(outcome.status == 0, "\(outcome.errors)\n\(outcome.output)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        for fault in FaultKind.allCases {
            #expect(try #require(report[fault.rawValue.replacing("-", with: "_")] as? Int) > 0, "\(fault)")
        }
        #expect(try #require(report["images_torn"] as? Int) > 0)
        #expect(try #require(report["images_unsynced_losing"] as? Int) > 0, "the control must lose")
        #expect(report["flips_silent"] as? Int == 0)
    }

    @Test("a disk that lies about its syncs is found out")
    func control() throws {
        let outcome = try Commands.run("tq-verify", ["--control", "--rounds", "1", "--data-parent", directory])
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("A power cut at operation"), "\(outcome.errors)\n\(outcome.output)")
        let kept = outcome.output.split(separator: "\n").first { $0.hasPrefix("The data, the logs") }
        let path = try #require(kept?.split(separator: " ").first { $0.contains("tq-verify-") })
        try FileManager.default.removeItem(atPath: String(path.dropLast()))
    }

    @Test("a directory that is not there is a wrong command line")
    func directories() throws {
        let outcome = try Commands.run("tq-verify", ["--rounds", "1", "--data-parent", "/nowhere"])
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("/nowhere"))
    }

    @Test(
        "a range of seconds is two numbers in their order, or one",
        arguments: ["0.2-1.5", "3", "2-1", "-1", "", "1-2-3", "x"]
    )
    func ranges(text: String) {
        let expected: [String: ClosedRange<Double>] = ["0.2-1.5": 0.2...1.5, "3": 3...3]
        #expect(SecondsRange(argument: text)?.range == expected[text])
    }
}

@Suite("The history of a verification")
struct HistoryFollowerTests {
    private let path = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(component: "history-\(UUID().uuidString)").path
    private let id = TaskID(high: 1, low: 2)

    private func submit(_ key: KeyNumber) -> Call {
        .submit(SubmitCall(queue: 1, key: key, payload: Digest(rawValue: key)))
    }

    private func follow(_ events: [Event.Kind]) throws -> HistoryFollower {
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Recorder(path).record(events)
        let follower = try HistoryFollower(path)
        try follower.finish()
        return follower
    }

    @Test("a submit that a kill interrupted may find the task of its own first sending")
    func ownDuplicate() throws {
        let follower = try follow([
            .invoked(1, submit(7)), .stopped(.kill), .serving, .returned(1, .submitted(id, isDuplicate: true)),
        ])
        #expect(follower.checker.violations == [])
        #expect(follower.tasks == [id])
    }

    @Test("a submit that no kill interrupted may not be called a duplicate")
    func strangeDuplicate() throws {
        let follower = try follow([
            .stopped(.kill), .serving, .invoked(1, submit(7)), .returned(1, .submitted(id, isDuplicate: true)),
        ])
        #expect(follower.checker.violations.map(\.invariant) == [.once])
    }

    @Test("a second submit is a duplicate, whatever interrupted it")
    func secondSubmit() throws {
        let follower = try follow([
            .invoked(1, submit(7)), .returned(1, .submitted(id, isDuplicate: false)),
            .invoked(2, submit(7)), .stopped(.kill), .serving, .returned(2, .submitted(id, isDuplicate: true)),
        ])
        #expect(follower.checker.violations == [])
        #expect(follower.counts.duplicates == 1)
    }

    @Test("a kill is real when it meets an acknowledged task, a request in flight and a lease")
    func met() throws {
        let lease = LeaseHandle(task: id, token: LeaseToken(rawValue: 9))
        let delivered = Delivered(lease: lease, attempt: 1, leaseMilliseconds: 60_000, payload: Digest(rawValue: 7))
        let events: [Event.Kind] = [
            .invoked(1, submit(7)), .returned(1, .submitted(id, isDuplicate: false)),
            .invoked(2, .claim(queues: [1])), .returned(2, .delivered([delivered])),
            .invoked(3, .complete(lease, result: Digest(rawValue: 1))), .stopped(.kill),
        ]
        #expect(try follow(events).atLastStop.isReal)
        for missing in [0..<2, 2..<4, 4..<5] {
            let rest = events.indices.filter { !missing.contains($0) }.map { events[$0] }
            #expect(try !follow(rest).atLastStop.isReal, "without events \(missing)")
        }
    }
}
