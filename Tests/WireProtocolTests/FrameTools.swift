import TQModel
import Testing

@testable import WireProtocol

/// The frames in `bytes`, given to the reader in bursts of `burstBytes`.
func frames(in bytes: [UInt8], burstBytes: Int = .max) throws -> [Frame] {
    var reader = FrameReader()
    var frames: [Frame] = []
    var rest = bytes[...]
    while !rest.isEmpty {
        let burst = rest.prefix(burstBytes)
        rest = rest.dropFirst(burst.count)
        burst.withUnsafeBytes { reader.append($0) }
        while let frame = try reader.next() { frames.append(frame) }
    }
    return frames
}

/// The one frame in `bytes`.
func frame(_ bytes: [UInt8]) throws -> Frame {
    let all = try frames(in: bytes)
    try #require(all.count == 1)
    return all[0]
}

func encoded(_ request: Request, id: UInt32 = 7) throws(TQError) -> [UInt8] {
    var bytes: [UInt8] = []
    try request.encode(id: id, into: &bytes)
    return bytes
}

func encoded(_ reply: Reply, id: UInt32 = 7) throws(TQError) -> [UInt8] {
    var bytes: [UInt8] = []
    try reply.encode(id: id, into: &bytes)
    return bytes
}

/// The error that `body` throws; records an issue when it throws none.
func error(of body: () throws -> Void) -> TQError? {
    #expect(throws: TQError.self) { try body() }
}
