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

/// The idempotency keys in use; each costs about 100 bytes until its window ends.
struct KeyTable: Sendable {
    private var rows: [KeyHash: KeyRow] = [:]
    private var buckets: [ExpiryBucket: [KeyHash]] = [:]

    var count: Int { rows.count }

    subscript(key: KeyHash) -> KeyRow? { rows[key] }

    mutating func insert(_ row: KeyRow) {
        rows[row.key] = row
        buckets[row.bucket, default: []].append(row.key)
    }

    /// Buckets whose time has come, earliest first.
    func expired(storeMilliseconds: UInt64) -> [ExpiryBucket] {
        buckets.keys.filter { $0.isExpired(storeMilliseconds: storeMilliseconds) }.sorted()
    }

    mutating func expire(_ bucket: ExpiryBucket) {
        for key in buckets.removeValue(forKey: bucket) ?? [] where rows[key]?.bucket == bucket {
            rows[key] = nil
        }
    }

    /// All rows in a fixed order, for comparisons.
    var sorted: [KeyRow] { rows.values.sorted { $0.key < $1.key } }
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
