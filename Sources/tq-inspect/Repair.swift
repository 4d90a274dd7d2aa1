import ArgumentParser
import ByteStore
import CommandLineSupport
import FoundationEssentials
import Storage
import TQModel
import Telemetry

struct Repair: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Make a store that starts out of a damaged one, and list what is gone.",
        discussion: """
            The damaged store is never changed: what can be read of it is written into a new data directory. Without \
            --accept-loss the same is done, reported and thrown away, and the exit code is 1. Restore a backup instead where \
            there is one; docs/damage.md says what becomes of a task of which something is gone.
            """
    )

    @OptionGroup var directory: DirectoryOptions
    @Option(help: ArgumentHelp("The new data directory, which must not exist.", valueName: "dir"))
    var to: String
    @Flag(help: "Keep the new directory, although acknowledged work may be gone.")
    var acceptLoss = false
    @OptionGroup var output: OutputOptions

    func run() throws {
        let directory = try directory.open()
        let report = try explained {
            try StoreRepair.run(
                source: directory.path,
                target: to,
                wallMilliseconds: UInt64(Date().timeIntervalSince1970 * 1000),
                acceptsLoss: acceptLoss
            )
        }
        switch output.format {
        case .table: writeToStandardOutput(RepairText.text(of: report))
        case .json, .jsonl: writeToStandardOutput(RepairText.json(of: report).text + "\n")
        }
        guard acceptLoss else {
            throw CommandFailure(.failed, "nothing was kept: run it with --accept-loss to make \(to)")
        }
    }
}

/// The report of a repair, for people and for programs.
private enum RepairText {
    /// Lines of a list that people see; programs get all of it.
    private static let linesMax = 20

    static func text(of report: RepairReport) -> String {
        var lines = report.notes
        lines += report.families.filter(\.isDamaged).map {
            "\($0.family.name): \($0.records) records read, \($0.damaged) damaged, \($0.gaps) runs of records unreadable"
        }
        if let markBatch = report.markBatch {
            lines.append(
                "batch \(markBatch) was acknowledged, the store ends with batch "
                    + "\(report.recoveredBatch.map { "\($0)" } ?? "unknown"): at least \(report.lostBatches) acknowledged "
                    + "commit groups are gone"
            )
        } else {
            lines.append("there is no high-water mark of this store: how much was acknowledged is not known")
        }
        if report.hasNewIDs { lines.append("the store's key is gone: every task has a new id") }
        if !report.inventedNames.isEmpty {
            lines.append("names made up: \(report.inventedNames.joined(separator: ", "))")
        }
        lines += list(report.lostTasks, "tasks are lost")
        lines += list(report.lostOutcomes, "tasks had ended and their outcomes are lost")
        lines += list(report.buried, "tasks became dead letters")
        if !report.missing.isEmpty {
            lines.append(
                "nothing is left of \(report.missingCount) tasks: they expired, or they are lost; their numbers:"
            )
            lines += report.missing.prefix(linesMax).map { "  \(range($0))" } + more(report.missing.count)
        }
        lines.append(
            "kept: \(report.waitingTasks) waiting tasks (\(report.releasedLeases) leases taken back, "
                + "\(report.startedOver) may run a second time), \(report.endedTasks) ended ones, "
                + "\(report.deadLetters) dead letters; \(report.droppedKeys) idempotency keys dropped, "
                + "\(report.untagged) tasks without their tags; epoch \(report.epoch)"
        )
        return lines.map { $0 + "\n" }.joined()
    }

    private static func list(_ tasks: [RepairReport.Task], _ what: String) -> [String] {
        guard !tasks.isEmpty else { return [] }
        let rows = tasks.prefix(linesMax).map { "  \($0.id.map { "\($0)" } ?? "task \($0.sequence)"): \($0.note)" }
        return ["\(tasks.count) \(what):"] + rows + more(tasks.count)
    }

    private static func more(_ count: Int) -> [String] {
        count > linesMax ? ["  and \(count - linesMax) more, see -o json"] : []
    }

    private static func range(_ range: ClosedRange<UInt64>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
    }

    static func json(of report: RepairReport) -> JSONValue {
        .object([
            .init("notes", .array(report.notes.map { .string($0) })),
            .init("mark_batch", optional(report.markBatch)),
            .init("recovered_batch", optional(report.recoveredBatch)),
            .init("lost_batches", .unsigned(report.lostBatches)),
            .init("families", .array(report.families.map(json))),
            .init("waiting_tasks", .unsigned(report.waitingTasks)),
            .init("ended_tasks", .unsigned(report.endedTasks)),
            .init("dead_letters", .unsigned(report.deadLetters)),
            .init("released_leases", .unsigned(report.releasedLeases)),
            .init("started_over", .unsigned(report.startedOver)),
            .init("lost_tasks", .array(report.lostTasks.map(json))),
            .init("lost_outcomes", .array(report.lostOutcomes.map(json))),
            .init("buried", .array(report.buried.map(json))),
            .init("missing_tasks", .unsigned(report.missingCount)),
            .init(
                "missing",
                .array(report.missing.map { .array([.unsigned($0.lowerBound), .unsigned($0.upperBound)]) })
            ),
            .init("dropped_keys", .unsigned(report.droppedKeys)),
            .init("untagged_tasks", .unsigned(report.untagged)),
            .init("invented_names", .array(report.inventedNames.map { .string($0) })),
            .init("has_new_ids", .bool(report.hasNewIDs)),
            .init("epoch", .unsigned(UInt64(report.epoch))),
        ])
    }

    private static func json(_ family: RepairReport.FamilyLoss) -> JSONValue {
        .object([
            .init("family", .string(family.family.name)),
            .init("records", .unsigned(family.records)),
            .init("damaged", .unsigned(family.damaged)),
            .init("unreadable_runs", .unsigned(family.gaps)),
        ])
    }

    private static func json(_ task: RepairReport.Task) -> JSONValue {
        .object([
            .init("sequence", .unsigned(task.sequence.rawValue)),
            .init("task_id", task.id.map { .string("\($0)") } ?? .null),
            .init("note", .string(task.note)),
        ])
    }

    private static func optional(_ number: UInt64?) -> JSONValue { number.map { .unsigned($0) } ?? .null }
}
