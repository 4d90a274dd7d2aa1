import Foundation
import TQClient
import TQModel

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

/// Submits tasks for SimpleWorker and waits for their results.
@main
enum TaskClient {
    static func main() async {
        guard CommandLine.arguments.count > 2 else { end(64, "usage: TaskClient KEY FILE...") }
        let key = CommandLine.arguments[1]
        let files = CommandLine.arguments.dropFirst(2).map { URL(filePath: $0).path }
        let addresses = ProcessInfo.processInfo.environment["TQ_BROKER_ADDR"] ?? "127.0.0.1:6379"
        do throws(TQError) {
            // One client is enough for a process; a lost connection comes back by itself.
            let client = try await TQClient.connect(to: addresses)
            try await count(files, key: key, client)
            try await countLater(files, client)
            try await countNothing(client)
            await client.close()
        } catch {
            end(1, "\(error)")
        }
    }

    /// An idempotency key makes the submit repeatable: with the same key and files this program finds the task that is
    /// there, however often it is started.
    ///
    /// Take something that names the work, such as the number of an order. Another content under the key is an error.
    /// For a connection that breaks during a submit no key is needed: the client makes one of its own.
    private static func count(_ files: [String], key: String, _ client: TQClient) async throws(TQError) {
        let task = try await client.submit(CountWords.self, .init(files: files)) { task in
            task.idempotencyKey = Bytes(key.utf8)
        }
        // From here on the task is on the broker's disk, whatever becomes of this program.
        print("task \(task.id)")
        do throws(TQError) {
            print("\(try await task.result(within: .seconds(60)).words) words")
        } catch {
            switch error.code {
            case .timedOut: print("no result yet; is a worker running?")
            case .taskFailed, .taskCancelled: print("no result: \(error.message)")
            // Such as a broker that is gone. Whether the same call may succeed later says `error.retryable`.
            default: throw error
            }
        }
    }

    /// A unique key keeps a second task with the same key out of the queue while the first one waits or runs.
    private static func countLater(_ files: [String], _ client: TQClient) async throws(TQError) {
        var task = TaskSpec(
            type: Name(CountWords.taskType),
            payload: try JSONPayload.encode(CountWords.Input(files: files)),
            start: .after(milliseconds: 3_600_000),
            uniqueKey: UniqueKey(Bytes("count-later".utf8))
        )
        let first = try await client.submit(task)
        // Whoever comes second is told the id of the task that is there.
        let second = try await client.submit(task)
        print("one task for two submits: \(first == second)")
        // Or is refused.
        task.uniqueKey?.onConflict = .refuse
        do throws(TQError) {
            try await client.submit(task)
        } catch {
            guard error.code == .conflict else { throw error }
            print("refused: \(error.message)")
        }
        try await client.cancel(first)
        print("afterwards: \(try await client.status(first).state.name)")
    }

    /// A task that fails for good ends as a dead letter, with the error of its last attempt.
    private static func countNothing(_ client: TQClient) async throws(TQError) {
        let task = try await client.submit(CountWords.self, .init(files: [])) { task in
            // Its errors are all the same to us: no second attempt.
            task.retriesMax = 0
        }
        do throws(TQError) {
            _ = try await task.result(within: .seconds(60))
        } catch {
            guard error.code == .taskFailed else { throw error }
            print("as expected: \(error.message)")
        }
    }

    private static func end(_ code: Int32, _ message: String) -> Never {
        FileHandle.standardError.write(Data("\(message)\n".utf8))
        exit(code)
    }
}
