import Compression
import Synchronization
import TQClient
import TQModel
import TQWorker
import Testing

@Suite("What payloads and results are, over TCP", .timeLimit(.minutes(5)))
struct ContentTests {
    private static let text = Bytes(Array(repeating: Array("a line of a log\n".utf8), count: 2_000).joined())
    private static let invoice = Bytes(
        #"{"kind": "invoice", "id": 4, "customer": {"name": "ada", "country": "DE"}, "lines": [], "paid": true}"#.utf8
    )

    private static func dictionary() throws -> CompressionDictionary {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return try CompressionDictionary(ScratchDirectory.read("/\(root)/Tests/Fixtures/invoices.dictionary")[...])
    }

    private func packing(_ broker: TestBroker, _ compression: PayloadCompression) async throws -> TQClient {
        try await broker.client { $0.compression = compression }
    }

    /// Runs a worker until the body has ended.
    private func withWorker(
        _ broker: TestBroker,
        _ configure: (inout WorkerOptions) -> Void,
        raw handler: @escaping RawHandler,
        _ body: () async throws -> Void
    ) async throws {
        let worker = try broker.worker(configure)
        worker.register("*", raw: handler)
        let run = Task { try await worker.run() }
        try await body()
        await worker.shutdown()
        try await run.value
    }

    @Test("What one side compresses the other one gets plain, and both say what it is")
    func roundTrip() async throws {
        try await withBroker { broker, client in
            let packing = try await packing(broker, .zstd())
            let csv = Content(type: "text/csv")
            let id = try await packing.submit(TaskSpec(type: "t", payload: Self.text, content: csv))
            #expect(try await client.status(id).payloadContent == Content(type: "text/csv", encoding: .zstd))
            try await withWorker(broker) {
                $0.client.compression = .zstd()
            } raw: { payload, context in
                #expect(payload == Self.text)
                #expect(context.contentType == "text/csv")
                context.setResultType("text/plain")
                context.submitOnCompletion(TaskSpec(queue: "next", type: "t", payload: payload))
                return payload
            } _: {
                let result = try await client.waitForResult(id, within: .seconds(60))
                #expect(result.result == Self.text)
                #expect(result.content == Content(type: "text/plain"))
            }
            let status = try await client.status(id)
            #expect(status.resultContent == Content(type: "text/plain", encoding: .zstd))
            #expect(status.resultBytes < 200)
            let next = try #require(try await client.claim(ClaimSpec(queues: ["next"])).first)
            #expect(next.payload == Self.text)
            #expect(try await client.status(next.lease.task).payloadContent.encoding == .zstd)
            await packing.close()
        }
    }

    @Test("Typed tasks and their results are JSON without a word, and plain unless somebody compresses")
    func typed() async throws {
        try await withBroker { broker, client in
            let worker = try broker.worker()
            worker.register(LifecycleTests.Double.self) { number, context in
                #expect(context.contentType == "application/json")
                return number * 2
            }
            let run = Task { try await worker.run() }
            let handle = try await client.submit(LifecycleTests.Double.self, 21)
            #expect(try await handle.result(within: .seconds(60)) == 42)
            let result = try await client.waitForResult(handle.id, within: .zero)
            #expect(result.content == Content(type: "application/json"))
            await worker.shutdown()
            try await run.value
        }
    }

    @Test("A payload that cannot be decompressed fails its attempt for good, whoever takes it")
    func broken() async throws {
        try await withBroker { broker, client in
            let bad = TaskSpec(type: "t", payload: bytes("no frame"), content: Content(encoding: .zstd))
            let good = TaskSpec(type: "t", payload: bytes("plain"))
            let reason = "cannot be decompressed: it is no frame of zstd."
            func checkDead(_ id: TaskID) async throws {
                let result = try await client.waitForResult(id, within: .seconds(60))
                #expect(result.state == .deadLetter)
                #expect(String(decoding: result.error, as: UTF8.self) == "The payload of task \(id) \(reason)")
            }
            // A worker,
            let first = try await client.submit(bad)
            try await withWorker(broker) {
                _ in
            } raw: { _, _ in
                Issue.record("a handler got what is no payload")
                return []
            } _: {
                try await checkDead(first)
            }
            // a claim,
            let ids = try await client.submit([bad, good]).map { try $0.get().id }
            let claimed = try await client.claim(ClaimSpec(queues: ["default"], count: 2))
            #expect(claimed.map(\.payload) == [bytes("plain")])
            try await checkDead(ids[0])
            // and a stream.
            let third = try await client.submit(bad)
            _ = try await client.submit(good)
            var stream = client.deliveries(ClaimSpec(queues: ["default"])).makeAsyncIterator()
            #expect(try await stream.next()?.payload == bytes("plain"))
            try await checkDead(third)

            let letters = try await client.deadLetters().letters
            #expect(letters.count == 3)
            #expect(throws: TQError.self) { try client.payload(of: letters[0]) }
            // It runs with another payload, which is compressed as any other.
            let packing = try await packing(broker, .zstd(from: 0))
            try await packing.redrive(first, payload: Self.text, contentType: "text/plain")
            let packed = Content(type: "text/plain", encoding: .zstd)
            #expect(try await client.status(first).payloadContent == packed)
            let again = try #require(try await stream.next())
            #expect(again.payload == Self.text && again.content == Content(type: "text/plain"))
            try await client.fail(again, error: "no", isPermanent: true)
            let letter = try #require(try await client.deadLetters().letters.first { $0.status.id == first })
            #expect(letter.payload.count < 200)
            #expect(try client.payload(of: letter) == Self.text)
            await packing.close()
        }
    }

    @Test("A result that cannot be decompressed is an error, and the task stays completed")
    func brokenResult() async throws {
        try await withBroker { _, client in
            let id = try await client.submit(TaskSpec(type: "t"))
            let lease = try await client.claimOne().lease
            let completion = Completion(lease: lease, result: [1, 2, 3], content: Content(encoding: .zstd))
            #expect(try await client.complete([completion]) == [nil])
            let error = await #expect(throws: TQError.self) { try await client.waitForResult(id, within: .zero) }
            #expect(error?.message == "The result of task \(id) cannot be decompressed: it is no frame of zstd.")
            #expect(try await client.status(id).state == .completed)
        }
    }

    @Test("With a dictionary small payloads become short; a reader without it says which one it lacks")
    func dictionaries() async throws {
        try await withBroker { broker, client in
            let dictionary = try Self.dictionary()
            let packing = try await packing(broker, .zstd(from: 0, dictionary: dictionary))
            let task = TaskSpec(type: "t", payload: Self.invoice)
            let first = try await packing.submit(task)
            #expect(try await client.claim(ClaimSpec(queues: ["default"])).isEmpty)
            let result = try await client.waitForResult(first, within: .seconds(60))
            #expect(
                String(decoding: result.error, as: UTF8.self).contains("it needs dictionary 4711, which was not given")
            )
            let letter = try #require(try await client.deadLetters().letters.first)
            #expect(letter.payload.count * 2 < Self.invoice.count)

            let reader = try await broker.client { $0.dictionaries = [dictionary] }
            #expect(try reader.payload(of: letter) == Self.invoice)
            #expect(try await client.redrive([first]) == [nil])
            #expect(try await reader.claim(ClaimSpec(queues: ["default"])).map(\.payload) == [Self.invoice])
            await reader.close()
            await packing.close()
        }
    }

    @Test("A recurring task's payload is compressed once for all of its ticks")
    func recurring() async throws {
        try await withBroker { broker, client in
            let packing = try await packing(broker, .zstd())
            let task = TaskSpec(type: "t", payload: Self.text, content: Content(type: "text/plain"))
            try await packing.putRecurring(RecurringSpec(name: "r", recurrence: bytes("every:1h"), task: task))
            let id = try await client.runRecurring("r")
            #expect(try await client.status(id).payloadContent == Content(type: "text/plain", encoding: .zstd))
            #expect(try await client.claimOne().payload == Self.text)
            await packing.close()
        }
    }
}
