import ByteStore
import CommandLineSupport
public import DiskFaults
import Glibc

/// Runs a ``StoreWorkload`` once for each of its operations, which then fails, and looks whether anything acknowledged is
/// gone.
///
/// A run must succeed or report an error; it must not crash or hang. Afterwards the store is opened without faults: as the
/// process left it, and as a power cut at the end of the process would have left it.
public struct ErrorTrials {
    /// A way in which an operation fails.
    public struct Fault: Sendable, CustomStringConvertible {
        /// What fails.
        public var operation: DiskControl.Operation
        /// The error that is reported.
        public var error: CInt
        /// What else happens.
        public var manner: DiskControl.Manner
        /// Whether later operations of the kind fail as well.
        public var isLasting: Bool

        /// Describes a fault.
        public init(
            _ operation: DiskControl.Operation,
            _ error: CInt,
            _ manner: DiskControl.Manner = .plain,
            isLasting: Bool = false
        ) {
            self.operation = operation
            self.error = error
            self.manner = manner
            self.isLasting = isLasting
        }

        public var description: String {
            "\(operation) \(error == ENOSPC ? "ENOSPC" : error == EIO ? "EIO" : "errno \(error)") \(manner)"
                + (isLasting ? " from then on" : "")
        }

        /// Those that disks are known for.
        public static let common: [Fault] = [
            Fault(.write, EIO), Fault(.write, ENOSPC, .torn), Fault(.write, ENOSPC, isLasting: true),
            Fault(.write, 0, .short), Fault(.sync, EIO), Fault(.sync, EIO, .drop),
            Fault(.sync, EIO, .drop, isLasting: true),
            Fault(.allocate, ENOSPC), Fault(.name, EIO), Fault(.name, ENOSPC, isLasting: true),
        ]
    }

    /// What the runs came to.
    public struct Report: Sendable {
        /// Runs that ended well in spite of the fault.
        public var succeeded = 0
        /// Runs that reported an error.
        public var failed = 0
        /// What must not be, with the fault and the number of the operation.
        public var violations: [String] = []

        /// All runs.
        public var runs: Int { succeeded + failed }
    }

    /// The program that runs the workload, with its first arguments; the data directory and the record follow.
    public var command: [String]
    /// The path of `libtq-disk-faults.so`.
    public var library: String
    /// A directory for the runs.
    public var scratch: String
    /// Every how manieth operation fails.
    public var stride = 1

    /// Names the programs and places.
    public init(command: [String], library: String, scratch: String) {
        self.command = command
        self.library = library
        self.scratch = scratch
    }

    /// Makes the runs, one for each operation that a run without faults has.
    ///
    /// - Parameter tell: Is told of each run.
    public func run(
        _ faults: [Fault] = Fault.common,
        tell: (Fault, _ number: UInt64, _ status: Int32) -> Void = { _, _, _ in }
    ) throws -> Report {
        var report = Report()
        let counts = try countOperations()
        for fault in faults {
            for number in Swift.stride(from: 1, through: counts[fault.operation] ?? 0, by: stride) {
                let status = try run(fault, number, &report)
                tell(fault, number, status)
            }
        }
        return report
    }

    private func countOperations() throws -> [DiskControl.Operation: UInt64] {
        let trial = try Trial(self)
        defer { trial.remove() }
        let status = try trial.run()
        guard status == 0 else {
            throw TrialFailure("The workload ends with status \(status) without a fault: \(trial.errors)")
        }
        let operations = DiskControl.Operation.allCases.map { ($0, trial.control.count(of: $0)) }
        return Dictionary(uniqueKeysWithValues: operations)
    }

    private func run(_ fault: Fault, _ number: UInt64, _ report: inout Report) throws -> Int32 {
        let trial = try Trial(self)
        defer { trial.remove() }
        trial.control.fail(
            fault.operation,
            with: fault.error,
            fault.manner,
            from: number,
            times: fault.isLasting ? nil : 1
        )
        let status = try trial.run()
        switch status {
        case 0: report.succeeded += 1
        case 1: report.failed += 1
        default: report.violations.append("\(fault), operation \(number): ended with status \(status): \(trial.errors)")
        }
        for (place, objection) in try trial.objections() {
            report.violations.append("\(fault), operation \(number), \(place): \(objection)")
        }
        return status
    }
}

/// One run in a place of its own.
private struct Trial {
    let control: DiskControl
    private let settings: ErrorTrials
    private let place: String

    init(_ settings: ErrorTrials) throws {
        self.settings = settings
        place = settings.scratch + "/trial"
        Salvage.removeTree(place)
        for path in [place, place + "/disk", place + "/images"] {
            guard mkdir(path, 0o700) == 0 else { throw TrialFailure.system("make", path) }
        }
        control = try DiskControl(place + "/control")
    }

    func remove() { Salvage.removeTree(place) }

    /// Runs the workload: its exit code, or minus the signal that ended it.
    func run() throws -> Int32 {
        var launch = ProcessLaunch(settings.command + [place + "/disk/data", place + "/record"])
        let preload = DiskPreload(
            library: settings.library,
            directory: place + "/disk",
            journal: place + "/journal",
            control: control.path
        )
        launch.environment = processEnvironment().merging(preload.environment) { $1 }
        launch.errors = .appended(to: Array((place + "/errors").utf8))
        let status = try ChildProcess(launch).wait()
        return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    }

    var errors: String { (try? readText(place + "/errors")) ?? "" }

    /// What is wrong with the store that the process left, or that a power cut at its end would leave.
    func objections() throws -> [(String, String)] {
        guard access(place + "/record", F_OK) == 0 else { return [] }
        let record = try WorkRecord(place + "/record")
        let journal = try DiskJournal(place + "/journal")
        var found: [(String, String)] = []
        var cuts = try PowerCuts(journal, dataDirectory: "data", scratch: place + "/images")
        for image in [DiskImage.kill, .strict, .torn(seed: 1), .torn(seed: 2)] {
            try cuts.withImage(image, at: journal.count) { path in
                if let objection = record.objection(to: FoundStore(path)) { found.append(("\(image)", objection)) }
            }
        }
        return found
    }
}
