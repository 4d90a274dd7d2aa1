import ArgumentParser
import CommandLineSupport
import Glibc
import TQClient
import TQModel

/// Shows that no task is lost.
@main
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-demo",
        abstract:
            "Makes a task of every file, kills the broker twice while they are worked on, and compares all results.",
        version: tqVersion
    )

    @Argument(help: "Every regular file below becomes a task. (default: /usr/share/doc)")
    var directories: [String] = []
    @Option(help: ArgumentHelp("Taken too where the default has few files.", valueName: "dir"))
    var fallback: [String] = []
    @Option(help: ArgumentHelp("Where the data goes: a directory on a disk.", valueName: "dir"))
    var dataParent = "."
    @Option(help: "Programs at once.")
    var concurrency: Int?
    @Flag(help: "Drop a task and alter a result before the comparison, to show that it sees both.")
    var sabotage = false

    /// Real files that most machines have.
    private static let documentation = "/usr/share/doc"
    /// As many as make kills in the middle of the work likely.
    private static let fewFiles = 1000

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        StopSignals.catchAll()
        await runAndExit()
    }

    func run() async throws {
        let files = try findFiles()
        let directory = try DemoDirectory(parent: dataParent)
        say("data and logs: \(directory.path)")
        let family = try Family()
        let watch = Task.detached {
            await StopSignals.next()
            family.end()
            directory.remove()
            say("tq-demo: stopped; nothing is left behind")
            _exit(128 + SIGINT)
        }
        defer { watch.cancel() }
        do {
            let demo = Demo(files: files, directory: directory, group: family.group, concurrency: concurrency)
            let verdict = try await demo.run(isSabotaged: sabotage)
            family.end()
            if verdict.isGood { directory.remove() }
            writeToStandardOutput(verdict.line + "\n")
            guard verdict.isGood else {
                throw CommandFailure(.failed, "tasks are not as they should be\n\(verdict.problems)")
            }
            writeToStandardOutput("\n" + Self.nextCommands)
        } catch {
            family.end()
            say("data and logs are kept in \(directory.path)")
            throw error
        }
    }

    private func findFiles() throws -> FileSet {
        var files = FileSet()
        var names = directories
        if names.isEmpty, access(Self.documentation, R_OK) == 0 { names = [Self.documentation] }
        for name in names { try files.add(below: Path(name)) }
        if directories.isEmpty, files.files.count < Self.fewFiles {
            for name in fallback { try files.add(below: Path(name)) }
            names += fallback
        }
        guard files.files.count >= (sabotage ? 2 : 1) else {
            throw CommandFailure(
                .usage,
                "There are too few files in \(names.joined(separator: ", ")): choose another directory."
            )
        }
        let megabytes = Double(files.byteCount / 100_000) / 10
        let skipped = files.skipped.isEmpty ? "" : ", skipped: \(files.skipped)"
        say("\(files.files.count) files, \(megabytes) MB in \(names.joined(separator: ", "))\(skipped)")
        return files
    }

    /// What to do next, each command in a terminal of its own.
    private static var nextCommands: String {
        let (broker, worker, admin) = (typedCommand("tq-broker"), typedCommand("tq-worker"), typedCommand("tq-admin"))
        return """
            Next, each in a terminal of its own:
              \(broker) --dev
              \(worker) exec --queue hello -- wc -c
              \(admin) wait $(\(admin) submit --queue hello --type count --payload 'how long is this?')

            """
    }
}

/// Tells the story of the demo on standard error, above the line that shows progress.
func say(_ text: String) {
    writeToStandardError((isatty(STDERR_FILENO) == 1 ? "\r\u{1b}[K" : "") + text + "\n")
}
