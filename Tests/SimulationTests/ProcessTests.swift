import Foundation
import Testing

@Suite("tq-simulate")
struct ProcessTests {
    private func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "tq-simulate")
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    @Test("one seed gives the same events and the same state in two processes")
    func determinism() throws {
        let arguments = ["--seed", "3", "--cycles", "10", "--verbose"]
        let first = try run(arguments)
        let second = try run(arguments)
        #expect(first.status == 0)
        #expect(first.output == second.output)
        #expect(first.output.contains("digest"))
        let other = try run(["--seed", "4", "--cycles", "10", "--verbose"])
        #expect(other.output != first.output)
    }
}
