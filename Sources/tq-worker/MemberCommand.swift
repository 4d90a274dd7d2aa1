import ArgumentParser
import CommandLineSupport
import Glibc

/// How each process of a pool begins: it binds itself to the pool, and becomes the worker.
///
/// So no worker outlives a pool that was killed: it gets SIGTERM then, and ends what it runs.
struct Member: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Become a worker that ends when its pool does.",
        shouldDisplay: false
    )

    @Option(help: ArgumentHelp("The process of the pool.", valueName: "id"))
    var pool: pid_t
    @Argument(parsing: .postTerminator, help: "The worker and its arguments, after --.")
    var command: [String] = []

    func run() throws { try ProcessLaunch.become(command, boundTo: pool) }
}
