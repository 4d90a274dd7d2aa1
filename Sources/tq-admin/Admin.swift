import ArgumentParser
import CommandLineSupport

/// The command line of users and operators: `tq-admin NOUN VERB`, and the common verbs by themselves.
struct Admin: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-admin",
        abstract: "Submits tasks and looks after a broker.",
        discussion: """
            Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 not found, \
            3 refused by the broker, 4 no broker reached, 5 not allowed, 10 the awaited task became a dead letter, \
            11 it was cancelled, 64 wrong usage.
            """,
        version: tqVersion,
        subcommands: [
            Submit.self, Status.self, Wait.self, ShowResult.self, Cancel.self, ExplainTask.self, Stats.self,
            ShowHealth.self, Compact.self,
        ],
        groupedSubcommands: [
            CommandGroup(
                name: "Nouns",
                subcommands: [
                    TaskNoun.self, QueueNoun.self, RecurringNoun.self, WorkerNoun.self, DeadLetterNoun.self,
                    BulkNoun.self, GateNoun.self, SystemNoun.self,
                ]
            )
        ]
    )
}

struct TaskNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "task",
        abstract: "Submit, look at, wait for and cancel tasks.",
        subcommands: [
            Submit.self, ListTasks.self, Status.self, Wait.self, ShowResult.self, Cancel.self, ExplainTask.self,
        ]
    )
}

struct QueueNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue",
        abstract: "Look at queues, and say what their tasks get.",
        subcommands: [ListQueues.self, ShowQueue.self, SetQueue.self, ExplainQueue.self]
    )
}

struct WorkerNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Look at workers, and tell them to take no more tasks or to stop.",
        subcommands: [ListWorkers.self, QuietWorker.self, ResumeWorker.self, StopWorker.self]
    )
}

struct DeadLetterNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead-letter",
        abstract: "Look at dead letters, and put them back.",
        subcommands: [
            ListDeadLetters.self, GroupDeadLetters.self, RedriveDeadLetters.self, PurgeDeadLetters.self,
        ]
    )
}

struct SystemNoun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "system",
        abstract: "Look at the broker.",
        subcommands: [Stats.self, ShowHealth.self, Compact.self]
    )
}
