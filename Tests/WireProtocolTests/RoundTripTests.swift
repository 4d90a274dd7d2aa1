import TQModel
import Testing

@testable import WireProtocol

@Suite("Encoding and decoding")
struct RoundTripTests {
    private static let seed = UInt64.random(in: .min ... .max)

    @Test("Every request comes back as it was")
    func requests() throws {
        var random = RandomMessages(seed: Self.seed)
        for round in 0..<(Self.rounds * RandomMessages.requestKinds) {
            let request = random.request(round)
            let decoded = try Request.decode(frame(try encoded(request, id: UInt32(round + 1))))
            #expect(decoded.id == UInt32(round + 1), "seed \(Self.seed)")
            #expect(decoded.request == request, "seed \(Self.seed)")
        }
    }

    @Test("Every reply comes back as it was")
    func replies() throws {
        var random = RandomMessages(seed: Self.seed)
        for round in 0..<(Self.rounds * RandomMessages.replyKinds) {
            let reply = random.reply(round)
            let decoded = try Reply.decode(frame(try encoded(reply, id: UInt32(round))))
            #expect(decoded.id == UInt32(round), "seed \(Self.seed)")
            #expect(decoded.reply == reply, "seed \(Self.seed)")
        }
    }

    @Test("Hello and its answer come back as they were")
    func hello() throws {
        let hello = Hello(
            capabilities: 5,
            clientName: "test 1.0",
            settings: SessionSettings(endsLeasesOnClose: true),
            credentials: [1, 2],
            namespace: "team"
        )
        var bytes: [UInt8] = []
        try hello.encode(id: 1, into: &bytes)
        #expect(try Hello.decode(frame(bytes)).hello == hello)

        let reply = HelloReply(capabilities: 4, brokerVersion: "1.2.3")
        bytes = []
        try reply.encode(id: 1, into: &bytes)
        #expect(try HelloReply.decode(frame(bytes)) == reply)
    }

    @Test("Values at their defaults take no bytes")
    func defaultsAreNotSent() throws {
        let bytes = try encoded(.submit([TaskSpec(queue: "q", type: "t", payload: [1])]))
        // Frame header 9, count 4, record length 4, two names 4, rank 4, payload 5.
        #expect(bytes.count == 30)
    }

    @Test("A request or reply truncated at any byte is an error, never a trap")
    func truncation() throws {
        var random = RandomMessages(seed: Self.seed)
        for kind in 0..<RandomMessages.requestKinds {
            let whole = try frame(try encoded(random.request(kind)))
            for count in 0..<whole.payload.count {
                let cut = Frame(type: whole.type, payload: whole.payload.prefix(count))
                expectErrorOrShorter { try Request.decode(cut).request.messageType.rawValue == whole.type }
            }
        }
        for kind in 0..<RandomMessages.replyKinds {
            let whole = try frame(try encoded(random.reply(kind)))
            for count in 0..<whole.payload.count {
                let cut = Frame(type: whole.type, payload: whole.payload.prefix(count))
                expectErrorOrShorter { try Reply.decode(cut).reply.messageType.rawValue == whole.type }
            }
        }
    }

    /// Cut between two optional fields, a message is a valid shorter one.
    private func expectErrorOrShorter(_ body: () throws -> Bool) {
        do {
            #expect(try body(), "seed \(Self.seed)")
        } catch {
            #expect(error is TQError, "seed \(Self.seed)")
        }
    }

    @Test("A thousand flipped bytes in each kind of message never trap and give only TQError")
    func flippedBytes() throws {
        var random = RandomMessages(seed: Self.seed)
        for kind in 0..<max(RandomMessages.requestKinds, RandomMessages.replyKinds) {
            let request = try frame(try encoded(random.request(kind)))
            let reply = try frame(try encoded(random.reply(kind)))
            for _ in 0..<1000 {
                _ = Result { try Request.decode(damaged(request, &random)) }
                _ = Result { try Reply.decode(damaged(reply, &random)) }
            }
        }
    }

    @Test("A million frames of random bytes never trap")
    func randomBytes() throws {
        var random = RandomMessages(seed: Self.seed)
        let noise = (0..<65_536).map { _ in UInt8(random.below(4) == 0 ? random.below(256) : random.below(4)) }
        let types = MessageType.allCases
        var decodedCount = 0
        for _ in 0..<1_000_000 {
            let start = random.below(noise.count - 64)
            let type = types[random.below(types.count)]
            let frame = Frame(type: type.rawValue, payload: noise[start..<(start + random.below(64))])
            if type.isReply {
                if (try? Reply.decode(frame)) != nil { decodedCount += 1 }
            } else if (try? Request.decode(frame)) != nil {
                decodedCount += 1
            }
        }
        #expect(
            decodedCount > 0,
            "some random bytes are valid messages, or the test reaches nothing; seed \(Self.seed)"
        )
    }

    private func damaged(_ frame: Frame, _ random: inout RandomMessages) -> Frame {
        var payload = frame.payload
        guard !payload.isEmpty else { return frame }
        for _ in 0...random.below(3) {
            payload[payload.startIndex + random.below(payload.count)] = UInt8(random.below(256))
        }
        return Frame(type: frame.type, payload: payload)
    }

    private static let rounds = 50
}
