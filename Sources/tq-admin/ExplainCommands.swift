import ArgumentParser
import CommandLineSupport
import TQClient
import TQModel
import Telemetry

struct ExplainTask: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say why a task does not run now."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The id that submit printed.")
    var id: TaskIDArgument

    func run() async throws {
        try await connection.withClient { client in
            let explanation = try await client.explain(id.id)
            // Of one that is over its status knows more, or that it is not known any more.
            let state = explanation.state == nil ? try await client.status(id.id).state : explanation.state
            explanation.print(state: state, format: output.format)
        }
    }
}

struct ExplainQueue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say why the tasks of a queue do not run now."
    )

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "Its name.")
    var name: String

    func run() async throws {
        try await connection.withClient { client in
            try await client.explain(queue: Name(name)).print(format: output.format)
        }
    }
}

extension Explanation {
    fileprivate func print(state: TaskState? = nil, format: OutputFormat) {
        let reasons = reasons.isEmpty ? [nil] : reasons.map { Optional($0) }
        Listings.reasons.print(reasons.map { ExplainedReason(reason: $0, state: state) }, format: format)
    }
}

/// A reason in words; `nil` when nothing holds a task back.
struct ExplainedReason: Sendable {
    var reason: WaitReason?
    var state: TaskState?

    var sentence: String {
        guard let reason else { return "Nothing holds it back: the next claim takes it." }
        let scope = reason.scope.map { "\($0)" } ?? ""
        switch reason.kind {
        case .running: return "It runs\(reason.worker.map { " on worker \($0)" } ?? "").\(since(reason))"
        case .ended: return "It is over: \(state?.name ?? "nobody knows how")."
        case .notDue: return "It is not to start before \(time(reason.untilWallMilliseconds))."
        case .backoff:
            return "Its last attempt failed, and the next one is due at \(time(reason.untilWallMilliseconds))."
        case .paused:
            let end = reason.untilWallMilliseconds
            let until = end == 0 ? "until somebody resumes it" : "until \(time(end))"
            return "The gate of \(scope) is paused, \(until).\(since(reason))"
        case .limited:
            return "The gate of \(scope) lets \(reason.countMax) tasks run at once, and \(reason.count) run."
                + holder(reason, " The one that runs the longest is")
        case .serial: return "It waits until an earlier task of serial \(scope) is over." + holder(reason, " That is")
        case .dependency:
            return "It depends on \(reason.countMax) tasks, of which \(reason.count) are not over."
                + holder(reason, " One of them is")
        case .deadDependency:
            return "It depends on task \(reason.task.map { "\($0)" } ?? ""), a dead letter. Put that back, or purge it."
        case .dependencyFailed: return "Tasks failed on which it depends, so it is about to end."
        case .draining: return "The broker shuts down and hands out nothing."
        case .noWorker: return "No worker is connected that takes such tasks, or none asks for some now."
        case .workersBusy:
            return "All workers that take such tasks are busy: \(reason.count) streams have as many as they want."
        case .behind:
            let count = reason.countMax > 0 ? "At least \(reason.count)" : "\(reason.count)"
            return "\(count) tasks of its \(reason.scope.map { "\($0)" } ?? "queue") go before it."
        case .rateLimited:
            return
                "The gate of \(scope) lets tasks through at a rate, the next one at \(time(reason.untilWallMilliseconds))."
        case .circuitOpen:
            guard reason.countMax == 0 else {
                return "The circuit of \(scope) is half-open: it waits for the outcome of \(reason.count) of its tasks."
            }
            return "The circuit of \(scope) is open, and lets some through again at "
                + "\(time(reason.untilWallMilliseconds)).\(since(reason))"
        case .empty: return "No task of the queue is waiting to be claimed."
        }
    }

    private func holder(_ reason: WaitReason, _ beginning: String) -> String {
        guard let task = reason.task else { return "" }
        let worker = reason.worker.map { ", on worker \($0)" } ?? ""
        let since = reason.sinceWallMilliseconds
        return "\(beginning) task \(task)\(worker)\(since == 0 ? "" : ", since \(time(since))")."
    }

    private func since(_ reason: WaitReason) -> String {
        reason.sinceWallMilliseconds == 0 ? "" : " That is so since \(time(reason.sinceWallMilliseconds))."
    }

    private func time(_ milliseconds: UInt64) -> String { rfc3339(wallMilliseconds: Int64(clamping: milliseconds)) }
}
