import Foundation
import TQModel
import Testing

@testable import CommandLineSupport

@Suite("Output of the commands")
struct OutputTests {
    private struct Row {
        var name: String
        var count: UInt64
    }

    private let listing = Listing<Row>([
        Column("Name", "name", \.name),
        Column("Pending", "pending_tasks", count: \.count),
    ])

    @Test("a table aligns its columns, wide characters and emoji included")
    func table() {
        let rows = [Row(name: "mail", count: 7), Row(name: "日本語", count: 12_345_678), Row(name: "e\u{301}👩‍👩‍👧", count: 0)]
        let text = listing.text(of: rows, format: .table)
        #expect(
            text == """
                NAME     PENDING
                mail           7
                日本語  12345678
                e\u{301}👩‍👩‍👧            0

                """
        )
    }

    @Test("a table without rows has a head, and JSON without rows is an empty array")
    func empty() {
        #expect(listing.text(of: [], format: .table) == "NAME  PENDING\n")
        #expect(listing.text(of: [], format: .json) == "[]\n")
        #expect(listing.text(of: [], format: .jsonl).isEmpty)
    }

    @Test("names from others cannot break the table or steer the terminal")
    func hostile() {
        let text = listing.text(of: [Row(name: "a\nb\u{1b}[2J", count: 1)], format: .table)
        #expect(text.split(separator: "\n").count == 2)
        #expect(!text.contains("\u{1b}"))
    }

    @Test("colour is for terminals")
    func color() {
        #expect(!listing.text(of: [], format: .table).contains("\u{1b}"))
        #expect(listing.text(of: [], format: .table, isColored: true).contains("\u{1b}[1m"))
    }

    @Test("JSON is one document, JSON lines are one object a line, and both can be parsed")
    func json() throws {
        let rows = [Row(name: "a\"\\\n\u{1}\u{7f}é", count: .max), Row(name: "", count: 0)]
        let document = listing.text(of: rows, format: .json)
        let array = try #require(try JSONSerialization.jsonObject(with: Data(document.utf8)) as? [[String: Any]])
        #expect(array.map { $0["name"] as? String } == rows.map(\.name))
        #expect(array.map { ($0["pending_tasks"] as? NSNumber)?.uint64Value } == [.max, 0])
        let lines = listing.text(of: rows, format: .jsonl).split(separator: "\n")
        #expect(lines.count == 2)
        for (line, row) in zip(lines, rows) {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["name"] as? String == row.name)
        }
    }

    @Test("one row is a line for each column that says something")
    func record() {
        #expect(listing.text(of: Row(name: "mail", count: 7), format: .table) == "name     mail\npending  7\n")
        #expect(listing.text(of: Row(name: "", count: 7), format: .table) == "pending  7\n")
        #expect(listing.text(of: Row(name: "m", count: 7), format: .json) == #"{"name":"m","pending_tasks":7}"# + "\n")
    }

    @Test("a text is cut at a character, within its columns")
    func truncation() {
        #expect("abcdef".truncated(toWidth: 6) == "abcdef")
        #expect("abcdefg".truncated(toWidth: 6) == "abcde…")
        #expect("日本語".truncated(toWidth: 4) == "日…")
    }

    @Test("every error has an exit code that the commands document")
    func exitCodes() {
        for row in TQError.Code.table {
            #expect(ExitStatus(rawValue: row.exitCode) != nil, "\(row.name)")
            #expect(TQError(row.code, "").exitCode == row.exitCode)
        }
        #expect(TQError(TQError.Code(rawValue: 999), "").exitCode == 1)
        #expect(TQError(.taskNotFound, "").exitCode == ExitStatus.notFound.rawValue)
        #expect(TQError(.queueFull, "").exitCode == ExitStatus.refused.rawValue)
        #expect(TQError(.connectionFailed, "").exitCode == ExitStatus.unreachable.rawValue)
        #expect(TQError(.forbidden, "").exitCode == ExitStatus.unauthorized.rawValue)
    }
}

@Suite("Progress of long commands")
struct ProgressTests {
    @Test("without a terminal there is a plain line every five seconds, and one at the end")
    func plain() {
        var meter = ProgressMeter(label: "tasks", total: 200, terminalWidth: nil)
        #expect(meter.text(done: 1, elapsedMilliseconds: 4999, isLast: false) == nil)
        #expect(meter.text(done: 50, elapsedMilliseconds: 5000, isLast: false) == "25 % 50/200 tasks, 10/s, 5s\n")
        #expect(meter.text(done: 60, elapsedMilliseconds: 9000, isLast: false) == nil)
        #expect(meter.text(done: 200, elapsedMilliseconds: 10_000, isLast: true) == "100 % 200/200 tasks, 20/s, 10s\n")
    }

    @Test("on a terminal a bar redraws itself, no wider than the terminal")
    func bar() throws {
        var meter = ProgressMeter(label: "tasks", total: 100, terminalWidth: 40)
        let drawn = meter.text(done: 50, elapsedMilliseconds: 0, isLast: false)
        let first = try #require(drawn)
        #expect(first.hasPrefix("\r\u{1b}[K███████████████░"))
        #expect(first.dropFirst(4).count == 39)
        #expect(meter.text(done: 51, elapsedMilliseconds: 99, isLast: false) == nil)
        #expect(meter.text(done: 52, elapsedMilliseconds: 100, isLast: false) != nil)
        #expect(meter.text(done: 100, elapsedMilliseconds: 101, isLast: true)?.hasSuffix("\n") == true)
    }

    @Test("more than the total, no total and no time are shown without harm")
    func edges() {
        var over = ProgressMeter(label: "tasks", total: 1, terminalWidth: nil)
        #expect(over.text(done: 5, elapsedMilliseconds: 1000, isLast: true) == "100 % 5/1 tasks, 5/s, 1s\n")
        var unknown = ProgressMeter(label: "tasks", total: nil, terminalWidth: nil)
        #expect(unknown.text(done: 5, elapsedMilliseconds: 0, isLast: true) == "5 tasks, 0/s, 0ms\n")
    }
}
