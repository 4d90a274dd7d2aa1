import BrokerConfig
import Foundation
import Testing

/// `tools/generate` sets UPDATE_GENERATED, so that these tests write what they otherwise compare.
@Suite("Documents made from the configuration's table")
struct DocumentTests {
    private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private let isUpdating = ProcessInfo.processInfo.environment["UPDATE_GENERATED"] != nil

    @Test("config/tq-broker.yaml has every key with its default")
    func exampleFile() throws {
        let file = root.appending(path: "config/tq-broker.yaml")
        if isUpdating { try Data(ConfigurationSchema.exampleFile.utf8).write(to: file) }
        #expect(try String(contentsOf: file, encoding: .utf8) == ConfigurationSchema.exampleFile)
    }

    @Test("config/tq-broker.yaml loads and changes nothing")
    func exampleLoads() throws {
        let path = root.appending(path: "config/tq-broker.yaml").path
        let loaded = try LoadedConfiguration.load(ConfigurationInput(filePath: path))
        #expect(loaded.configuration == BrokerConfiguration())
        #expect(loaded.warnings.isEmpty)
        #expect(Set(loaded.sources.values) == [.file(path)])
    }

    @Test("docs/configuration.md shows the table")
    func referencePage() throws {
        let file = root.appending(path: "docs/configuration.md")
        let page = try String(contentsOf: file, encoding: .utf8)
        let begin = "<!-- generated: keys -->\n"
        let end = "<!-- end of generated -->"
        let start = try #require(page.range(of: begin)).upperBound
        let stop = try #require(page.range(of: end, range: start..<page.endIndex)).lowerBound
        let expected = "\n" + ConfigurationSchema.referenceTables + "\n\n"
        if isUpdating {
            try Data(page.replacingCharacters(in: start..<stop, with: expected).utf8).write(to: file)
        } else {
            #expect(page[start..<stop] == expected)
        }
    }
}
