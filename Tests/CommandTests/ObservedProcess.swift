import CommandLineSupport
import Foundation

/// A process of which one stream is read while it runs; it is killed when nobody refers to it any more.
final class ObservedProcess {
    let process: ChildProcess
    /// What was read so far.
    private(set) var text = ""
    private let handle: FileHandle

    init(_ launch: ProcessLaunch, reads stream: WritableKeyPath<ProcessLaunch, ProcessLaunch.Stream>) throws {
        var launch = launch
        let pipe = Pipe()
        (launch.output, launch.errors) = (.nothing, .nothing)
        launch[keyPath: stream] = .descriptor(pipe.fileHandleForWriting.fileDescriptor)
        process = try ChildProcess(launch)
        try pipe.fileHandleForWriting.close()
        handle = pipe.fileHandleForReading
    }

    deinit {
        process.signal(SIGKILL)
        process.wait()
    }

    /// Reads until there is a whole line in which all these texts are.
    func wait(forLineWith parts: [String]) throws { try wait(for: 1, linesWith: parts) }

    /// Reads until there are so many whole lines in which all these texts are, and returns them.
    @discardableResult
    func wait(for count: Int, linesWith parts: [String]) throws -> [Substring] {
        while true {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let found = lines.filter { line in parts.allSatisfy { line.contains($0) } }
            if found.count >= count { return found }
            let part = handle.availableData
            guard !part.isEmpty else {
                throw EndOfOutput(description: "not \(count) but \(found.count) lines have \(parts): \(text)")
            }
            text += String(decoding: part, as: UTF8.self)
        }
    }

    /// Reads until nobody has the stream any more: the process, and each one that has it from this one.
    func waitForEndOfOutput() throws { text += String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self) }

    private struct EndOfOutput: Error, CustomStringConvertible {
        let description: String
    }
}
