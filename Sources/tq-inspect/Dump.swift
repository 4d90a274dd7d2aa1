import ArgumentParser
import ByteStore
import CommandLineSupport
import FoundationEssentials
import Storage
import TQModel
import Telemetry

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Print every task exactly once, as one JSON object a line.",
        discussion: """
            Tasks that wait or run come first, then ended ones, then dead letters. Bytes are a JSON string where they are \
            UTF-8, else they are in a field of the same name with _base64 behind it; compressed ones are as they are stored, and \
            a field with _encoding behind its name says so. A task of which something cannot be \
            read says so in its field "damage", and the exit code is 1.
            """
    )

    @OptionGroup var directory: DirectoryOptions
    @Flag(help: "Leave payloads out.")
    var noPayload = false

    func run() throws {
        let directory = try directory.open()
        let damaged = try explained {
            let store = try directory.store()
            defer { store.close() }
            return try dump(try StoreInspection(store, mark: try directory.mark()))
        }
        if damaged > 0 {
            throw CommandFailure(.failed, "\(damaged) tasks cannot be read in full; 'tq-inspect verify' says why")
        }
    }

    /// - Returns: How many tasks have lost something.
    private func dump(_ inspection: StoreInspection) throws(StorageError) -> Int {
        var damaged = 0
        var lines = ""
        try inspection.forEachTask(withPayloads: !noPayload) { task throws(StorageError) in
            if task.damage != nil { damaged += 1 }
            lines += Self.json(task).text + "\n"
            if lines.utf8.count > 1 << 16 {
                writeToStandardOutput(lines)
                lines = ""
            }
        }
        writeToStandardOutput(lines)
        return damaged
    }

    private static func json(_ task: StoreInspection.InspectedTask) -> JSONValue {
        var fields: [JSONValue.Field] = [
            .init("task_id", .string("\(task.id)")),
            .init("sequence", .unsigned(task.sequence.rawValue)),
            .init("queue", .string("\(task.queue)")),
            .init("task_type", .string("\(task.type)")),
            .init("state", .string(task.state.name)),
            .init("priority", .unsigned(UInt64(task.priority.rawValue))),
            .init("attempts", .unsigned(UInt64(task.attempts))),
            .init("crashes", .unsigned(UInt64(task.crashes))),
            .init("created_at", time(task.createdMilliseconds)),
        ]
        if task.startWallMilliseconds > 0 { fields.append(.init("starts_at", time(task.startWallMilliseconds))) }
        if task.endWallMilliseconds > 0 { fields.append(.init("ended_at", time(task.endWallMilliseconds))) }
        if let worker = task.worker { fields.append(.init("worker", .string("\(worker)"))) }
        if let progress = task.progress {
            fields.append(.init("progress_percent", .unsigned(UInt64(progress.percent))))
            if !progress.message.isEmpty { fields.append(bytes("progress_message", progress.message)) }
        }
        if let key = task.sharing.limitKey { fields.append(.init("limit_key", .string("\(key)"))) }
        if let key = task.sharing.serialKey { fields.append(.init("serial_key", .string("\(key)"))) }
        if let group = task.sharing.group {
            fields.append(.init("group", .string("\(group)")))
            fields.append(.init("weight", .unsigned(UInt64(task.sharing.weight))))
        }
        if !task.dependencies.isEmpty {
            fields.append(.init("dependencies", .array(task.dependencies.map { .string("\($0)") })))
        }
        if !task.tags.isEmpty { fields.append(.init("tags", .array(task.tags.map { .string("\($0)") }))) }
        if let payload = task.payload { fields.append(bytes("payload", payload)) }
        fields += content("payload", task.payloadContent)
        if let result = task.result { fields.append(bytes("result", result)) }
        fields += content("result", task.resultContent)
        if let error = task.error { fields.append(bytes("error", error)) }
        if let damage = task.damage { fields.append(.init("damage", .string(damage))) }
        return .object(fields)
    }

    /// What bytes are, as far as somebody said.
    private static func content(_ name: String, _ content: Content) -> [JSONValue.Field] {
        var fields: [JSONValue.Field] = []
        if let type = content.type { fields.append(.init(name + "_content_type", .string("\(type)"))) }
        if content.encoding != .identity {
            fields.append(.init(name + "_encoding", .string(content.encoding.name)))
        }
        return fields
    }

    private static func time(_ milliseconds: UInt64) -> JSONValue {
        .string(rfc3339(wallMilliseconds: Int64(clamping: milliseconds)))
    }

    private static func bytes(_ name: String, _ bytes: Bytes) -> JSONValue.Field {
        if let text = String(validating: bytes, as: UTF8.self) { return .init(name, .string(text)) }
        return .init(name + "_base64", .string(Data(bytes).base64EncodedString()))
    }
}
