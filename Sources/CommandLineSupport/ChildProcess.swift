import CSpawn
public import Glibc

/// How a child process is started.
///
/// A child has its three standard streams and nothing else of ours: an inherited socket would keep its connection, or
/// its port, in use for as long as the child lives. No signal is blocked or ignored in it.
public struct ProcessLaunch: Sendable {
    /// The program, found in PATH unless its name has a slash, and its arguments; any bytes but zero.
    public var arguments: [[UInt8]]
    /// All of the child's variables; `nil` hands ours on.
    public var environment: [String: String]?
    /// The process group that the child joins: 0 makes it the leader of a new one, `nil` leaves it in ours.
    public var group: pid_t?
    /// Standard input.
    public var input = Stream.inherited
    /// Standard output.
    public var output = Stream.inherited
    /// Standard error.
    public var errors = Stream.inherited

    /// Where a standard stream of a child leads.
    public enum Stream: Sendable {
        /// Where ours leads.
        case inherited
        /// To and from nowhere.
        case nothing
        /// To the end of a file, which is made when it is not there.
        case appended(to: [UInt8])
        /// To an open descriptor of ours.
        case descriptor(Int32)
    }

    /// Starts a program whose name and arguments may be any bytes but zero.
    public init(_ arguments: [[UInt8]]) { self.arguments = arguments }

    /// Starts a program with arguments that are texts.
    public init(_ arguments: [String]) { self.init(arguments.map { Array($0.utf8) }) }

    /// Starts the process.
    ///
    /// - Returns: Its id, for whoever waits for its end without a ``ChildProcess``.
    /// - Throws: ``CommandFailure`` that names the program and what the system says.
    public func start() throws(CommandFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (stream, descriptor) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)] {
            stream.add(to: &actions, as: descriptor)
        }
        var attributes = makeAttributes()
        defer { posix_spawnattr_destroy(&attributes) }
        var child: pid_t = 0
        var code = tq_spawn_close_from(&actions, STDERR_FILENO + 1)
        if code == 0 {
            code = Self.withCStrings(arguments) { arguments in
                guard let program = arguments[0] else { return EINVAL }
                guard let environment else {
                    return posix_spawnp(&child, program, &actions, &attributes, arguments, environ)
                }
                return Self.withCStrings(environment.map { Array("\($0.key)=\($0.value)".utf8) }) {
                    posix_spawnp(&child, program, &actions, &attributes, arguments, $0)
                }
            }
        }
        guard code == 0 else {
            let program = String(decoding: arguments.first ?? [], as: UTF8.self)
            throw CommandFailure(.failed, "Cannot start \(program): \(String(cString: strerror(code))).")
        }
        return child
    }

    private func makeAttributes() -> posix_spawnattr_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGPIPE, SIGTERM, SIGINT, SIGXFSZ] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        if let group {
            posix_spawnattr_setpgroup(&attributes, group)
            flags |= POSIX_SPAWN_SETPGROUP
        }
        posix_spawnattr_setflags(&attributes, Int16(flags))
        return attributes
    }

    static func withCStrings<Result>(
        _ texts: [[UInt8]],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies = texts.map { text in strdup(text.map { CChar(bitPattern: $0) } + [0]) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}

extension ProcessLaunch.Stream {
    fileprivate func add(to actions: inout posix_spawn_file_actions_t, as descriptor: Int32) {
        switch self {
        case .inherited: break
        case .nothing: posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        case .appended(let path):
            let path = path.map { CChar(bitPattern: $0) } + [0]
            posix_spawn_file_actions_addopen(&actions, descriptor, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        case .descriptor(let ours): posix_spawn_file_actions_adddup2(&actions, ours, descriptor)
        }
    }
}

/// A process that this one has started.
public final class ChildProcess {
    /// The process id; another process's, perhaps, once this one is known to be over.
    public let id: pid_t
    private var status: Int32?

    /// Starts it.
    ///
    /// - Throws: ``CommandFailure`` that names the program and what the system says.
    public init(_ launch: ProcessLaunch) throws(CommandFailure) { id = try launch.start() }

    /// Sends a signal, unless the process is known to be over: its number may be another's by now.
    public func signal(_ number: Int32) {
        if !isOver { kill(id, number) }
    }

    /// Waits for the end; returns what `waitpid` says of it: 0 for exit code 0.
    @discardableResult
    public func wait() -> Int32 {
        if let status { return status }
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        self.status = status
        return status
    }

    /// Whether the process has ended by now.
    public var isOver: Bool {
        var status: Int32 = 0
        if self.status == nil, waitpid(id, &status, WNOHANG) == id { self.status = status }
        return self.status != nil
    }
}

/// Both ends of a pipe that no program inherits unless it is given one.
///
/// - Throws: ``CommandFailure`` when the system has no more descriptors.
public func makePipe() throws(CommandFailure) -> (readEnd: Int32, writeEnd: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
        throw CommandFailure(.failed, "Cannot make a pipe: \(String(cString: strerror(errno))).")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}
