import CommandLineSupport
import TQClient
import TQModel

/// A task and the file that it was made of.
struct SubmittedFile: Sendable {
    let path: Path
    let version: FileVersion
}

/// Makes a task of every file; the broker is killed in the middle of it.
///
/// Nothing is done here about the kill: the client sends again what was not answered, under the same idempotency key.
actor Submission {
    private(set) var files: [TaskID: SubmittedFile] = [:]
    /// Files that could not be read any more when their turn came.
    private(set) var vanished = 0
    /// Tasks that a resend found stored already.
    private(set) var duplicates = 0
    private var batches: ArraySlice<[Path]>
    private let count: Int
    private var taken = 0
    private var isKillDue = true
    private let progress: Progress

    /// Requests on their way at once.
    private static let lanes = 4

    init(_ files: FileSet) {
        count = files.files.count
        // Small batches, so that also a few files are several requests.
        batches = files.batches(countMax: max(1, min(64, count / 16)), byteCountMax: Limits.frameBytesMax / 4)[...]
        progress = Progress("tasks submitted", total: UInt64(count))
    }

    func run(_ client: TQClient, _ broker: DemoBroker) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.lanes {
                group.addTask { while let batch = await self.next() { try await self.submit(batch, client, broker) } }
            }
            try await group.waitForAll()
        }
        progress.finish(UInt64(files.count))
    }

    private func next() -> [Path]? { batches.popFirst() }

    private func submit(_ batch: [Path], _ client: TQClient, _ broker: DemoBroker) async throws {
        let images = await Self.read(batch)
        vanished += batch.count - images.count
        taken += images.count
        let tasks = images.map { TaskSpec(queue: Demo.queue, type: "sha256sum", payload: $0.1.payload[...]) }
        let isKiller = isKillDue && (files.count >= count / 3 || batches.isEmpty)
        if isKiller { isKillDue = false }
        async let reply = client.submit(tasks)
        if isKiller {
            try await broker.killAndRestart()
            say("broker killed: \(files.count) of \(count) submits acknowledged, \(taken - files.count) on their way")
        }
        for (result, image) in zip(try await reply, images) {
            let submission = try result.get()
            if submission.isDuplicate { duplicates += 1 }
            files[submission.id] = SubmittedFile(path: image.0, version: image.1.version)
        }
        progress.update(UInt64(files.count))
    }

    @concurrent
    private static func read(_ paths: [Path]) async -> [(Path, FileImage)] {
        paths.compactMap { path in FileImage(of: path).map { (path, $0) } }
    }
}
