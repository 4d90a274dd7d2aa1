import Dispatch
import Foundation
import Logging
import TQClient
import TQModel
import TQWorker

/// What worker and client agree on; in a program of your own it belongs into a module that both import.
enum CountWords: TaskDefinition {
    struct Input: Codable, Sendable {
        var files: [String]
    }
    struct Output: Codable, Sendable {
        var words: Int
    }
    static let taskType = "count_words"
}

/// How far an attempt came, for the next one.
struct Checkpoint: Codable {
    var filesDone = 0
    var words = 0
}

/// Counts the words of files until SIGTERM or Ctrl-C.
@main
enum SimpleWorker {
    static let logger = Logger(label: "SimpleWorker")

    static func main() async {
        let addresses = ProcessInfo.processInfo.environment["TQ_BROKER_ADDR"] ?? "127.0.0.1:6379"
        do throws(TQError) {
            var options = WorkerOptions()
            // Without it nobody hears that the worker waits for a broker.
            options.logger = logger
            let worker = try Worker(brokers: addresses, options: options)
            worker.register(CountWords.self, count)
            let signals = [await stop(worker, at: SIGTERM), await stop(worker, at: SIGINT)]
            logger.info("worker starts", metadata: ["name": "\(worker.name)", "brokers": "\(addresses)"])
            try await worker.run()
            for signal in signals { signal.cancel() }
            logger.info("worker stopped")
        } catch {
            logger.error("\(error)")
            exit(1)
        }
    }

    static func count(_ input: CountWords.Input, _ context: TaskContext) async throws -> CountWords.Output {
        // Another attempt would find as little: this makes the task a dead letter at once.
        guard !input.files.isEmpty else { throw PermanentFailure("There are no files to count.") }
        var done = Checkpoint()
        if !context.checkpoint.isEmpty { done = try JSONPayload.decode(Checkpoint.self, from: context.checkpoint) }
        log("attempt \(context.attempt) begins", done, of: input, context)
        for file in input.files.dropFirst(done.filesDone) {
            // Somebody cancelled the task, or the attempt's time is up.
            try Task.checkCancellation()
            // Any other error fails the attempt. The task is tried again after a while, and goes on with this file.
            done.words += try await read(file).split(whereSeparator: \.isWhitespace).count
            done.filesDone += 1
            // It is on the broker's disk when this returns, so save what is worth more than one such write.
            try await context.saveCheckpoint(JSONPayload.encode(done))
            // Shown by tq-admin status.
            let percent = UInt8(100 * done.filesDone / input.files.count)
            try await context.reportProgress(percent: percent, message: "\(done.words) words so far")
            log("progress", done, of: input, context)
        }
        return CountWords.Output(words: done.words)
    }

    /// Reads a file in a thread that may block; the few threads that run Swift tasks must not.
    private static func read(_ file: String) async throws -> String {
        let data = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    with: Result { try FileHandle(forReadingFrom: URL(filePath: file)).readToEnd() ?? Data() }
                )
            }
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func log(
        _ message: Logger.Message,
        _ done: Checkpoint,
        of input: CountWords.Input,
        _ context: TaskContext
    ) {
        logger.info(message, metadata: ["task": "\(context.id)", "files": "\(done.filesDone)/\(input.files.count)"])
    }

    /// Lets the worker finish what it runs, within ``WorkerOptions/shutdownGrace``, and take no more.
    private static func stop(_ worker: Worker, at number: Int32) async -> any DispatchSourceSignal {
        let source = DispatchSource.makeSignalSource(signal: number)
        source.setEventHandler {
            logger.info("worker stops")
            Task { await worker.shutdown() }
        }
        // From then on the signal is caught. Until then it ends the process, which has begun nothing yet.
        await withCheckedContinuation { continuation in
            source.setRegistrationHandler { continuation.resume() }
            source.resume()
        }
        return source
    }
}
