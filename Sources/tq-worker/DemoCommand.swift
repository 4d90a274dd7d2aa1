import ArgumentParser
import CommandLineSupport
import TQModel
import TQWorker

/// A worker to play with.
struct Demo: WorkerSubcommand {
    static let configuration = CommandConfiguration(
        abstract: "Work on tasks of the types sleep, echo and fail.",
        discussion: """
            sleep waits for as long as the payload says (2, 500ms, 1m), echo returns the payload, fail fails with the \
            payload as its reason.
            """
    )

    @OptionGroup var options: ConnectionOptions
    @OptionGroup var work: WorkOptions

    func run() async throws {
        let worker = try WorkerProcess(options, work, kind: "demo")
        try await worker.run { worker in
            worker.register("sleep", raw: Self.sleep)
            worker.register("echo") { payload, _ in payload }
            worker.register("fail") { payload, _ in
                throw DemoFailure(description: String(decoding: payload, as: UTF8.self))
            }
        }
    }

    private static let sleep: RawHandler = { payload, _ in
        let text = String(decoding: payload, as: UTF8.self)
        guard let duration = DurationArgument(argument: text) else {
            throw PermanentFailure("'\(text.prefix(80))' is no span of time; write 2, 500ms or 1m.")
        }
        try await Task.sleep(for: .milliseconds(duration.milliseconds))
        return Bytes("slept \(duration)".utf8)
    }
}

/// A failure that was asked for.
private struct DemoFailure: Error, CustomStringConvertible {
    let description: String
}
