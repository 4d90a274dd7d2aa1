import CommandLineSupport
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

    /// How a program of this package is started, with nothing of the developer's own settings.
    static func launch(
        _ name: String,
        _ arguments: [String],
        environment: [String: String] = [:]
    ) -> ProcessLaunch {
        var launch = ProcessLaunch([directory.appending(path: name).path] + arguments)
        launch.environment = processEnvironment().filter { !$0.key.hasPrefix("TQ_") }.merging(environment) { $1 }
        return launch
    }

    static func run(
        _ name: String,
        _ arguments: [String],
        input: String = "",
        environment: [String: String] = [:]
    ) throws -> CommandOutcome {
        try run(launch(name, arguments, environment: environment), input: input)
    }

    static func run(_ launch: ProcessLaunch, input: String = "") throws -> CommandOutcome {
        var launch = launch
        let (standardInput, output, errors) = (Pipe(), Pipe(), Pipe())
        launch.input = .descriptor(standardInput.fileHandleForReading.fileDescriptor)
        launch.output = .descriptor(output.fileHandleForWriting.fileDescriptor)
        launch.errors = .descriptor(errors.fileHandleForWriting.fileDescriptor)
        let process = try ChildProcess(launch)
        try standardInput.fileHandleForReading.close()
        for pipe in [output, errors] { try pipe.fileHandleForWriting.close() }
        if !input.isEmpty { try standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
        try standardInput.fileHandleForWriting.close()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        let errorText = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        return CommandOutcome(status: process.exitCode(), output: text, errors: errorText)
    }
}

extension ChildProcess {
    /// Waits for the end: the exit code, or minus the number of the signal that ended the process.
    func exitCode() -> Int32 {
        let status = wait()
        return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    }

    /// Ends the process in an orderly way.
    func end() {
        signal(SIGTERM)
        wait()
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
    private let process: ChildProcess
    private let data: DataDirectory

    /// Where the broker keeps its store.
    var directory: URL { data.url }

    init(
        _ directory: DataDirectory = DataDirectory(),
        _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        data = directory
        var launch = Commands.launch(
            "tq-broker",
            ["--data-dir", directory.url.path, "--port", "0"] + arguments,
            environment: environment
        )
        let errors = Pipe()
        launch.errors = .descriptor(errors.fileHandleForWriting.fileDescriptor)
        process = try ChildProcess(launch)
        try errors.fileHandleForWriting.close()
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
    func stop() { process.end() }

    deinit { stop() }

    func signal(_ number: Int32) { process.signal(number) }

    /// The exit code, or minus the number of the signal that ended the process.
    func waitForExit() -> Int32 { process.exitCode() }

    var processIdentifier: Int32 { process.id }

    func admin(_ arguments: String..., input: String = "") throws -> CommandOutcome {
        try admin(arguments, input: input)
    }

    func admin(_ arguments: [String], input: String = "") throws -> CommandOutcome {
        try Commands.run("tq-admin", arguments, input: input, environment: ["TQ_BROKER_ADDR": "127.0.0.1:\(port)"])
    }

    /// Starts a worker; the caller ends it.
    func startWorker(_ arguments: String..., environment: [String: String] = [:]) throws -> ChildProcess {
        let arguments = ["--broker-addr", "127.0.0.1:\(port)"] + arguments
        var launch = Commands.launch("tq-worker", arguments, environment: environment)
        launch.errors = .nothing
        return try ChildProcess(launch)
    }

    private struct StartFailure: Error, CustomStringConvertible {
        let description: String
    }
}
