import TQModel
import Testing

@testable import WireProtocol

@Suite("Frames")
struct FrameReaderTests {
    @Test("Frames come out the same however the bytes are cut into bursts", arguments: [1, 2, 3, 5, 7, 64, 4096])
    func bursts(burstBytes: Int) throws {
        var random = RandomMessages(seed: 42)
        let requests = (0..<40).map { random.request($0) }
        var bytes: [UInt8] = []
        for (id, request) in zip(UInt32(1)..., requests) { try request.encode(id: id, into: &bytes) }

        let read = try frames(in: bytes, burstBytes: burstBytes)

        #expect(try read.map { try Request.decode($0).request } == requests)
        #expect(read.map(\.requestID) == (1...40).map(UInt32.init))
    }

    @Test("Decoded slices keep their bytes when the reader reads on")
    func slicesOutliveTheBurst() throws {
        var reader = FrameReader()
        let first = try encoded(.submit([TaskSpec(type: "a", payload: [1, 2, 3])]))
        let second = try encoded(.submit([TaskSpec(type: "b", payload: [4, 5, 6])]))
        (first + second.prefix(10)).withUnsafeBytes { reader.append($0) }
        let kept = try Request.decode(#require(try reader.next())).request
        #expect(try reader.next() == nil)
        second.dropFirst(10).withUnsafeBytes { reader.append($0) }

        #expect(
            try Request.decode(#require(try reader.next())).request
                == .submit([TaskSpec(type: "b", payload: [4, 5, 6])])
        )
        #expect(kept == .submit([TaskSpec(type: "a", payload: [1, 2, 3])]))
    }

    @Test(
        "A length beyond 16 MiB is refused before anything is allocated",
        arguments: [0x0100_0001, 0x8000_0000, 0xffff_ffff]
    )
    func tooLarge(length: UInt32) throws {
        let bytes = withUnsafeBytes(of: length.bigEndian) { Array($0) } + [0x10]
        let error = try #require(error { _ = try frames(in: bytes) })
        #expect(error.code == .frameTooLarge)
        #expect(error.code.endsConnection)
    }

    @Test("A frame of exactly 16 MiB is read")
    func largest() throws {
        var bytes = withUnsafeBytes(of: UInt32(Limits.frameBytesMax).bigEndian) { Array($0) }
        bytes.append(MessageType.submit.rawValue)
        bytes.append(contentsOf: repeatElement(0, count: Limits.frameBytesMax - 1))
        #expect(try frames(in: bytes, burstBytes: 256 * 1024).first?.payload.count == Limits.frameBytesMax - 1)
    }

    @Test("A frame of length 0 is malformed")
    func empty() throws {
        #expect(error { _ = try frames(in: [0, 0, 0, 0]) }?.code == .malformedFrame)
    }

    @Test(
        "Another protocol is told by its first bytes and named in the error",
        arguments: [
            ("GET / HTTP/1.1\r\n", ForeignProtocol.http), ("HTTP/1.1 400 Bad Request\r\n", .http),
            ("PRI * HTTP/2.0\r\n", .http), ("*1\r\n$4\r\nPING\r\n", .redis), ("-ERR unknown command\r\n", .redis),
            ("\u{16}\u{3}\u{1}\u{2}\u{0}", .tls), ("put 0 0 60 3\r\n", .text), ("UNKNOWN_COMMAND\r\n", .text),
        ]
    )
    func foreign(text: String, expected: ForeignProtocol) throws {
        var reader = FrameReader()
        Array(text.utf8).withUnsafeBytes { reader.append($0) }
        #expect(reader.foreignProtocol == expected)
        let error = try #require(error { _ = try reader.next() })
        #expect(error.code == .malformedFrame)
        #expect(error.message.contains(expected.name))
        #expect(!expected.farewell.isEmpty)
    }

    @Test("A frame of tq's own is never taken for another protocol")
    func notForeign() throws {
        var bytes: [UInt8] = []
        try Hello(clientName: "test").encode(id: 1, into: &bytes)
        #expect(ForeignProtocol(firstBytes: bytes[...]) == nil)
        #expect(ForeignProtocol(firstBytes: [1, 0, 0, 0]) == nil)
    }
}
