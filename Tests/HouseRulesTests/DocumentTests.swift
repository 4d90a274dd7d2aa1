import Testing

@Suite("House rules: documents")
struct HouseDocumentTests {
    @Test("every document has one title")
    func titles() {
        for document in Repository.documents {
            let titles = document.proseLines.filter { $0.hasPrefix("# ") }
            #expect(titles.count == 1, "\(document.path) has \(titles.count)")
        }
    }

    @Test("every relative link leads somewhere")
    func links() {
        for document in Repository.documents {
            let directory = document.path.split(separator: "/").dropLast().joined(separator: "/")
            for target in document.relativeLinks where !target.isEmpty {
                let path = directory.isEmpty ? target : "\(directory)/\(target)"
                #expect(Repository.exists(path), "\(document.path) links to \(target)")
            }
        }
    }

    @Test("docs/features.md has every requirement once, and a test that exists for each that is done")
    func features() throws {
        let rows = try Repository.text("docs/features.md").split(separator: "\n")
            .map { $0.split(separator: "|").map { String($0.trimmingPrefix(" ")) } }
            .filter { $0.count >= 3 && Int($0[0].prefix { $0.isNumber }) != nil }
        #expect(rows.compactMap { Int($0[0].prefix { $0.isNumber }) } == Array(1...100))
        let tests = Repository.files(below: "Tests", ending: ".swift").map { $0.lines.joined(separator: "\n") }.joined()
        for row in rows {
            let shown = row.count > 3 ? row[3].split(separator: "\"", omittingEmptySubsequences: false) : []
            if shown.count == 3 {
                let title = shown[1]
                #expect(tests.contains("\"\(title)\"") || tests.contains("func \(title)("), "row \(row[0]): \(title)")
            }
            let isDone = row[2].hasPrefix("done") || row[2].hasPrefix("partly")
            #expect(!isDone || shown.count == 3 || row[3].contains("`tools/") || row[3].contains("]("), "row \(row[0])")
        }
    }

    @Test("Sources/README.md has one line for every target")
    func targets() throws {
        let lines = try Repository.text("Sources/README.md").split(separator: "\n")
        for target in Repository.targets {
            #expect(lines.count { $0.hasPrefix("| `\(target)` |") } == 1, "\(target)")
        }
    }

    @Test("Examples/README.md has one row for every example")
    func examples() throws {
        let lines = try Repository.text("Examples/README.md").split(separator: "\n")
        let scripts = Repository.files(below: "Examples", ending: "").map { $0.path.dropFirst("Examples/".count) }
            .filter { !$0.contains(".") }
        for example in Repository.exampleTargets + scripts.map(String.init) {
            #expect(lines.count { $0.hasPrefix("| [`\(example)`](") } == 1, "\(example)")
        }
    }

    @Test("tools/README.md names every tool")
    func tools() throws {
        let page = try Repository.text("tools/README.md")
        for file in Repository.files(below: "tools", ending: "") where !file.path.contains(".") {
            let name = file.path.dropFirst("tools/".count)
            #expect(page.contains("| `\(name)`") || page.contains("| `\(name) "), "\(name)")
        }
    }
}

extension SourceFile {
    /// The lines of a document outside its code blocks.
    fileprivate var proseLines: [Substring] {
        var isCode = false
        return lines.filter { line in
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                isCode.toggle()
                return false
            }
            return !isCode
        }
    }

    /// What the document links to without naming a host, without the part after `#`.
    fileprivate var relativeLinks: [String] {
        proseLines.filter { $0.contains("](") }.flatMap { line in
            line.split(separator: "](").dropFirst().compactMap { rest in
                let target = rest.prefix { $0 != ")" && $0 != " " }
                if target.contains("://") || target.hasPrefix("mailto:") { return nil }
                return String(target.prefix { $0 != "#" })
            }
        }
    }
}
