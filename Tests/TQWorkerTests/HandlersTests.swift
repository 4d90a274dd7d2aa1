import TQModel
import Testing

@testable import TQWorker

@Suite("Handlers")
struct HandlersTests {
    @Test(
        "An exact name wins over a prefix, a longer prefix over a shorter one",
        arguments: [
            ("DatabaseBackup", "exact"), ("DatabaseVacuum", "Database"), ("DatabaseBackupNow", "DatabaseBack"),
            ("Data", "all"), ("", "all"),
        ]
    )
    func precedence(type: String, expected: String) async throws {
        var handlers = Handlers()
        for (pattern, name) in [
            ("*", "all"), ("Database*", "Database"), ("DatabaseBack*", "DatabaseBack"), ("DatabaseBackup", "exact"),
        ] {
            handlers.add(TypePattern(pattern)) { _, _ in Bytes(name.utf8) }
        }
        let handler = try #require(handlers.handler(for: Name(type)))
        #expect(try await handler([], .example) == Bytes(expected.utf8))
    }

    @Test("A type that no pattern matches has no handler")
    func noHandler() {
        var handlers = Handlers()
        handlers.add("Database*") { _, _ in [] }
        #expect(handlers.handler(for: "database") == nil)
    }

    @Test("The worker claims exactly the patterns that it has handlers for")
    func patterns() {
        var handlers = Handlers()
        for pattern: TypePattern in ["a", "b*", "a"] { handlers.add(pattern) { _, _ in [] } }
        #expect(Set(handlers.patterns) == ["a", "b*"])
    }
}
