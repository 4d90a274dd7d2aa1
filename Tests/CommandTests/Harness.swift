import Foundation
import Testing

/// What a command wrote, and how it ended.
struct CommandOutcome {
    let status: Int32
    let output: String
    let errors: String
}

/// The programs of this package, beside the tests.
enum Commands {
    static let directory = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()

    static func process(_ name: String, _ arguments: [String], environment: [String: String] = [:]) -> Process {
        let process = Process()
        process.executableURL = directory.appending(path: name)
        process.arguments = arguments
        // Nothing of the developer's own settings.
        let inherited = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("TQ_") }
        process.environment = inherited.merging(environment) { $1 }
        return process
    }

    static func run(
        _ name: String,
        _ arguments: [String],
        input: String = "",
        environment: [String: String] = [:]
    ) throws -> CommandOutcome {
        let process = process(name, arguments, environment: environment)
        let (input, standardInput) = (Data(input.utf8), Pipe())
        let (output, errors) = (Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        if !input.isEmpty { try standardInput.fileHandleForWriting.write(contentsOf: input) }
        try standardInput.fileHandleForWriting.close()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        let errorText = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return CommandOutcome(status: process.terminationStatus, output: text, errors: errorText)
    }
}

/// A directory for the data of a broker, removed at the end.
final class DataDirectory {
    let url = FileManager.default.temporaryDirectory.appending(component: "tq-test-\(UUID().uuidString)")

    deinit { try? FileManager.default.removeItem(at: url) }
}

/// A broker in a process of its own, on a free port unless the arguments say otherwise.
final class BrokerProcess {
    let port: Int
    /// The fields of the line that says that clients can connect.
    let ready: [String: Any]
    private let process: Process
    private let data: DataDirectory

    /// Where the broker keeps its store.
    var directory: URL { data.url }

    init(_ directory: DataDirectory = DataDirectory(), _ arguments: [String] = []) throws {
        data = directory
        process = Commands.process("tq-broker", ["--data-dir", directory.url.path, "--port", "0"] + arguments)
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        var text = ""
        while true {
            let part = errors.fileHandleForReading.availableData
            guard !part.isEmpty else { throw StartFailure(description: text) }
            text += String(decoding: part, as: UTF8.self)
            guard let line = text.split(separator: "\n").first(where: { $0.contains("\"broker ready\"") }) else {
                continue
            }
            let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            ready = try #require(fields)
            port = try #require((fields?["port"] as? String).flatMap { Int($0) } ?? fields?["port"] as? Int)
            break
        }
        errors.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
    }

    /// Ends the broker in an orderly way; its directory stays.
    func stop() {
        process.terminate()
        process.waitUntilExit()
    }

    deinit { stop() }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// The exit code, or minus the number of the signal that ended the process.
    func waitForExit() -> Int32 {
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    var processIdentifier: Int32 { process.processIdentifier }

    func admin(_ arguments: String..., input: String = "") throws -> CommandOutcome {
        try Commands.run("tq-admin", arguments, input: input, environment: ["TQ_BROKER_ADDR": "127.0.0.1:\(port)"])
    }

    /// Starts a worker; the caller ends it.
    func startWorker(_ arguments: String...) throws -> Process {
        let worker = Commands.process("tq-worker", ["--broker-addr", "127.0.0.1:\(port)"] + arguments)
        worker.standardError = FileHandle.nullDevice
        try worker.run()
        return worker
    }

    private struct StartFailure: Error, CustomStringConvertible {
        let description: String
    }
}
