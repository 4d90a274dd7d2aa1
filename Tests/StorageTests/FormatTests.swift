import ByteStore
import Storage
import TQModel
import Testing

@testable import QueueCore

/// The bytes of format version 1: released stores must be readable for ever, and the document must be true.
///
/// One after the other, because each may write the fixture that all read.
@Suite(.serialized) struct FormatTests {
    private static let fixture = "Tests/Fixtures/storage-format-1.txt"
    private static let document = "docs/storage-format.md"

    private static let tasks = "Tests/Fixtures/storage-format-1.tasks.txt"

    @Test func theStoreOfFormatVersion1IsReadable() throws {
        let store = try Self.store(try recorded(Self.fixture) { Self.text(try rows(try FormatFixture.full().store)) })
        let recovered = try #require(try Recovery.recover(from: store))
        #expect(recovered.identity == TestBroker.identity && recovered.epoch == 2)
        let found = try Self.describe(store)
        #expect(found == (try recorded(Self.tasks) { found }))
        var problems: [StoreVerification.Problem] = []
        _ = StoreVerification.verify(store, mark: nil) { problems.append($0) }
        #expect(problems == [])

        // And it can be served on.
        let broker = try TestBroker(store)
        try broker.pass(minutes: 2)
        let delivery = try #require(try broker.claim(queue: "mail").first)
        try broker.complete(delivery, result: "done")
    }

    /// The text of a fixture.
    ///
    /// To make that of a new format version, run the test without it: it is written then.
    private func recorded(_ name: String, _ make: () throws -> String) throws -> String {
        if let bytes = try? ScratchDirectory.read(Repository.path(name)) {
            return String(decoding: bytes, as: UTF8.self)
        }
        try ScratchDirectory.write(Array(try make().utf8), to: Repository.path(name))
        throw TestFailure("\(name) was missing and has been written: look at it, and run again")
    }

    /// Every task of a store, one line each, and the counters.
    private static func describe(_ store: any ByteStoreReader) throws -> String {
        let inspection = try StoreInspection(store, mark: nil)
        var lines = ""
        try inspection.forEachTask(withPayloads: true) { task throws(StorageError) in
            let bytes = [task.payload, task.result, task.error].map { $0.map { hex($0) } ?? "-" }
            lines += "\(task.id) \(task.sequence) \(task.queue) \(task.type) \(task.state.name) \(task.priority)"
            lines += " attempts \(task.attempts) crashes \(task.crashes) created \(task.createdMilliseconds)"
            lines += " starts \(task.startWallMilliseconds) ended \(task.endWallMilliseconds)"
            lines += " worker \(task.worker.map { "\($0)" } ?? "-")"
            lines += " progress \(task.progress.map { "\($0.percent) \(hex($0.message))" } ?? "-")"
            lines += " bytes \(bytes.joined(separator: " "))"
            for content in [task.payloadContent, task.resultContent] where content != .unspecified {
                lines += " \(content.type.map { "\($0)" } ?? "-") \(content.encoding.name)"
            }
            lines += "\n"
        }
        let counts = try inspection.summary().counts
        return lines + TaskState.allCases.map { "\($0.name) \(counts[$0])\n" }.joined()
    }

    /// Whatever the core decides to store: the same content has the same bytes.
    @Test func whatIsReadFromTheFixtureIsWrittenAgainWithTheSameBytes() throws {
        let store = try Self.store(try recorded(Self.fixture) { "" })
        for row in try rows(store) {
            #expect(hex(try Rewriting.rewrite(row)) == hex(row.value), "\(row): a new format needs a new version")
        }
    }

    @Test func theFixtureHasARecordOfEveryKind() throws {
        let store = try FormatFixture.full().store
        for family in Family.allCases { #expect(try !rows(store, [family]).isEmpty, "\(family.name)") }
        let letters = Set(try rows(store, [.index]).compactMap(\.key.first).map { Character(Unicode.Scalar($0)) })
        // Single locators need survivors of hundreds of groups; the other tests have them.
        #expect(letters == ["N", "W", "K", "A", "L", "P", "C", "U", "R", "r", "D", "E", "O", "Q", "G", "T", "t"])
        let forms = Set(try rows(store, [.index]).filter { $0.key.first == UInt8(ascii: "L") }.map { $0.value[1] })
        #expect(forms == [0, 1])
    }

    @Test func theExampleInTheDocumentIsWhatIsWritten() throws {
        let images = Images()
        let broker = try FormatFixture.example { images.append($0) }
        let document = String(decoding: try ScratchDirectory.read(Repository.path(Self.document)), as: UTF8.self)
        let example =
            Self.lines(try rows(broker.store)) + "\n"
            + Self.hexLines(try #require(images.all.last).image)
        guard document.contains(example) else {
            throw TestFailure("the example of \(Self.document) should be:\n\(example)")
        }
    }

    // MARK: Text

    private static func text(_ rows: [StoredRow]) -> String { rows.map { "\($0)\n" }.joined() }

    private static func store(_ text: String) throws -> InMemoryStorage {
        let store = InMemoryStorage()
        let batch = WriteBatch()
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            let family = try #require(Family.allCases.first { $0.name == fields[0] })
            batch.put(family, key: try bytes(fields[1]), value: try bytes(fields[2]))
        }
        try store.write(batch, sync: true)
        return store
    }

    private static func bytes(_ digits: Substring) throws -> [UInt8] {
        var rest = digits
        var bytes: [UInt8] = []
        while !rest.isEmpty {
            bytes.append(try #require(UInt8(rest.prefix(2), radix: 16)))
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    /// Rows as the document shows them: family and key, then the value in lines of 16 bytes.
    private static func lines(_ rows: [StoredRow]) -> String {
        rows.map { "\($0.family.name) \(hex($0.key))\n" + hexLines($0.value) }.joined()
    }

    private static func hexLines(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let line = bytes[start..<min(start + 16, bytes.count)].map { hex([$0]) }.joined(separator: " ")
            let digits = String(start, radix: 16)
            return "  " + String(repeating: "0", count: 4 - digits.count) + digits + "  " + line + "\n"
        }.joined()
    }
}
