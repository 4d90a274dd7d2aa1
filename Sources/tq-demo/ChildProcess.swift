import CommandLineSupport
import Glibc

/// A process that this one has started.
final class ChildProcess {
    let id: pid_t
    private var status: Int32?

    /// Where a standard stream of a child leads.
    enum Stream {
        case nothing
        case appendedTo(Path)
        /// An open descriptor of ours.
        case descriptor(Int32)
    }

    /// Starts a program, found in PATH unless its name has a slash.
    ///
    /// - Parameters:
    ///   - arguments: The program comes first.
    ///   - group: The process group that it joins; 0 makes it the leader of a new one.
    init(
        _ arguments: [Path],
        group: pid_t,
        input: Stream = .nothing,
        output: Stream = .nothing,
        errors: Stream = .nothing
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (stream, descriptor) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)] {
            switch stream {
            case .nothing: posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
            case .appendedTo(let path):
                posix_spawn_file_actions_addopen(
                    &actions,
                    descriptor,
                    path.cString,
                    O_WRONLY | O_CREAT | O_APPEND,
                    0o600
                )
            case .descriptor(let ours): posix_spawn_file_actions_adddup2(&actions, ours, descriptor)
            }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, group)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var child: pid_t = 0
        let pointers = arguments.map { strdup($0.cString) }
        defer { for pointer in pointers { free(pointer) } }
        let code = arguments.first.map {
            posix_spawnp(&child, $0.cString, &actions, &attributes, pointers + [nil], environ)
        }
        guard code == 0 else {
            let program = arguments.first.map { "\($0)" } ?? "a program without a name"
            throw CommandFailure(.failed, "Cannot start \(program): \(String(cString: strerror(code ?? EINVAL))).")
        }
        id = child
    }

    /// Sends a signal, unless the process is known to be over: its number may be another's by now.
    func signal(_ number: Int32) {
        if !isOver { kill(id, number) }
    }

    /// Waits for the end; returns what `waitpid` says of it: 0 for exit code 0.
    @discardableResult
    func wait() -> Int32 {
        if let status { return status }
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        self.status = status
        return status
    }

    var isOver: Bool {
        var status: Int32 = 0
        if self.status == nil, waitpid(id, &status, WNOHANG) == id { self.status = status }
        return self.status != nil
    }
}

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
        group = try ChildProcess(["sh", "-c", script].map { Path($0) }, group: 0, input: .descriptor(readEnd)).id
        lifeline = writeEnd
    }

    /// Kills all of them, and returns when they are gone.
    func end() {
        close(lifeline)
        while waitpid(-group, nil, 0) > 0 || errno == EINTR {}
    }
}

/// Both ends of a pipe that no other program inherits.
private func makePipe() throws -> (readEnd: Int32, writeEnd: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
        throw CommandFailure(.failed, "Cannot make a pipe: \(String(cString: strerror(errno))).")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
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
    let child = try ChildProcess(arguments, group: group, output: .descriptor(writeEnd), errors: .appendedTo(log))
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
