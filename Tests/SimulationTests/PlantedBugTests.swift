import Foundation
import Testing

@testable import tq_planted_bugs

/// The lists of Tests/PlantedBugs cannot rot unnoticed: `tools/planted-bugs` takes minutes, this takes none.
@Suite("Planted bugs")
struct PlantedBugTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// What a simulation can see, of the invariants of docs/guarantees.md.
    private static let visible = (1...14).map { "I\($0)" } + ["I16"]

    @Test("every bug still has its place in the sources")
    func places() throws {
        let bugs = try PlantedBugsCommand.bugs(of: Self.root)
        // Throws when a file is gone, when lines are not there once, and when two bugs have one name.
        let copy = try PlantedCopy(of: Self.root, with: bugs)
        for bug in bugs {
            #expect(!bug.changes.isEmpty && !bug.title.isEmpty && !bug.breaks.isEmpty, "\(bug.name) is incomplete")
            #expect(bug.changes.contains { $0.new.contains { $0.contains("PLANTED") } }, "\(bug.name) cannot be off")
            #expect(Set(bug.hunters).isSubset(of: ["simulate", "verify"]), "\(bug.name)")
        }
        let text = copy.files.values.map { String(decoding: $0, as: UTF8.self) }.joined()
        #expect(!text.contains("{ PLANTED") && !text.contains("(PLANTED"))
    }

    @Test("the simulation has bugs to find for every invariant that it can see")
    func coverage() throws {
        let bugs = try PlantedBugsCommand.bugs(of: Self.root).filter { $0.hunters.contains("simulate") }
        #expect(bugs.count >= 40)
        for invariant in Self.visible {
            #expect(bugs.contains { $0.breaks.contains(invariant) }, "no planted bug breaks \(invariant)")
        }
    }

    @Test("a list that says nothing clear is refused")
    func refusals() throws {
        #expect(throws: (any Error).self) { try PlantedBug.read("title: without a name\n", "list") }
        #expect(throws: (any Error).self) { try PlantedBug.read("bug: a\n+lines without a file\n", "list") }
        let bug = try #require(try PlantedBug.read("bug: a\nfile: f\n-old\n+PLANTED\n", "list").first)
        for text in ["other", "old\nold"] {
            var lines = text.split(separator: "\n")
            #expect(throws: (any Error).self) { try bug.changes[0].apply(to: &lines, condition: "is") }
        }
        var lines = "before\nold".split(separator: "\n")
        try bug.changes[0].apply(to: &lines, condition: "is")
        #expect(lines == ["before", "is"])
    }
}
