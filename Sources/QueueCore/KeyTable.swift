import TQModel

/// 128 bits of keyed hash that stand for an idempotency key in its scope.
public struct KeyHash: Hashable, Sendable, Comparable {
    /// The upper 64 bits.
    public let high: UInt64
    /// The lower 64 bits.
    public let low: UInt64

    /// Creates a hash from its halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Orders as one number of 128 bits.
    public static func < (left: Self, right: Self) -> Bool {
        left.high == right.high ? left.low < right.low : left.high < right.high
    }
}

/// The idempotency keys in use; each costs about 60 bytes until its window ends.
///
/// One table for each bucket, so that a bucket whose time has come is dropped whole; a lookup asks the few that there are,
/// latest first: a key that was used again after its window is in two for a moment.
struct KeyTable: Sendable {
    /// What is kept of a row beside its key and its bucket.
    private struct Use: Sendable {
        var sequence: TaskSequence
        var createdMilliseconds: UInt64
        var contentHash: UInt64
    }

    private var buckets: [(bucket: ExpiryBucket, uses: [KeyHash: Use])] = []

    var count: Int { buckets.reduce(0) { $0 + $1.uses.count } }

    subscript(key: KeyHash) -> KeyRow? {
        for (bucket, uses) in buckets.reversed() {
            if let use = uses[key] { return Self.row(key, use, bucket) }
        }
        return nil
    }

    mutating func insert(_ row: KeyRow) {
        var place = buckets.endIndex
        while place > 0, buckets[place - 1].bucket > row.bucket { place -= 1 }
        if place == 0 || buckets[place - 1].bucket != row.bucket {
            buckets.insert((row.bucket, [:]), at: place)
            place += 1
        }
        buckets[place - 1].uses[row.key] = Use(
            sequence: row.sequence,
            createdMilliseconds: row.createdMilliseconds,
            contentHash: row.contentHash
        )
    }

    /// Buckets whose time has come, earliest first.
    func expired(storeMilliseconds: UInt64) -> [ExpiryBucket] {
        buckets.map(\.bucket).filter { $0.isExpired(storeMilliseconds: storeMilliseconds) }
    }

    mutating func expire(_ bucket: ExpiryBucket) { buckets.removeAll { $0.bucket == bucket } }

    /// All rows in a fixed order, for comparisons.
    var sorted: [KeyRow] {
        buckets.flatMap { bucket, uses in uses.map { Self.row($0.key, $0.value, bucket) } }
            .sorted { ($0.key, $0.bucket) < ($1.key, $1.bucket) }
    }

    private static func row(_ key: KeyHash, _ use: Use, _ bucket: ExpiryBucket) -> KeyRow {
        KeyRow(
            key: key,
            sequence: use.sequence,
            createdMilliseconds: use.createdMilliseconds,
            contentHash: use.contentHash,
            bucket: bucket
        )
    }
}

/// SipHash-2-4 (Aumasson and Bernstein 2012): short-input hashing that nobody can collide without the key.
struct SipHash {
    private var v0, v1, v2, v3: UInt64
    private var pending: UInt64 = 0
    private var count = 0

    init(key: StoreKey) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
    }

    mutating func combine(_ bytes: Bytes) {
        combine(UInt32(truncatingIfNeeded: bytes.count))
        bytes.withUnsafeBytes { buffer in
            var position = 0
            while position < buffer.count, count & 7 != 0 {
                combine(buffer[position])
                position += 1
            }
            while position + 8 <= buffer.count {
                absorb(UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
                position += 8
                count &+= 8
            }
            while position < buffer.count {
                combine(buffer[position])
                position += 1
            }
        }
    }

    mutating func combine(_ value: UInt32) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) { combine(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func combine(_ byte: UInt8) {
        pending |= UInt64(byte) << UInt64((count & 7) * 8)
        count &+= 1
        if count & 7 == 0 {
            absorb(pending)
            pending = 0
        }
    }

    mutating func finish() -> UInt64 {
        absorb(pending | UInt64(count & 0xff) << 56)
        v2 ^= 0xff
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    private mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    private mutating func round() {
        v0 = v0 &+ v1
        v1 = v1 << 13 | v1 >> 51
        v1 ^= v0
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v3
        v3 = v3 << 16 | v3 >> 48
        v3 ^= v2
        v0 = v0 &+ v3
        v3 = v3 << 21 | v3 >> 43
        v3 ^= v0
        v2 = v2 &+ v1
        v1 = v1 << 17 | v1 >> 47
        v1 ^= v2
        v2 = v2 << 32 | v2 >> 32
    }
}
