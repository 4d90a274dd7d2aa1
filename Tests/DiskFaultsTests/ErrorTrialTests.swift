import DiskTrials
import Testing

@Suite("Errors of a disk under a store")
struct ErrorTrialTests {
    @Test("an operation that fails loses nothing that was acknowledged, crashes nothing and damages nothing")
    func everyKind() throws {
        let scratch = try Scratch()
        var trials = ErrorTrials(
            command: [Programs.directory + "disk-workload"],
            library: Programs.faults,
            scratch: scratch.path
        )
        // Every operation is tried by `tq-verify`; here some of each kind.
        trials.stride = 37
        let report = try trials.run()
        #expect(report.violations.isEmpty, "\(report.violations.count): \(report.violations.prefix(5))")
        #expect(report.failed > 10 && report.succeeded > 10, "\(report.succeeded) of \(report.runs) succeeded")
    }
}
