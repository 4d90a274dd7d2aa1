import Foundation
import TQModel
import Testing

/// `tools/generate` sets UPDATE_GENERATED, so that this test writes what it otherwise compares.
@Suite("docs/errors.md")
struct ErrorPageTests {
    private let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/errors.md")

    private func row(_ row: ErrorTableRow) -> String {
        """
        | \(row.code.rawValue) | `\(row.name)` | \(row.httpStatus) | \(row.grpcStatus) \
        | \(row.isRetryable ? "yes" : "no") | \(row.exitCode) |
        """
    }

    @Test("every error has its row, in order, with a way out")
    func table() throws {
        var lines = try String(contentsOf: file, encoding: .utf8).split(
            separator: "\n",
            omittingEmptySubsequences: false
        )
        let first = try #require(lines.firstIndex { $0.hasPrefix("| 1 |") })
        let rows = lines[first...].prefix { $0.hasPrefix("|") }
        if ProcessInfo.processInfo.environment["UPDATE_GENERATED"] != nil {
            let remedies = Dictionary(rows.map { (name(in: $0), $0.split(separator: "|").last ?? "") }) { $1 }
            let updated = TQError.Code.table.map { Substring("\(row($0))\(remedies[$0.name] ?? " ")|") }
            lines.replaceSubrange(rows.startIndex..<rows.endIndex, with: updated)
            try Data(lines.joined(separator: "\n").utf8).write(to: file)
            return
        }
        #expect(rows.count == TQError.Code.table.count)
        for (line, expected) in zip(rows, TQError.Code.table) {
            #expect(line.hasPrefix(row(expected)))
            #expect(line.dropFirst(row(expected).count).contains { $0.isLetter }, "\(expected.name) has no way out")
        }
    }

    private func name(in line: Substring) -> String {
        line.split(separator: "`").dropFirst().first.map(String.init) ?? ""
    }
}
