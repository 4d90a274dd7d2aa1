import ArgumentParser
import ByteStore
import CommandLineSupport
import Storage

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read everything and report all damage.",
        discussion: """
            Checks every checksum (blocks of table files, the log, tables, payloads, results), that records agree with \
            each other, the counters against a recount, and the store against its high-water mark. Each problem is \
            printed with its place; the exit code is 1 when there is one.
            """
    )

    @OptionGroup var directory: DirectoryOptions
    @OptionGroup var output: OutputOptions

    private struct Findings {
        var report = StoreVerification.Report()
        var problems: [StoreVerification.Problem] = []
    }

    func run() throws {
        let directory = try directory.open()
        let findings = verify(directory)
        switch output.format {
        case .table: break
        case .json: writeToStandardOutput(Self.json(findings).text + "\n")
        case .jsonl: writeToStandardOutput(findings.problems.map { Self.json($0).text + "\n" }.joined())
        }
        let count = findings.problems.count
        guard count == 0 else {
            throw CommandFailure(.failed, "\(count) \(count == 1 ? "problem" : "problems") in \(directory.path)")
        }
        if output.format == .table {
            let report = findings.report
            writeToStandardOutput(
                "no damage: \(report.records) records, \(report.bytes) bytes, \(report.payloads) payloads, "
                    + "\(report.outcomes) outcomes\n"
            )
        }
    }

    private func verify(_ directory: DataDirectory) -> Findings {
        var findings = Findings()
        func note(_ problem: StoreVerification.Problem) {
            findings.problems.append(problem)
            // Printed at once: a verification of much data takes long.
            if output.format == .table { writeToStandardOutput("\(problem.place): \(problem.message)\n") }
        }
        func note(_ error: StorageError, _ place: String) {
            note(StoreVerification.Problem(place: error.path ?? place, message: error.message))
        }
        var mark: Mark?
        do { mark = try directory.mark() } catch { note(error, "mark") }
        do {
            let store = try directory.store(checksTables: false)
            defer { store.close() }
            for family in Family.allCases {
                do { try store.checkTables(of: [family]) } catch { note(error, family.name) }
            }
            findings.report = StoreVerification.verify(store, mark: mark) { note($0) }
        } catch {
            note(error, "db")
        }
        return findings
    }

    private static func json(_ problem: StoreVerification.Problem) -> JSONValue {
        .object([.init("place", .string(problem.place)), .init("message", .string(problem.message))])
    }

    private static func json(_ findings: Findings) -> JSONValue {
        .object([
            .init("ok", .bool(findings.problems.isEmpty)),
            .init("records", .unsigned(findings.report.records)),
            .init("bytes", .unsigned(findings.report.bytes)),
            .init("payloads", .unsigned(findings.report.payloads)),
            .init("outcomes", .unsigned(findings.report.outcomes)),
            .init("problems", .array(findings.problems.map { json($0) })),
        ])
    }
}
