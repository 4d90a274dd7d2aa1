import ArgumentParser
import CommandLineSupport
import Glibc
import TQModel
import TQWorker

/// Runs one program for every task.
struct Exec: WorkerSubcommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a program for every task.",
        discussion: """
            The payload is the program's standard input, its standard output is the result. Exit code 0 completes the \
            task; any other one, and a signal, fails the attempt with the end of standard error as the reason. The \
            program finds TQ_TASK_ID, TQ_TASK_TYPE, TQ_TASK_QUEUE and TQ_TASK_ATTEMPT in its environment, and \
            TQ_TASK_CONTENT_TYPE when the submitter said what the payload is; TQ_TASK_DEPENDENCIES has the ids of the tasks that it \
            waited for, whose results 'tq-admin wait ID' prints. No shell is involved: write -- sh -c '...' for one.
            """
    )

    @OptionGroup var options: ConnectionOptions
    @OptionGroup var work: WorkOptions
    @Option(help: "The task types to take, such as email.*; all of them unless said otherwise.")
    var type: [String] = []
    @Option(help: ArgumentHelp("What the program writes, such as application/json.", valueName: "type"))
    var resultType: String?
    @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
    var command: [String] = []

    func validate() throws {
        guard let program = command.first else { throw ValidationError("Say which program to run, after --.") }
        guard isExecutable(program) else { throw ValidationError("There is no program '\(program)' to run.") }
    }

    func run() async throws {
        let program = Program(command)
        let resultType = resultType.map { Name($0) }
        let worker = try WorkerProcess(options, work, kind: "exec \(command.joined(separator: " "))")
        try await worker.run { worker in
            for pattern in type.isEmpty ? ["*"] : type {
                worker.register(TypePattern(pattern)) { payload, context in
                    if let resultType { context.setResultType(resultType) }
                    return try await program.result(of: payload, variables: context.variables)
                }
            }
        }
    }
}

extension TaskContext {
    /// What a program learns of its task.
    fileprivate var variables: [String: String] {
        var variables = [
            "TQ_TASK_ID": "\(id)", "TQ_TASK_TYPE": "\(type)", "TQ_TASK_QUEUE": "\(queue)",
            "TQ_TASK_ATTEMPT": "\(attempt)",
        ]
        variables["TQ_TASK_CONTENT_TYPE"] = contentType.map { "\($0)" }
        if !dependencies.isEmpty {
            variables["TQ_TASK_DEPENDENCIES"] = dependencies.map(\.description).joined(separator: " ")
        }
        return variables
    }
}

/// Whether the system would find a program: by its path, or by its name in PATH.
func isExecutable(_ program: String) -> Bool {
    if program.contains("/") { return access(program, X_OK) == 0 }
    let directories = (processEnvironment()["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
    return directories.contains { access("\($0)/\(program)", X_OK) == 0 }
}
