import CommandLineSupport
import Glibc

/// A child process, and the ends of the pipes to it.
final class ChildProcess {
    let pid: pid_t
    private var exitStatus: Int32?

    /// Where the three standard streams of a child go; `nil` is the parent's.
    struct Streams {
        var input: Int32?
        var output: Int32?
        /// Appended to.
        var errorPath: String?
    }

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - arguments: The program's path and what follows it.
    ///   - environment: Variables besides those of this process.
    init(_ arguments: [String], environment: [String: String] = [:], _ streams: Streams = Streams()) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input = streams.input { posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO) }
        if let output = streams.output { posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) }
        if let path = streams.errorPath {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        }
        var child: pid_t = 0
        let program = arguments.first ?? ""
        let code = Self.withCStrings(arguments) { arguments in
            Self.withCStrings(Self.variables(and: environment)) { variables in
                posix_spawn(&child, program, &actions, nil, arguments, variables)
            }
        }
        guard code == 0 else {
            throw CommandFailure(.failed, "Cannot start \(program): \(String(cString: strerror(code))).")
        }
        pid = child
    }

    /// Sends a signal, unless the process was seen to be over.
    func signal(_ signal: Int32) {
        if exitStatus == nil { kill(pid, signal) }
    }

    /// Waits for the end; returns what `waitpid` says of it.
    @discardableResult
    func wait() -> Int32 {
        if let exitStatus { return exitStatus }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        exitStatus = status
        return status
    }

    /// Whether it is over by now.
    var isOver: Bool {
        if exitStatus != nil { return true }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        exitStatus = status
        return true
    }

    private static func variables(and more: [String: String]) -> [String] {
        var variables: [String] = []
        var place = environ
        while let entry = place.pointee {
            variables.append(String(cString: entry))
            place += 1
        }
        return variables + more.map { "\($0.key)=\($0.value)" }
    }

    private static func withCStrings<Result>(
        _ texts: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }
}

/// The path of a program of the same installation as this one.
func sibling(_ name: String) throws -> String {
    let own = try ownPath()
    let program = String(own[...(own.lastIndex(of: "/") ?? own.startIndex)]) + name
    guard access(program, X_OK) == 0 else {
        throw CommandFailure(.missingInstall, "There is no \(program). Build it, or name another one with --broker.")
    }
    return program
}

/// The path of this program.
func ownPath() throws -> String {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    guard count > 0 else { throw CommandFailure(.failed, "Cannot find out where tq-crash-test is installed.") }
    return String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
