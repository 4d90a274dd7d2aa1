import TQModel
import Testing

@testable import WireProtocol

@Suite("Decoding errors")
struct DecodingErrorTests {
    @Test("A payload over its limit is an error of the request, not of the connection")
    func payloadTooLarge() throws {
        let payload = Bytes(repeating: 0, count: Limits.payloadBytesMax + 1)
        let frame = try forged(.submit) { bytes in
            bytes.append(records: [TaskSpec(type: "t", payload: payload)]) { $1.write(to: &$0) }
        }
        let error = try #require(error { _ = try Request.decode(frame) })
        #expect(error.code == .payloadTooLarge)
        #expect(!error.code.endsConnection)
        #expect(frame.requestID == 7)
        #expect(error.message.contains("10485761"))
    }

    @Test("A client refuses what the broker would refuse, and appends nothing")
    func encodingChecksLimits() throws {
        let longName = Name(String(repeating: "n", count: 256))
        let large = Bytes(repeating: 0, count: Limits.payloadBytesMax)
        let refused: [(Request, TQError.Code)] = [
            (.submit([TaskSpec(type: "t", payload: large + [0])]), .payloadTooLarge),
            (.submit([TaskSpec(type: longName)]), .invalidArgument),
            (.submit([TaskSpec(type: "t", content: Content(type: longName))]), .invalidArgument),
            (
                .redrive([Redrive(task: TaskID(high: 0, low: 0), payload: [], content: Content(type: longName))]),
                .invalidArgument
            ),
            (.submit([TaskSpec(type: "t", idempotencyKey: Bytes(repeating: 1, count: 256))]), .invalidArgument),
            (.submit([TaskSpec(type: "t", payload: large), TaskSpec(type: "t", payload: large)]), .frameTooLarge),
            (.cancel(Array(repeating: TaskID(high: 0, low: 0), count: Limits.batchCountMax + 1)), .limitExceeded),
            (.claim(ClaimSpec(queues: Array(repeating: "q", count: 257))), .limitExceeded),
            (.deregisterWorker(longName), .invalidArgument),
        ]
        for (request, code) in refused {
            var bytes: [UInt8] = [9]
            #expect(error { try request.encode(id: 1, into: &bytes) }?.code == code)
            #expect(bytes == [9])
        }
    }

    @Test("An encoding that nobody knows is malformed, and so is a redrive that says what no payload is")
    func contents() throws {
        let unknown = try forged(.submit) { bytes in
            bytes.append(integer: UInt32(1))
            bytes.appendRecord {
                TaskSpec(type: "t").write(to: &$0)
                $0.append(field: 21, integer: 2 as UInt8)
            }
        }
        #expect(error { _ = try Request.decode(unknown) }?.message.contains("encoding 2 ") == true)
        let redrive = try forged(.redrive) { bytes in
            bytes.append(integer: UInt32(1))
            bytes.appendRecord {
                $0.append(taskID: TaskID(high: 1, low: 2))
                $0.append(field: 20, bytes: Bytes("text/plain".utf8))
            }
        }
        #expect(error { _ = try Request.decode(redrive) }?.code == .malformedFrame)
    }

    @Test("A request with id 0, which would never be answered, is malformed")
    func requestWithoutID() throws {
        let frame = try frame(encoded(.ping, id: 0))
        #expect(error { _ = try Request.decode(frame) }?.code == .malformedFrame)
    }

    @Test("A count that the frame cannot hold is malformed, whatever it promises")
    func impossibleCount() throws {
        let frame = try forged(.submit) { $0.append(integer: UInt32.max) }
        #expect(error { _ = try Request.decode(frame) }?.code == .malformedFrame)
    }

    @Test("A reply with more entries than a request can have is malformed: an entry of one byte takes many in memory")
    func replyWithTooManyEntries() throws {
        let frame = try forged(.outcomesReply) {
            $0.append(list: Array(repeating: 0 as UInt8, count: 10_001)) { $0.append($1) }
        }
        #expect(error { _ = try Reply.decode(frame) }?.code == .malformedFrame)
    }

    @Test("More items than the limit are refused for that request alone")
    func tooManyItems() throws {
        let frame = try forged(.cancel) { bytes in
            bytes.append(list: Array(repeating: TaskID(high: 1, low: 2), count: Limits.batchCountMax + 1)) {
                $0.append(taskID: $1)
            }
        }
        let error = try #require(error { _ = try Request.decode(frame) })
        #expect(error.code == .limitExceeded)
        #expect(!error.code.endsConnection)
    }

    @Test("An optional field that the broker does not know refuses the request, and only that")
    func unknownFieldInRequest() throws {
        let frame = try forged(.submit) { bytes in
            bytes.append(integer: UInt32(1))
            bytes.appendRecord {
                TaskSpec(type: "t").write(to: &$0)
                $0.append(field: 200, integer: UInt8(1))
            }
        }
        let error = try #require(error { _ = try Request.decode(frame) })
        #expect(error.code == .invalidArgument)
        #expect(error.message.contains("200"))
    }

    @Test("An optional field that the client does not know is skipped in a reply")
    func unknownFieldInReply() throws {
        let frame = try forged(.healthReply) { bytes in
            bytes.append(Health.Status.serving.rawValue)
            bytes.append(shortBytes: Bytes("1.0".utf8))
            bytes.append(field: 200, integer: UInt64(1))
        }
        #expect(try Reply.decode(frame).reply == .health(Health(status: .serving, version: "1.0")))
    }

    @Test("An optional field twice or out of order is malformed")
    func repeatedField() throws {
        let frame = try forged(.heartbeat) { bytes in
            bytes.append(name: "w")
            bytes.append(field: 2, integer: UInt32(1))
            bytes.append(field: 2, integer: UInt32(1))
        }
        #expect(error { _ = try Request.decode(frame) }?.code == .malformedFrame)
    }

    @Test("An optional integer of the wrong width is malformed")
    func wrongWidth() throws {
        let frame = try forged(.heartbeat) { bytes in
            bytes.append(name: "w")
            bytes.append(field: 2, integer: UInt64(1))
        }
        #expect(error { _ = try Request.decode(frame) }?.code == .malformedFrame)
    }

    @Test("A message of an unknown type, and a reply sent as a request, end the connection")
    func unknownMessage() throws {
        for type: UInt8 in [0x00, 0x7f, MessageType.doneReply.rawValue, MessageType.hello.rawValue] {
            let error = try #require(error { _ = try Request.decode(Frame(type: type, payload: [0, 0, 0, 1])) })
            #expect(error.code == .unknownMessage)
            #expect(error.code.endsConnection)
        }
    }

    @Test("The first frame must be a hello of this version")
    func badHello() throws {
        let ping = try frame(try encoded(.ping))
        #expect(error { _ = try Hello.decode(ping) }?.code == .malformedFrame)

        var bytes: [UInt8] = []
        try Hello(version: 2).encode(id: 1, into: &bytes)
        let error = try #require(error { _ = try Hello.decode(frame(bytes)) })
        #expect(error.code == .versionUnsupported)
        #expect(error.message.contains("2"))
    }

    @Test("A broker's refusal of the hello is thrown as it is")
    func refusedHello() throws {
        let refusal = TQError(.tooManyConnections, "full", retryAfterMilliseconds: 100)
        let frame = try frame(try encoded(.error(refusal), id: 0))
        #expect(error { _ = try HelloReply.decode(frame) } == refusal)
    }

    private func forged(_ message: MessageType, _ body: (inout [UInt8]) -> Void) throws -> Frame {
        var bytes: [UInt8] = []
        try bytes.appendFrame(message, id: 7, body)
        return try frame(bytes)
    }
}
