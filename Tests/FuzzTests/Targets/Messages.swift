import TQModel

@testable import WireProtocol

extension FuzzTarget {
    /// The bytes of a connection in both directions: frames, and every message in them.
    static let messages = FuzzTarget(
        name: "messages",
        summary: "frames, requests and replies of the native protocol",
        seeds: {
            try MessageSamples.requests.map { try frame($0) } + MessageSamples.replies.map { try frame($0) }
                + [try MessageSamples.hello(), try MessageSamples.helloReply()]
        },
        run: { Messages.check($0) }
    )
}

private enum Messages {
    static func check(_ bytes: [UInt8]) {
        let frames = frames(in: bytes, burstBytes: .max)
        expectEqual(
            frames.map(\.payload),
            Self.frames(in: bytes, burstBytes: 7).map(\.payload),
            "Frames depend on how the bytes arrive."
        )
        for frame in frames { check(frame) }
    }

    private static func frames(in bytes: [UInt8], burstBytes: Int) -> [Frame] {
        var reader = FrameReader()
        var frames: [Frame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let burst = rest.prefix(burstBytes)
            rest = rest.dropFirst(burst.count)
            burst.withUnsafeBytes { reader.append($0) }
            _ = reader.foreignProtocol?.farewell
            do throws(TQError) {
                while let frame = try reader.next() { frames.append(frame) }
            } catch {
                return frames
            }
        }
        return frames
    }

    /// Whatever decodes must encode, and decode to the same value again.
    private static func check(_ frame: Frame) {
        if let (id, request) = try? Request.decode(frame) {
            let again = written { bytes throws(TQError) in try request.encode(id: id, into: &bytes) }
            expectEqual(attempt { () throws(TQError) in try Request.decode(again).request }, request, "A request")
        }
        if let (id, reply) = try? Reply.decode(frame) {
            let again = written { bytes throws(TQError) in try reply.encode(id: id, into: &bytes) }
            expectEqual(attempt { () throws(TQError) in try Reply.decode(again).reply }, reply, "A reply")
        }
        if let (id, hello) = try? Hello.decode(frame) {
            let again = written { bytes throws(TQError) in try hello.encode(id: id, into: &bytes) }
            expectEqual(attempt { () throws(TQError) in try Hello.decode(again).hello }, hello, "A hello")
        }
        if let reply = try? HelloReply.decode(frame) {
            let again = written { bytes throws(TQError) in try reply.encode(id: frame.requestID, into: &bytes) }
            expectEqual(attempt { () throws(TQError) in try HelloReply.decode(again) }, reply, "An answer to a hello")
        }
    }

    private static func written(_ encode: (inout [UInt8]) throws(TQError) -> Void) -> Frame {
        let bytes = attempt { () throws(TQError) in
            var bytes: [UInt8] = []
            try encode(&bytes)
            return bytes
        }
        let frames = frames(in: bytes, burstBytes: .max)
        expect(frames.count == 1, "A message is \(frames.count) frames.")
        return frames[0]
    }

    private static func attempt<Value>(_ body: () throws(TQError) -> Value) -> Value {
        do throws(TQError) {
            return try body()
        } catch {
            fatalError("What was decoded is refused: \(error)")
        }
    }
}
