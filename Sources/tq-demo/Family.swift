import CommandLineSupport
import Glibc

/// The processes of one demo; none of them outlives it, however it ends.
///
/// A guard leads their process group and reads from a pipe that only the demo holds open. At its end, SIGKILL included,
/// the guard kills the group.
struct Family: Sendable {
    /// The process group of every member.
    let group: pid_t
    private let lifeline: Int32

    init() throws {
        let (readEnd, writeEnd) = try makePipe()
        defer { close(readEnd) }
        let script = "trap '' HUP INT TERM; read -r _; kill -s KILL 0"
        var guardian = ProcessLaunch(["sh", "-c", script])
        (guardian.group, guardian.input, guardian.output) = (0, .descriptor(readEnd), .nothing)
        group = try guardian.start()
        lifeline = writeEnd
    }

    /// Kills all of them, and returns when they are gone.
    func end() {
        close(lifeline)
        while waitpid(-group, nil, 0) > 0 || errno == EINTR {}
    }
}

/// How a member of the family is started.
func launch(
    _ arguments: [Path],
    group: pid_t,
    log: Path,
    output: ProcessLaunch.Stream = .nothing
) -> ProcessLaunch {
    var launch = ProcessLaunch(arguments.map(\.bytes))
    launch.group = group
    (launch.input, launch.output, launch.errors) = (.nothing, output, .appended(to: log.bytes))
    return launch
}

/// Runs a program to its end and takes its output apart.
///
/// - Parameters:
///   - separator: The byte that ends each record of the output; it is not part of the record.
///   - log: Where standard error goes.
/// - Returns: What `waitpid` says of its end.
func readRecords(
    of arguments: [Path],
    separatedBy separator: UInt8,
    group: pid_t,
    log: Path,
    _ body: (UnsafeRawBufferPointer) throws -> Void
) throws -> Int32 {
    let (readEnd, writeEnd) = try makePipe()
    guard let file = fdopen(readEnd, "r") else {
        throw CommandFailure(.failed, "Cannot read from a pipe: \(String(cString: strerror(errno))).")
    }
    defer { fclose(file) }
    let child = try ChildProcess(launch(arguments, group: group, log: log, output: .descriptor(writeEnd)))
    close(writeEnd)
    var record: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(record) }
    while true {
        let count = getdelim(&record, &capacity, Int32(separator), file)
        guard count > 0 else { break }
        let isWhole = record?[count - 1] == CChar(bitPattern: separator)
        try body(UnsafeRawBufferPointer(start: record, count: isWhole ? count - 1 : count))
    }
    return child.wait()
}
