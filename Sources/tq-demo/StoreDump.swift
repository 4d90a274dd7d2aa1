import CommandLineSupport
import FoundationEssentials
import Glibc
import TQModel

/// A task as the store holds it.
struct StoredTask: Sendable {
    let id: TaskID
    let state: TaskState
    let result: [UInt8]
}

/// What `tq-inspect dump` writes of one task: the one place that knows its form.
private struct DumpLine: Decodable {
    let id: String
    let state: String
    /// The result where it is text.
    let result: String?
    /// The result where it is not.
    let resultBase64: String?

    private enum CodingKeys: String, CodingKey {
        case state, result
        case id = "task_id"
        case resultBase64 = "result_base64"
    }
}

/// Every task that a store without a broker holds, in the order of the dump.
func readStore(_ directory: DemoDirectory, group: pid_t) throws -> [StoredTask] {
    let decoder = JSONDecoder()
    var tasks: [StoredTask] = []
    let progress = Progress("tasks read from the store")
    let arguments = [
        Path(try siblingPath("tq-inspect")), Path("dump"), Path("--no-payload"), Path("--data-dir"), directory.data,
    ]
    let newline = UInt8(ascii: "\n")
    let status = try readRecords(of: arguments, separatedBy: newline, group: group, log: directory.checkLog) { bytes in
        let line = try decoder.decode(DumpLine.self, from: Data(bytes))
        guard let id = TaskID(line.id), let state = TaskState(name: line.state) else {
            throw CommandFailure(.failed, "The dump has a task '\(line.id)' in state '\(line.state)'.")
        }
        let binary = line.resultBase64.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
        tasks.append(StoredTask(id: id, state: state, result: binary ?? Array((line.result ?? "").utf8)))
        progress.update(UInt64(tasks.count))
    }
    guard status == 0 else { throw CommandFailure(.failed, "tq-inspect dump failed; see \(directory.checkLog).") }
    progress.finish(UInt64(tasks.count))
    return tasks
}
