import Foundation
import Glibc
import Testing

@Suite("tq-demo")
struct DemoTests {
    /// Runs tq-demo on a directory of files with odd names and sizes, and returns what it says.
    private func demo(_ arguments: String...) throws -> CommandOutcome {
        // Beside the programs, which are on a disk: the demo refuses a file system in memory.
        let directory = Commands.directory.appending(component: "tq-demo-test-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let files = directory.appending(path: "files")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        let names =
            ["line\nbreak", "quote'\"", "back\\slash", "-dash", " ", "é"].map { Array($0.utf8) } + [[0xff, 0xfe]]
        for (number, name) in (names + (0..<30).map { Array("file\($0)".utf8) }).enumerated() {
            try write([UInt8](repeating: UInt8(number), count: number * 10), to: Array(files.path.utf8) + [0x2f] + name)
        }
        let large = directory.appending(path: "files/large").path
        try write([], to: Array(large.utf8))
        #expect(truncate(large, 10 * 1024 * 1024 + 1) == 0)
        try FileManager.default.createSymbolicLink(atPath: files.path + "/link", withDestinationPath: "large")
        return try Commands.run("tq-demo", [files.path, "--data-parent", directory.path] + arguments)
    }

    private func write(_ bytes: [UInt8], to path: [UInt8]) throws {
        let file = try #require(fopen(path.map { CChar(bitPattern: $0) } + [0], "w"))
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    @Test("every file is one task with the right result, although the broker is killed")
    func good() throws {
        let outcome = try demo()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("37 tasks, 37 results, 0 lost, 0 wrong, broker killed "), "\(outcome.output)")
        #expect(outcome.errors.contains("skipped: 1 links, 1 larger than 10 MB"), "\(outcome.errors)")
    }

    @Test("a lost task and a wrong result are found and named")
    func sabotage() throws {
        let outcome = try demo("--sabotage")
        #expect(outcome.status == 1)
        #expect(outcome.output.hasPrefix("36 tasks, 36 results, 1 lost, 1 wrong"), "\(outcome.output)")
        #expect(outcome.errors.contains("is not in the store"), "\(outcome.errors)")
        #expect(outcome.errors.contains("has the result 'altered' instead of"), "\(outcome.errors)")
    }
}
