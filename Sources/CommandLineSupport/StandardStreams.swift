import Glibc

/// Writes data: what the user asked for, and nothing else.
///
/// Ends the process quietly when nobody reads any more, as in `tq-admin queue list | head -1`.
public func writeToStandardOutput(_ text: String) { writeToStandardOutput(Array(text.utf8)) }

/// Writes data as it is, for results that are no text.
public func writeToStandardOutput(_ bytes: [UInt8]) {
    if !writeAll(bytes, to: STDOUT_FILENO) {
        let isReaderGone = errno == EPIPE
        if !isReaderGone {
            writeToStandardError("cannot write to standard output: \(String(cString: strerror(errno)))\n")
        }
        exit(isReaderGone ? 128 + SIGPIPE : ExitStatus.failed.rawValue)
    }
}

/// Writes what is not data: progress, notes, errors.
public func writeToStandardError(_ text: String) { _ = writeAll(Array(text.utf8), to: STDERR_FILENO) }

private func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count >= 0 {
            rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&waiting, 1, -1)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}

/// Whether a person looks at what is written to standard output.
public func isStandardOutputTerminal() -> Bool { isatty(STDOUT_FILENO) == 1 }

/// The columns of the terminal at standard error; `nil` when it is none.
func terminalWidth() -> Int? {
    var size = winsize()
    guard isatty(STDERR_FILENO) == 1, ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
    return size.ws_col == 0 ? 80 : Int(size.ws_col)
}

/// The bytes of a file, or of standard input for `-`.
///
/// - Throws: ``CommandFailure`` with the path and the system's reason.
public func readFile(_ path: String) throws -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    defer { if descriptor > STDERR_FILENO { close(descriptor) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while descriptor >= 0 {
        let count = read(descriptor, &chunk, chunk.count)
        if count == 0 { return bytes }
        if count > 0 {
            bytes += chunk[..<count]
        } else if errno != EINTR {
            break
        }
    }
    throw CommandFailure(.failed, "cannot read \(path): \(String(cString: strerror(errno)))")
}
