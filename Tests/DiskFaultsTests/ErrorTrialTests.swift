import CommandLineSupport
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
        // All of them take an hour: TQ_TRIAL_STRIDE=1.
        trials.stride = processEnvironment()["TQ_TRIAL_STRIDE"].flatMap(Int.init) ?? 150
        let report = try trials.run()
        #expect(report.violations.isEmpty, "\(report.violations.count): \(report.violations.prefix(5))")
        #expect(report.failed > 5 && report.succeeded > 5, "\(report.succeeded) of \(report.runs) succeeded")
    }
}
