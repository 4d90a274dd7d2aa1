import CSpawn
public import Glibc

extension ProcessLaunch {
    /// Turns this process into a program that gets SIGTERM when the thread that started the process ends, however it ends.
    ///
    /// Nobody but a process itself can ask the system for that. No signal is blocked in the program.
    /// - Parameters:
    ///   - arguments: The program, found in PATH unless its name has a slash, and its arguments.
    ///   - parent: The process of that thread; when it is gone already, this one ends at once.
    /// - Throws: ``CommandFailure`` that names the program and what the system says.
    public static func become(_ arguments: [String], boundTo parent: pid_t) throws(CommandFailure) -> Never {
        var code = tq_set_parent_death_signal(SIGTERM)
        guard getppid() == parent else { exit(ExitStatus.failed.rawValue) }
        if code == 0 {
            var signals = sigset_t()
            sigemptyset(&signals)
            pthread_sigmask(SIG_SETMASK, &signals, nil)
            code = withCStrings(arguments.map { Array($0.utf8) }) { arguments in
                guard let program = arguments[0] else { return EINVAL }
                execvp(program, arguments)
                return errno
            }
        }
        throw CommandFailure(.failed, "Cannot start \(arguments.first ?? ""): \(String(cString: strerror(code))).")
    }
}
