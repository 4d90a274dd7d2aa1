import ArgumentParser
import CommandLineSupport
import TQModel

/// Which tasks a command is about.
struct FilterOptions: ParsableArguments {
    @Option(
        name: [.short, .long],
        parsing: .singleValue,
        help: "Only those in this state: \(TaskStatesArgument.all); may be repeated."
    )
    var status: [TaskStatesArgument] = []
    @Option(name: [.short, .long], help: "Only those of this queue.")
    var queue: String?
    @Option(name: [.short, .long], help: "Only those of this type, or of all with a prefix: send.*.")
    var type: String?
    @Option(name: [.short, .long], help: "Only those as urgent as that: a priority, or two, such as 100..200.")
    var priority = PriorityRangeArgument()
    @Option(help: "Only those that carry this tag.")
    var tag: String?
    @Option(help: ArgumentHelp("Only those submitted then or later, such as 2026-11-21T04:34:56Z.", valueName: "time"))
    var since: TimestampArgument?
    @Option(help: ArgumentHelp("Only those submitted earlier.", valueName: "time"))
    var until: TimestampArgument?
    @Option(help: "Only failed tasks and dead letters in whose last error this text is.")
    var error: String?

    func validateForDeadLetters() throws {
        if !status.isEmpty { throw ValidationError("--status is not for dead letters: they have one state.") }
    }

    var filter: TaskFilter {
        TaskFilter(
            states: Set(status.flatMap(\.states)),
            queue: queue.map { Name($0) },
            type: type.map { TypePattern(bytes: Bytes($0.utf8)) },
            priorities: priority.range,
            createdFrom: since?.wallMilliseconds ?? 0,
            createdBefore: until?.wallMilliseconds ?? .max,
            error: Bytes((error ?? "").utf8),
            tag: tag.map { TaskTag($0) }
        )
    }
}

/// States of tasks, by their names, with or without hyphens.
struct TaskStatesArgument: ExpressibleByArgument {
    let states: [TaskState]

    static let all = TaskState.allCases.map(\.name).joined(separator: ", ")
    static let allValueStrings = TaskState.allCases.map(\.name)

    init?(argument text: String) {
        var states: [TaskState] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let name = word.lowercased().filter { $0 != "-" && $0 != "_" }
            guard let state = TaskState.allCases.first(where: { $0.name.lowercased() == name }) else { return nil }
            states.append(state)
        }
        self.states = states
    }
}

/// One priority, or all from one to another.
struct PriorityRangeArgument: ExpressibleByArgument {
    var range = TaskFilter.allPriorities

    init() {}

    init?(argument text: String) {
        let ends = text.split(separator: "..", omittingEmptySubsequences: false).map { Priority($0) }
        guard let first = ends[0], let last = ends[ends.count - 1], ends.count <= 2, first <= last else { return nil }
        range = first...last
    }

    var defaultValueDescription: String { "all" }
}
