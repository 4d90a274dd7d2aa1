import Glibc
import TQModel

/// Our ends of a program's standard streams.
struct ProgramPipes {
    private var inputEnd: Int32?
    private var outputEnd: Int32?
    private var errorEnd: Int32?
    private var input: Bytes
    private(set) var output: Bytes = []
    private var errors: Bytes = []
    /// More than a pipe holds: what a child wrote before its end is read with as many chunks.
    private static let drainChunksMax = 16
    private var chunk = [UInt8](repeating: 0, count: 1 << 16)

    init(_ inputEnd: Int32, _ outputEnd: Int32, _ errorEnd: Int32, input: Bytes) {
        self.inputEnd = inputEnd
        self.outputEnd = outputEnd
        self.errorEnd = errorEnd
        self.input = input
        for end in [inputEnd, outputEnd, errorEnd] { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        writeInput()
    }

    /// Whether the child, or one of its own, may still write.
    var isOpen: Bool { outputEnd != nil || errorEnd != nil }

    var isOutputTooLarge: Bool { output.count > Limits.payloadBytesMax }

    /// What is kept of standard error, with room for the words before it.
    private static let errorTailMax = Limits.errorBytesMax - 128

    /// The last bytes of standard error, from the beginning of a character.
    var errorTail: Bytes {
        let tail = errors.suffix(Self.errorTailMax)
        return tail.count == errors.count ? tail : tail.drop { $0 & 0xc0 == 0x80 }
    }

    /// Waits until something can be moved, and moves it.
    mutating func move(timeoutMilliseconds: Int32) {
        var waiting = [
            pollfd(fd: inputEnd ?? -1, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: outputEnd ?? -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errorEnd ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        poll(&waiting, nfds_t(waiting.count), timeoutMilliseconds)
        if waiting[0].revents != 0 { writeInput() }
        if waiting[1].revents != 0 { readOutput() }
        if waiting[2].revents != 0 { readErrors() }
    }

    /// Takes what is still in the pipes, for a child that has ended.
    mutating func drain() {
        for _ in 0..<Self.drainChunksMax {
            readOutput()
            readErrors()
        }
    }

    mutating func close() {
        for end in [inputEnd, outputEnd, errorEnd] { if let end { Glibc.close(end) } }
        (inputEnd, outputEnd, errorEnd) = (nil, nil, nil)
    }

    private mutating func writeInput() {
        guard let end = inputEnd else { return }
        while !input.isEmpty {
            let count = input.withUnsafeBytes { write(end, $0.baseAddress, $0.count) }
            if count > 0 {
                input = input.dropFirst(count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                // The program does not want the rest.
                break
            }
        }
        Glibc.close(end)
        inputEnd = nil
    }

    private mutating func readOutput() {
        guard let end = outputEnd, !isOutputTooLarge, let count = readChunk(from: end) else { return }
        output += chunk[..<count]
        guard count == 0 else { return }
        Glibc.close(end)
        outputEnd = nil
    }

    private mutating func readErrors() {
        guard let end = errorEnd, let count = readChunk(from: end) else { return }
        errors += chunk[..<count]
        if errors.count > 16 * Limits.errorBytesMax { errors = Bytes(Array(errors.suffix(Limits.errorBytesMax + 1))) }
        guard count == 0 else { return }
        Glibc.close(end)
        errorEnd = nil
    }

    /// How many bytes came, 0 at the end; `nil` when there are none yet.
    private mutating func readChunk(from end: Int32) -> Int? {
        while true {
            let count = read(end, &chunk, chunk.count)
            if count >= 0 { return count }
            if errno == EAGAIN { return nil }
            if errno != EINTR { return 0 }
        }
    }
}
