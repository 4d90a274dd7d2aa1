import CommandLineSupport
import Foundation
import Testing

/// The commands of README.md, run as they stand there.
@Suite("What README.md says to type")
struct ReadmeTests {
    /// The lines of the code blocks below a heading.
    private static func commands(below heading: String) throws -> [String] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        let section = try #require(page.components(separatedBy: "\n## ").first { $0.hasPrefix(heading + "\n") })
        // Every second part between fences is code.
        let blocks = section.components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        return blocks.flatMap { $0.split(separator: "\n").map(String.init) }
    }

    /// Runs a script in a new directory, with the programs in PATH and a port of its own; ends what it leaves running.
    private func bash(_ script: String) throws -> CommandOutcome {
        let directory = FileManager.default.temporaryDirectory.appending(component: "tq-readme-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: directory) }
        let port = try findPort()
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let (output, errors) = (directory.appending(path: "output"), directory.appending(path: "errors"))
        var launch = Commands.launch(
            "bash",
            ["-c", "cd '\(directory.path)'\ntrap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\n" + script],
            environment: [
                "PATH": "\(Commands.directory.path):\(path)", "TQ_BROKER_PORT": "\(port)",
                "TQ_BROKER_ADDR": "127.0.0.1:\(port)", "TMPDIR": directory.path,
            ]
        )
        launch.arguments[0] = Array("/bin/bash".utf8)
        launch.output = .appended(to: Array(output.path.utf8))
        launch.errors = .appended(to: Array(errors.path.utf8))
        let process = try ChildProcess(launch)
        return CommandOutcome(
            status: process.exitCode(),
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8)
        )
    }

    @Test("the first tasks are worked on, and the result is printed")
    func firstTasks() throws {
        let commands = try Self.commands(below: "First tasks").filter { $0.hasPrefix("tq-") }
        #expect(commands.count == 3, "\(commands)")
        let servers = commands.dropLast().map { command in
            // A comment would hide the ampersand.
            (command.components(separatedBy: "  #").first ?? command) + " &"
        }
        let outcome = try bash(
            (servers + ["tq-admin health --wait 30s >/dev/null"] + commands.suffix(1)).joined(separator: "\n")
        )
        #expect(outcome.output == "17\n", "\(outcome.errors)")
    }

    @Test("who crashes it finds every task")
    func crash() throws {
        let outcome = try bash(try Self.commands(below: "Crash it yourself").joined(separator: "\n"))
        let lines = outcome.output.split(separator: "\n")
        #expect(
            lines.contains { $0.split(separator: " ") == ["pending", "1000"] },
            "\(outcome.output)\(outcome.errors)"
        )
        let tasks = lines.filter { $0.hasPrefix("{\"task_id\"") }
        #expect(tasks.count == 3)
        #expect(tasks.allSatisfy { $0.contains("\"state\":\"pending\"") })
    }

    @Test("tq-broker --dev prints commands that work as they are, on the usual port or another one")
    func dev() throws {
        for isTaken in [false, true] {
            let other =
                isTaken ? "tq-broker --data-dir other 2>/dev/null &\ntq-admin health --wait 30s >/dev/null\n" : ""
            let outcome = try bash(
                other + """
                    tq-broker --dev 2>said &
                    until grep -q ' submit ' said; do kill -0 $! || exit 1; done
                    eval "$(grep ' exec ' said) &"
                    eval "$(grep ' submit ' said)"
                    tq-admin stats | grep 'total submitted'
                    """
            )
            // The numbers are of the broker on the usual port.
            let words = outcome.output.split { $0 == " " || $0 == "\n" }
            #expect(words == ["17", "total", "submitted", isTaken ? "0" : "1"], "\(outcome.errors)")
        }
    }
}
