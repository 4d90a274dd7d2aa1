import CommandLineSupport
import Glibc
import TQModel
import Telemetry

/// The store against a direct computation of every result.
struct Comparison {
    private(set) var tasks = 0
    private(set) var results = 0
    /// Files that changed after they had become payloads, so that nothing can be said about their results.
    private(set) var changed = 0
    /// What is wrong, each with its task and file.
    private(set) var lost: [String] = []
    private(set) var wrong: [String] = []

    var isGood: Bool { lost.isEmpty && wrong.isEmpty }

    /// - Parameters:
    ///   - stored: Every task of the store.
    ///   - files: What was submitted.
    ///   - digests: What `sha256sum` says of the files themselves; files that changed meanwhile are missing.
    init(_ stored: [StoredTask], _ files: [TaskID: SubmittedFile], _ digests: [Path: [UInt8]]) {
        var missing = files
        for task in stored {
            tasks += 1
            guard let file = files[task.id] else {
                wrong.append("task \(task.id) is of no file: a submit was stored twice")
                continue
            }
            guard missing.removeValue(forKey: task.id) != nil else {
                wrong.append("task \(task.id) of \(file.path) is in the store twice")
                continue
            }
            guard task.state == .completed else {
                lost.append("task \(task.id) of \(file.path) has no result, it is \(task.state.name)")
                continue
            }
            results += 1
            compare(task, file, digests[file.path])
        }
        lost += missing.map { "task \($0.key) of \($0.value.path) is not in the store" }.sorted()
    }

    private static func shown(_ result: [UInt8]) -> String {
        String(decoding: result.prefix(100).filter { $0 != UInt8(ascii: "\n") }, as: UTF8.self).printable
    }

    private mutating func compare(_ task: StoredTask, _ file: SubmittedFile, _ digest: [UInt8]?) {
        guard let digest else { return changed += 1 }
        // What sha256sum writes of its standard input.
        let expected = digest + "  -\n".utf8
        guard task.result != expected else { return }
        let (found, right) = (Self.shown(task.result), Self.shown(expected))
        wrong.append("task \(task.id) of \(file.path) has the result '\(found)' instead of '\(right)'")
    }
}

/// The SHA-256 of every file that is still as it was when it became a payload, in hexadecimal digits, by path.
func directDigests(of files: [SubmittedFile], group: pid_t, log: Path) throws -> [Path: [UInt8]] {
    var digests: [Path: [UInt8]] = [:]
    let batchCount = 200
    let digestCount = 64
    for start in stride(from: 0, to: files.count, by: batchCount) {
        let batch = files[start..<min(start + batchCount, files.count)]
        // Records end with zero, so that a line break in a name is nothing special. An exit code that is not 0 means a
        // file that is gone, which is found out below.
        let arguments = ["sha256sum", "--zero", "--"].map { Path($0) } + batch.map(\.path)
        _ = try readRecords(of: arguments, separatedBy: 0, group: group, log: log) { record in
            guard record.count > digestCount + 2 else { return }
            digests[Path(record.dropFirst(digestCount + 2))] = Array(record.prefix(digestCount))
        }
        for file in batch where FileVersion(of: file.path) != file.version { digests[file.path] = nil }
    }
    return digests
}
