import ByteStore
import TQModel
import Testing

@testable import QueueCore
@testable import Storage

/// What payloads and results are said to be goes where they go.
struct ContentTests {
    private let json = Content(type: "application/json")
    private let packed = Content(type: "application/json", encoding: .zstd)
    private let text = Content(type: "text/plain")

    private func spec(_ content: Content, _ payload: String = "p", uniqueKey: UniqueKey? = nil) -> TaskSpec {
        TaskSpec(queue: "mail", type: "send", payload: Bytes(payload.utf8), content: content, uniqueKey: uniqueKey)
    }

    private func complete(_ delivery: Delivery, _ content: Content, _ broker: TestBroker) throws {
        try broker.expectDone(.complete([Completion(lease: delivery.lease, result: [1], content: content)]))
    }

    @Test func aResultSaysWhatItsWorkerSaidOverRestarts() throws {
        let broker = try TestBroker()
        let ids = try broker.submit([spec(json), spec(.unspecified)])
        #expect(try broker.status(ids[0])?.payloadContent == json)
        let deliveries = try broker.claim(2)
        #expect(deliveries.map(\.content) == [json, .unspecified])
        try complete(deliveries[0], packed, broker)
        try complete(deliveries[1], text, broker)
        for _ in 0..<2 {
            #expect(try ids.map { try broker.result($0)?.content } == [packed, text])
            #expect(try ids.map { try broker.status($0)?.resultContent } == [packed, text])
            #expect(try broker.status(ids[0])?.payloadContent == .unspecified)
            guard case .tasks(let page) = try broker.ask(.tasks(TaskQuery())) else { throw TestFailure("no page") }
            #expect(page.tasks.map(\.resultContent) == [packed, text])
            try broker.restart()
        }
    }

    @Test func aDeadLetterKeepsItsContentAndARedriveMaySayAnother() throws {
        let broker = try TestBroker()
        let id = try broker.submit(spec(packed))
        for attempt in 0..<4 {
            try broker.fail(try broker.claim()[0], error: "no", isPermanent: true)
            try broker.restart()
            #expect(try broker.deadLetters().map(\.status.payloadContent) == [attempt < 2 ? packed : .unspecified])
            #expect(try broker.status(id)?.payloadContent == (attempt < 2 ? packed : .unspecified))
            // The second one brings another payload, and says nothing of it.
            let redrive = attempt == 1 ? Redrive(task: id, payload: [7]) : Redrive(task: id)
            try broker.expectDone(.redrive([redrive]))
            #expect(try broker.status(id)?.payloadContent == (attempt < 1 ? packed : .unspecified))
        }
        try broker.fail(try broker.claim()[0], error: "no", isPermanent: true)
        try broker.expectDone(.redrive([Redrive(task: id, payload: [8], content: text)]))
        #expect(try broker.claim().map(\.content) == [text])
    }

    @Test func aTaskThatIsReplacedSaysWhatTheNewPayloadIs() throws {
        let broker = try TestBroker()
        let key = UniqueKey(Bytes("k".utf8), onConflict: .replace)
        let id = try broker.submit(spec(packed, uniqueKey: key))
        #expect(try broker.submit(spec(text, "other", uniqueKey: key)) == id)
        #expect(try broker.status(id)?.payloadContent == text)
        try broker.restart()
        #expect(try broker.claim().map(\.content) == [text])
    }

    @Test func aTaskThatMovesBetweenSegmentsKeepsItsContent() throws {
        let broker = try TestBroker()
        let id = try broker.submit((0..<40).map { spec($0 == 39 ? packed : text) })[39]
        for delivery in try broker.claim(39) { try complete(delivery, text, broker) }
        try broker.passGroups(160)
        try broker.run(.clean)
        try broker.commit()
        let segments = try rows(broker.store, [.pending]).map { row in
            try row.key.withRaw { key throws(StorageError) in try KeyReader.segment(key) }
        }
        #expect(segments.contains { $0.isMoved })
        try broker.restart()
        #expect(try broker.status(id)?.payloadContent == packed)
    }

    @Test func theTasksOfARecurringOneSayWhatItsPayloadIs() throws {
        let broker = try TestBroker()
        let recurring = RecurringSpec(name: "r", recurrence: Bytes("every:1m".utf8), task: spec(json))
        try broker.ask(.putRecurring(recurring))
        try broker.restart()
        try broker.pass(minutes: 2)
        #expect(try broker.claim(9).map(\.content).contains(json))
    }

    @Test func aFollowUpSaysWhatItsPayloadIs() throws {
        let broker = try TestBroker()
        _ = try broker.submit(spec(.unspecified))
        let completion = Completion(lease: try broker.claim()[0].lease, followUps: [spec(packed)])
        try broker.ask(.complete([completion]))
        #expect(try broker.claim().map(\.content) == [packed])
    }

    @Test func aRecordThatNamesAnUnknownContentTypeIsRefused() throws {
        let broker = try TestBroker()
        _ = try broker.submit(spec(.unspecified))
        try broker.settleAndSync()
        let row = try rows(broker.store, [.pending])[0]
        var tasks = try row.value.withRaw { value throws(StorageError) in try PendingTable.read(value) }
        tasks[0].content = StoredContent(type: 3, .identity)
        let shape = PendingTable.Shape(tasks[...])
        let batch = WriteBatch()
        batch.put(.pending, key: row.key, valueByteCount: shape.byteCount) { value in
            PendingTable.write(tasks[...], shape, to: value)
        }
        try broker.store.write(batch, sync: true)
        let error = #expect(throws: StorageError.self) { _ = try Recovery.recover(from: broker.store) }
        #expect(error?.message.contains("content type 3, which is unknown") == true)
    }

    @Test func aResultOrADeadLetterOfAnUnknownContentTypeIsFound() throws {
        let broker = try TestBroker()
        let ids = try broker.submit([spec(json), spec(json)])
        let deliveries = try broker.claim(2)
        try complete(deliveries[0], json, broker)
        try broker.fail(deliveries[1], error: "no", isPermanent: true)
        try broker.settleAndSync()
        let batch = WriteBatch()
        batch.delete(.index, key: KeyLayout.name(.contentType, 1))
        try broker.store.write(batch, sync: true)
        for id in ids {
            let error = #expect(throws: StorageError.self) { try broker.result(id) }
            #expect(error?.kind == .corruption && error?.message.contains("Content type 1 has no name") == true)
        }
        // The rows of the segment are gone, so a start does not notice; a verification does.
        try broker.passGroups(2)
        var problems: [String] = []
        _ = StoreVerification.verify(broker.store, mark: nil) { problems.append($0.message) }
        #expect(problems.contains { $0.contains("content type 1 has no name") }, "\(problems)")
    }
}
