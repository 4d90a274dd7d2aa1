import Glibc

/// Where lines of a log go: standard error, or whatever a test collects them in.
public struct LogOutput: Sendable {
    let write: @Sendable ([UInt8]) -> Void

    /// Creates an output that hands each line, its newline included, to a function in one call.
    public init(_ write: @escaping @Sendable ([UInt8]) -> Void) { self.write = write }

    /// Standard error, one `write` a line, so that lines of several threads and processes don't mix.
    public static let standardError = LogOutput { line in writeAll(line, to: STDERR_FILENO) }
}

/// Writes as much as the descriptor takes.
///
/// A log that nobody reads must not stop the program: what a closed or stuck pipe doesn't take is dropped.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    let patienceMilliseconds: Int32 = 100
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count >= 0 {
            rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&waiting, 1, patienceMilliseconds) > 0 else { return }
        } else if errno != EINTR {
            return
        }
    }
}
