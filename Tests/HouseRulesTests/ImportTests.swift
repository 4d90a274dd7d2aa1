import Foundation
import Testing

/// `tools/generate` sets UPDATE_GENERATED, so that the table is written; the diff then shows what a target newly uses.
@Suite("House rules: what a target may use")
struct ImportTests {
    /// The rows of the table of docs/architecture.md: what each target imports.
    private static func table() throws -> [String: Set<String>] {
        let page = SourceFile(path: "docs/architecture.md", text: try Repository.text("docs/architecture.md"))
        var rows: [String: Set<String>] = [:]
        for line in page.lines where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.split(separator: "`") }
            guard cells.count == 3, let target = cells[0].dropFirst().first else { continue }
            let modules = cells[2].filter { $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } }
            rows[String(target)] = Set(modules.map(String.init))
        }
        return rows
    }

    private static func imports(of target: String) -> Set<String> {
        var modules: Set<String> = []
        for file in Repository.sources + Repository.examples where file.target == target {
            for (_, line) in file.code {
                let words = line.split(separator: " ")
                guard let keyword = words.firstIndex(of: "import"), keyword <= 2, keyword + 1 < words.count else {
                    continue
                }
                modules.insert(String(words[words.endIndex - 1].split(separator: ".")[0]))
            }
        }
        return modules
    }

    @Test("every target imports exactly what docs/architecture.md says")
    func imports() throws {
        let table = try Self.table()
        for target in Repository.targets + Repository.exampleTargets {
            let expected = try #require(table[target], "docs/architecture.md has no row for \(target)")
            let found = Self.imports(of: target)
            if ProcessInfo.processInfo.environment["UPDATE_GENERATED"] != nil {
                try Self.write(found, of: target)
            } else {
                #expect(found == expected, "the row of \(target) should say \(Self.cell(found))")
            }
        }
    }

    private static func cell(_ modules: Set<String>) -> String {
        modules.sorted().map { "`\($0)`" }.joined(separator: ", ")
    }

    private static func write(_ modules: Set<String>, of target: String) throws {
        let lines = try Repository.text("docs/architecture.md").split(separator: "\n", omittingEmptySubsequences: false)
        let updated = lines.map { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            guard cells.count == 5, cells[1] == " `\(target)` " else { return String(line) }
            return "|\(cells[1])|\(cells[2])| \(cell(modules)) |".replacing("|  |", with: "| |")
        }
        try Data(updated.joined(separator: "\n").utf8).write(
            to: Repository.root.appending(path: "docs/architecture.md")
        )
    }

    @Test("an example uses only what its readers have: our libraries for users, and others")
    func examples() {
        let inner = Set(Repository.targets).subtracting(["Broker", "TQClient", "TQModel", "TQWorker"])
        for target in Repository.exampleTargets {
            let found = Self.imports(of: target).intersection(inner)
            #expect(found.isEmpty, "\(target) imports \(Self.cell(found))")
        }
    }

    @Test("the core and the calendar decide without clocks, threads or chance")
    func pureCore() {
        let forbidden = [
            "Foundation", "Clock()", "clock_gettime", "Task {", "Task.detached", "async ", "await ", ".random",
        ]
        for file in Repository.sources where ["QueueCore", "Recurrence"].contains(file.target) {
            for word in forbidden {
                #expect(file.places(of: word).isEmpty, "\(word) in \(file.places(of: word))")
            }
        }
    }

    @Test("nothing below the commands is tied to Foundation")
    func foundation() {
        let small = [
            "TQModel", "Recurrence", "QueueCore", "WireProtocol", "HistoryChecker", "ByteStore", "Storage", "Telemetry",
        ]
        for file in Repository.sources where small.contains(file.target) {
            #expect(file.places(of: "import Foundation").isEmpty, "\(file.path)")
        }
    }
}
