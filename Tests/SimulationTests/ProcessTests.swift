import CommandLineSupport
import Foundation
import Testing

@Suite("tq-simulate")
struct ProcessTests {
    private func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let directory = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        var launch = ProcessLaunch([directory.appending(path: "tq-simulate").path] + arguments)
        let output = Pipe()
        launch.output = .descriptor(output.fileHandleForWriting.fileDescriptor)
        launch.errors = .nothing
        let process = try ChildProcess(launch)
        try output.fileHandleForWriting.close()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        return (process.wait(), text)
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
        #expect(first.output.hasSuffix(try run(["--seed", "3", "--cycles", "10", "--jobs", "3"]).output))
    }
}
