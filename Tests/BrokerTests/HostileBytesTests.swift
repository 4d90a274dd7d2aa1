import Broker
import TQClient
import TQModel
import Testing
import WireProtocol

@Suite("Hostile and foreign bytes", .timeLimit(.minutes(5)))
struct HostileBytesTests {
    /// Bytes behind a hello, and what the broker says about them before it closes.
    enum Attack: String, CaseIterable, CustomTestStringConvertible {
        case oversizedLength, zeroLength, hugeLength, unknownType, secondHello, shortPayload, garbageInTask

        var testDescription: String { rawValue }

        var bytes: [UInt8] {
            switch self {
            case .oversizedLength: [0x01, 0x00, 0x00, 0x01, 0x10, 0, 0, 0, 7]
            case .zeroLength: [0, 0, 0, 0]
            case .hugeLength: [0xff, 0xff, 0xff, 0xff, 0x10]
            case .unknownType: [0, 0, 0, 5, 0x7f, 0, 0, 0, 7]
            case .secondHello: [0, 0, 0, 5, 0x01, 0, 0, 0, 7]
            case .shortPayload: [0, 0, 0, 3, 0x10, 0, 0]
            case .garbageInTask: [0, 0, 0, 17, 0x10, 0, 0, 0, 7, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]
            }
        }

        var expected: (id: UInt32, code: TQError.Code) {
            switch self {
            case .oversizedLength, .hugeLength: (0, .frameTooLarge)
            case .zeroLength: (0, .malformedFrame)
            case .unknownType: (7, .unknownMessage)
            case .secondHello: (7, .unknownMessage)
            case .shortPayload: (0, .malformedFrame)
            case .garbageInTask: (7, .malformedFrame)
            }
        }
    }

    @Test("Bytes that are no message get an error frame and end their connection alone", arguments: Attack.allCases)
    func malformed(attack: Attack) async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.greet(broker.port)
            try await peer.send(attack.bytes)
            let (id, code) = try await peer.error()
            #expect(code == attack.expected.code)
            #expect(id == attack.expected.id)
            #expect(await peer.rest().isEmpty)
            try await client.submit(TaskSpec(type: "t"))
            #expect(try await client.statistics().connections == 1)
        }
    }

    @Test("What came before the bad frame is carried out")
    func before() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.greet(broker.port)
            var bytes: [UInt8] = []
            try Request.submit([TaskSpec(type: "t")]).encode(id: 5, into: &bytes)
            try await peer.send(bytes + [0, 0, 0, 0])
            _ = await peer.rest()
            #expect(try await client.claimOne().type == "t")
        }
    }

    @Test("A connection that ends inside a frame leaves nothing behind")
    func truncated() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.greet(broker.port)
            try await peer.send([0x00, 0xff, 0xff, 0xff, 0x10, 0, 0, 0, 7, 0, 0])
            await peer.close()
            try await client.submit(TaskSpec(type: "t"))
            #expect(try await client.statistics().counts.pending == 1)
        }
    }

    @Test("A request before the hello is refused")
    func noHello() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.connect(to: broker.port)
            try await peer.send([(4, .ping)])
            #expect(try await peer.error() == (4, .malformedFrame))
            #expect(await peer.rest().isEmpty)
            try await client.ping()
        }
    }

    @Test("Before the hello a connection may not fill memory")
    func longHello() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.connect(to: broker.port)
            try await peer.send([0x00, 0xff, 0x00, 0x00, 0x01] + [UInt8](repeating: 0, count: 5000))
            #expect(try await peer.error() == (0, .frameTooLarge))
            #expect(await peer.rest().isEmpty)
            try await client.ping()
        }
    }

    @Test("A hello of another version is refused by name")
    func version() async throws {
        try await withBroker { broker, client in
            let peer = try await RawPeer.connect(to: broker.port)
            var bytes: [UInt8] = []
            try Hello(version: 2).encode(id: 1, into: &bytes)
            try await peer.send(bytes)
            #expect(try await peer.error() == (1, .versionUnsupported))
            #expect(await peer.rest().isEmpty)
        }
    }

    @Test("Other protocols are answered in their own language", arguments: ForeignProtocol.allCases)
    func foreign(other: ForeignProtocol) async throws {
        let greeting: [UInt8] =
            switch other {
            case .http: Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
            case .redis: Array("*1\r\n$4\r\nPING\r\n".utf8)
            case .tls: [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]
            case .text: Array("HELO example.org\r\n".utf8)
            }
        try await withBroker { broker, client in
            let peer = try await RawPeer.connect(to: broker.port)
            try await peer.send(greeting)
            #expect(await peer.rest() == other.farewell)
            try await client.ping()
        }
    }

    @Test("What is wrong with a request answers that request, and the connection goes on")
    func refused() async throws {
        try await withBroker { broker, client in
            let large = TaskSpec(type: "t", payload: Bytes(repeating: 0, count: Limits.payloadBytesMax + 1))
            #expect(await errorCode { try await client.submit(large) } == .payloadTooLarge)
            let names: [Name] = ["", "two words", "a*", Name(String(repeating: "x", count: 256)), "tab\t"]
            for name in names {
                #expect(
                    await errorCode { try await client.submit(TaskSpec(queue: name, type: "t")) } == .invalidArgument
                )
                #expect(await errorCode { try await client.submit(TaskSpec(type: name)) } == .invalidArgument)
            }
            let unknown = LeaseHandle(task: TaskID(high: 1, low: 2), token: LeaseToken(rawValue: 3))
            let outcomes = try await client.complete([Completion(lease: unknown)])
            #expect(outcomes.map { $0?.code } == [.taskNotFound])
            try await client.submit(TaskSpec(type: "t", payload: Bytes(repeating: 7, count: Limits.payloadBytesMax)))
            #expect(try await client.claimOne().payload.count == Limits.payloadBytesMax)
        }
    }
}
