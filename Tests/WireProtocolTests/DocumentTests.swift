import Foundation
import TQModel
import Testing

@testable import WireProtocol

/// docs/wire-protocol.md says what the code does.
@Suite("The document of the wire protocol")
struct DocumentTests {
    private let document: String

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        document = try String(contentsOf: root.appending(path: "docs/wire-protocol.md"), encoding: .utf8)
    }

    @Test("Every hex block is what the code encodes, and decodes to what was encoded")
    func hexBlocks() throws {
        let examples = try Self.examples()
        #expect(Set(blocks.keys) == Set(examples.keys))
        for (name, bytes) in examples { #expect(blocks[name] == bytes, "\(name)") }
    }

    @Test("The tables of messages name every type with its number, and no other")
    func messageTable() {
        let rows = tableRows.filter { $0.count >= 2 && $0[0].hasPrefix("0x") }
        let documented = rows.map { "\($0[0]) \($0[1])" }
        let types = MessageType.allCases.map { "0x" + hex($0.rawValue) + " \($0)" }
        #expect(documented == types)
    }

    @Test("The table of errors is the error table")
    func errorTable() {
        let rows = tableRows.filter { $0.count == 3 && Int($0[0]) != nil }
        let codes = TQError.Code.table.map { ["\($0.code.rawValue)", $0.name, $0.isRetryable ? "yes" : "no"] }
        #expect(rows == codes)
    }

    @Test("The limits and defaults are the ones of the code")
    func limits() {
        for number in [
            Limits.frameBytesMax, Limits.payloadBytesMax, Limits.batchCountMax, Limits.claimQueuesMax,
            Limits.claimCountMax, Limits.errorBytesMax, Int(Limits.waitMillisecondsMax),
            Int(Defaults.leaseMilliseconds), Int(Defaults.timeoutMilliseconds),
            Int(Defaults.idempotencyWindowMilliseconds), RetryPolicy.listCountMax, Limits.retryPoliciesMax,
        ] {
            #expect(document.contains("\(number)"), "\(number)")
        }
        #expect(document.contains("`\(RetryPolicy.standard)`"))
    }

    /// Blocks that begin with "```hex name", by name.
    private var blocks: [String: [UInt8]] {
        var blocks: [String: [UInt8]] = [:]
        for block in document.components(separatedBy: "```hex ").dropFirst() {
            let lines = block.components(separatedBy: "\n")
            let digits = lines.dropFirst().prefix { $0 != "```" }.joined(separator: " ")
            blocks[lines[0]] = digits.split(separator: " ").compactMap { UInt8($0, radix: 16) }
        }
        return blocks
    }

    private var tableRows: [[String]] {
        document.components(separatedBy: "\n").filter { $0.hasPrefix("| ") }.map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    private func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

    private static func examples() throws -> [String: [UInt8]] {
        let id = try #require(TaskID("0197f3a0-1c00-7000-8123-456789abcdef"))
        let lease = LeaseHandle(task: id, token: LeaseToken(rawValue: 0x1000_0000_0001))
        let task = TaskSpec(
            type: "send_email",
            payload: Bytes("hi".utf8),
            rank: Priority.high.rank,
            idempotencyKey: Bytes("key-1".utf8)
        )
        let claim = ClaimSpec(queues: ["default"], types: ["send_email"], count: 2, worker: "w1")
        let delivery = Delivery(
            lease: lease,
            queue: "default",
            type: "send_email",
            payload: Bytes("hi".utf8),
            priority: .high,
            attempt: 1,
            retriesMax: 3,
            leaseMilliseconds: 30_000,
            timeoutMilliseconds: 300_000
        )
        let full = TQError(.queueFull, "full", retryAfterMilliseconds: 250)
        let leaving = TQError(.draining, "The broker is leaving.", retryAfterMilliseconds: 1000)
        var hello: [UInt8] = []
        try Hello(clientName: "example 1.0").encode(id: 1, into: &hello)
        var helloReply: [UInt8] = []
        try HelloReply(brokerVersion: "1.0.0").encode(id: 1, into: &helloReply)
        return [
            "hello": hello,
            "helloReply": helloReply,
            "submit": try encoded(.submit([task]), id: 2),
            "submitted": try encoded(.submitted([.success(Submission(id: id)), .failure(full)]), id: 2),
            "openStream": try encoded(.openStream(stream: 1, claim), id: 3),
            "delivery": try encoded(.delivery(stream: 1, [delivery]), id: 0),
            "complete": try encoded(.complete([Completion(lease: lease, result: Bytes("ok".utf8))]), id: 4),
            "outcomes": try encoded(.outcomes([nil]), id: 4),
            "error": try encoded(.error(leaving), id: 5),
        ]
    }
}
