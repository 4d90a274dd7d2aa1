/// Turns (sequence, creation time) into a ``TaskID`` and back.
///
/// The sequence goes through a Feistel network over 62 bits whose round function is keyed, so that ids do not tell
/// how many tasks there are and cannot be guessed from each other. The key is made once per store and
/// never changed: every id must be equal before and after a restart. This hides order, it is not an access control.
public struct TaskIDCipher: Sendable {
    private let roundKeys: [UInt64]
    private let shard: UInt16

    /// Eight rounds of a 31-bit half each; four already make a pseudorandom permutation (Luby and Rackoff).
    private static let roundCount = 8
    private static let halfMask: UInt64 = (1 << 31) - 1

    /// - Parameters:
    ///   - key: 128 random bits, kept in the store.
    ///   - shard: The shard of the broker, 0 to 4095.
    public init(key: StoreKey, shard: UInt16 = 0) {
        precondition(shard < 4096, "a shard has 12 bits")
        var generator = SplitMix64(seed: key.high)
        self.roundKeys = (0..<Self.roundCount).map { _ in generator.next() ^ key.low }
        self.shard = shard
    }

    /// The id of the task with that sequence, created at that many milliseconds since 1970 (48 bits).
    public func id(of sequence: TaskSequence, createdMilliseconds: UInt64) -> TaskID {
        let timestamp = createdMilliseconds & 0xffff_ffff_ffff
        let high = timestamp << 16 | 0x7000 | UInt64(shard)
        let low = 0x8000_0000_0000_0000 | permute(sequence.rawValue)
        return TaskID(high: high, low: low)
    }

    /// The sequence that an id states, or `nil` when this broker cannot have given that id.
    ///
    /// The caller compares the id's creation time with the task's, so that a forged id misses.
    public func sequence(of id: TaskID) -> TaskSequence? {
        guard id.high & 0xf000 == 0x7000, id.high & 0x0fff == UInt64(shard) else { return nil }
        guard id.low >> 62 == 0b10 else { return nil }
        return TaskSequence(unpermute(id.low & 0x3fff_ffff_ffff_ffff))
    }

    private func permute(_ value: UInt64) -> UInt64 {
        var left = value >> 31 & Self.halfMask
        var right = value & Self.halfMask
        for key in roundKeys { (left, right) = (right, left ^ scramble(right, key)) }
        return left << 31 | right
    }

    private func unpermute(_ value: UInt64) -> UInt64 {
        var left = value >> 31 & Self.halfMask
        var right = value & Self.halfMask
        for key in roundKeys.reversed() { (left, right) = (right ^ scramble(left, key), left) }
        return left << 31 | right
    }

    private func scramble(_ half: UInt64, _ key: UInt64) -> UInt64 {
        SplitMix64.mix(half &* 0x9e37_79b9_7f4a_7c15 ^ key) & Self.halfMask
    }
}

/// 128 random bits made when a store is created: the key of task ids and of the hashes of idempotency keys.
public struct StoreKey: Hashable, Sendable {
    /// The first eight bytes, big-endian.
    public let high: UInt64
    /// The last eight bytes, big-endian.
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// A small, fast, seedable generator (Steele, Lea and Flood 2014); for jitter and simulation, not for secrets.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    /// The seed plus as many increments as numbers were drawn.
    public private(set) var state: UInt64

    public init(seed: UInt64) { self.state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mix(state)
    }

    /// The generator's finalizer: a bijection of 64 bits that spreads every bit.
    public static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
