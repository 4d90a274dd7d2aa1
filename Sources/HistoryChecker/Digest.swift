public import TQModel

/// A 64-bit digest of a payload or a result: enough to tell apart what a history holds, nothing against forgers.
public struct Digest: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The digest of these bytes; the length counts too.
    @inlinable public init(of bytes: some Sequence<UInt8>) {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        var count: UInt64 = 0
        for byte in bytes {
            state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
            count &+= 1
        }
        self.rawValue = SplitMix64.mix(state &+ count)
    }

    public var description: String { String(rawValue, radix: 16) }
}
