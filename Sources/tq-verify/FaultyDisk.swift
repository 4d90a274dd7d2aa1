import CommandLineSupport
import DiskFaults
import Glibc

/// What is loaded before the broker under test: a disk that fails and keeps a journal, and a wall clock that jumps.
final class FaultyDisk {
    let control: DiskControl
    private let library: String
    private let directory: String
    private var journals = 0

    /// - Parameter directory: Of the test, which has the broker's data in `data`.
    init(_ directory: String) throws {
        self.directory = directory
        library = try libraryPath("libtq-disk-faults.so")
        control = try DiskControl(directory + "/control")
    }

    /// The variables for a broker that is to meet a fault; every broker begins a new journal.
    func environment(for fault: FaultKind) -> [String: String] {
        guard fault.needsJournal else { return clockEnvironment }
        unlink(journalPath)
        journals += 1
        mkdir(directory + "/data", 0o700)
        return DiskPreload(
            library: library,
            directory: directory + "/data",
            journal: journalPath,
            control: control.path
        ).environment
    }

    /// The variables for a process that sees the broker's wall clock and the real disk.
    var clockEnvironment: [String: String] {
        ["LD_PRELOAD": DiskPreload.preloading(library), "TQ_FAULTS_CONTROL": control.path]
    }

    /// Lets every sync succeed and do nothing.
    func syncNothing() { control.fail(.sync, with: 0, .lie) }

    /// What the last broker did to its data.
    func journal() throws(DiskFailure) -> DiskJournal { try DiskJournal(journalPath) }

    private var journalPath: String { "\(directory)/journal-\(journals)" }
}
