import Glibc
import Synchronization

/// A process that runs, with our ends of its standard streams.
struct SpawnedProcess {
    let id: pid_t
    let input: Int32
    let output: Int32
    let errors: Int32
}

/// Why a process was not started.
struct SpawnError: Error, CustomStringConvertible {
    let description: String

    init(_ number: Int32) { self.description = String(cString: strerror(number)) }
}

/// One process is started at a time: between making a pipe and marking it close-on-exec, another start would hand it
/// to the wrong child, which would then keep it open.
private let turn = Mutex(())

/// Starts a program, found in PATH unless its name has a slash, as the leader of a process group of its own.
func spawn(arguments: [String], environment: [String]) throws(SpawnError) -> SpawnedProcess {
    let result = turn.withLock { _ in
        Result { () throws(SpawnError) in try spawnInTurn(arguments: arguments, environment: environment) }
    }
    return try result.get()
}

private func spawnInTurn(arguments: [String], environment: [String]) throws(SpawnError) -> SpawnedProcess {
    var ends: [Int32] = []
    func closeEnds() { for end in ends { close(end) } }
    for _ in 0..<3 {
        var pair: [Int32] = [-1, -1]
        guard pipe(&pair) == 0 else {
            let error = SpawnError(errno)
            closeEnds()
            throw error
        }
        for end in pair { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        ends += pair
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, ends[3], STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, ends[5], STDERR_FILENO)

    var id: pid_t = 0
    let result = withAttributes { attributes in
        withCStrings(arguments) { arguments in
            withCStrings(environment) { environment in
                arguments[0].map { posix_spawnp(&id, $0, &actions, &attributes, arguments, environment) } ?? ENOMEM
            }
        }
    }
    guard result == 0 else {
        closeEnds()
        throw SpawnError(result)
    }
    for end in [ends[0], ends[3], ends[5]] { close(end) }
    return SpawnedProcess(id: id, input: ends[1], output: ends[2], errors: ends[4])
}

/// A process group of its own, no blocked signals, and default actions for those that we ignore.
private func withAttributes(_ body: (inout posix_spawnattr_t) -> Int32) -> Int32 {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for number in [SIGPIPE, SIGTERM, SIGINT] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))
    return body(&attributes)
}

private func withCStrings<Value>(_ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value) -> Value {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
