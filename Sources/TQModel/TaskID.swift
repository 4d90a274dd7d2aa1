/// The name of a task in every API: a UUID of version 7.
///
/// The first 48 bits are the milliseconds at which the task was created, the 12 bits after the version are
/// the shard, and the last 62 bits are the task's sequence behind a keyed permutation (``TaskIDCipher``), so that
/// the broker finds the task by arithmetic while nobody can guess one id from another.
public struct TaskID: Hashable, Sendable, CustomStringConvertible {
    /// The first eight bytes, big-endian.
    public let high: UInt64
    /// The last eight bytes, big-endian.
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the usual text form of 36 characters, in either case; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        var position = 0
        for byte in text.utf8 {
            defer { position += 1 }
            if position == 8 || position == 13 || position == 18 || position == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let digit = hexDigitValue(byte), digits < 32 else { return nil }
            if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
            digits += 1
        }
        guard digits == 32, position == 36 else { return nil }
        self.init(high: high, low: low)
    }

    /// Milliseconds since 1970 at which the task was created, as the id states them.
    public var createdMilliseconds: UInt64 { high >> 16 }

    public var description: String {
        String(unsafeUninitializedCapacity: 36) { text in
            var end = 0
            for position in 0..<32 {
                if position == 8 || position == 12 || position == 16 || position == 20 {
                    text[end] = UInt8(ascii: "-")
                    end += 1
                }
                let word = position < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64((15 - position % 16) * 4)) & 0xf
                text[end] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                end += 1
            }
            return end
        }
    }
}

func hexDigitValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
