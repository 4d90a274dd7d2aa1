import ArgumentParser
import ByteStore
import CommandLineSupport
import Storage
import TQModel
import Telemetry

struct ShowSummary: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "summary",
        abstract: "Show what a store holds: families, tasks by state, position.",
        discussion: "Reads the whole store once, and keeps what a broker's index would in memory."
    )

    @OptionGroup var directory: DirectoryOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let directory = try directory.open()
        let found = try explained {
            let mark = try directory.mark()
            let store = try directory.store()
            defer { store.close() }
            return (summary: try StoreInspection(store, mark: mark).summary(), mark: mark)
        }
        switch output.format {
        case .table: print(found.summary, found.mark)
        case .json, .jsonl: writeToStandardOutput(Self.json(found.summary, found.mark).text + "\n")
        }
    }

    private func print(_ summary: StoreInspection.Summary, _ mark: Mark?) {
        Self.head.print((summary, mark), format: .table)
        writeToStandardOutput("\n")
        Self.states.print(TaskState.allCases.map { ($0, summary.counts[$0]) }, format: .table)
        writeToStandardOutput("\n")
        Self.families.print(summary.families, format: .table)
    }

    private static func json(_ summary: StoreInspection.Summary, _ mark: Mark?) -> JSONValue {
        let families = summary.families.map { family in
            JSONValue.object([
                .init("family", .string(family.family.name)),
                .init("tasks", .unsigned(family.tasks)),
                .init("records", .unsigned(family.records)),
                .init("bytes", .unsigned(family.bytes)),
            ])
        }
        return .object([
            .init("store_id", .string(storeID(summary))),
            .init("created_at", .string(created(summary))),
            .init("format", .unsigned(UInt64(StoreIdentity.formatVersion))),
            .init("epoch", .unsigned(UInt64(summary.epoch))),
            .init("batch", .unsigned(summary.position.sequence)),
            .init("running_hash", .string(hexadecimal(summary.position.runningHash))),
            .init("mark_batch", mark.map { .unsigned($0.syncedSequence) } ?? .null),
            .init("next_sequence", .unsigned(summary.nextSequence)),
            .init("queues", .unsigned(UInt64(summary.queues))),
            .init("tasks", .object(TaskState.allCases.map { .init($0.name, .unsigned(summary.counts[$0])) })),
            .init("families", .array(families)),
        ])
    }

    private static let head = Listing<(summary: StoreInspection.Summary, mark: Mark?)>([
        Column("store", "store_id") { storeID($0.summary) },
        Column("created", "created_at") { created($0.summary) },
        Column("format", "format") { _ in "\(StoreIdentity.formatVersion)" },
        Column("epoch", "epoch") { "\($0.summary.epoch)" },
        Column("batch", "batch") { "\($0.summary.position.sequence)" },
        Column("mark", "mark_batch") { $0.mark.map { "batch \($0.syncedSequence) was synced" } ?? "none" },
        Column("next task", "next_sequence") { "\($0.summary.nextSequence)" },
        Column("queues", "queues") { "\($0.summary.queues)" },
    ])

    private static let states = Listing<(state: TaskState, count: UInt64)>([
        Column("state", "state") { $0.state.name },
        Column("tasks", "tasks", count: { $0.count }),
    ])

    private static let families = Listing<StoreInspection.FamilySummary>([
        Column("family", "family") { $0.family.name },
        Column("tasks", "tasks", count: { $0.tasks }),
        Column("records", "records", count: { $0.records }),
        Column("bytes", "bytes", count: { $0.bytes }),
    ])

    private static func storeID(_ summary: StoreInspection.Summary) -> String {
        hexadecimal(UInt64(truncatingIfNeeded: summary.identity.id >> 64))
            + hexadecimal(UInt64(truncatingIfNeeded: summary.identity.id))
    }

    private static func created(_ summary: StoreInspection.Summary) -> String {
        rfc3339(wallMilliseconds: Int64(clamping: summary.identity.createdWallMilliseconds))
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
